//! `waitbridge schema`: what a consumer may hold the data of an event to.

use std::process::ExitCode;

use anyhow::Result;

use super::show;
use crate::envelope::SCHEMA;

/// Prints the JSON Schema of an event's data: every key is required, added fields and words are allowed
#[derive(clap::Args)]
#[command(after_help = "Example:\n  waitbridge schema > event.schema.json")]
pub struct Schema {}

impl Schema {
    pub fn run(self) -> Result<ExitCode> {
        show::page(SCHEMA)?;
        Ok(ExitCode::SUCCESS)
    }
}
