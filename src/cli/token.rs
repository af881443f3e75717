//! `waitbridge token`: a new secret for a WaitlistPlus URL. The settings hold its hash only.

use std::process::ExitCode;

use anyhow::Result;
use uuid::Uuid;

use super::show;
use crate::providers::waitlistplus::token_hash;

/// Makes a new token: for the vendor the URL, for the settings its hash. It is stored nowhere
#[derive(clap::Args)]
#[command(after_help = "Example:\n  waitbridge token --endpoint sunshine")]
pub struct Token {
    /// The endpoint that it is for
    #[arg(long, value_name = "NAME", default_value = "ENDPOINT")]
    endpoint: String,
}

impl Token {
    pub fn run(self) -> Result<ExitCode> {
        // 122 bits of chance: not to be guessed, and shown this once.
        let token = format!("wb_{}", Uuid::new_v4().simple());
        let (endpoint, hash) = (&self.endpoint, token_hash(&token));
        show::page(&format!(
            "token          {token}\nURL            https://YOUR-HOST/webhooks/{endpoint}/{token}\ntoken_sha256   {hash}"
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
