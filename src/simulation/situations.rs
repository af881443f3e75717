//! The model of Kafka answers as the real one does: both are played against `tests/kafka/situations.txt`.

use std::collections::BTreeMap;

use super::kafka::{CALL_MS, Cluster, Mishap, Producer, TRANSACTION_TIMEOUT_MS, Topic, committed};
use crate::envelope::Outgoing;
use crate::journal::disk::driven::Dice;
use crate::kafka::{Checkpoint, Class, Fault};

const SITUATIONS: &str = include_str!("../../tests/kafka/situations.txt");
const TOPIC: &str = "t";

#[test]
fn the_model_of_kafka_answers_as_the_situations_say() {
    for seed in 0..50 {
        for (name, lines) in SITUATIONS.split("\nsituation ").skip(1).map(|block| block.split_once('\n').unwrap()) {
            let mut played = Played::new(seed);
            for line in lines.lines().filter(|line| !line.is_empty()) {
                let (expected, answers) = line.rsplit_once(' ').unwrap_or(("", line));
                let found = played.play(line);
                let (asked, answer) = found.rsplit_once(' ').unwrap_or(("", &found));
                let agree = asked == expected && answers.split('|').any(|one| one == answer);
                assert!(agree, "{name}: {line}, but: {found}");
            }
        }
    }
}

struct Played {
    cluster: Cluster,
    producers: BTreeMap<String, Producer>,
    now_ms: i64,
    away: bool,
    dice: Dice,
}

impl Played {
    fn new(seed: u64) -> Played {
        Played { cluster: Cluster::new(0), producers: BTreeMap::new(), now_ms: 0, away: false, dice: Dice::new(seed) }
    }

    /// The line as it should have read.
    fn play(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["kafka", state] => self.away = state == "away",
            ["topic", "missing"] => drop(self.cluster.topics.insert(TOPIC.to_owned(), Topic::Missing)),
            ["topic", "made"] => self.cluster.topics.clear(),
            ["patience", _] => {}
            ["later"] => self.now_ms += TRANSACTION_TIMEOUT_MS + 1,
            ["sees", _] => return format!("sees {}", self.cluster.committed.len()),
            [process, "committed", ..] => return format!("{process} committed {}", self.committed()),
            [process, "at", "last", call, _] => return format!("{process} at last {call} {}", self.at_last(process, call)),
            [process, call, _] => return format!("{process} {call} {}", word(self.call(process, call))),
            _ => panic!("no such line: {line}"),
        }
        line.to_owned()
    }

    fn committed(&mut self) -> String {
        self.cluster.complete();
        match committed(&self.cluster, 0, None).expect("nothing is open any more") {
            None => "none".to_owned(),
            Some(found) => format!("{} {}", found.next, found.metadata),
        }
    }

    fn at_last(&mut self, name: &str, call: &str) -> &'static str {
        loop {
            match self.call(name, call) {
                Err(fault) if fault.class == Class::Abortable => {
                    self.call(name, "abort").unwrap();
                    self.call(name, "begin").unwrap();
                }
                ended => return word(ended),
            }
        }
    }

    fn call(&mut self, name: &str, call: &str) -> Result<(), Fault> {
        let (verb, argument) = call.split_once('(').map_or((call, ""), |(verb, rest)| (verb, rest.trim_end_matches(')')));
        let mishap = self.away.then_some(Mishap::Unheard);
        self.now_ms += if self.away { CALL_MS } else { 1 };
        self.cluster.time_out(self.now_ms);
        if verb == "build" {
            self.producers.insert(name.to_owned(), Producer::new(0));
            return Ok(());
        }
        let producer = self.producers.get_mut(name).expect("it was built");
        let Played { cluster, now_ms, dice, .. } = self;
        match verb {
            "init" => producer.init(cluster, mishap),
            "begin" => producer.begin(),
            "publish" => producer.publish(cluster, &records(argument), *now_ms, mishap),
            "offsets" => producer.send_offsets(cluster, &[checkpoint(name, argument)], *now_ms, mishap),
            "commit" => producer.commit(cluster, mishap, dice),
            "abort" => producer.abort(cluster, mishap),
            _ => panic!("no such call: {call}"),
        }
    }
}

fn word(answer: Result<(), Fault>) -> &'static str {
    match answer.map_err(|fault| fault.class) {
        Ok(()) => "ok",
        Err(Class::Retriable) => "retriable",
        Err(Class::Abortable) => "abortable",
        Err(Class::Fenced) => "fenced",
        Err(Class::Fatal) => "fatal",
    }
}

fn records(argument: &str) -> Vec<Outgoing> {
    let (key, number) = match argument {
        "huge" => ("k/huge", 1),
        number => ("k", number.parse().unwrap()),
    };
    vec![Outgoing { topic: TOPIC.into(), key: key.to_owned(), headers: Vec::new(), value: None }; number]
}

fn checkpoint(name: &str, next: &str) -> Checkpoint {
    Checkpoint { topic: "checkpoints".to_owned(), partition: 0, next: next.parse().unwrap(), metadata: name.to_owned() }
}
