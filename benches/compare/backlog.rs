//! A backlog as after an outage: how quickly it drains beside a bare transactional producer, what a record costs at its beginning
//! and at its end, and how soon a start with all of it in the window accepts and publishes.

use std::collections::VecDeque;
use std::io::Read as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;
use waitbridge::delivery::{Auth, Record};
use waitbridge::journal::disk::{self, Opened};
use waitbridge::journal::{Appended, Journal as _, Position, Stored};
use waitbridge::metrics::Metrics;
use waitbridge::settings;

use crate::bridge::{Bridge, Home};
use crate::kafka::Kafka;
use crate::reader::Reader;
use crate::subject::{self, Core, cpu_time, pin, rss_mb};
use crate::{Bound, aim, visit};

const WAITING: usize = 1000;
const POLL: Duration = Duration::from_millis(20);
const WITHIN: Duration = Duration::from_secs(1800);
/// Read at once when they are counted.
const PIECE: u64 = 20_000;

pub fn run(kafka: &Kafka, records: u64) {
    let topics = kafka.new_topics(6);
    let home = subject::home(kafka, &topics);
    fill(&home, records);
    println!("\nbacklog of {records}:");
    let bare = bare(kafka, &home, records);
    let ours = drain(&home, records);
    let bare = (bare + self::bare(kafka, &home, records)) / 2.0;
    println!("drained at {ours:.0}/s; a bare producer: {bare:.0}/s");
    aim("drain, to a bare transactional producer's", ours / bare, Bound::AtLeast(0.8));
    let mut reader = Reader::new(kafka.bootstrap(), &[&topics.person]);
    (0..records).step_by(PIECE as usize).for_each(|from| drop(reader.read_until(PIECE.min(records - from) as usize, WITHIN)));
    assert_eq!(reader.read_to_end().len(), 0, "none is twice in the topic");
    start(&home, records);
}

/// As the ingress would have appended them while Kafka was away.
fn fill(home: &Home, records: u64) {
    let settings = settings::load(Some(&home.path("waitbridge.toml"))).unwrap_or_else(|invalid| panic!("{invalid}"));
    let Opened { journal, .. } = disk::open(settings.journal.options("checkpoint"), Arc::new(Metrics::new())).expect("a journal");
    let mut waiting = VecDeque::new();
    let answered = |appended: Appended| _ = appended.blocking_recv().expect("an answer").expect("durable");
    for serial in 0..records {
        if waiting.len() == WAITING {
            waiting.drain(..1).for_each(answered);
        }
        waiting.push_back(journal.append("acme", record(serial)));
    }
    waiting.into_iter().for_each(answered);
    journal.close();
}

fn record(serial: u64) -> Vec<u8> {
    let (accept_id, body) = (Uuid::now_v7(), visit::body(serial));
    let (vendor, tenant, endpoint) = ("waitwhile", "acme", "waitwhile");
    Record { accept_id, auth: Auth::Hmac, vendor, tenant, endpoint, traceparent: None, body: &body }.encode()
}

pub fn stored(records: u64) -> Vec<Stored> {
    let stored = |offset| Stored { position: Position { partition: 0, offset }, received_ms: 1_800_000_000_000, bytes: record(offset) };
    (0..records).map(stored).collect()
}

/// Records a second of a producer that does nothing else.
fn bare(kafka: &Kafka, home: &Home, records: u64) -> f64 {
    let mut command = subject::role("produce");
    command.arg(home.path("waitbridge.toml")).args([kafka.bootstrap(), &kafka.new_topics(6).person, &records.to_string()]);
    let mut producer = command.stdout(Stdio::piped()).spawn().expect("the producer");
    pin(producer.id(), Core::First);
    let mut told = String::new();
    producer.stdout.take().expect("piped").read_to_string(&mut told).expect("text");
    assert!(producer.wait().expect("it ended").success(), "the bare producer failed");
    let micros: Vec<f64> = told.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    println!("bare producer: {:.0}/s, CPU {:.1} µs a record", records as f64 * 1e6 / micros[0], micros[1] / records as f64);
    records as f64 * 1e6 / micros[0]
}

/// What was done when so many were left.
struct Mark {
    left: u64,
    at: Instant,
    cpu: Duration,
    rss_mb: f64,
}

fn drain(home: &Home, records: u64) -> f64 {
    let bridge = home.start();
    pin(bridge.pid(), Core::First);
    subject::flows(&bridge);
    let mut marks = vec![mark(&bridge)];
    let began = marks[0].left;
    while marks.last().expect("one").left > 0 {
        std::thread::sleep(POLL);
        let now = mark(&bridge);
        if now.left <= began - began * marks.len() as u64 / 4 || now.left == 0 {
            marks.push(now);
        }
    }
    let cost = |pair: &[Mark]| (pair[1].cpu - pair[0].cpu).as_secs_f64() * 1e6 / (pair[0].left - pair[1].left).max(1) as f64;
    for pair in marks.windows(2) {
        let rate = (pair[0].left - pair[1].left) as f64 / (pair[1].at - pair[0].at).as_secs_f64();
        println!("waitbridge, {} left: {rate:.0}/s, CPU {:.1} µs a record, RSS {:.0} MB", pair[1].left, cost(pair), pair[1].rss_mb);
    }
    aim("cost of a record, last quarter to first", cost(&marks[marks.len() - 2..]) / cost(&marks[..2]), Bound::AtMost(1.25));
    let rate = began as f64 / (marks.last().expect("one").at - marks[0].at).as_secs_f64();
    assert_eq!(bridge.terminate(), 0);
    assert!(began <= records);
    rate
}

fn mark(bridge: &Bridge) -> Mark {
    let left = bridge.metric("waitbridge_journal_undelivered_records") as u64;
    Mark { left, at: Instant::now(), cpu: cpu_time(bridge.pid()), rss_mb: rss_mb(bridge.pid()) }
}

/// What the relay does before it is at work grows with the records, but for the rest.
fn start(home: &Home, records: u64) {
    let began = Instant::now();
    let bridge = home.start();
    let accepting = began.elapsed();
    pin(bridge.pid(), Core::First);
    subject::flows(&bridge);
    let (relay, remembering) = (began.elapsed().as_secs_f64(), remembering(&bridge.said()));
    println!(
        "start with {records} in the window: {:.1} µs a record, RSS {:.0} MB",
        remembering * 1e6 / records as f64,
        rss_mb(bridge.pid())
    );
    aim("accepting, s", accepting.as_secs_f64(), Bound::AtMost(1.0));
    aim("relay at work with a million, s", relay + remembering * (1e6 / records as f64 - 1.0), Bound::AtMost(15.0));
    assert_eq!(bridge.terminate(), 0);
}

/// Seconds, as the relay tells them.
fn remembering(said: &str) -> f64 {
    let line = said.lines().find(|line| line.contains("is remembered")).expect("the window is remembered");
    let line: serde_json::Value = serde_json::from_str(line).expect("a line of the log");
    line["took_ms"].as_f64().expect("a number") / 1000.0
}
