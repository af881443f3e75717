//! `waitbridge send`: deliver as the vendor would, signed, to try a running service.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use super::ConfigFile;
use super::deliver::{Pace, Post, Signer, deliver};
use super::health::reachable;
use super::samples::{freshen, sample};
use crate::providers::waitwhile;
use crate::settings::{self, Settings};
use crate::table::trim_newline;

/// Delivers as a vendor would, signed; exit 0 if every answer was 200
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    waitbridge send --endpoint waitwhile --sample waitwhile/visit.created\n  \
    waitbridge send --url http://localhost:8080/webhooks/sunshine/wb_… --sample waitlistplus/AddPerson --count 100 --rate 20")]
pub struct Send {
    #[command(flatten)]
    file: ConfigFile,
    /// An endpoint of the settings: to their listener, signed for its first public URL
    #[arg(long, value_name = "NAME", conflicts_with = "url", required_unless_present = "url")]
    endpoint: Option<String>,
    /// Where to, with the token in it, or with --secret-file
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Signs for --url as Waitwhile does; the file holds the secret
    #[arg(long, value_name = "FILE", requires = "url")]
    secret_file: Option<PathBuf>,
    /// What to send: waitwhile/visit.created, waitlistplus/AddPerson and so on
    #[arg(long, value_name = "NAME", conflicts_with = "body", required_unless_present = "body")]
    sample: Option<String>,
    /// What to send: the body as it stands in this file
    #[arg(long = "file", value_name = "FILE", id = "body")]
    body: Option<PathBuf>,
    /// As it is: without fresh ids and times
    #[arg(long)]
    verbatim: bool,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// A second; without it as fast as the answers come
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
}

/// Where the deliveries go, and what proves them.
struct Destination {
    url: String,
    sign: Signer,
}

impl Send {
    pub fn run(self) -> Result<ExitCode> {
        let body = self.body()?;
        let destination = self.destination()?;
        let started = Instant::now();
        let answers = deliver(Pace { count: self.count, rate: self.rate }, |_| {
            let body = if self.verbatim { body.clone() } else { freshen(&body) };
            Ok(Post { url: destination.url.clone(), headers: (destination.sign)(&body), body })
        });
        println!("{} of {} answered 200 in {:.1} s", answers.accepted.len(), self.count, started.elapsed().as_secs_f64());
        for other in &answers.others {
            eprintln!("  {other}");
        }
        Ok(if answers.other_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn body(&self) -> Result<Vec<u8>> {
        match (&self.body, &self.sample) {
            (Some(file), _) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display())),
            (None, Some(name)) => Ok(sample(name)?.as_bytes().to_vec()),
            (None, None) => bail!("name a --sample or a --file"),
        }
    }

    fn destination(&self) -> Result<Destination> {
        match (&self.url, &self.endpoint) {
            (Some(url), _) => self.to_url(url),
            (None, Some(name)) => to_endpoint(&settings::load(self.file.config.as_deref())?, name),
            (None, None) => bail!("name an --endpoint or a --url"),
        }
    }

    fn to_url(&self, url: &str) -> Result<Destination> {
        let Some(file) = &self.secret_file else { return Ok(Destination { url: url.to_owned(), sign: Arc::new(|_| Vec::new()) }) };
        let secret = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let secret = trim_newline(&secret).to_vec();
        if secret.is_empty() {
            bail!("{} is empty; it must hold the secret", file.display());
        }
        let signed_url = url.to_owned();
        let sign = move |body: &[u8]| vec![(waitwhile::SIGNATURE_HEADER, waitwhile::signature(&secret, &signed_url, body))];
        Ok(Destination { url: url.to_owned(), sign: Arc::new(sign) })
    }
}

/// To the listener of the settings, signed with what they know of the endpoint.
fn to_endpoint(settings: &Settings, name: &str) -> Result<Destination> {
    let endpoint = settings.endpoints.iter().find(|endpoint| endpoint.name == name);
    let endpoint = endpoint.ok_or_else(|| anyhow!("the settings have no endpoint {name}"))?;
    let provider = endpoint.provider.clone();
    if provider.sign(b"").is_empty() {
        bail!("the settings know only the hash of {name}'s token, or no secret yet: use --url with the token in it");
    }
    let url = format!("http://{}/webhooks/{name}", reachable(settings.server.listen));
    Ok(Destination { url, sign: Arc::new(move |body| provider.sign(body)) })
}

pub fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "must be a number from 0.001 to 1000000".to_owned())
}
