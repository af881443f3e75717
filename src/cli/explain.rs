//! `waitbridge explain`: what a saved delivery would become, and why its signature does not verify. Needs no Kafka and no
//! running service: it asks the very code that would verify and prepare it.

use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};

use super::{ConfigFile, PROBLEMS};
use crate::delivery::Auth;
use crate::providers::endpoints::{Endpoint, Endpoints};
use crate::settings;
use crate::table::InForce;
use crate::timestamp::Timestamp;

mod becomes;
mod show;
mod signature;

use becomes::Becomes;
use show::Personal;
use signature::Checked;

/// Tells what a saved delivery would become, and why its signature does not verify; exit 3 if it does not
#[derive(clap::Args)]
#[command(after_help = "FILE holds the body byte for byte: an editor that adds a newline breaks the signature.\n\n\
    Personal values are masked, as tail masks them, unless --show-personal is given. What depends on the deliveries before (whether it\n\
    is a repeat or stale, the key of a visit that names no person) is named, not decided.\n\n\
    Examples:\n  \
    waitbridge explain body.json --endpoint waitwhile\n  \
    waitbridge explain body.json --endpoint waitwhile --signature D1WWwyrpuD5IMzYPpEPlvWmSmMHWyqqMmer9TL3lA0A=\n  \
    waitbridge explain body.json --endpoint sunshine --show-personal --json | jq .records[0].value")]
pub struct Explain {
    #[command(flatten)]
    file: ConfigFile,
    /// The saved body; - for standard input
    #[arg(value_name = "FILE")]
    body: PathBuf,
    /// The endpoint that it came to
    #[arg(long, value_name = "NAME")]
    endpoint: String,
    /// What came in the signature's header: is it right, and if not, why?
    #[arg(long, value_name = "TEXT")]
    signature: Option<String>,
    /// Another URL that it may have been signed for
    #[arg(long, value_name = "URL", requires = "signature")]
    url: Option<String>,
    /// When it was received, such as 2026-11-24T08:00:00Z; without it now
    #[arg(long, value_name = "TIME", value_parser = time)]
    received: Option<Timestamp>,
    /// Shows people's names, contacts and texts as they are
    #[arg(long)]
    show_personal: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub fn run(self) -> Result<ExitCode> {
        let settings = settings::load(self.file.config.as_deref())?;
        let endpoints = Arc::new(Endpoints::new(settings.endpoints));
        let endpoint = find(&endpoints, &self.endpoint)?;
        let body = read(&self.body)?;
        let checked = self.signature.as_deref().map(|text| Checked::of(&endpoint, &endpoints, text, self.url.as_deref(), &body));
        let checked = checked.transpose()?;
        let received = self.received.unwrap_or_else(|| Timestamp::clamped(jiff::Timestamp::now().as_millisecond()));
        let auth = auth(&endpoint, &settings.in_force);
        let becomes = Becomes::of(&endpoint, auth, settings.prepare, settings.relay.memory, endpoints, &body, received)?;
        let personal = if self.show_personal { Personal::Shown } else { Personal::Masked };
        let shown = becomes.shown(personal);
        let failed = checked.as_ref().is_some_and(|checked| !checked.verified);
        if self.json {
            super::show::json(&show::object(&endpoint, checked.as_ref(), &shown))?
        } else {
            super::show::page(&show::page(&endpoint, checked.as_ref(), &shown))?
        }
        Ok(if failed { ExitCode::from(PROBLEMS) } else { ExitCode::SUCCESS })
    }
}

/// How its deliveries are proven; by the token where both would do.
fn auth(endpoint: &Endpoint, in_force: &InForce) -> Auth {
    let has_tokens = || in_force.named("endpoint", &endpoint.name).is_some_and(|keys| !keys.list("token_sha256").is_empty());
    match endpoint.provider.signing() {
        Some(_) => Auth::Hmac,
        None if has_tokens() => Auth::Token,
        None => Auth::Basic,
    }
}

fn find(endpoints: &Endpoints, name: &str) -> Result<Arc<Endpoint>> {
    let names = || endpoints.all().keys().cloned().collect::<Vec<_>>().join(", ");
    endpoints.find(name).ok_or_else(|| anyhow!("the settings have no endpoint {name}; there are: {}", names()))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut body = Vec::new();
        stdin().read_to_end(&mut body).context("standard input cannot be read")?;
        return Ok(body);
    }
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "must be a time with its zone, such as 2026-11-24T08:00:00Z".to_owned())
}
