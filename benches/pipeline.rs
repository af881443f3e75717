//! The figures of the whole pipeline, on a real Kafka of one broker: `cargo bench --bench pipeline`.
//!
//! The ground truth is counted in the topic by a `read_committed` reader. CPU seconds are the process's own, from
//! the kernel; they are steadier than rates on a small machine, where broker and load share the cores.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

#[path = "../tests/it/bridge.rs"]
#[allow(dead_code)]
mod bridge;
#[path = "../tests/it/http.rs"]
#[allow(dead_code)]
mod http;
#[path = "../tests/it/kafka.rs"]
#[allow(dead_code)]
mod kafka;
#[path = "../tests/it/load.rs"]
#[allow(dead_code)]
mod load;
#[path = "../tests/it/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "../tests/it/reader.rs"]
#[allow(dead_code)]
mod reader;

use bridge::{Bridge, Home, TOKEN};
use http::Connection;
use kafka::{Kafka, Topics};
use load::Load;
use reader::Reader;

const QUIET_EVENTS: u64 = 200;
const LOADS: [(u64, u64); 3] = [(1, 2_000), (16, 20_000), (64, 60_000)];

fn main() {
    let kafka = Kafka::start(&[]);
    let topics = kafka.new_topics(6);
    let home = Home::new(kafka.bootstrap(), &topics, "[log]\nlevel = \"info\"\n");
    let started = Instant::now();
    let bridge = home.start();
    println!("start to listening: {} ms", started.elapsed().as_millis());
    bridge.wait_until("kafka's first handshake", Duration::from_secs(30), |bridge| {
        bridge.metric("waitbridge_relay_transactions_total{result=\"committed\"}") >= 0.0
    });
    println!("binary: {:.1} MB", fs::metadata(env!("CARGO_BIN_EXE_waitbridge")).unwrap().len() as f64 / 1e6);
    println!("RSS when idle: {:.1} MB", rss_mb(&bridge));
    quiet(&kafka, &topics, &bridge);
    for (senders, deliveries) in LOADS {
        under_load(&bridge, senders, deliveries);
    }
    println!("RSS after: {:.1} MB", rss_mb(&bridge));
    println!("CPU seconds by thread: {}", threads(&bridge));
    assert_eq!(bridge.terminate(), 0);
}

/// One event at a time: from before the request to its being read, and to the 200.
fn quiet(kafka: &Kafka, topics: &Topics, bridge: &Bridge) {
    let mut reader = Reader::new(kafka.bootstrap(), &[&topics.person]);
    let mut connection = Connection::open(bridge.public).unwrap();
    let (mut answered, mut readable) = (Vec::new(), Vec::new());
    for serial in 0..QUIET_EVENTS {
        let body =
            format!(r#"{{"type":"AddPerson","data":{{"PersonId":{serial},"Fields":{{"a":"{}"}},"Waitlists":[]}}}}"#, "x".repeat(1500));
        let begun = Instant::now();
        let answer = connection.post(&format!("/webhooks/sunshine/{TOKEN}"), &[], body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200);
        answered.push(begun.elapsed());
        let read = reader.read_until(1, Duration::from_secs(10));
        readable.push(begun.elapsed());
        assert_eq!(read[0].header("ce_acceptid"), Some(answer.accept_id().as_str()));
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("quiet, request to 200:       {}", spread(&mut answered));
    println!("quiet, request to readable:  {}", spread(&mut readable));
}

fn under_load(bridge: &Bridge, senders: u64, deliveries: u64) {
    let (cpu_before, begun) = (cpu_seconds(bridge), Instant::now());
    let load = Load::start(senders, Duration::ZERO);
    load.aim(Some(bridge.public));
    while load.accepted_count() < deliveries {
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = begun.elapsed();
    let accepted = load.finish().count();
    bridge.wait_until("everything is committed", Duration::from_secs(120), |bridge| {
        bridge.metric("waitbridge_journal_undelivered_records") == 0.0
    });
    let drained = begun.elapsed();
    let cpu_ms = (cpu_seconds(bridge) - cpu_before) * 1e6 / accepted as f64;
    println!(
        "{senders:3} connections: {accepted} accepted at {:.0}/s, committed at {:.0}/s, CPU {cpu_ms:.1} ms for 1,000",
        accepted as f64 / took.as_secs_f64(),
        accepted as f64 / drained.as_secs_f64()
    );
}

fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    format!("p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99))
}

/// User and system time of the process.
fn cpu_seconds(bridge: &Bridge) -> f64 {
    seconds_of(&fs::read_to_string(format!("/proc/{}/stat", bridge.pid())).unwrap())
}

/// Of a line in the form of `/proc/PID/stat`.
fn seconds_of(stat: &str) -> f64 {
    let fields: Vec<f64> = stat.rsplit(')').next().unwrap().split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    (fields[11] + fields[12]) / 100.0
}

/// Where the time went, the busiest first.
fn threads(bridge: &Bridge) -> String {
    let mut by_name: BTreeMap<String, f64> = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{}/task", bridge.pid())).unwrap().map_while(Result::ok) {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let name = stat.split(['(', ')']).nth(1).unwrap_or("?").to_owned();
        *by_name.entry(name).or_default() += seconds_of(&stat);
    }
    let mut threads: Vec<(String, f64)> = by_name.into_iter().collect();
    threads.sort_by(|one, other| other.1.total_cmp(&one.1));
    threads.iter().take(8).map(|(name, seconds)| format!("{name} {seconds:.2}")).collect::<Vec<_>>().join(", ")
}

fn rss_mb(bridge: &Bridge) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", bridge.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
