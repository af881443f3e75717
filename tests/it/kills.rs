//! Nothing lost, nothing twice, nothing out of order for its key: the real program killed at random moments
//! under load, and a real Kafka that goes away. The topic is the ground truth, read by a `read_committed` consumer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::bridge::{Bridge, Home};
use crate::kafka::{self, Kafka};
use crate::load::{Accepted, Load, ReadEvent, Verdict, judge};
use crate::reader::{Reader, Record};

/// Kills of the bounded share that the gate runs; more by `WAITBRIDGE_KILL_ROUNDS`.
const ROUNDS: u64 = 20;
pub const SENDERS: u64 = 8;
pub const PAUSE: Duration = Duration::from_millis(2);
/// Many transactions, so that kills fall into every part of one.
pub const SMALL_BATCHES: &str = "[relay]\nbatch_max = 50\nexpired_after = \"0s\"\n";
pub const COMMITTED: &str = "waitbridge_relay_transactions_total{result=\"committed\"}";
pub const DRAIN_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn a_process_killed_at_any_moment_loses_nothing_doubles_nothing_and_keeps_the_order() {
    let verdict = kill_rounds(rounds(), Path::new(env!("CARGO_BIN_EXE_waitbridge")));
    assert_eq!(verdict, Verdict { accepted: verdict.accepted, read: verdict.read, ..Verdict::default() });
}

/// The control: were this to pass too, the test above would prove nothing.
#[test]
fn the_same_kills_double_events_when_the_checkpoint_is_saved_outside_the_transaction() {
    let verdict = kill_rounds(rounds(), &example("checkpoint_outside"));
    assert!(verdict.doubled > 0, "{verdict:?}");
    assert_eq!(verdict.lost, 0, "{verdict:?}");
}

#[test]
fn kafka_away_for_twenty_seconds_under_load_loses_nothing() {
    let mut kafka = Kafka::start(&[]);
    let topics = kafka.new_topics(3);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let bridge = home.start();
    let load = Load::start(SENDERS, PAUSE);
    load.aim(Some(bridge.public));
    wait_for_more(&load, 500);

    kafka.stop();
    let away = Instant::now();
    let before = load.accepted_count();
    while away.elapsed() < Duration::from_secs(20) {
        wait_for_more(&load, 100);
    }
    let during = load.accepted_count() - before;
    kafka.start_again();
    wait_for_more(&load, 200);
    let accepted = load.finish();
    assert!(during > 1000, "200s go on without Kafka: {during}");
    let verdict = judge(&accepted, &read_all(&kafka, &topics.person, &accepted, || true));
    eprintln!("kafka away: {verdict:?}, of them {during} while it was away");
    assert_eq!(verdict, Verdict { accepted: verdict.accepted, read: verdict.read, ..Verdict::default() });
    assert_eq!(bridge.terminate(), 0);
}

/// Most kills fall while events flow, some while the process is still starting.
fn kill_rounds(rounds: u64, program: &Path) -> Verdict {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(3);
    let home = Home::new(kafka.bootstrap(), &topics, SMALL_BATCHES).run_by(program);
    // Each start remembers the window, so one that grows over all the rounds would make the later ones long.
    home.set("free_min = \"0B\"", "free_min = \"0B\"\nwindow = \"20s\"");
    let seed = seed();
    let load = Load::start(SENDERS, PAUSE);
    for round in 0..rounds {
        let bridge = home.start();
        load.aim(Some(bridge.public));
        let chance = scatter(seed ^ round);
        if !chance.is_multiple_of(4) {
            bridge.wait_until("it publishes", DRAIN_WITHIN, |bridge| bridge.metric(COMMITTED) > 0.0);
        }
        std::thread::sleep(Duration::from_millis(chance / 4 % 700));
        bridge.kill();
    }
    let bridge = home.start();
    load.aim(Some(bridge.public));
    wait_for_more(&load, 100);
    let accepted = load.finish();
    let verdict = judge(&accepted, &read_all(kafka, &topics.person, &accepted, || true));
    eprintln!("{}: seed {seed}, {rounds} kills: {verdict:?}", program.file_name().unwrap().display());
    undelivered_is_zero(&bridge);
    verdict
}

pub fn undelivered_is_zero(bridge: &Bridge) {
    bridge.wait_until("everything is delivered", DRAIN_WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
}

/// Reads until everything accepted is there and all has settled, or nothing more comes; what is missing then is lost.
pub fn read_all(kafka: &Kafka, topic: &str, accepted: &Accepted, is_settled: impl Fn() -> bool) -> Vec<ReadEvent> {
    let mut reader = Reader::new(kafka.bootstrap(), &[topic]);
    let mut read: Vec<ReadEvent> = Vec::new();
    let mut came = Instant::now();
    loop {
        let complete = (judge(accepted, &read).lost == 0 && is_settled()) || came.elapsed() > DRAIN_WITHIN;
        // Once more when complete: what was in doubt when the load ended may still have been on its way.
        let more = reader.read_to_end();
        if !more.is_empty() {
            came = Instant::now();
        }
        read.extend(more.iter().map(read_event));
        if complete {
            return read;
        }
    }
}

pub fn read_event(record: &Record) -> ReadEvent {
    let key = record.key.as_deref().unwrap_or_default();
    ReadEvent::of(key, record.header("ce_acceptid").unwrap_or_default(), record.value.as_deref().unwrap_or_default())
}

pub fn wait_for_more(load: &Load, more: u64) {
    let (goal, deadline) = (load.accepted_count() + more, Instant::now() + Duration::from_secs(60));
    while load.accepted_count() < goal {
        assert!(Instant::now() < deadline, "no more 200s: {} of {goal}", load.accepted_count());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn rounds() -> u64 {
    std::env::var("WAITBRIDGE_KILL_ROUNDS").ok().map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}

pub fn seed() -> u64 {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    std::env::var("WAITBRIDGE_SEED").ok().map_or_else(now, |seed| seed.parse().expect("a seed"))
}

pub fn scatter(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 16
}

/// Examples are built with the tests, beside the binary.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_waitbridge")).with_file_name("examples").join(name)
}
