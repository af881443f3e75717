//! `waitbridge check`: are the settings right? Every mistake at once, without starting anything; or what holds in the end.

use std::process::ExitCode;

use anyhow::Result;

use super::ConfigFile;
use super::show::{self, count};
use crate::settings::{self, Settings};

/// Checks the settings and reports every mistake at once; exit 2 if there is one
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    waitbridge check --config waitbridge.toml\n  \
    waitbridge check --config waitbridge.toml --print > in-force.toml")]
pub struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// Prints the settings that hold, after defaults, files and environment, as TOML; names of secret files, never what they hold
    #[arg(long)]
    print: bool,
}

impl Check {
    pub fn run(self) -> Result<ExitCode> {
        let settings = settings::load(self.file.config.as_deref())?;
        for caution in &settings.cautions {
            eprintln!("not wise: {caution}");
        }
        show::page(&if self.print { settings.in_force.to_toml() } else { page(&settings) })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn page(settings: &Settings) -> String {
    let mut page = format!("the settings are right: {}\n", count(settings.endpoints.len(), "endpoint"));
    for endpoint in &settings.endpoints {
        page += &format!("  {} ({}, tenant {})\n", endpoint.name, endpoint.vendor, endpoint.tenant);
    }
    page
}
