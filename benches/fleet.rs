//! The figures of a fleet, on a real Kafka of one broker: `cargo bench --bench fleet`.
//!
//! Rates and CPU of one replica and of two; one event's way in a quiet system; how long a killed replica's partitions stand still;
//! a backlog, and reading a window again. The replicas have the first core, load and Kafka share the others: two replicas against
//! one says what the division costs, not what a second machine brings. What is in the topic is counted by a `read_committed` reader.
//!
//! `WAITBRIDGE_BENCH_DELIVERIES` (of each load), `WAITBRIDGE_BENCH_RECORDS` (of the window), `WAITBRIDGE_BENCH_ROUNDS` (kills of each kind).

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use uuid::Uuid;
use waitbridge::delivery::{Auth, Record};
use waitbridge::providers::waitwhile;

#[path = "../tests/it/bridge.rs"]
#[allow(dead_code)]
mod bridge;
#[path = "../tests/it/http.rs"]
#[allow(dead_code)]
mod http;
#[path = "../tests/it/kafka.rs"]
#[allow(dead_code)]
mod kafka;
#[path = "compare/load.rs"]
mod load;
#[path = "../tests/it/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "../tests/it/reader.rs"]
#[allow(dead_code)]
mod reader;
#[path = "../tests/it/replicas.rs"]
#[allow(dead_code)]
mod replicas;
#[path = "compare/subject.rs"]
#[allow(dead_code)]
mod subject;
#[path = "compare/visit.rs"]
#[allow(dead_code)]
mod visit;

use bridge::{Bridge, PUBLIC_URL, SECRET};
use http::Connection;
use kafka::{Kafka, client};
use reader::Reader;
use replicas::{FLOWING, Replicas};
use subject::{Core, cpu_time, pin, rss_mb, send};

const PARTITIONS: i32 = 6;
/// With a key in each partition.
const TENANTS: u64 = visit::ENDPOINTS.len() as u64;
const CONNECTIONS: u64 = 64;
const WARM_UP: u64 = 2_000;
const QUIET_EVENTS: u64 = 300;
const DRAIN: Duration = Duration::from_secs(600);
const SETTLED: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("load") => load::send(&arguments[1..]),
        _ => measure(),
    }
}

fn measure() {
    let kafka = Kafka::start(&[]);
    pin(kafka.own.as_ref().and_then(|own| own.process.as_ref()).expect("it runs").pid(), Core::Others);
    println!("{:26}{:>11}{:>12}{:>9}{:>9}{:>14}{:>8}", "", "accepted/s", "committed/s", "p50 ms", "p99 ms", "CPU ms/1,000", "RSS MB");
    for (replicas, tenants) in [(1, TENANTS), (2, TENANTS), (1, 1), (2, 1), (1, TENANTS), (2, TENANTS)] {
        under_load(&kafka, replicas, tenants);
    }
    quiet(&kafka);
    kills(&kafka);
    window(&kafka);
}

fn fleet(kafka: &Kafka, replicas: usize) -> Replicas {
    let secret = process::new_folder("fleet").join("secret");
    fs::write(&secret, SECRET).expect("its secret");
    let endpoint = |name: &&str| {
        let tenant = name.trim_start_matches("w-");
        let proof = format!("public_urls = [\"{PUBLIC_URL}\"]\nsecret_files = [\"{}\"]", secret.display());
        format!("[[endpoint]]\nname = \"{name}\"\nvendor = \"waitwhile\"\ntenant = \"{tenant}\"\n{proof}\n")
    };
    let endpoints: String = visit::ENDPOINTS[1..].iter().map(endpoint).collect();
    let extra = ["[log]\nlevel = \"info\"\n", &bridge::server("workers = 1"), &endpoints].concat();
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), replicas, PARTITIONS, &extra);
    fleet.start_all();
    (0..replicas).for_each(|replica| pin(fleet.get(replica).pid(), Core::First));
    fleet
}

fn under_load(kafka: &Kafka, replicas: usize, tenants: u64) {
    let fleet = fleet(kafka, replicas);
    let running: Vec<&Bridge> = (0..replicas).map(|replica| fleet.get(replica)).collect();
    let to: Vec<SocketAddr> = running.iter().map(|bridge| bridge.public).collect();
    let cpu = || running.iter().map(|bridge| cpu_time(bridge.pid())).sum::<Duration>();
    let count = subject::number("WAITBRIDGE_BENCH_DELIVERIES", 30_000);
    send(&to, 0, WARM_UP, CONNECTIONS, 0, tenants);
    committed(&fleet);
    let before = cpu();
    let seen = send(&to, WARM_UP, count, CONNECTIONS, 0, tenants);
    let answered = Instant::now();
    committed(&fleet);
    let (drained, cpu_ms) = (seen.took + answered.elapsed(), ms(cpu() - before) * 1000.0 / count as f64);
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    let rss_mb: f64 = running.iter().map(|bridge| rss_mb(bridge.pid())).sum();
    let in_topic = Reader::new(kafka.bootstrap(), &[&fleet.topics.person]).read_to_end().len() as u64;
    assert_eq!(in_topic, WARM_UP + count, "in the topic");
    let what = format!("{replicas} replicas, {tenants} tenants");
    println!(
        "{what:26}{:>11.0}{:>12.0}{:>9.2}{:>9.2}{cpu_ms:>14.1}{rss_mb:>8.0}",
        rate(seen.took),
        rate(drained),
        ms(seen.p50),
        ms(seen.p99)
    );
}

fn committed(fleet: &Replicas) {
    fleet.get(0).wait_until("everything is committed", DRAIN, |_| fleet.undelivered() == 0.0);
}

/// One event at a time: from before the request to the 200, and to its being read.
fn quiet(kafka: &Kafka) {
    let fleet = fleet(kafka, 1);
    let mut reader = Reader::new(kafka.bootstrap(), &[&fleet.topics.person]);
    let mut connection = Connection::open(fleet.get(0).public).expect("it listens");
    let (mut answered, mut readable) = (Vec::new(), Vec::new());
    for serial in 0..QUIET_EVENTS {
        let body = visit::body(serial);
        let signature = waitwhile::signature(SECRET.as_bytes(), PUBLIC_URL, &body);
        let begun = Instant::now();
        let answer = connection.post("/webhooks/waitwhile", &[("X-Waitwhile-Signature", &signature)], &body).expect("an answer");
        assert_eq!(answer.status, 200);
        answered.push(begun.elapsed());
        reader.read_until(1, FLOWING);
        readable.push(begun.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("\nquiet, request to 200:      {}", spread(&mut answered));
    println!("quiet, request to readable: {}", spread(&mut readable));
}

/// One of two; an event of each partition is sent to the other one at once.
fn kills(kafka: &Kafka) {
    let rounds = subject::number("WAITBRIDGE_BENCH_ROUNDS", 3);
    let mut fleet = fleet(kafka, 2);
    let mut reader = Reader::new(kafka.bootstrap(), &[&fleet.topics.person]);
    let mut serial = 0;
    let mut flow = |fleet: &Replicas| {
        send(&[fleet.get(1).public], serial, TENANTS, 1, 0, TENANTS);
        serial += TENANTS;
        reader.read_until(TENANTS as usize, FLOWING);
    };
    println!();
    for (what, restart) in KILLS {
        let round = |_| {
            // Both have partitions of their own, and nothing moves.
            flow(&fleet);
            std::thread::sleep(SETTLED);
            flow(&fleet);
            fleet.kill(0);
            let killed = Instant::now();
            match restart {
                Restart::SameName => fleet.start_unready(0),
                Restart::AnotherName => {
                    // A replica's name is its host's and its folder's.
                    fleet.home(0).set("/journal", "/journal-");
                    fleet.start_unready(0);
                }
                Restart::Never => {}
            }
            flow(&fleet);
            let flowing = killed.elapsed();
            if let Restart::Never = restart {
                fleet.start(0);
            }
            flowing
        };
        let mut times: Vec<Duration> = (0..rounds).map(round).collect();
        println!("from a kill to all partitions flowing, {what}: {}", spread(&mut times));
    }
}

/// What the platform does with the killed one at once.
#[derive(Debug, Clone, Copy)]
enum Restart {
    SameName,
    AnotherName,
    Never,
}

const KILLS: [(&str, Restart); 3] =
    [("started with its name", Restart::SameName), ("started with another name", Restart::AnotherName), ("not started", Restart::Never)];

/// All of one tenant: published first, then read again by the replica's next life.
fn window(kafka: &Kafka) {
    let records = subject::number("WAITBRIDGE_BENCH_RECORDS", 100_000);
    let mut fleet = fleet(kafka, 1);
    assert_eq!(fleet.terminate(0), 0);
    fill(kafka, &fleet.raw_topic, records);
    fleet.start_unready(0);
    pin(fleet.get(0).pid(), Core::First);
    let at_work = |bridge: &Bridge| bridge.said().contains("is remembered");
    fleet.get(0).wait_until("it publishes", FLOWING, at_work);
    let (began, cpu) = (Instant::now(), cpu_time(fleet.get(0).pid()));
    let left = fleet.undelivered();
    committed(&fleet);
    let (took, cpu) = (began.elapsed().as_secs_f64(), cpu_time(fleet.get(0).pid()) - cpu);
    println!("\na backlog of one tenant: {:.0}/s, CPU {:.1} µs a record", left / took, ms(cpu) * 1000.0 / left);
    assert_eq!(Reader::new(kafka.bootstrap(), &[&fleet.topics.person]).read_to_end().len() as u64, records, "in the topic");
    assert_eq!(fleet.terminate(0), 0);
    let began = Instant::now();
    fleet.start_unready(0);
    pin(fleet.get(0).pid(), Core::First);
    let bridge = fleet.get(0);
    bridge.wait_until("it is remembered", DRAIN, |bridge| remembered(&bridge.said()).is_some_and(|(count, _)| count >= records));
    let (_, took_ms) = remembered(&bridge.said()).expect("just seen");
    let (all, rss_mb) = (began.elapsed().as_secs_f64(), rss_mb(bridge.pid()));
    println!("a window of {records} of one tenant, read again: {took_ms} ms; {all:.2} s from the start; RSS {rss_mb:.0} MB");
}

fn fill(kafka: &Kafka, raw_topic: &str, records: u64) {
    let producer: BaseProducer = client(kafka.bootstrap()).set("linger.ms", "5").create().expect("a producer");
    let (vendor, tenant, endpoint) = ("waitwhile", "acme", "waitwhile");
    for serial in 0..records {
        let (accept_id, auth, body) = (Uuid::now_v7(), Auth::Hmac, visit::body(serial));
        let record = Record { accept_id, auth, vendor, tenant, endpoint, traceparent: None, body: &body }.encode();
        while producer.send(BaseRecord::to(raw_topic).key(tenant).payload(&record)).is_err() {
            producer.poll(Duration::from_millis(10));
        }
    }
    producer.flush(FLOWING).expect("all of it");
}

/// Records of the largest window that the relay told of, and milliseconds.
fn remembered(said: &str) -> Option<(u64, u64)> {
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("a line of the log");
    let told = said.lines().filter(|line| line.contains("is remembered")).map(line);
    told.map(|line| (line["records"].as_u64().expect("a number"), line["took_ms"].as_u64().expect("a number"))).max()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| ms(times[((times.len() - 1) as f64 * share) as usize]);
    format!("p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99))
}
