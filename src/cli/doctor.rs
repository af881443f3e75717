//! `waitbridge doctor`: everything that waitbridge needs, looked at one by one: what is right, what is not, what to do.
//!
//! It changes nothing and fences nobody. Every look has its time, so that it ends within half a minute also where nothing
//! answers.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::ConfigFile;
use super::health::{Said, ask};
use super::show::{self, Color, paint};
use crate::journal::disk::inspect::{Holder, holder, inspect};
use crate::settings::{self, Kind, Settings};

mod acls;
mod certificate;
mod cluster;
mod disk;
mod endpoints;
mod fleet;
mod refused;
mod rights;

use acls::Form;

/// Looks at settings, journal, Kafka, topics, endpoints and the running service; says what is wrong and what to do; exit 3 if
/// there is a problem
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  waitbridge doctor --config /etc/waitbridge/waitbridge.toml\n  \
    waitbridge doctor --acls --principal User:waitbridge   # the rights that it needs in Kafka, as commands\n\n\
    Run it as the service's user, on its machine. Whether Kafka gives transactions, and each right, is tried \
    under the transactional id PREFIX-doctor, without an effect: nobody is fenced, nothing is written.")]
pub struct Doctor {
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON object, for scripts
    #[arg(long)]
    json: bool,
    /// Only prints the rights that these settings need in Kafka, as commands for somebody who may grant them; asks nobody
    #[arg(long)]
    acls: bool,
    /// To whom they are granted; without it User: and sasl.username of the settings
    #[arg(long, value_name = "TYPE:NAME", requires = "acls")]
    principal: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Fine,
    Warning,
    Problem,
}

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    area: &'static str,
    level: Level,
    said: String,
    /// What to do; empty where nothing is to be done.
    advice: String,
}

/// Takes down what is seen of one area.
struct Notes {
    area: &'static str,
    checks: Vec<Check>,
}

impl Notes {
    fn of(area: &'static str) -> Notes {
        Notes { area, checks: Vec::new() }
    }

    fn fine(&mut self, said: impl Into<String>) {
        self.add(Level::Fine, said.into(), String::new());
    }

    fn warning(&mut self, said: impl Into<String>, advice: impl Into<String>) {
        self.add(Level::Warning, said.into(), advice.into());
    }

    fn problem(&mut self, said: impl Into<String>, advice: impl Into<String>) {
        self.add(Level::Problem, said.into(), advice.into());
    }

    fn add(&mut self, level: Level, said: String, advice: String) {
        self.checks.push(Check { area: self.area, level, said, advice });
    }
}

impl Doctor {
    pub fn run(self) -> Result<ExitCode> {
        let settings = settings::load(self.file.config.as_deref())?;
        if self.acls {
            return acls::print(&settings, self.principal, if self.json { Form::Json } else { Form::Commands });
        }
        let mut report = Report { shown: !self.json, checks: Vec::new() };
        let mut notes = Notes::of("settings");
        notes.fine(format!("valid; {}", show::count(settings.endpoints.len(), "endpoint")));
        settings.cautions.iter().for_each(|caution| notes.warning(caution.key.clone(), caution.wanted.clone()));
        certificate::look(&settings, &mut notes);
        report.take(notes)?;
        // None: never started, or not readable by this user; `disk` says which.
        let journal = inspect(&settings.journal.dir).ok();
        let stat = journal.as_ref().and_then(|journal| journal.stat().ok());
        let holder = match &settings.journal.kind {
            Kind::Disk => {
                report.take(disk::look(&settings, journal.as_ref(), stat.as_ref()))?;
                report.take(cluster::look(&settings, journal.as_ref()))?;
                stat.map_or(Holder::Unknown, |stat| stat.holder)
            }
            Kind::Kafka(of) => {
                report.take(fleet::folder(&settings.journal.dir, stat.as_ref()))?;
                report.take(cluster::look_of_fleet(&settings, of))?;
                holder(&settings.journal.dir)
            }
        };
        report.take(endpoints::look(&settings))?;
        report.take(service(&settings, holder))?;
        report.end()
    }
}

fn service(settings: &Settings, holder: Holder) -> Notes {
    let mut notes = Notes::of("service");
    let address = settings.server.admin_listen;
    match (ask(address, "/readyz"), holder) {
        (Ok((_, Said::Yes)), _) => notes.fine(format!("ready, says its admin listener at {address}")),
        (Ok((body, Said::No)), _) => notes.problem(format!("not ready: {body}"), "see `waitbridge status`"),
        (Err(_), Holder::Process(pid)) => notes.warning(
            format!("process {pid} uses the journal, but nobody answers at {address}"),
            "it is starting, or it runs with another server.admin_listen",
        ),
        (Err(_), _) => notes.warning(format!("nobody answers at {address}"), "start it with `waitbridge serve`"),
    }
    notes
}

/// For people each area is shown as soon as it was looked at: some looks take seconds.
struct Report {
    shown: bool,
    checks: Vec<Check>,
}

impl Report {
    fn take(&mut self, notes: Notes) -> Result<()> {
        if self.shown {
            show::page(&page(&notes))?;
        }
        self.checks.extend(notes.checks);
        Ok(())
    }

    fn count(&self, level: Level) -> usize {
        self.checks.iter().filter(|check| check.level == level).count()
    }

    fn end(self) -> Result<ExitCode> {
        let (problems, warnings) = (self.count(Level::Problem), self.count(Level::Warning));
        if self.shown {
            let color = if problems > 0 { Color::Red } else { Color::Green };
            show::page(&paint(color, &format!("{}, {}", show::count(problems, "problem"), show::count(warnings, "warning"))))?;
        } else {
            let checks: Vec<_> = self.checks.iter().map(object).collect();
            show::json(&json!({"problems": problems, "warnings": warnings, "checks": checks}))?;
        }
        Ok(show::exit_for(problems))
    }
}

fn object(check: &Check) -> serde_json::Value {
    let level = match check.level {
        Level::Fine => "ok",
        Level::Warning => "warning",
        Level::Problem => "problem",
    };
    json!({"area": check.area, "level": level, "said": check.said, "advice": check.advice})
}

fn page(notes: &Notes) -> String {
    let mut page = format!("{}\n", notes.area);
    for check in &notes.checks {
        let level = match check.level {
            Level::Fine => paint(Color::Green, "ok     "),
            Level::Warning => paint(Color::Yellow, "warning"),
            Level::Problem => paint(Color::Red, "problem"),
        };
        page += &format!("  {level}  {}\n", check.said);
        if !check.advice.is_empty() {
            page += &format!("           {}\n", check.advice);
        }
    }
    page
}
