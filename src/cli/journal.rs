//! `waitbridge journal`: what the journal on this disk holds, also beside the service that uses it. But for `drain` it only
//! reads.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::ConfigFile;
use crate::journal::disk::inspect::{Inspection, inspect};
use crate::settings;

mod drain;
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

/// Which journal.
#[derive(clap::Args)]
struct Folder {
    #[command(flatten)]
    file: ConfigFile,
    /// The journal's folder; without it journal.dir of the settings
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    dir: Option<PathBuf>,
}

impl Folder {
    fn inspect(&self) -> Result<Inspection> {
        let dir = match &self.dir {
            Some(dir) => dir.clone(),
            None => settings::load(self.file.config.as_deref())?.journal.dir,
        };
        Ok(inspect(&dir)?)
    }
}
