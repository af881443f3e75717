//! `waitbridge demo`: the whole pipeline on an embedded broker, with deliveries of both vendors. What is printed
//! and counted is read back from the broker, and matched with what was answered 200.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use super::deliver::{Answer, Post, deliver};
use super::samples::{SAMPLES, Stamp, freshen};
use super::send::{duration, rate};
use crate::app;
use crate::kafka;
use crate::kafka::embedded::Embedded;
use crate::kafka::follow::{Followed, Follower, Start};
use crate::providers::{waitlistplus, waitwhile};
use crate::settings::{self, Settings};
use crate::telemetry;

/// Runs everything on an embedded broker with generated traffic of both vendors; nothing to set up
#[derive(clap::Args)]
#[command(after_help = "Example:\n  waitbridge demo --duration 30s --rate 20 --seed 7")]
pub struct Demo {
    /// How long deliveries are sent
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Deliveries a second
    #[arg(long, default_value_t = 5.0, value_parser = rate)]
    rate: f64,
    /// Chooses which deliveries are sent, in which order
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const TOPICS: [(&str, i32); 4] =
    [("waitlist.person.v1", 3), ("waitlist.location.v1", 3), ("waitlist.deadletter.v1", 1), ("waitbridge.checkpoint.v1", 1)];
const SECRET: &str = "whsec_demo";
const TOKEN: &str = "wb_demo";
const SIGNED_URL: &str = "https://demo.example/webhooks/waitwhile";
/// After the last answer, for the last event to come out.
const PATIENCE: Duration = Duration::from_secs(15);

impl Demo {
    pub fn run(self) -> Result<ExitCode> {
        telemetry::start(telemetry::Format::Text, tracing::Level::WARN);
        let broker = Embedded::start(&TOPICS).context("the embedded broker does not start")?;
        let dir = tempfile::tempdir().context("no temporary folder can be made")?;
        let settings = demo_settings(dir.path(), &broker.brokers())?;
        let options = settings.kafka.options("demo");
        actix_web::rt::System::new().block_on(async {
            let running = app::start(settings)?;
            println!("An embedded Kafka broker is at {}. waitbridge takes webhooks at", broker.brokers());
            println!("  http://{}/webhooks/waitwhile and /webhooks/sunshine/{TOKEN}", running.public_address());
            println!("and shows its metrics at http://{}/metrics. What comes out of the broker:\n", running.admin_address());
            let base = format!("http://{}", running.public_address());
            let ended = tokio::task::spawn_blocking(move || self.traffic(&base, &options)).await?;
            running.drain().await;
            let (answers, seen) = ended?;
            Ok(summary(&answers, &seen))
        })
    }

    /// Sends from here and reads from another thread, until all that was answered 200 has come out.
    fn traffic(&self, base: &str, options: &kafka::Options) -> Result<(Answers, Seen)> {
        let mut follower = Follower::start(options, &TOPICS.map(|(name, _)| name)[..3], Start::Beginning)?;
        let count = (self.duration.as_secs_f64() * self.rate).ceil() as u64;
        let expected = OnceLock::new();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| read(&mut follower, &expected));
            let answers = Mutex::new(Answers::default());
            deliver(Some(self.rate), (0..count).map(|index| (post(base, self.seed, index), ())), |(), answer| {
                let mut answers = answers.lock().unwrap_or_else(|broken| broken.into_inner());
                match answer {
                    Answer::Accepted(accept_id) => answers.accepted.push(accept_id),
                    Answer::Other(text) => answers.others.push(text),
                }
            });
            let answers = answers.into_inner().unwrap_or_else(|broken| broken.into_inner());
            expected.get_or_init(|| answers.accepted.len());
            let seen = reader.join().map_err(|_| anyhow!("the reader of the broker failed"))?;
            Ok((answers, seen))
        })
    }
}

fn demo_settings(dir: &Path, brokers: &str) -> Result<Settings> {
    let secret_file = dir.join("secret");
    std::fs::write(&secret_file, SECRET)?;
    let text = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        admin_listen = "127.0.0.1:0"
        drain_settle = "0s"
        [journal]
        dir = "{journal}"
        segment = "8MiB"
        size_max = "256MiB"
        free_min = "0B"
        [kafka]
        brokers = ["{brokers}"]
        [[endpoint]]
        name = "waitwhile"
        vendor = "waitwhile"
        tenant = "demo"
        public_urls = ["{SIGNED_URL}"]
        secret_files = ["{secret}"]
        [[endpoint]]
        name = "sunshine"
        vendor = "waitlistplus"
        tenant = "sunshine"
        token_sha256 = ["{token_sha256}"]
        time_zone = "America/Chicago"
        birth_date_format = "M/D/YYYY"
        "#,
        journal = dir.join("journal").display(),
        secret = secret_file.display(),
        token_sha256 = waitlistplus::token_hash(TOKEN),
    );
    Ok(settings::parse(&text, "demo", settings::no_environment())?)
}

/// The delivery of this turn: any of the samples, made fresh, on the way its vendor would take.
fn post(base: &str, seed: u64, index: u64) -> Post {
    let (name, sample) = SAMPLES[(scatter(seed ^ scatter(index)) % SAMPLES.len() as u64) as usize];
    let body = freshen(sample.as_bytes(), &Stamp::default());
    if name.starts_with("waitwhile") {
        let signature = waitwhile::signature(SECRET.as_bytes(), SIGNED_URL, &body);
        Post { lane: index, url: format!("{base}/webhooks/waitwhile"), headers: vec![(waitwhile::SIGNATURE_HEADER, signature)], body }
    } else {
        Post { lane: index, url: format!("{base}/webhooks/sunshine/{TOKEN}"), headers: Vec::new(), body }
    }
}

/// SplitMix64: the same seed gives the same demo.
fn scatter(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// How the deliveries were answered.
#[derive(Default)]
struct Answers {
    accepted: Vec<String>,
    others: Vec<String>,
}

/// What came out of the broker.
#[derive(Default)]
struct Seen {
    by_accept_id: HashMap<String, u32>,
    by_type: BTreeMap<String, u64>,
}

/// Prints and counts until everything expected has come out, or patience is over.
fn read(follower: &mut Follower, expected: &OnceLock<usize>) -> Seen {
    let mut seen = Seen::default();
    let mut give_up: Option<Instant> = None;
    loop {
        // The embedded broker's hiccups show up as missing events in the summary.
        if let Some(Ok(record)) = follower.next(Duration::from_millis(50)) {
            seen.note(&record);
        }
        if let Some(expected) = expected.get() {
            let overdue = Instant::now() > *give_up.get_or_insert_with(|| Instant::now() + PATIENCE);
            if seen.by_accept_id.len() >= *expected || overdue {
                return seen;
            }
        }
    }
}

impl Seen {
    fn note(&mut self, record: &Followed) {
        let kind = record.header("ce_type").unwrap_or("dead letter").to_owned();
        println!("  {kind:34} {:48} {}", record.key, gist(record.value.as_deref().unwrap_or_default()));
        let accept_id = record.header("ce_acceptid").or_else(|| record.header("wb_acceptid")).unwrap_or_default();
        *self.by_accept_id.entry(accept_id.to_owned()).or_default() += 1;
        *self.by_type.entry(kind).or_default() += 1;
    }
}

/// An event in a few words, without a personal value.
fn gist(value: &[u8]) -> String {
    let data: Value = serde_json::from_slice(value).unwrap_or_default();
    if let Some(entries) = data["entries"].as_array().filter(|entries| !entries.is_empty()) {
        let words = entries.iter().map(|entry| {
            let list = entry["list"].as_str().map(|list| format!(" on {list}")).unwrap_or_default();
            format!("{}{list}", entry["status"].as_str().unwrap_or_default())
        });
        return words.collect::<Vec<_>>().join(", ");
    }
    if let Some(waiting) = data["status"]["waiting"].as_i64() {
        return format!("{waiting} waiting");
    }
    data["message"]["status"].as_str().or_else(|| data["change"].as_str()).unwrap_or_default().to_owned()
}

fn summary(answers: &Answers, seen: &Seen) -> ExitCode {
    println!("\nOut of the broker, by type:");
    for (kind, count) in &seen.by_type {
        println!("  {count:6}  {kind}");
    }
    let missing = answers.accepted.iter().filter(|id| !seen.by_accept_id.contains_key(*id)).count();
    let twice = seen.by_accept_id.values().filter(|count| **count > 1).count();
    println!("\n{} deliveries were answered 200, {} otherwise.", answers.accepted.len(), answers.others.len());
    println!("Of the 200s, {missing} did not come out of the broker, and {twice} came out more than once.");
    for other in &answers.others {
        println!("  not 200: {other}");
    }
    let well = missing == 0 && twice == 0 && answers.others.is_empty();
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
