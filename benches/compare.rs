//! Ours beside servers that do less, in one run, one after the other, again and again: `cargo bench --bench compare`.
//!
//! A real Kafka of one broker. Each server has the first core for itself; the load, presigned and in a process of its own, and
//! Kafka share the others. The main figure is CPU time for 1,000 deliveries, from the kernel: it is steadier than rates. Ours runs
//! twice in each round: what differs between the two is noise. What is in the topic is counted by a `read_committed` reader.
//!
//! `WAITBRIDGE_BENCH_ROUNDS`, `WAITBRIDGE_BENCH_DELIVERIES` (a round), `WAITBRIDGE_BENCH_RECORDS` (of the backlog; 0 = without),
//! `WAITBRIDGE_BENCH_PROGRAM` (another waitbridge than the one just built).

use std::time::{Duration, Instant};

#[path = "compare/backlog.rs"]
mod backlog;
#[path = "compare/bare.rs"]
mod bare;
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
#[path = "compare/log.rs"]
mod log;
#[path = "../tests/it/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "compare/produce.rs"]
mod produce;
#[path = "../tests/it/reader.rs"]
#[allow(dead_code)]
mod reader;
#[path = "compare/subject.rs"]
mod subject;
#[path = "compare/visit.rs"]
mod visit;

use kafka::{Kafka, Topics};
use reader::Reader;
use subject::{Core, Seen, Subject, cpu_time, number, pin, rss_mb};

const OURS: [&str; 2] = ["waitbridge", "waitbridge again"];
const NAMES: [&str; 6] = ["body", "verify", "append", "kafka", OURS[0], OURS[1]];
const CONNECTIONS: u64 = 64;
const WARM_UP: u64 = 2_000;
/// At a rate that all of them bear, for the time to the 200.
const PACED: u64 = 6_000;
const PACED_CONNECTIONS: u64 = 16;
const PACED_RATE: u64 = 2_000;

/// One server in one round.
#[derive(Debug, Clone, Copy)]
struct Figures {
    accepted_rate: f64,
    committed_rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_ms: f64,
    rss_mb: f64,
}

/// The program's allocator, or the figures would be another's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("bare") => bare::serve(&arguments[1..]),
        Some("load") => load::send(&arguments[1..]),
        Some("produce") => produce::run(&arguments[1..]),
        _ => compare(),
    }
}

fn compare() {
    let kafka = Kafka::start(&[]);
    pin(kafka.own.as_ref().and_then(|own| own.process.as_ref()).expect("it runs").pid(), Core::Others);
    match number("WAITBRIDGE_BENCH_ROUNDS", 3) {
        0 => {}
        rounds => side_by_side(&kafka, rounds),
    }
    match number("WAITBRIDGE_BENCH_RECORDS", 200_000) {
        0 => {}
        records => backlog::run(&kafka, records),
    }
}

fn side_by_side(kafka: &Kafka, count: u64) {
    let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); NAMES.len()];
    for _ in 0..count {
        for (name, figures) in NAMES.iter().zip(&mut rounds) {
            figures.push(run(name, kafka));
            println!("{}", row(name, &[*figures.last().expect("pushed")]));
        }
    }
    println!(
        "\n{:18}{:>11}{:>12}{:>9}{:>9}{:>14}{:>8}{:>8}",
        "", "accepted/s", "committed/s", "p50 ms", "p99 ms", "CPU ms/1,000", "ratio", "RSS MB"
    );
    let ours = middle(&rounds[4], |figures| figures.cpu_ms);
    for (name, figures) in NAMES.iter().zip(&rounds) {
        println!("{}{:>8.2}{:>8.0}", row(name, figures), middle(figures, |one| one.cpu_ms) / ours, middle(figures, |one| one.rss_mb));
    }
    aims(&rounds);
}

fn aims(rounds: &[Vec<Figures>]) {
    let of = |at: usize, figure: fn(&Figures) -> f64| middle(&rounds[at], figure);
    println!();
    aim("CPU of the whole pipeline, ms for 1,000", of(4, |one| one.cpu_ms), Bound::AtMost(26.0));
    aim("accepted and committed/s, to kafka's", of(4, |one| one.committed_rate) / of(3, |one| one.committed_rate), Bound::AtLeast(0.8));
    aim("accepted/s, to verify's", of(4, |one| one.accepted_rate) / of(1, |one| one.accepted_rate), Bound::AtLeast(0.5));
    aim("p99 of the 200, to append's", of(4, |one| one.p99_ms) / of(2, |one| one.p99_ms), Bound::AtMost(1.5));
}

#[derive(Debug, Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

pub fn aim(what: &str, is: f64, bound: Bound) {
    let (met, wanted) = match bound {
        Bound::AtLeast(least) => (is >= least, format!("at least {least}")),
        Bound::AtMost(most) => (is <= most, format!("at most {most}")),
    };
    println!("{} {what}: {is:.2} ({wanted})", if met { "pass" } else { "FAIL" });
}

fn run(name: &str, kafka: &Kafka) -> Figures {
    let topics = kafka.new_topics(6);
    let subject = if OURS.contains(&name) { Subject::ours(kafka, &topics) } else { Subject::bare(name, kafka, &topics.person) };
    let count = number("WAITBRIDGE_BENCH_DELIVERIES", 30_000);
    subject.send(0, WARM_UP, CONNECTIONS, 0);
    subject.committed();
    let (cpu, began) = (cpu_time(subject.pid()), Instant::now());
    let Seen { count: accepted, took, .. } = subject.send(WARM_UP, count, CONNECTIONS, 0);
    let answered = Instant::now();
    subject.committed();
    let committed = took + answered.elapsed();
    let cpu = cpu_time(subject.pid()) - cpu;
    assert!(began.elapsed() >= took);
    let Seen { p50, p99, .. } = subject.send(WARM_UP + count, PACED, PACED_CONNECTIONS, PACED_RATE);
    subject.committed();
    let rss_mb = rss_mb(subject.pid());
    drop(subject);
    in_topic(name, kafka, &topics, WARM_UP + count + PACED);
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    Figures {
        accepted_rate: accepted as f64 / took.as_secs_f64(),
        committed_rate: accepted as f64 / committed.as_secs_f64(),
        p50_ms: ms(p50),
        p99_ms: ms(p99),
        cpu_ms: ms(cpu) * 1000.0 / accepted as f64,
        rss_mb,
    }
}

/// Each of them once: ids are unique, so their number tells.
fn in_topic(name: &str, kafka: &Kafka, topics: &Topics, expected: u64) {
    if name == "kafka" || OURS.contains(&name) {
        assert_eq!(Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end().len() as u64, expected, "{name}: in the topic");
    }
}

fn row(name: &str, figures: &[Figures]) -> String {
    let of = |figure: fn(&Figures) -> f64| middle(figures, figure);
    let (p50, p99) = (of(|one| one.p50_ms), of(|one| one.p99_ms));
    let (accepted, committed, cpu) = (of(|one| one.accepted_rate), of(|one| one.committed_rate), of(|one| one.cpu_ms));
    format!("{name:18}{accepted:>11.0}{committed:>12.0}{p50:>9.2}{p99:>9.2}{cpu:>14.1}")
}

fn middle(figures: &[Figures], figure: impl Fn(&Figures) -> f64) -> f64 {
    let mut all: Vec<f64> = figures.iter().map(figure).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
