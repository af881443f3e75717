//! `waitbridge check`: are the settings right? Every mistake at once, without starting anything; or what holds in the end.

use std::process::ExitCode;

use anyhow::Result;

use super::{ConfigFile, show};
use crate::settings;

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
        if self.print {
            show::page(&settings.in_force.to_toml())?;
            return Ok(ExitCode::SUCCESS);
        }
        println!("the settings are right: {} endpoints", settings.endpoints.len());
        for endpoint in &settings.endpoints {
            println!("  {} ({}, tenant {})", endpoint.name, endpoint.vendor, endpoint.tenant);
        }
        Ok(ExitCode::SUCCESS)
    }
}
