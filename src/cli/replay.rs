//! `waitbridge replay`: asks the running service to publish again, and follows it to its end.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use uuid::Uuid;

use super::show::{self, parse_moment};
use super::stop::Interrupt;
use super::{ConfigFile, SETTINGS};
use crate::app::control::protocol::{Answer, How, Request};
use crate::app::control::socket;
use crate::event::Reason;
use crate::relay::replay::progress::Shown;
use crate::relay::replay::{Order, What};
use crate::settings::{self, Settings};

mod bar;
mod summary;

use bar::Bar;

/// Publishes again what the journal still holds, or dead letters that can be understood now
///
/// It runs inside the service, beside the live events, with the settings that it has now. Each event has its ce_id and ce_acceptid as
/// before, and ce_replayed: true. What a vendor repeated stays out, and so does what was said of somebody before an erasure;
/// what the service has not delivered yet comes by itself. Nothing that is still not understood is published. The id of the
/// replay is printed first: after Ctrl-C or a kill of the command or the service, --resume goes on with it and doubles nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    waitbridge replay --from 2h\n  \
    waitbridge replay --from 2026-11-24T08:00:00Z --to 2026-11-24T09:30:00Z --endpoint sunshine --rate 200\n  \
    waitbridge replay --dead-letters --reason endpoint_unknown --dry-run\n  \
    waitbridge replay --resume 019aafe2-7a10-7cc3-98c4-dc0c0c07398f\n\n\
    Exit: 0 all of it was looked at, 1 it was stopped, is not possible, or no service runs here, 2 usage or settings.")]
pub struct Replay {
    #[command(flatten)]
    file: ConfigFile,
    /// Received since: a time such as 2026-11-24T08:00:00Z, or how long ago: 2h
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment, required_unless_present_any = ["dead_letters", "resume"])]
    from: Option<i64>,
    /// Received before; without it now
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    to: Option<i64>,
    /// Only of this endpoint; may be given more than once
    #[arg(long = "endpoint", value_name = "NAME")]
    endpoints: Vec<String>,
    /// From the dead letter topic, not from the journal
    #[arg(long)]
    dead_letters: bool,
    /// Only dead letters of this reason
    #[arg(long, requires = "dead_letters", value_parser = reason)]
    reason: Option<&'static str>,
    /// Go on with a replay that was stopped or killed
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "to", "endpoints", "dead_letters", "reason", "dry_run"])]
    resume: Option<Uuid>,
    /// Deliveries a second, at most; without it as fast as it goes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Only count what would be published
    #[arg(long)]
    dry_run: bool,
    /// A JSON object a line: the id, then the summary
    #[arg(long)]
    json: bool,
}

fn reason(text: &str) -> Result<&'static str, String> {
    let all = || Reason::ALL.iter().map(|reason| reason.as_str());
    all().find(|known| *known == text).ok_or_else(|| format!("must be one of {}", all().collect::<Vec<_>>().join(", ")))
}

impl Replay {
    pub fn run(self) -> Result<ExitCode> {
        let settings = settings::load(self.file.config.as_deref())?;
        if let Some(wrong) = self.wrong(&settings) {
            eprintln!("waitbridge: {wrong}");
            return Ok(ExitCode::from(SETTINGS));
        }
        let interrupt = Interrupt::listen()?;
        let stream = connect(&settings.journal.dir)?;
        self.follow(answers(&stream, &self.request())?, &stream, &interrupt)
    }

    fn wrong(&self, settings: &Settings) -> Option<String> {
        let known = |name: &String| settings.endpoints.iter().any(|endpoint| endpoint.name == *name);
        if let Some(name) = self.endpoints.iter().find(|name| !known(name)) {
            return Some(format!("--endpoint {name}: the settings have no such endpoint, so nothing of it could be understood"));
        }
        let is_empty = self.from.zip(self.to).is_some_and(|(from, to)| from >= to);
        is_empty.then(|| "--from must be before --to".to_owned())
    }

    fn request(&self) -> Request {
        if let Some(id) = self.resume {
            return Request::Resume { id: id.to_string(), rate: self.rate };
        }
        let what = if self.dead_letters { What::DeadLetters(self.reason.map(str::to_owned)) } else { What::Window };
        let order = Order { what, from_ms: self.from, to_ms: self.to, endpoints: self.endpoints.clone(), rate: self.rate };
        if self.dry_run { Request::Count { order } } else { Request::Replay { order } }
    }

    /// Asks for the end when it is interrupted, and still hears how it ended.
    fn follow(&self, answers: impl Iterator<Item = Result<Answer>>, stream: &UnixStream, interrupt: &Interrupt) -> Result<ExitCode> {
        let (mut id, mut bar, mut asked) = (String::new(), Bar::default(), false);
        for answer in answers {
            match answer? {
                Answer::Started { id: started } => {
                    self.begins(&started)?;
                    id = started;
                }
                Answer::Progress { shown, waits_for } => bar.shows(&shown, waits_for.as_deref()),
                Answer::Ended { how, shown } => {
                    bar.ends();
                    return self.ends(&id, how, &shown);
                }
                Answer::Refused { message, .. } => {
                    bar.ends();
                    bail!(message);
                }
                Answer::Reloaded { .. } => bail!("no answer of this version"),
            }
            if interrupt.is_requested() && !asked {
                asked = true;
                stream.shutdown(Shutdown::Write)?;
            }
        }
        bar.ends();
        match self.resumable(&id) {
            Some(id) => bail!("the service has ended; once it runs again, go on with `waitbridge replay --resume {id}`"),
            None => bail!("the service has ended before anything was published; once it runs again, begin again"),
        }
    }

    /// The id, if it is known that there is something to go on with.
    fn resumable<'i>(&self, id: &'i str) -> Option<std::borrow::Cow<'i, str>> {
        let told = (!id.is_empty()).then_some(id.into());
        told.or_else(|| self.resume.map(|id| id.to_string().into())).filter(|_| !self.dry_run)
    }

    fn begins(&self, id: &str) -> Result<()> {
        match (self.dry_run, self.json) {
            (true, _) => Ok(()),
            (false, true) => show::json(&json!({ "id": id })),
            (false, false) => show::page(&format!("replay {id}")),
        }
    }

    fn ends(&self, id: &str, how: How, shown: &Shown) -> Result<ExitCode> {
        if self.json {
            let mut told: Value = serde_json::to_value(&shown.tally)?;
            told["ended"] = serde_json::to_value(how)?;
            told["total"] = shown.total.into();
            told["dry_run"] = self.dry_run.into();
            told["id"] = if self.dry_run { Value::Null } else { id.into() };
            show::json(&told)?;
        } else {
            let verb = if self.dry_run { "would be published" } else { "published" };
            show::page(&summary::page(verb, shown))?;
        }
        match how {
            How::Whole => Ok(ExitCode::SUCCESS),
            How::Stopped => match self.resumable(id) {
                Some(id) => bail!("stopped before its end; go on with `waitbridge replay --resume {id}`"),
                None => bail!("stopped; nothing was published"),
            },
        }
    }
}

/// The answers of the service whose journal is in this folder.
pub fn ask(journal_dir: &Path, request: &Request) -> Result<impl Iterator<Item = Result<Answer>> + use<>> {
    answers(&connect(journal_dir)?, request)
}

fn answers(stream: &UnixStream, request: &Request) -> Result<impl Iterator<Item = Result<Answer>> + use<>> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    let mut stream = stream.try_clone()?;
    stream.write_all(&line)?;
    let answer = |line: std::io::Result<String>| serde_json::from_str(&line?).context("what answers is a waitbridge of another version");
    Ok(BufReader::new(stream).lines().map(answer))
}

fn connect(journal_dir: &Path) -> Result<UnixStream> {
    let path = socket(journal_dir);
    UnixStream::connect(&path).with_context(|| {
        format!("no service answers at {}: does waitbridge run here, with this journal.dir, and may this user open it?", path.display())
    })
}
