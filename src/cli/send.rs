//! `waitbridge send`: deliver as the vendor would, signed, to try a running service, also with what goes wrong there:
//! deliveries that come again, that come late, and that are forged.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use indicatif::ProgressBar;

use super::ConfigFile;
use super::deliver::{Post, Signer, Trust, certificates, deliver};
use super::health::reachable;
use super::samples::{Stamp, can_be_late, freshen, sample};
use super::show;
use crate::providers::waitwhile;
use crate::settings::{self, Settings};
use crate::table::{parse_duration_ms, trim_newline};

mod plan;
mod tally;

use plan::Plan;
use tally::Tally;

/// Delivers as a vendor would, signed; exit 0 if every answer was the one to expect
#[derive(clap::Args)]
#[command(
    after_help = "What is expected: 200 for what is genuine, repeats and late ones too; for what is damaged 401, or 404 where only\n\
    the token in the URL proves a delivery.\n\n\
    Examples:\n  \
    waitbridge send --endpoint waitwhile --sample waitwhile/visit.created\n  \
    waitbridge send --endpoint waitwhile --sample waitwhile/visit.updated --count 100 --repeat 5 --damage 10 --json\n  \
    waitbridge send --url http://localhost:8080/webhooks/sunshine/wb_… --sample waitlistplus/AddPerson --count 100 --rate 20\n  \
    waitbridge send --url https://hooks.example.com/webhooks/waitwhile --secret-file secret --ca-file ca.pem \\\n    \
    --sample waitwhile/visit.created\n\n\
    A visit that is told of now, and then what it was an hour ago, which is published as stale:\n  \
    waitbridge send --endpoint waitwhile --sample waitwhile/visit.updated --id V1\n  \
    waitbridge send --endpoint waitwhile --sample waitwhile/visit.updated --id V1 --late 1h"
)]
pub struct Send {
    #[command(flatten)]
    file: ConfigFile,
    /// An endpoint of the settings: to their listener (by TLS whatever its certificate says), signed for its first public URL
    #[arg(long, value_name = "NAME", conflicts_with = "url", required_unless_present = "url")]
    endpoint: Option<String>,
    /// Where to, with the token in it, or with --secret-file
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Signs for --url as Waitwhile does; the file holds the secret
    #[arg(long, value_name = "FILE", requires = "url")]
    secret_file: Option<PathBuf>,
    /// For an https --url whose certificate no public authority has signed: the PEM of the one that has
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
    /// What to send: waitwhile/visit.created, waitlistplus/AddPerson and so on
    #[arg(long, value_name = "NAME", conflicts_with = "body", required_unless_present = "body")]
    sample: Option<String>,
    /// What to send: the body as it stands in this file
    #[arg(long = "file", value_name = "FILE", id = "body")]
    body: Option<PathBuf>,
    /// As it is: without fresh ids and times
    #[arg(long, conflicts_with_all = ["late", "id"])]
    verbatim: bool,
    /// The id of the visit, person, location or message that it is about; without it each time another, but a location keeps its own
    #[arg(long)]
    id: Option<String>,
    /// Waitwhile: its times lie so far in the past, as of a delivery that was long under way. Beyond relay.expired_after (72h) it
    /// becomes a dead letter, and is still answered 200
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    late: Option<Duration>,
    /// Every N-th is the genuine one before it, again: the same bytes, the same signature
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    repeat: Option<u64>,
    /// Every N-th is forged: its body changed after signing, or with a wrong password or token
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    damage: Option<u64>,
    /// How many in all
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// A second; without it as fast as the answers come
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// The summary for scripts
    #[arg(long)]
    json: bool,
}

/// Where the deliveries go, and what proves them.
struct Destination {
    url: String,
    sign: Signer,
    trust: Trust,
}

impl Send {
    pub fn run(self) -> Result<ExitCode> {
        let body = self.body()?;
        let destination = self.destination()?;
        let stamp = Stamp { late: self.late.unwrap_or_default(), id: self.id.clone() };
        let genuine = |index| {
            let body = if self.verbatim { body.clone() } else { freshen(&body, &stamp) };
            Post { lane: index, url: destination.url.clone(), headers: (destination.sign)(&body), body }
        };
        let refusal = if (destination.sign)(b"").is_empty() { "404" } else { "401" };
        let (tally, seconds) = self.send(&destination.trust, Plan::new(self.count, self.repeat, self.damage, genuine), refusal);
        if self.json {
            show::json(&tally.object(seconds))?
        } else {
            show::page(&tally.page(seconds))?;
            tally.unexpected().iter().for_each(|line| eprintln!("{line}"));
        }
        Ok(if tally.is_as_expected() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn send(&self, trust: &Trust, plan: Plan<impl FnMut(u64) -> Post>, refusal: &'static str) -> (Tally, f64) {
        // Drawn on stderr, and only if that is a terminal.
        let progress = ProgressBar::new(self.count);
        let tally = Mutex::new(Tally::new(refusal));
        let started = Instant::now();
        deliver(trust, self.rate, plan, |nature, answer| {
            tally.lock().unwrap_or_else(|broken| broken.into_inner()).note(nature, &answer);
            progress.inc(1);
        });
        progress.finish_and_clear();
        (tally.into_inner().unwrap_or_else(|broken| broken.into_inner()), started.elapsed().as_secs_f64())
    }

    fn body(&self) -> Result<Vec<u8>> {
        let body = match (&self.body, &self.sample) {
            (Some(file), _) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
            (None, Some(name)) => sample(name)?.as_bytes().to_vec(),
            (None, None) => bail!("name a --sample or a --file"),
        };
        if self.late.is_some() && !can_be_late(&body) {
            bail!("--late has nothing to stamp: WaitlistPlus does not say when something happened; leave it out");
        }
        Ok(body)
    }

    fn destination(&self) -> Result<Destination> {
        match (&self.url, &self.endpoint) {
            (Some(url), _) => self.to_url(url),
            (None, Some(name)) => to_endpoint(&settings::load(self.file.config.as_deref())?, name),
            (None, None) => bail!("name an --endpoint or a --url"),
        }
    }

    fn to_url(&self, url: &str) -> Result<Destination> {
        let trust = self.ca_file.as_deref().map_or(Ok(Trust::Public), authorities)?;
        let url = url.to_owned();
        let Some(file) = &self.secret_file else { return Ok(Destination { url, sign: Arc::new(|_| Vec::new()), trust }) };
        let secret = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let secret = trim_newline(&secret).to_vec();
        if secret.is_empty() {
            bail!("{} is empty; it must hold the secret", file.display());
        }
        let signed_url = url.clone();
        let sign = move |body: &[u8]| vec![(waitwhile::SIGNATURE_HEADER, waitwhile::signature(&secret, &signed_url, body))];
        Ok(Destination { url, sign: Arc::new(sign), trust })
    }
}

/// To the listener of the settings, signed with what they know of the endpoint.
fn to_endpoint(settings: &Settings, name: &str) -> Result<Destination> {
    let names = || settings.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect::<Vec<_>>().join(", ");
    let endpoint = settings.endpoints.iter().find(|endpoint| endpoint.name == name);
    let endpoint = endpoint.ok_or_else(|| anyhow!("the settings have no endpoint {name}; there are: {}", names()))?;
    let provider = endpoint.provider.clone();
    if provider.sign(b"").is_empty() {
        bail!("the settings know only the hash of {name}'s token, or no secret yet: use --url with the token in it");
    }
    let scheme = if settings.server.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}/webhooks/{name}", reachable(settings.server.listen));
    Ok(Destination { url, sign: Arc::new(move |body| provider.sign(body)), trust: Trust::Own })
}

fn authorities(file: &Path) -> Result<Trust> {
    let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let certificates = certificates(&pem).collect::<Result<Vec<_>, _>>().with_context(|| format!("{} is no PEM", file.display()))?;
    if certificates.is_empty() {
        bail!("{} holds no certificate", file.display());
    }
    Ok(Trust::Only(certificates))
}

pub fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "must be a number from 0.001 to 1000000".to_owned())
}

pub fn duration(text: &str) -> Result<Duration, String> {
    let ms = parse_duration_ms(text).filter(|ms| *ms > 0);
    ms.map(Duration::from_millis).ok_or_else(|| "must be a duration such as 30s or 2m".to_owned())
}
