//! `waitbridge tail`: the topics as people read them, and the audit of what stands in them.

use std::io::{self, stdout};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::send::duration;
use super::show::{self, Paint, Reader};
use super::stop::Interrupt;
use super::{ConfigFile, PROBLEMS};
use crate::envelope::SCHEMA;
use crate::kafka::follow::{Followed, Follower, Start};
use crate::kafka::{Cause, Fault};
use crate::settings::{self, Settings};

mod audit;
pub mod line;
pub mod mask;
mod view;

use audit::{Audit, Problem, Read};
use line::{json_line, kind, kind_of, line};

/// Follows the person, location and dead letter topics as people read them, personal values masked, until Ctrl-C
#[derive(clap::Args)]
#[command(after_help = "A line is: time of receipt (UTC), type, key, and what it says: the marks stale, replayed, erase; statuses\n\
    with list and position, who, version. With --json also attributes, and the data.\n\n\
    Masked, with --json too: of names the initials stay (R… V…), of an e-mail address the first letter, of a phone number the last two\n\
    digits, of the vendor's tags its own. Never shown: birth dates, external ids, values of custom fields, notes, texts of messages,\n\
    payloads, bodies of dead letters, and every key that this version does not know.\n\n\
    The audit reads and tells, once and by its place, what breaks a promise: an accept id or an event id twice, a version that goes back\n\
    without ce_stale, a stale mark that nothing explains (with --from-beginning, and if nothing was deleted yet), a key that is not\n\
    what the data says, data that the JSON Schema refuses, headers that are missing or wrong. Exit 3 if there is a problem.\n\
    It remembers the ids of all that it has read.\n\n\
    Examples:\n  \
    waitbridge tail --config waitbridge.toml --from-beginning --type visit\n  \
    waitbridge tail --json --for 60s | jq .data.entries\n  \
    waitbridge tail --audit --from-beginning --for 60s")]
pub struct Tail {
    #[command(flatten)]
    file: ConfigFile,
    /// All that is in the topics, and then what comes; without it from now on
    #[arg(long)]
    from_beginning: bool,
    /// Ends after this time; without it at Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    for_time: Option<Duration>,
    /// Only records whose key holds this text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    key: String,
    /// Only events whose type holds this text, such as visit or person.removed
    #[arg(long = "type", value_name = "TEXT", default_value = "", hide_default_value = true)]
    kind: String,
    /// A JSON object a line
    #[arg(long)]
    json: bool,
    /// Tells only problems; exit 3 if there is one
    #[arg(long, conflicts_with_all = ["key", "kind"])]
    audit: bool,
}

/// How long a poll may keep an end waiting.
const POLL: Duration = Duration::from_millis(100);

impl Tail {
    pub fn run(self) -> Result<ExitCode> {
        let settings = settings::load(self.file.config.as_deref())?;
        let interrupt = Interrupt::listen()?;
        let topics = &settings.prepare.topics;
        let start = if self.from_beginning { Start::Beginning } else { Start::Now };
        let names = [&*topics.person, &*topics.location, &*topics.dead_letter];
        let mut follower = Follower::start(&settings.kafka.options("tail"), &names, start).context("[kafka]")?;
        let whence = if self.from_beginning { "their beginning" } else { "now" };
        eprintln!("following {} from {whence} on; Ctrl-C ends", names.join(", "));
        if self.audit { self.audit(&settings, &mut follower, &interrupt) } else { self.print(&mut follower, &interrupt) }
    }

    fn print(&self, follower: &mut Follower, interrupt: &Interrupt) -> Result<ExitCode> {
        let paint = Paint::of_stdout();
        self.watch(follower, interrupt, |record| {
            if !self.is_wanted(record) {
                return ControlFlow::Continue(());
            }
            let text = if self.json { json_line(record).to_string() } else { line(record, paint) };
            say(&text)
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn audit(&self, settings: &Settings, follower: &mut Follower, interrupt: &Interrupt) -> Result<ExitCode> {
        let schema = jsonschema::options().should_validate_formats(true).build(&serde_json::from_str(SCHEMA)?);
        let schema = schema.context("the schema of this version")?;
        let mut audit = Audit::new(settings.prepare.topics.clone(), schema, settings.relay.memory.window_ms);
        self.watch(follower, interrupt, |record| audit.look(record).iter().try_for_each(|problem| self.tell(problem)))?;
        let read = if follower.reads_all() { Read::All } else { Read::Part };
        let _ = audit.finish(read).iter().try_for_each(|problem| self.tell(problem));
        let unread = follower.awaited();
        self.conclude(&audit, &unread);
        Ok(match () {
            () if !audit.problems.is_empty() => ExitCode::from(PROBLEMS),
            () if !unread.is_empty() => ExitCode::FAILURE,
            () => ExitCode::SUCCESS,
        })
    }

    /// Hands over each record until it is told to stop, the time is up, or somebody interrupts.
    fn watch(&self, follower: &mut Follower, interrupt: &Interrupt, mut see: impl FnMut(&Followed) -> Said) -> io::Result<()> {
        let deadline = self.for_time.map(|time| Instant::now() + time);
        let mut news = News::default();
        while !interrupt.is_requested() && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            news.awaited(follower.awaited());
            match follower.next(POLL) {
                None => {}
                Some(Err(fault)) => news.trouble(&fault),
                Some(Ok(record)) => {
                    news.trouble = None;
                    if let ControlFlow::Break(ended) = see(&record) {
                        return ended;
                    }
                }
            }
        }
        Ok(())
    }

    fn is_wanted(&self, record: &Followed) -> bool {
        record.key.contains(&self.key) && (self.kind.is_empty() || kind_of(record).contains(kind(&self.kind)))
    }

    fn tell(&self, Problem { code, place, detail }: &Problem) -> Said {
        let audit::Place { topic, partition, offset } = place;
        say(&match self.json {
            true => {
                json!({ "problem": code.as_str(), "topic": topic, "partition": partition, "offset": offset, "detail": detail }).to_string()
            }
            false => format!("{topic} {partition}/{offset}: {}: {detail}", code.as_str()),
        })
    }

    fn conclude(&self, audit: &Audit, unread: &[&str]) {
        let problems: u64 = audit.problems.values().sum();
        let by_code = audit.problems.iter().map(|(code, count)| (code.as_str(), count));
        // Nobody may be left to hear it; the exit code says it, too.
        let _ = if self.json {
            let by_code: serde_json::Map<String, serde_json::Value> =
                by_code.map(|(code, count)| (code.to_owned(), json!(count))).collect();
            say(&json!({ "records": audit.records, "problems": problems, "by_problem": by_code, "unread": unread }).to_string())
        } else {
            let told = by_code.map(|(code, count)| format!("{count} × {code}")).collect::<Vec<_>>().join(", ");
            let told = if told.is_empty() { "no problem".to_owned() } else { told };
            let nothing = if audit.records == 0 { ": nothing was read, so nothing is proved" } else { "" };
            say(&format!("{} records read, {told}{nothing}", audit.records))
        };
        if !unread.is_empty() {
            eprintln!("not read, since not there: {}", unread.join(", "));
        }
    }
}

/// Whether to go on after something was said; if not, whether that is a failure.
type Said = ControlFlow<io::Result<()>>;

fn say(text: &str) -> Said {
    match show::line(&mut stdout().lock(), text) {
        Ok(Reader::Listens) => ControlFlow::Continue(()),
        Ok(Reader::Left) => ControlFlow::Break(Ok(())),
        Err(error) => ControlFlow::Break(Err(error)),
    }
}

/// What is told on stderr once, and again only after it has changed.
#[derive(Default)]
struct News {
    awaited: String,
    trouble: Option<Cause>,
}

impl News {
    fn awaited(&mut self, topics: Vec<&str>) {
        let now = topics.join(", ");
        if now != self.awaited {
            match now.as_str() {
                "" => eprintln!("all topics are there"),
                some => eprintln!("waiting for {some}: not there, or Kafka cannot be reached"),
            }
            self.awaited = now;
        }
    }

    /// An outage has many texts, one after the other: the first of a cause is enough.
    fn trouble(&mut self, fault: &Fault) {
        if self.trouble != Some(fault.cause) {
            eprintln!("kafka: {fault}");
            self.trouble = Some(fault.cause);
        }
    }
}
