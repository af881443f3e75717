//! The figures of a fleet, on a real Kafka of one broker: `cargo bench --bench fleet`.
//!
//! Rates and CPU of one replica and of two; one event's way in a quiet system; how long a killed replica's partitions stand still;
//! reading a window again. Load, balancer and broker share the machine with the replicas: believe CPU time before rates.
//!
//! `WAITBRIDGE_BENCH_DELIVERIES` (of each load), `WAITBRIDGE_BENCH_RECORDS` (of the window), `WAITBRIDGE_BENCH_ROUNDS` (kills of each kind).

use std::fs;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use uuid::Uuid;
use waitbridge::delivery::{Auth, Record};

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
#[path = "../tests/it/replicas.rs"]
#[allow(dead_code)]
mod replicas;

use bridge::{Bridge, TOKEN};
use http::Connection;
use kafka::{Kafka, client};
use load::Load;
use reader::Reader;
use replicas::{FLOWING, Replicas, SITES, sites};

const PARTITIONS: i32 = 6;
const CONNECTIONS: u64 = 32;
const WARM_UP: u64 = 500;
const QUIET_EVENTS: u64 = 200;
const DRAIN: Duration = Duration::from_secs(600);
/// A tenant of both vendors: with it alone all is one partition.
const ONE_TENANT: &[&str] = &["acme"];

fn main() {
    let kafka = Kafka::start(&[]);
    println!("{:26}{:>12}{:>13}{:>15}", "", "accepted/s", "committed/s", "CPU ms/1,000");
    under_load(&kafka, "1 replica, 6 tenants", 1, SITES);
    under_load(&kafka, "1 replica, 1 tenant", 1, ONE_TENANT);
    under_load(&kafka, "2 replicas, 6 tenants", 2, SITES);
    under_load(&kafka, "2 replicas, 1 tenant", 2, ONE_TENANT);
    quiet(&kafka);
    kills(&kafka);
    window(&kafka);
}

fn fleet(kafka: &Kafka, replicas: usize) -> Replicas {
    let extra = format!("[log]\nlevel = \"info\"\n{}", sites(&[SITES, ONE_TENANT].concat()));
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), replicas, PARTITIONS, &extra);
    fleet.start_all();
    fleet
}

fn under_load(kafka: &Kafka, what: &str, replicas: usize, tenants: &'static [&'static str]) {
    let deliveries = number("WAITBRIDGE_BENCH_DELIVERIES", 20_000);
    let fleet = fleet(kafka, replicas);
    let load = Load::start_at(tenants, 0, CONNECTIONS, Duration::ZERO);
    load.aim(Some(fleet.balancer.address));
    reaches(&load, WARM_UP);
    let (cpu, began, before) = (cpu(&fleet, replicas), Instant::now(), load.accepted_count());
    reaches(&load, before + deliveries);
    let (took, count) = (began.elapsed(), load.accepted_count() - before);
    load.finish();
    fleet.get(0).wait_until("everything is committed", DRAIN, |_| fleet.undelivered() == 0.0);
    let committed = began.elapsed();
    let cpu = (self::cpu(&fleet, replicas) - cpu) * 1e6 / count as f64;
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    println!("{what:26}{:>12.0}{:>13.0}{cpu:>15.1}", rate(took), rate(committed));
}

fn reaches(load: &Load, count: u64) {
    while load.accepted_count() < count {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One event at a time: from before the request to the 200, and to its being read.
fn quiet(kafka: &Kafka) {
    let fleet = fleet(kafka, 1);
    let mut reader = Reader::new(kafka.bootstrap(), &[&fleet.topics.person]);
    let mut connection = Connection::open(fleet.get(0).public).expect("it listens");
    let (mut answered, mut readable) = (Vec::new(), Vec::new());
    for serial in 0..QUIET_EVENTS {
        let begun = Instant::now();
        let answer = connection.post(&path("sunshine"), &[], &body(serial)).expect("an answer");
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
    let rounds = number("WAITBRIDGE_BENCH_ROUNDS", 3);
    let mut fleet = fleet(kafka, 2);
    let mut reader = Reader::new(kafka.bootstrap(), &[&fleet.topics.person]);
    let mut serial = 0;
    let mut flows = |fleet: &Replicas| {
        serial += 1;
        let mut connection = Connection::open(fleet.get(1).public).expect("it listens");
        for site in SITES.iter().chain(ONE_TENANT) {
            assert_eq!(connection.post(&path(site), &[], &body(serial)).expect("an answer").status, 200);
        }
        reader.read_until(SITES.len() + ONE_TENANT.len(), FLOWING);
    };
    println!();
    for (what, restart) in KILLS {
        let mut times: Vec<Duration> = (0..rounds)
            .map(|_| {
                flows(&fleet);
                fleet.kill(0);
                let killed = Instant::now();
                restart(&mut fleet);
                flows(&fleet);
                let flowing = killed.elapsed();
                fleet.start(0);
                flowing
            })
            .collect();
        println!("from a kill to all partitions flowing, {what}: {}", spread(&mut times));
    }
}

type Restart = fn(&mut Replicas);

/// What the platform does at once; all start it in the end.
const KILLS: [(&str, Restart); 3] = [
    ("same folder, started at once", |fleet| fleet.start_unready(0)),
    ("new folder, started at once", |fleet| {
        fs::remove_dir_all(fleet.home(0).path("journal")).expect("its folder");
        fleet.start_unready(0);
    }),
    ("not started", |_| {}),
];

/// All of one tenant: published first, then read again by the replica's next life.
fn window(kafka: &Kafka) {
    let records = number("WAITBRIDGE_BENCH_RECORDS", 100_000);
    let mut fleet = fleet(kafka, 1);
    fill(kafka, &fleet.raw_topic, records);
    let (began, cpu) = (Instant::now(), self::cpu(&fleet, 1));
    let published = "waitbridge_events_published_total{topic=\"TOPIC\",type=\"waitlist.person.updated.v1\"}";
    let published = published.replace("TOPIC", &fleet.topics.person);
    fleet.get(0).wait_until("it is published", DRAIN, |bridge| bridge.metric(&published) >= records as f64);
    let (took, cpu) = (began.elapsed().as_secs_f64(), self::cpu(&fleet, 1) - cpu);
    println!("\na backlog of {records} of one tenant: {:.0}/s, CPU {:.1} µs a record", records as f64 / took, cpu * 1e6 / records as f64);
    assert_eq!(fleet.terminate(0), 0);
    fleet.start_unready(0);
    let bridge = fleet.get(0);
    bridge.wait_until("its partitions came", FLOWING, |bridge| bridge.said().contains("the group divides its partitions"));
    let (came, cpu) = (Instant::now(), self::cpu(&fleet, 1));
    bridge.wait_until("it is remembered", DRAIN, |bridge| remembered(&bridge.said()) >= records);
    let (took, cpu) = (came.elapsed().as_secs_f64(), self::cpu(&fleet, 1) - cpu);
    println!("its window of {records} read again: {took:.2} s, CPU {:.1} µs a record", cpu * 1e6 / records as f64);
}

fn fill(kafka: &Kafka, raw_topic: &str, records: u64) {
    let producer: BaseProducer = client(kafka.bootstrap()).set("linger.ms", "5").create().expect("a producer");
    let (vendor, tenant, endpoint) = ("waitlistplus", "sunshine", "sunshine");
    for serial in 0..records {
        let (accept_id, auth, body) = (Uuid::now_v7(), Auth::Token, body(serial));
        let record = Record { accept_id, auth, vendor, tenant, endpoint, traceparent: None, body: &body }.encode();
        while producer.send(BaseRecord::to(raw_topic).key(tenant).payload(&record)).is_err() {
            producer.poll(Duration::from_millis(10));
        }
    }
    producer.flush(FLOWING).expect("all of it");
}

/// Entries of the memory, as the relay told them last.
fn remembered(said: &str) -> u64 {
    let told = said.lines().rfind(|line| line.contains("is remembered"));
    told.map_or(0, |line| {
        serde_json::from_str::<serde_json::Value>(line).expect("a line of the log")["entries"].as_u64().expect("a number")
    })
}

fn path(site: &str) -> String {
    format!("/webhooks/{site}/{TOKEN}")
}

fn body(serial: u64) -> Vec<u8> {
    let padding = "x".repeat(1500);
    format!(r#"{{"type":"UpdatePerson","data":{{"PersonId":{serial},"Fields":{{"a":"{padding}"}},"Waitlists":[]}}}}"#).into_bytes()
}

fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    format!("p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99))
}

/// User and system seconds of all replicas.
fn cpu(fleet: &Replicas, replicas: usize) -> f64 {
    (0..replicas).map(|replica| cpu_seconds(fleet.get(replica))).sum()
}

fn cpu_seconds(bridge: &Bridge) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", bridge.pid())).expect("it runs");
    let fields: Vec<f64> = stat.rsplit(')').next().expect("a line").split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    (fields[11] + fields[12]) / 100.0
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}
