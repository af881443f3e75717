//! The body of `/status`: what a person or a script wants to know of a running service, in one object. No personal value.
//!
//! Counts are since the start of the process, read from the metrics: nothing is counted twice.

use std::collections::BTreeMap;

use serde::Serialize;

use super::admin::{Probe, Readiness};
use crate::metrics::Figures;
use crate::providers::Pending;
use crate::providers::endpoints::Endpoint;
use crate::relay::status::Activity;
use crate::timestamp::Timestamp;

const ACCEPTED: &str = "accepted";

#[derive(Serialize)]
pub struct Body {
    version: &'static str,
    revision: &'static str,
    started: Timestamp,
    uptime_seconds: u64,
    ready: bool,
    /// Why not, in one word.
    unready: Option<&'static str>,
    draining: bool,
    kafka: Activity,
    journal: Journal,
    events: Events,
    endpoints: Vec<EndpointBody>,
}

#[derive(Serialize)]
struct Journal {
    /// `writable`, or why not.
    state: &'static str,
    kind: &'static str,
    id: String,
    undelivered_records: u64,
    undelivered_bytes: u64,
    oldest_undelivered_age_seconds: f64,
    bytes: u64,
    bytes_max: u64,
    window_coverage_seconds: f64,
    damaged_records: u64,
}

#[derive(Serialize)]
struct Events {
    published: u64,
    repeated: u64,
    stale: u64,
    dead_lettered: u64,
    dead_letters_by_reason: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct EndpointBody {
    name: String,
    vendor: &'static str,
    tenant: String,
    pending: bool,
    last_accepted: Option<Timestamp>,
    last_rejected: Option<Timestamp>,
    /// First refusal that carried a signature or credentials since the last acceptance.
    failing_since: Option<Timestamp>,
    accepted: u64,
    refused: BTreeMap<String, u64>,
    /// Those that have verified a delivery: index, and when last.
    secrets: BTreeMap<String, Timestamp>,
}

impl Body {
    pub fn of(probe: &Probe, readiness: Readiness) -> Body {
        let figures = probe.metrics.figures();
        let count = |name: &str| figures.sum(name, &[]) as u64;
        Body {
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("WAITBRIDGE_REVISION").unwrap_or("unknown"),
            started: Timestamp::clamped(probe.started_ms),
            uptime_seconds: probe.uptime().as_secs(),
            ready: readiness.ready,
            unready: readiness.unready,
            draining: readiness.draining,
            kafka: readiness.kafka,
            journal: Journal {
                state: readiness.journal,
                kind: probe.journal.kind(),
                id: probe.journal_id.clone(),
                undelivered_records: count("journal_undelivered_records"),
                undelivered_bytes: count("journal_undelivered_bytes"),
                oldest_undelivered_age_seconds: figures.oldest_undelivered_age_seconds,
                bytes: count("journal_bytes"),
                bytes_max: count("journal_bytes_max"),
                window_coverage_seconds: figures.sum("window_coverage_seconds", &[]),
                damaged_records: count("journal_damaged_records_total"),
            },
            events: Events {
                published: count("events_published_total"),
                repeated: count("events_repeated_total"),
                stale: count("events_stale_total"),
                dead_lettered: count("dead_letters_total"),
                dead_letters_by_reason: whole(figures.by("dead_letters_total", &[], "reason")),
            },
            endpoints: probe.endpoints.all().values().map(|endpoint| EndpointBody::of(endpoint, &figures)).collect(),
        }
    }
}

impl EndpointBody {
    fn of(endpoint: &Endpoint, figures: &Figures) -> EndpointBody {
        let mine = [("endpoint", endpoint.name.as_str())];
        let moment = |name: &str| figures.moment_ms(name, &mine).map(Timestamp::clamped);
        let mut outcomes = whole(figures.by("deliveries_total", &mine, "outcome"));
        let last_used = figures.by("endpoint_secret_last_used_timestamp_seconds", &mine, "secret");
        EndpointBody {
            name: endpoint.name.clone(),
            vendor: endpoint.vendor,
            tenant: endpoint.tenant.clone(),
            pending: endpoint.pending == Pending::Yes,
            last_accepted: moment("endpoint_last_accepted_timestamp_seconds"),
            last_rejected: moment("endpoint_last_rejected_timestamp_seconds"),
            failing_since: moment("endpoint_failing_since_timestamp_seconds"),
            accepted: outcomes.remove(ACCEPTED).unwrap_or(0),
            refused: outcomes,
            secrets: last_used.into_iter().map(|(index, at)| (index, Timestamp::clamped((at * 1000.0) as i64))).collect(),
        }
    }
}

fn whole(all: BTreeMap<String, f64>) -> BTreeMap<String, u64> {
    all.into_iter().map(|(name, count)| (name, count as u64)).collect()
}
