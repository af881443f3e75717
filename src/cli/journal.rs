//! `waitbridge journal`: what the journal holds, on this disk or in Kafka, also beside the services that use it. But for `drain` it
//! only reads.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::ConfigFile;
use crate::journal::disk::inspect::inspect;
use crate::journal::{disk, kafka};
use crate::settings::{self, Kind};

mod drain;
pub mod fleet;
mod list;
mod stat;
mod verify;

/// Looks into the journal, also beside a running service: but for drain it takes no lock and changes nothing
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    waitbridge journal stat --config waitbridge.toml\n  \
    waitbridge journal list --dir /var/lib/waitbridge --undelivered --limit 20\n  \
    waitbridge journal verify --dir /var/lib/waitbridge")]
pub struct Journal {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Stat(stat::Stat),
    List(list::List),
    Verify(verify::Verify),
    Drain(drain::Drain),
}

impl Journal {
    pub fn run(self) -> Result<ExitCode> {
        match self.verb {
            Verb::Stat(stat) => stat.run(),
            Verb::List(list) => list.run(),
            Verb::Verify(verify) => verify.run(),
            Verb::Drain(drain) => drain.run(),
        }
    }
}

/// Which journal: that of the settings, or the one in a folder.
#[derive(clap::Args)]
struct Folder {
    #[command(flatten)]
    file: ConfigFile,
    /// The folder of a disk journal; without it the journal of the settings
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    dir: Option<PathBuf>,
}

/// A journal of either kind, to be looked at.
enum Seen {
    Disk(disk::inspect::Inspection),
    Fleet { inspection: Box<kafka::inspect::Inspection>, group: String },
}

impl Folder {
    fn inspect(&self) -> Result<Seen> {
        if let Some(dir) = &self.dir {
            return Ok(Seen::Disk(inspect(dir)?));
        }
        let settings = settings::load(self.file.config.as_deref())?;
        Ok(match &settings.journal.kind {
            Kind::Disk => Seen::Disk(inspect(&settings.journal.dir)?),
            Kind::Kafka(of) => Seen::Fleet { inspection: Box::new(fleet::inspect(&settings.kafka, of)?), group: of.group.clone() },
        })
    }
}
