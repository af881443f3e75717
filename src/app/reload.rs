//! New endpoints and secrets, a new certificate, new properties for Kafka's clients, while the process runs: on SIGHUP, and when what
//! was read has changed on the disk.
//!
//! On a thread of its own, which nobody waits for: a file system may hang. Requests in flight finish with the endpoint
//! that they began with.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use anyhow::Result;
use tracing::{error, info, warn};

use crate::kafka::properties::Properties;
use crate::metrics::Metrics;
use crate::providers::endpoints::Endpoints;
use crate::server::tls::{Identity, Tls};
use crate::settings::Invalid;
use crate::settings::watch::{Again, Changes, Look, Watch};
use crate::table::Mistake;

const POLL: Duration = Duration::from_secs(10);
/// What is still written to after this time is left for the next look.
const SETTLE: Duration = Duration::from_millis(500);

/// Asks for a reload at once. The reloading ends when the last bell is gone.
#[derive(Clone)]
pub struct Bell(SyncSender<Ring>);

/// Where to tell what came of it, if somebody wants to know.
type Ring = Option<Sender<Reloaded>>;

/// Rings that wait.
const RINGS_MAX: usize = 8;

/// What came of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    Taken(Changes),
    /// Every mistake; the old settings stay in force.
    Refused(Vec<String>),
    NoFile,
}

impl Bell {
    pub fn ring(&self) {
        // Those that wait already will see everything.
        let _ = self.0.try_send(None);
    }

    /// Rings, and waits for what comes of it.
    pub fn ask(&self, within: Duration) -> Option<Reloaded> {
        let (tell, told) = channel();
        self.0.try_send(Some(tell)).ok()?;
        told.recv_timeout(within).ok()
    }
}

/// What is in force, and may be replaced.
pub struct Renewed {
    pub endpoints: Arc<Endpoints>,
    pub tls: Option<Arc<Tls>>,
    pub properties: Properties,
}

pub struct Reload {
    watch: Watch,
    renewed: Renewed,
    metrics: Arc<Metrics>,
}

/// `watch` is `None` for settings that came from no file: then a reload only says so.
pub fn start(watch: Option<Watch>, renewed: Renewed, metrics: Arc<Metrics>) -> Result<Bell> {
    let (bell, rung) = sync_channel(RINGS_MAX);
    metrics.config_loaded();
    let work = move || match watch {
        Some(watch) => Reload { watch, renewed, metrics }.run(&rung),
        None => rung.iter().for_each(|ring| {
            warn!("these settings come from no file: there is nothing to reload");
            answer(ring, Reloaded::NoFile);
        }),
    };
    std::thread::Builder::new().name("reload".to_owned()).spawn(work)?;
    Ok(Bell(bell))
}

/// What the settings allow, and should not say.
pub fn warn_of(cautions: &[Mistake]) {
    for caution in cautions {
        warn!(file = caution.origin, key = caution.key, advice = caution.wanted, "the settings are not wise here");
    }
}

/// Tells of the certificate that new connections are shown from now on.
pub fn told(certificate: Identity, metrics: &Metrics) -> Identity {
    match certificate.expires {
        Some(expires) => {
            metrics.certificate_expires(expires.ms());
            info!(expires = expires.shown().as_str(), "this certificate is shown from now on");
        }
        None => warn!("a certificate is shown from now on that does not say when it expires"),
    }
    certificate
}

fn answer(ring: Ring, reloaded: Reloaded) {
    // Who asked may have left.
    ring.into_iter().for_each(|tell| drop(tell.send(reloaded.clone())));
}

impl Reload {
    fn run(mut self, rung: &Receiver<Ring>) {
        loop {
            match rung.recv_timeout(POLL) {
                Ok(ring) => answer(ring, self.reload()),
                Err(RecvTimeoutError::Timeout) if self.watch.look(|| std::thread::sleep(SETTLE)) == Look::Changed => drop(self.reload()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // Again after each look: a request in flight may have brought back a series of an endpoint that is gone.
            self.metrics.keep_endpoints(&self.renewed.endpoints.all().keys().map(String::as_str).collect());
        }
    }

    fn reload(&mut self) -> Reloaded {
        match self.watch.read_again() {
            Ok(again) => Reloaded::Taken(self.take(again)),
            Err(invalid) => {
                self.refuse(&invalid);
                Reloaded::Refused(invalid.0.iter().map(Mistake::to_string).collect())
            }
        }
    }

    fn take(&self, Again { endpoints, tls, properties, cautions, changes }: Again) -> Changes {
        endpoints.iter().for_each(|endpoint| self.metrics.endpoint_known(&endpoint.name, endpoint.vendor));
        self.renewed.endpoints.replace(endpoints);
        self.metrics.config_loaded();
        warn_of(&cautions);
        if let (Some(certificate), Some(tls), false) = (tls, &self.renewed.tls, changes.certificate.is_empty()) {
            tls.replace(told(certificate, &self.metrics));
        }
        let list = |names: &[String]| names.join(", ");
        let (added, removed, changed) = (list(&changes.added), list(&changes.removed), list(&changes.changed));
        info!(added, removed, changed, "the settings are read again: these endpoints are new, gone or changed");
        if !changes.properties.is_empty() {
            info!(keys = list(&changes.properties), "these properties have changed: kafka's clients are made anew");
            self.renewed.properties.replace(properties);
        }
        if !changes.waiting.is_empty() {
            warn!(keys = list(&changes.waiting), "these keys of the settings have changed and wait for a restart");
        }
        changes
    }

    fn refuse(&self, invalid: &Invalid) {
        self.metrics.config_refused();
        for mistake in &invalid.0 {
            error!(file = mistake.origin, key = mistake.key, wanted = mistake.wanted, "a mistake in the settings");
        }
        error!(file = %self.watch.file().display(), mistakes = invalid.0.len(), "the settings cannot be used; the old ones stay in force");
    }
}
