//! `waitbridge demo`: the whole pipeline on an embedded broker, with a story told by both vendors. What is shown and counted is
//! read back from the broker, and matched with what was sent and how it was answered.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;

use super::SETTINGS;
use super::deliver::{Post, Trust, deliver};
use super::send::{duration, rate};
use super::show::page;
use super::stop::Interrupt;
use crate::app::{self, Running};
use crate::kafka;
use crate::kafka::embedded::Embedded;
use crate::kafka::follow::{Follower, Start};
use crate::providers::{waitlistplus, waitwhile};
use crate::settings::{self, Settings};
use crate::telemetry;

mod centre;
mod clinic;
mod dice;
mod ledger;
mod room;
mod show;
mod story;
mod summary;

use ledger::{Ledger, Sent};
use show::Show;
use story::{Delivery, Nature, Story, Vendor};

/// Runs everything on an embedded broker with a story of both vendors; nothing to set up
#[derive(clap::Args)]
#[command(after_help = "People join the waiting lists of two locations, are called, served, cancel or do not come; others book;\n\
    guests get messages; a child-care centre adds, updates and deletes children. Now and then a delivery comes again,\n\
    comes late, or is forged.\n\
    What is shown is what a consumer reads from the broker; persons are invented, and masked as `waitbridge tail` does.\n\
    Exit 0 if each delivery came to what it should.\n\n\
    Example:\n  \
    waitbridge demo --duration 30s --rate 20 --seed 7")]
pub struct Demo {
    /// How long deliveries are sent
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Deliveries a second
    #[arg(long, default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// Chooses the story: the same seed tells the same one
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const TOPICS: [(&str, i32); 4] =
    [("waitlist.person.v1", 12), ("waitlist.location.v1", 12), ("waitlist.deadletter.v1", 1), ("waitbridge.checkpoint.v1", 1)];
const SECRET: &str = "whsec_demo";
const TOKEN: &str = "wb_demo";
const SIGNED_URL: &str = "https://demo.example/webhooks/waitwhile";
/// After the last answer, for the last event to come out, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Once all is out: what came now would be something that should not.
const QUIET: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(50);
const REDRAW: Duration = Duration::from_millis(200);

impl Demo {
    pub fn run(self) -> Result<ExitCode> {
        if let Some(refusal) = room::refusal(self.duration, self.rate) {
            eprintln!("waitbridge: {refusal}");
            return Ok(ExitCode::from(SETTINGS));
        }
        telemetry::start(telemetry::Format::Text, tracing::Level::ERROR);
        let interrupt = Interrupt::listen()?;
        let broker = Embedded::start(&TOPICS).context("the embedded broker does not start")?;
        let dir = tempfile::tempdir().context("no temporary folder can be made")?;
        let settings = demo_settings(dir.path(), &broker.brokers())?;
        let options = settings.kafka.options("demo");
        actix_web::rt::System::new().block_on(async {
            let running = app::start(settings)?;
            page(&introduction(&running, &broker))?;
            let (base, metrics) = (format!("http://{}", running.public_address()), format!("http://{}/metrics", running.admin_address()));
            let traffic = Traffic { demo: self, base, metrics, interrupt, sent_all: AtomicBool::new(false), ledger: Mutex::default() };
            let ended = tokio::task::spawn_blocking(move || traffic.run(&options)).await?;
            running.drain().await;
            let (ledger, seconds) = ended?;
            page(&summary::page(&ledger, seconds))?;
            Ok(if ledger.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    }
}

fn introduction(running: &Running, broker: &Embedded) -> String {
    let (public, admin, brokers, topic) = (running.public_address(), running.admin_address(), broker.brokers(), TOPICS[0].0);
    format!(
        "waitbridge runs, with a Kafka broker inside. While it does, look at\n  \
        http://{admin}/metrics    what it counts\n  \
        http://{admin}/status     how it stands\n  \
        kcat -b {brokers} -C -t {topic} -q    the events themselves\n\
        Webhooks go to http://{public}/webhooks/waitwhile (signed) and http://{public}/webhooks/sunshine/{TOKEN}.\n\
        What a consumer reads from the broker:"
    )
}

/// Sends from one thread and reads on another.
struct Traffic {
    demo: Demo,
    base: String,
    metrics: String,
    interrupt: Interrupt,
    sent_all: AtomicBool,
    ledger: Mutex<Ledger>,
}

impl Traffic {
    /// Until all that was sent has come to its end, or patience is over; and how long it was sent.
    fn run(self, options: &kafka::Options) -> Result<(Ledger, f64)> {
        let topics = TOPICS.map(|(name, _)| name);
        let mut follower = Follower::start(options, &topics[..3], Start::Beginning)?;
        let seconds = std::thread::scope(|scope| {
            let sender = scope.spawn(|| self.send());
            self.read(&mut follower);
            sender.join().map_err(|_| anyhow!("the sender failed"))
        })?;
        Ok((self.ledger.into_inner().unwrap_or_else(PoisonError::into_inner), seconds))
    }

    fn send(&self) -> f64 {
        let began = Instant::now();
        let mut story = Story::new(self.demo.seed);
        let count = (self.demo.duration.as_secs_f64() * self.demo.rate).ceil() as usize;
        let turns = (0..count).take_while(|_| !self.interrupt.is_requested());
        let posts = turns.map(|_| self.post(story.next(Timestamp::now().as_millisecond())));
        deliver(&Trust::Public, Some(self.demo.rate), posts, |sent, answer| self.ledger().answered(sent, answer));
        let seconds = began.elapsed().as_secs_f64();
        self.sent_all.store(true, Ordering::Release);
        seconds
    }

    /// The way that its vendor would take, or somebody who does not know its secret.
    fn post(&self, delivery: Delivery) -> (Post, Sent) {
        let Delivery { vendor, nature, subject, body } = delivery;
        let is_forged = nature == Nature::Forged;
        let (path, headers) = match vendor {
            Vendor::Waitwhile => {
                let secret = if is_forged { "guessed" } else { SECRET };
                let signature = waitwhile::signature(secret.as_bytes(), SIGNED_URL, &body);
                ("waitwhile".to_owned(), vec![(waitwhile::SIGNATURE_HEADER, signature)])
            }
            Vendor::WaitlistPlus => (format!("sunshine/{}", if is_forged { "wb_guessed" } else { TOKEN }), Vec::new()),
        };
        let lane = subject.bytes().fold(0, |lane: u64, byte| lane.wrapping_mul(31).wrapping_add(byte.into()));
        (Post { lane, url: format!("{}/webhooks/{path}", self.base), headers, body }, Sent { vendor, nature })
    }

    fn read(&self, follower: &mut Follower) {
        let mut show = Show::start(self.demo.duration);
        let mut drawn: Option<Instant> = None;
        let (mut undelivered, mut last_read, mut give_up) = (None, Instant::now(), None);
        loop {
            // The embedded broker's hiccups show up as missing events in the summary.
            if let Some(Ok(record)) = follower.next(POLL) {
                self.ledger().read(&record, Timestamp::now().as_millisecond());
                show.record(&record);
                last_read = Instant::now();
            }
            if drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
                undelivered = self.undelivered();
                show.draw(&self.ledger(), undelivered);
                drawn = Some(Instant::now());
            }
            if self.sent_all.load(Ordering::Acquire) {
                let give_up = *give_up.get_or_insert_with(|| Instant::now() + PATIENCE);
                let is_over = undelivered == Some(0) && self.ledger().is_all_out() && last_read.elapsed() > QUIET;
                if is_over || Instant::now() > give_up {
                    show.draw(&self.ledger(), undelivered);
                    return;
                }
            }
        }
    }

    /// How many records of the journal are not in Kafka yet, as the service says itself.
    fn undelivered(&self) -> Option<u64> {
        let metrics = ureq::get(&self.metrics).call().ok()?.body_mut().read_to_string().ok()?;
        metrics.lines().find_map(|line| line.strip_prefix("waitbridge_journal_undelivered_records ")?.parse().ok())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
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
