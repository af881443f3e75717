//! What the journal costs on a real disk: to append, to read, and to remember its window: `cargo bench --bench journal`.
//!
//! `WAITBRIDGE_BENCH_RECORDS` says how many records are reviewed, `TMPDIR` on which disk. Each row tells the CPU time of the whole
//! process beside its rate: of an append that is also the writer's thread and the kernel's share of its syncs.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use uuid::Uuid;
use waitbridge::delivery::{Auth, Record};
use waitbridge::journal::disk::{self, DiskSource, Opened};
use waitbridge::journal::{Journal, Past, Position, ReadLimit, Source, Stored};
use waitbridge::metrics::Metrics;
use waitbridge::providers::endpoints::Endpoints;
use waitbridge::relay::memory::Memory;
use waitbridge::relay::prepare::Prepare;
use waitbridge::settings;

#[path = "compare/visit.rs"]
#[allow(dead_code)]
mod visit;

const SETTINGS: &str = r#"
[journal]
dir = "DIR"
free_min = "0B"
[relay]
expired_after = "0s"
[[endpoint]]
name = "clinic"
vendor = "waitwhile"
tenant = "acme"
public_urls = ["https://hooks.example.com/webhooks/clinic"]
secret_files = ["DIR/secret"]
"#;

const RECORDS: u64 = 100_000;
/// So many senders wait at once, each for its own answer.
const SENDERS: [usize; 3] = [1, 16, 256];
const WAIT: Duration = Duration::from_millis(200);

/// The program's allocator, or the figures would be another's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let wanted = env::var("WAITBRIDGE_BENCH_RECORDS").map_or(RECORDS, |text| text.parse().expect("a number of records"));
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    fs::write(folder.path().join("secret"), "whsec_test_0123456789").unwrap();
    let settings = settings::parse(&SETTINGS.replace("DIR", dir), "bench", settings::no_environment());
    let settings = settings.unwrap_or_else(|invalid| panic!("{invalid}"));
    let metrics = Arc::new(Metrics::new());
    let options = disk::Options { dir: folder.path().join("journal"), ..settings.journal.options("checkpoint") };
    let Opened { journal, mut source, .. } = disk::open(options, metrics.clone()).unwrap();
    println!("{:32}{:>12}{:>12}{:>12}{:>16}", "", "records/s", "MB/s", "CPU µs each", "records a sync");
    let mut appended = 0;
    for senders in SENDERS {
        let count = if senders == 1 { 2_000 } else { 40_000 };
        let (batch, syncs_before) = (records(appended..appended + count), syncs(&metrics));
        let row = measured(count, || append(&*journal, batch, senders));
        appended += count;
        println!("{}{:>16.1}", row.told(&format!("append, {senders} at once")), count as f64 / (syncs(&metrics) - syncs_before) as f64);
    }
    while appended < wanted {
        append(&*journal, records(appended..wanted.min(appended + 10_000)), SENDERS[2]);
        appended = wanted.min(appended + 10_000);
    }
    println!("{}", measured(appended, || read(&mut source, appended)).told("read"));
    println!("{}", measured(appended, || review(&mut source, appended, &mut |_| ())).told("review, for nobody"));
    let prepare = Prepare::new(settings.prepare, Arc::new(Endpoints::new(settings.endpoints)));
    let mut memory = Memory::new(settings.relay.memory);
    let remembered = measured(appended, || {
        review(&mut source, appended, &mut |piece| {
            prepare.again(piece, &mut memory);
        });
    });
    println!("{}", remembered.told("review, remembered"));
    println!("{} entries in the memory, of {appended} records", memory.entries());
}

/// As the ingress appends them.
fn records(serials: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    let (vendor, tenant, endpoint) = ("waitwhile", "acme", "clinic");
    let record = |serial| {
        let (accept_id, body) = (Uuid::now_v7(), visit::body(serial));
        Record { accept_id, auth: Auth::Hmac, vendor, tenant, endpoint, traceparent: None, body: &body }.encode()
    };
    serials.map(record).collect()
}

/// As many as there are senders wait at any moment.
fn append(journal: &dyn Journal, records: Vec<Vec<u8>>, senders: usize) {
    let mut waiting = VecDeque::new();
    for record in records {
        if waiting.len() == senders {
            waiting.drain(..1).for_each(answered);
        }
        waiting.push_back(journal.append("acme", record));
    }
    waiting.into_iter().for_each(answered);
}

fn answered(appended: waitbridge::journal::Appended) {
    appended.blocking_recv().expect("an answer").expect("it is durable");
}

fn read(source: &mut DiskSource, records: u64) {
    let (mut batch, mut count) = (Vec::new(), 0);
    source.resume(0, None).unwrap();
    while count < records {
        batch.clear();
        source.read(ReadLimit { records_max: 1000, bytes_max: 16 << 20 }, WAIT, &mut batch).unwrap();
        count += batch.len() as u64;
    }
}

fn review(source: &mut DiskSource, records: u64, tell: &mut dyn FnMut(&[Stored])) {
    let past = Past { from: 0, until: Position { partition: 0, offset: u64::MAX }, window_ms: i64::MAX / 2 };
    let mut count = 0;
    let told = source.review(past, &mut |piece| {
        count += piece.len() as u64;
        tell(piece);
        ControlFlow::Continue(())
    });
    told.unwrap();
    assert_eq!(count, records, "all of it is reviewed");
}

struct Row {
    records: u64,
    took: Duration,
    cpu: Duration,
}

fn measured(records: u64, work: impl FnOnce()) -> Row {
    let (began, cpu) = (Instant::now(), cpu_time());
    work();
    Row { records, took: began.elapsed(), cpu: cpu_time() - cpu }
}

impl Row {
    fn told(&self, what: &str) -> String {
        let (rate, bytes) = (self.records as f64 / self.took.as_secs_f64(), records(0..1)[0].len() as f64);
        let cpu_us = self.cpu.as_secs_f64() * 1e6 / self.records as f64;
        format!("{what:32}{rate:>12.0}{:>12.1}{cpu_us:>12.1}", rate * bytes / 1e6)
    }
}

fn syncs(metrics: &Metrics) -> u64 {
    let text = String::from_utf8(metrics.render()).expect("text");
    let count = text.lines().find_map(|line| line.strip_prefix("waitbridge_journal_sync_duration_seconds_count "));
    count.expect("the metric").parse().expect("a number")
}

/// User and system time of this process.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<u64> = stat.rsplit(')').next().expect("a line").split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    Duration::from_millis((fields[11] + fields[12]) * 10)
}
