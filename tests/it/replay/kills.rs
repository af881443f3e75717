//! A replay that is killed, with its service or alone, and goes on where it was, while live events flow.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::{WITHIN, accept_ids, begun, command, is_replayed};
use crate::bridge::Home;
use crate::fleet::commands::json;
use crate::kafka::{self, Kafka, Topics};
use crate::kills::{PAUSE, SENDERS, SMALL_BATCHES, read_event, scatter, seed, wait_for_more};
use crate::load::{Load, ReadEvent, Verdict, judge};
use crate::process::Process;
use crate::reader::{Reader, Record};
use crate::replicas::Replicas;

/// Kills of the bounded share that the gate runs; more by `WAITBRIDGE_REPLAY_KILLS`.
const KILLS: u64 = 4;

#[test]
fn a_replay_killed_at_any_moment_goes_on_and_doubles_nothing_beside_live_events() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(3);
    let home = Home::new(kafka.bootstrap(), &topics, SMALL_BATCHES);
    goes_on_over_kills(kafka, &topics, &home);
}

/// The replica that replays is killed; the other one has its partitions meanwhile.
#[test]
fn a_replay_of_a_fleet_killed_at_any_moment_goes_on_and_doubles_nothing_beside_live_events() {
    let kafka = kafka::shared();
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), 2, 4, SMALL_BATCHES);
    fleet.start(1);
    goes_on_over_kills(kafka, &fleet.topics, fleet.home(0));
}

/// Under load: the service or the command ends at a moment that the seed chooses, in one way or another, and the replay goes on
/// where it was.
fn goes_on_over_kills(kafka: &Kafka, topics: &Topics, home: &Home) {
    let seed = seed();
    let kills = std::env::var("WAITBRIDGE_REPLAY_KILLS").ok().map_or(KILLS, |kills| kills.parse().expect("a number"));
    let load = Load::start(SENDERS, PAUSE);
    let mut bridge = home.start();
    load.aim(Some(bridge.public));
    let mut reader = Reader::new(kafka.bootstrap(), &[&topics.person]);
    let mut records = reader.read_until(1500, WITHIN);
    let before: HashSet<String> = accept_ids(&records).into_iter().map(str::to_owned).collect();

    let log = home.path("replay.log");
    let rate = (before.len() as u64 / (kills + 1)).to_string();
    let mut run = Process::start(&command(home, &["--from", "1h", "--rate", &rate]), &log);
    let deadline = Instant::now() + WITHIN;
    let id = loop {
        assert!(Instant::now() < deadline, "{}", run.log_tail());
        if let Some(id) = begun(&log) {
            break id;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut ended = None;
    for round in 0..kills {
        let chance = scatter(seed ^ round);
        std::thread::sleep(Duration::from_millis(chance / 8 % 1000));
        match chance % 4 {
            0 => run.signal("KILL"),
            1 => bridge.signal("TERM"),
            _ => bridge.signal("KILL"),
        }
        if run.wait(WITHIN) == 0 {
            // It came to its end just before.
            ended = Some(0);
        }
        if !chance.is_multiple_of(4) {
            let code = bridge.wait(WITHIN);
            assert!([0, 128 + 9].contains(&code), "a replay at work does not hold up the end: {code}");
            bridge = home.start();
            load.aim(Some(bridge.public));
        }
        if ended.is_some() {
            break;
        }
        run = Process::start(&command(home, &["--resume", &id]), &log);
    }
    let ended = ended.unwrap_or_else(|| run.wait(2 * WITHIN));
    assert_eq!(ended, 0, "seed {seed}: {}", run.log_tail());
    wait_for_more(&load, 200);
    let accepted = load.finish();
    // Looked at from outside: a partition that the group has given to one who is dead already is in no replica's metrics.
    bridge.wait_until("all is delivered", 2 * WITHIN, |_| json(home, &["journal", "stat"])["undelivered_records"] == 0);
    records.extend(reader.read_to_end());
    let (again, live): (Vec<Record>, Vec<Record>) = records.into_iter().partition(is_replayed);

    let verdict = judge(&accepted, &live.iter().map(read_event).collect::<Vec<_>>());
    assert_eq!(verdict, Verdict { accepted: verdict.accepted, read: verdict.read, ..Verdict::default() }, "seed {seed}: the live events");
    let again: Vec<ReadEvent> = again.iter().map(read_event).collect();
    let mut count: HashMap<&str, usize> = HashMap::new();
    again.iter().for_each(|event| *count.entry(&event.accept_id).or_default() += 1);
    let doubled = count.values().filter(|count| **count > 1).count();
    let left_out = before.iter().filter(|id| !count.contains_key(id.as_str())).count();
    eprintln!("seed {seed}, {kills} kills: {} replayed of {} before, {doubled} doubled, {left_out} left out", again.len(), before.len());
    assert_eq!((doubled, left_out), (0, 0), "seed {seed}");
    let mut last: HashMap<&str, u64> = HashMap::new();
    assert!(again.iter().all(|event| last.insert(&event.key, event.serial).is_none_or(|before| before < event.serial)), "seed {seed}");
    assert_eq!(bridge.terminate(), 0);
}
