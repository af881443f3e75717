//! From a durable record to the Kafka records that it becomes: normalize, route, envelope.
//!
//! Pure, but for what the endpoints are at the moment. Nothing here fails: what cannot be understood or placed is
//! a dead letter with its reason, and a panic on the way is one too. Knows no Kafka.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};
use uuid::Uuid;

use crate::delivery::{Auth, Record};
use crate::envelope::{self, Form, Mode, Origin, Outgoing, Payload, Verdict};
use crate::event::{Change, Event, Kind, Reason};
use crate::journal::{Position, Stored};
use crate::metrics::Metrics;
use crate::providers::endpoints::{Endpoint, Endpoints, UNKNOWN};
use crate::providers::{Carry, Rules, json, vendor};
use crate::routing::{Ids, Routes, Topics};
use crate::timestamp::Timestamp;

pub struct Settings {
    pub rules: Rules,
    pub ids: Ids,
    pub dead_letter_bodies: Carry,
    pub topics: Topics,
    pub routes: Routes,
    pub mode: Mode,
    /// Of a record's value; a larger one goes without payload, then as a dead letter.
    pub value_bytes_max: usize,
    /// A vendor's event older than this at receipt is a dead letter; `None` = off.
    pub expired_after_ms: Option<i64>,
}

pub struct Prepare {
    settings: Settings,
    endpoints: Arc<Endpoints>,
}

/// The Kafka records of a batch, and what became of each delivery.
#[derive(Default)]
pub struct Batch {
    pub records: Vec<Outgoing>,
    pub outcomes: Vec<Outcome>,
}

/// What became of one delivery; counted once it is committed.
pub struct Outcome {
    vendor: &'static str,
    topics: Vec<Arc<str>>,
    received_ms: i64,
    result: Result<Published, Reason>,
}

#[derive(Clone, Copy)]
struct Published {
    kind: Kind,
    change: Change,
    payload: Payload,
}

impl Prepare {
    pub fn new(settings: Settings, endpoints: Arc<Endpoints>) -> Prepare {
        Prepare { settings, endpoints }
    }

    /// `is_too_large` tells of records that Kafka has refused for their size.
    pub fn batch(&self, stored: &[Stored], is_too_large: impl Fn(Position) -> bool) -> Batch {
        let mut batch = Batch::default();
        for one in stored {
            // The journal's checksum held, so a newer waitbridge wrote what this one cannot take apart.
            let record = Record::decode(&one.bytes).unwrap_or_else(|| unreadable(&one.bytes));
            let origin = Origin { record: &record, received: Timestamp::clamped(one.received_ms) };
            let said = if is_too_large(one.position) { Err(Reason::TooLarge) } else { self.caught(origin) };
            batch.add(&record, one.received_ms, said.map_err(|reason| self.dead_letter(origin, reason)));
        }
        batch
    }

    fn caught(&self, origin: Origin) -> Result<(Published, Vec<Outgoing>), Reason> {
        catch_unwind(AssertUnwindSafe(|| self.event(origin))).unwrap_or(Err(Reason::NormalizeFailed))
    }

    fn event(&self, origin: Origin) -> Result<(Published, Vec<Outgoing>), Reason> {
        let endpoint = self.endpoint(origin.record).ok_or(Reason::EndpointUnknown)?;
        let body = json::prepare(origin.record.body, self.settings.rules.json_depth_max)?;
        let event = endpoint.provider.normalize(&body, origin.received, &self.settings.rules)?;
        self.not_expired(&event, origin.received)?;
        // A small body can say very much: what cannot fit is not even written.
        if envelope::bytes_min(&event) > self.settings.value_bytes_max {
            return Err(Reason::TooLarge);
        }
        for payload in [Payload::Carried, Payload::OmittedForSize] {
            let records = self.form().records(origin, &event, &Verdict::default(), payload);
            if records.iter().all(|record| self.fits(record)) {
                return Ok((Published { kind: event.kind, change: event.change, payload }, records));
            }
        }
        Err(Reason::TooLarge)
    }

    /// The mapping is the present one; a record keeps its vendor.
    fn endpoint(&self, record: &Record) -> Option<Arc<Endpoint>> {
        self.endpoints.find(record.endpoint).filter(|endpoint| endpoint.vendor == record.vendor)
    }

    fn not_expired(&self, event: &Event, received: Timestamp) -> Result<(), Reason> {
        let (Some(time), Some(after_ms)) = (event.time, self.settings.expired_after_ms) else { return Ok(()) };
        if time.ms() < received.ms() - after_ms { Err(Reason::Expired) } else { Ok(()) }
    }

    /// One that does not fit itself is too large, whatever it was before.
    fn dead_letter(&self, origin: Origin, reason: Reason) -> (Reason, Outgoing) {
        let letter = self.form().dead_letter(origin, reason, self.settings.dead_letter_bodies);
        if reason != Reason::TooLarge && self.fits(&letter) {
            return (reason, letter);
        }
        (Reason::TooLarge, self.form().dead_letter(origin, Reason::TooLarge, Carry::Off))
    }

    fn fits(&self, record: &Outgoing) -> bool {
        record.value.as_ref().is_none_or(|value| value.len() <= self.settings.value_bytes_max)
    }

    fn form(&self) -> Form<'_> {
        let Settings { topics, routes, ids, mode, .. } = &self.settings;
        Form { topics, routes, ids, mode: *mode }
    }
}

/// Bytes of no known form become a dead letter as a whole: nothing is skipped.
fn unreadable(bytes: &[u8]) -> Record<'_> {
    let (vendor, tenant, endpoint) = (UNKNOWN, UNKNOWN, UNKNOWN);
    Record { accept_id: Uuid::nil(), auth: Auth::Token, vendor, tenant, endpoint, traceparent: None, body: bytes }
}

impl Batch {
    fn add(&mut self, record: &Record, received_ms: i64, said: Result<(Published, Vec<Outgoing>), (Reason, Outgoing)>) {
        let accept_id = record.accept_id;
        let (result, records) = match said {
            Ok((published, records)) => {
                debug!(%accept_id, endpoint = record.endpoint, kind = published.kind.word(), "normalized");
                (Ok(published), records)
            }
            Err((reason, letter)) => {
                warn!(%accept_id, endpoint = record.endpoint, reason = reason.as_str(), "dead letter");
                (Err(reason), vec![letter])
            }
        };
        self.outcomes.push(Outcome {
            vendor: vendor(record.vendor).map_or(UNKNOWN, |vendor| vendor.name),
            topics: records.iter().map(|record| record.topic.clone()).collect(),
            received_ms,
            result,
        });
        self.records.extend(records);
    }
}

impl Outcome {
    pub fn count(&self, metrics: &Metrics, committed_ms: i64) {
        let latency = Duration::from_millis(u64::try_from(committed_ms - self.received_ms).unwrap_or(0));
        match self.result {
            Ok(Published { kind, change, payload }) => {
                let event_type = envelope::event_type(kind, change);
                self.topics.iter().for_each(|topic| metrics.event_published(topic, event_type, latency));
                if payload == Payload::OmittedForSize {
                    metrics.payload_omitted(self.vendor);
                }
            }
            Err(reason) => metrics.dead_letter_published(self.vendor, reason.as_str()),
        }
    }
}
