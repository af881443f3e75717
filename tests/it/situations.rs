//! The situations of `tests/kafka/situations.txt`, played against a real Kafka through the product's own [`KafkaBroker`].
//! The simulation's model of Kafka is held to the same file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use waitbridge::envelope::Outgoing;
use waitbridge::kafka::producer::KafkaBroker;
use waitbridge::kafka::{Broker, Checkpoint, Class, Fault, Options};
use waitbridge::metrics::Metrics;
use waitbridge::shutdown::Stop;

use crate::kafka::{Kafka, client, unique};
use crate::reader::Reader;

const SITUATIONS: &str = include_str!("../kafka/situations.txt");
const HUGE_BYTES: usize = 1_200_000;
const PATIENCE_MS: u64 = 60_000;
const WITHIN: Duration = Duration::from_secs(90);

#[test]
fn a_real_kafka_answers_as_the_situations_say() {
    // What is open for too long is looked for every ten seconds by default.
    let mut kafka = Kafka::start(&[("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500")]);
    let situations = SITUATIONS.split("\nsituation ").skip(1).map(|block| block.split_once('\n').unwrap());
    let differences: Vec<String> =
        situations.filter_map(|(name, lines)| difference(&mut kafka, lines).map(|why| format!("{name}: {why}"))).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

/// The first line that was answered otherwise.
fn difference(kafka: &mut Kafka, lines: &str) -> Option<String> {
    let mut played = Played::new(kafka);
    lines.lines().filter(|line| !line.is_empty()).find_map(|line| {
        let found = played.play(line);
        let (expected, said) = (line.rsplit_once(' ')?, found.rsplit_once(' ')?);
        let agree = expected.0 == said.0 && expected.1.split('|').any(|answer| answer == said.1);
        (!agree).then(|| format!("{line}, but: {found}"))
    })
}

struct Played<'k> {
    kafka: &'k mut Kafka,
    topic: String,
    checkpoint_topic: String,
    transactional_id: String,
    /// Of the coordinator.
    patience_ms: u64,
    processes: BTreeMap<String, KafkaBroker>,
}

impl Played<'_> {
    fn new(kafka: &mut Kafka) -> Played<'_> {
        let (topic, checkpoint_topic) = (unique("situation"), unique("situation-checkpoint"));
        kafka.create_topic(&topic, 1, &[]);
        kafka.create_topic(&checkpoint_topic, 1, &[]);
        let (transactional_id, processes) = (unique("situation-id"), BTreeMap::new());
        Played { kafka, topic, checkpoint_topic, transactional_id, patience_ms: PATIENCE_MS, processes }
    }

    /// The line as it should have read.
    fn play(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["kafka", "away"] => self.kafka.stop(),
            ["kafka", "back"] => self.kafka.start_again(),
            ["topic", "missing"] => self.kafka.delete_topic(&self.topic),
            ["topic", "made"] => self.kafka.create_topic(&self.topic, 1, &[]),
            ["patience", seconds] => self.patience_ms = 1000 * seconds.trim_end_matches('s').parse::<u64>().unwrap(),
            ["later"] => self.wait_for_the_coordinator(),
            ["sees", _] => return format!("sees {}", Reader::new(self.kafka.bootstrap(), &[&self.topic]).read_to_end().len()),
            [process, "committed", ..] => return format!("{process} committed {}", self.committed(process)),
            [process, "at", "last", call, _] => {
                let answer = self.at_last(process, call);
                return format!("{process} at last {call} {}", answer.map_or_else(|fault| class(&fault), |()| "ok"));
            }
            [process, call, _] => {
                let answer = self.call(process, call);
                let class = answer.map_or_else(|fault| class(&fault), |()| "ok");
                return format!("{process} {call} {class}");
            }
            _ => panic!("no such line: {line}"),
        }
        line.to_owned()
    }

    fn process(&mut self, name: &str) -> &mut KafkaBroker {
        let options = Options {
            brokers: vec![self.kafka.bootstrap().to_owned()],
            prefix: "situation".to_owned(),
            transactional_id: self.transactional_id.clone(),
            group: self.transactional_id.clone(),
            transaction_timeout_ms: self.patience_ms,
            message_bytes_max: 2 << 20,
            properties: Default::default(),
            create: Vec::new(),
            topics: Vec::new(),
        };
        let make = || KafkaBroker::new(options, Arc::new(Metrics::new()), Arc::new(Stop::default())).unwrap();
        self.processes.entry(name.to_owned()).or_insert_with(make)
    }

    fn call(&mut self, name: &str, call: &str) -> Result<(), Fault> {
        let (verb, argument) = call.split_once('(').map_or((call, ""), |(verb, rest)| (verb, rest.trim_end_matches(')')));
        let records = match argument {
            "huge" => vec![self.record(HUGE_BYTES)],
            number => (0..number.parse().unwrap_or(0)).map(|_| self.record(100)).collect(),
        };
        let checkpoint = Checkpoint {
            topic: self.checkpoint_topic.clone(),
            partition: 0,
            next: argument.parse().unwrap_or(0),
            metadata: name.to_owned(),
        };
        let process = self.process(name);
        match verb {
            "build" => process.build(),
            "init" => process.init(),
            "begin" => process.begin(),
            "publish" => process.send(&records).and_then(|()| process.drain()),
            "offsets" => process.send_offsets(&[checkpoint]),
            "commit" => process.commit(),
            "abort" => process.abort(),
            _ => panic!("no such call: {call}"),
        }
    }

    /// Each refusal is aborted, and the transaction begun again.
    fn at_last(&mut self, name: &str, call: &str) -> Result<(), Fault> {
        let deadline = Instant::now() + WITHIN;
        loop {
            match self.call(name, call) {
                Err(fault) if fault.class == Class::Abortable && Instant::now() < deadline => {
                    self.call(name, "abort")?;
                    self.call(name, "begin")?;
                }
                ended => return ended,
            }
        }
    }

    fn record(&self, bytes: usize) -> Outgoing {
        Outgoing { topic: self.topic.as_str().into(), key: "k".to_owned(), headers: Vec::new(), value: Some(vec![b'x'; bytes]) }
    }

    /// A coordinator that has just come up, or still ends a transaction, is asked again.
    fn committed(&mut self, name: &str) -> String {
        let topic = self.checkpoint_topic.clone();
        let deadline = Instant::now() + WITHIN;
        loop {
            match self.process(name).committed(&topic, 0) {
                Ok(None) => return "none".to_owned(),
                Ok(Some(found)) => return format!("{} {}", found.next, found.metadata),
                Err(fault) => assert!(Instant::now() < deadline, "{fault}"),
            }
        }
    }

    /// While a transaction is open, the last stable offset lies before the end of the log.
    fn wait_for_the_coordinator(&self) {
        let [stable, all] = ["read_committed", "read_uncommitted"].map(|level| {
            let consumer = client(self.kafka.bootstrap()).set("group.id", "situation").set("isolation.level", level).create();
            let consumer: BaseConsumer = consumer.expect("a consumer");
            consumer
        });
        let end = |consumer: &BaseConsumer| consumer.fetch_watermarks(&self.topic, 0, WITHIN).expect("watermarks").1;
        let deadline = Instant::now() + WITHIN;
        assert!(end(&stable) < end(&all), "there is nothing open");
        while end(&stable) < end(&all) {
            assert!(Instant::now() < deadline, "the transaction stays open");
        }
    }
}

fn class(fault: &Fault) -> &'static str {
    eprintln!("{fault}");
    match fault.class {
        Class::Retriable => "retriable",
        Class::Abortable => "abortable",
        Class::Fenced => "fenced",
        Class::Fatal => "fatal",
    }
}
