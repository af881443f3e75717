//! Tells why signatures do not match: apart from the answer, which is given meanwhile, and seldom, so that a flood of
//! forged deliveries costs nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::delivery::Head;
use crate::metrics::Metrics;
use crate::providers::Refusal;
use crate::providers::diagnosis::{Diagnosis, Evidence, diagnose};
use crate::providers::endpoints::{Endpoint, Endpoints, signings_beside};

/// Between two diagnoses of one endpoint.
const ENDPOINT_PAUSE: Duration = Duration::from_secs(10);
/// Between any two.
const PAUSE: Duration = Duration::from_secs(1);
/// The same advice is given again after this time.
const TELL_AGAIN: Duration = Duration::from_secs(3600);
const BODY_BYTES_MAX: usize = 512 << 10;

pub struct Diagnoses {
    endpoints: Arc<Endpoints>,
    metrics: Arc<Metrics>,
    pace: Mutex<Pace>,
}

impl Diagnoses {
    pub fn new(endpoints: Arc<Endpoints>, metrics: Arc<Metrics>) -> Diagnoses {
        Diagnoses { endpoints, metrics, pace: Mutex::default() }
    }

    /// Begins one, on a thread of its own, if this refusal can be told more of and it is time.
    pub fn consider(self: &Arc<Diagnoses>, endpoint: &Arc<Endpoint>, refusal: Refusal, head: &Head, body: Vec<u8>) {
        let is_signed_wrongly = matches!(refusal, Refusal::SignatureMismatch | Refusal::SignatureMalformed);
        if !is_signed_wrongly || body.len() > BODY_BYTES_MAX || self.pace().begin(&endpoint.name, Instant::now()).is_none() {
            return;
        }
        let evidence = endpoint.provider.signing().and_then(|signing| Evidence::new(signing, head, body));
        let running = Running(self.clone());
        let endpoint = endpoint.clone();
        // Without a thread there is no diagnosis; the refusal stands.
        let _ = std::thread::Builder::new().name("diagnosis".to_owned()).spawn(move || {
            if let Some(evidence) = evidence {
                running.0.run(&endpoint, &evidence);
            }
        });
    }

    fn run(&self, endpoint: &Endpoint, evidence: &Evidence) {
        let Some(signing) = endpoint.provider.signing() else { return };
        let all = self.endpoints.all();
        let Diagnosis { cause, advice } = diagnose(signing, &signings_beside(&all, &endpoint.name), evidence);
        self.metrics.signature_diagnosed(&endpoint.name, cause.as_str());
        let mut pace = self.pace();
        pace.keep(|name| all.contains_key(name));
        if pace.is_news(&endpoint.name, &advice, Instant::now()) {
            warn!(endpoint = endpoint.name, cause = cause.as_str(), advice, "a signature does not match");
        }
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One at a time.
struct Running(Arc<Diagnoses>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.pace().running = false;
    }
}

/// What was done last, and when.
#[derive(Default)]
struct Pace {
    running: bool,
    begun: Option<Instant>,
    endpoints: BTreeMap<String, Last>,
}

struct Last {
    begun: Instant,
    advice: String,
    told: Option<Instant>,
}

impl Pace {
    /// `None`: it is not time yet.
    fn begin(&mut self, endpoint: &str, now: Instant) -> Option<()> {
        let is_due = |last: Option<Instant>, pause| last.is_none_or(|last| now.duration_since(last) >= pause);
        let last = self.endpoints.get(endpoint).map(|last| last.begun);
        if self.running || !is_due(self.begun, PAUSE) || !is_due(last, ENDPOINT_PAUSE) {
            return None;
        }
        (self.running, self.begun) = (true, Some(now));
        self.endpoints.entry(endpoint.to_owned()).or_insert(Last { begun: now, advice: String::new(), told: None }).begun = now;
        Some(())
    }

    fn is_news(&mut self, endpoint: &str, advice: &str, now: Instant) -> bool {
        let Some(last) = self.endpoints.get_mut(endpoint) else { return true };
        let is_told = last.advice == advice && last.told.is_some_and(|told| now.duration_since(told) < TELL_AGAIN);
        if !is_told {
            (last.advice, last.told) = (advice.to_owned(), Some(now));
        }
        !is_told
    }

    /// Endpoints come and go.
    fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.endpoints.retain(|name, _| is_there(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_one_diagnosis_in_ten_seconds_and_one_a_second_in_all() {
        let mut pace = Pace::default();
        let start = Instant::now();
        for (after_ms, endpoint, may) in [
            (0, "a", true),
            (0, "a", false),
            (500, "b", false),
            (1000, "b", true),
            (9999, "a", false),
            (10_000, "a", true),
            (11_000, "b", true),
        ] {
            assert_eq!(pace.begin(endpoint, start + Duration::from_millis(after_ms)).is_some(), may, "{endpoint} at {after_ms}");
            pace.running = false;
        }
        pace.begin("c", start + Duration::from_secs(100)).unwrap();
        assert!(pace.begin("d", start + Duration::from_secs(200)).is_none(), "one is still running");
    }

    #[test]
    fn the_same_advice_is_told_once_an_hour_and_another_at_once() {
        let mut pace = Pace::default();
        let start = Instant::now();
        pace.begin("a", start);
        for (after, advice, is_news) in
            [(0, "x", true), (10, "x", false), (20, "y", true), (30, "x", true), (3630, "x", true), (3640, "x", false)]
        {
            assert_eq!(pace.is_news("a", advice, start + Duration::from_secs(after)), is_news, "{advice} after {after}");
        }
        pace.keep(|_| false);
        assert!(pace.endpoints.is_empty());
    }
}
