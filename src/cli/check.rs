//! `waitbridge check`: are the settings right? Every mistake at once, without starting anything.

use std::process::ExitCode;

use anyhow::Result;

use super::ConfigFile;
use crate::settings;

/// Checks the settings and reports every mistake at once; exit 2 if there is one
#[derive(clap::Args)]
#[command(after_help = "Example:\n  waitbridge check --config waitbridge.toml")]
pub struct Check {
    #[command(flatten)]
    file: ConfigFile,
}

impl Check {
    pub fn run(self) -> Result<ExitCode> {
        let settings = settings::load(self.file.config.as_deref())?;
        println!("the settings are right: {} endpoints", settings.endpoints.len());
        for endpoint in &settings.endpoints {
            println!("  {} ({}, tenant {})", endpoint.name, endpoint.vendor, endpoint.tenant);
        }
        Ok(ExitCode::SUCCESS)
    }
}
