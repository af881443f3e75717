//! From a durable record to the Kafka records that it becomes: normalize, recognise, route, envelope.
//!
//! Pure, but for what the endpoints are at the moment: it reads the memory and stages what would change in it.
//! Nothing here fails: what cannot be understood or placed is a dead letter with its reason, and a panic on the way
//! is one too. Knows no Kafka.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};
use uuid::Uuid;

use super::memory::{Basis, Lesson, Memory, Recall, Staged};
use crate::delivery::{Auth, Record};
use crate::envelope::{self, Form, Mode, Origin, Outgoing, Payload};
use crate::event::{Change, Event, Kind, Reason};
use crate::journal::Stored;
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
    result: Result<Said, Reason>,
}

/// What an event came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Published(Published),
    /// It is there already.
    Repeated(Basis),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    kind: Kind,
    change: Change,
    payload: Payload,
    stale: bool,
}

/// The fate of one record: what becomes of it, and what the memory learns by it.
struct Fate {
    result: Result<Said, Reason>,
    records: Vec<Outgoing>,
    lessons: Vec<Lesson>,
}

impl Prepare {
    pub fn new(settings: Settings, endpoints: Arc<Endpoints>) -> Prepare {
        Prepare { settings, endpoints }
    }

    /// `is_too_large` tells of records that Kafka has refused for their size.
    pub fn batch(&self, stored: &[Stored], memory: &Memory, staged: &mut Staged, is_too_large: impl Fn(&Stored) -> bool) -> Batch {
        let mut batch = Batch::default();
        for one in stored {
            let record = decoded(&one.bytes);
            let fate = self.fate(one, &record, &memory.recall(staged, one), &is_too_large);
            staged.learn(one, fate.lessons);
            batch.add(&record, one.received_ms, fate.result, fate.records);
        }
        batch
    }

    /// The same decisions about what was published before: for what the memory learns by them.
    pub fn again(&self, stored: &[Stored], memory: &Memory, staged: &mut Staged) {
        for one in stored {
            let fate = self.fate(one, &decoded(&one.bytes), &memory.recall(staged, one), &|_| false);
            staged.learn(one, fate.lessons);
        }
    }

    /// The branches stand here, in the contract's order; an accept id tells of dead letters too.
    fn fate(&self, stored: &Stored, record: &Record, recall: &Recall, is_too_large: &impl Fn(&Stored) -> bool) -> Fate {
        let origin = Origin { record, received: Timestamp::clamped(stored.received_ms) };
        let said = match () {
            () if recall.knows_accept_id(record.accept_id) => Ok(Fate::repeated(Basis::AcceptId, Vec::new())),
            () if is_too_large(stored) => Err(Reason::TooLarge),
            () => self.caught(origin, recall),
        };
        let mut fate = said.unwrap_or_else(|reason| Fate::dead(self.dead_letter(origin, reason)));
        fate.lessons.extend(recall.accept_id(record.accept_id));
        fate
    }

    fn caught(&self, origin: Origin, recall: &Recall) -> Result<Fate, Reason> {
        catch_unwind(AssertUnwindSafe(|| self.event(origin, recall))).unwrap_or(Err(Reason::NormalizeFailed))
    }

    fn event(&self, origin: Origin, recall: &Recall) -> Result<Fate, Reason> {
        let endpoint = self.endpoint(origin.record).ok_or(Reason::EndpointUnknown)?;
        let body = json::prepare(origin.record.body, self.settings.rules.json_depth_max)?;
        let event = endpoint.provider.normalize(&body, origin.received, &self.settings.rules)?;
        let form = self.form();
        let traces = recall.traces(origin, &event, form.keys(origin.record));
        let (repeats, found) = (recall.repeats(&traces), recall.found(&traces));
        let in_time = self.not_expired(&event, origin.received);
        match repeats {
            Some(Basis::Id) if in_time.is_ok() => return Ok(Fate::repeated(Basis::Id, recall.again(&traces, &found))),
            Some(basis) => return Ok(Fate::repeated(basis, Vec::new())),
            None => in_time?,
        }
        // A small body can say very much: what cannot fit is not even written.
        if envelope::bytes_min(&event) > self.settings.value_bytes_max {
            return Err(Reason::TooLarge);
        }
        for payload in [Payload::Carried, Payload::OmittedForSize] {
            let records = form.records(origin, &event, &found.verdict(), payload);
            if records.iter().all(|record| self.fits(record)) {
                let said = Said::Published(Published { kind: event.kind, change: event.change, payload, stale: found.stale });
                return Ok(Fate { result: Ok(said), records, lessons: traces.lessons(&found) });
            }
        }
        Err(Reason::TooLarge)
    }

    /// Bytes of no known form have none to wait for.
    pub fn knows_endpoint(&self, stored: &Stored) -> bool {
        Record::decode(&stored.bytes).is_none_or(|record| self.endpoint(&record).is_some())
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

impl Fate {
    fn repeated(basis: Basis, lessons: Vec<Lesson>) -> Fate {
        Fate { result: Ok(Said::Repeated(basis)), records: Vec::new(), lessons }
    }

    fn dead((reason, letter): (Reason, Outgoing)) -> Fate {
        Fate { result: Err(reason), records: vec![letter], lessons: Vec::new() }
    }
}

/// The journal's checksum held, so a newer waitbridge wrote what this one cannot take apart.
fn decoded(bytes: &[u8]) -> Record<'_> {
    Record::decode(bytes).unwrap_or_else(|| unreadable(bytes))
}

/// Bytes of no known form become a dead letter as a whole: nothing is skipped.
fn unreadable(bytes: &[u8]) -> Record<'_> {
    let (vendor, tenant, endpoint) = (UNKNOWN, UNKNOWN, UNKNOWN);
    Record { accept_id: Uuid::nil(), auth: Auth::Token, vendor, tenant, endpoint, traceparent: None, body: bytes }
}

impl Batch {
    fn add(&mut self, record: &Record, received_ms: i64, result: Result<Said, Reason>, records: Vec<Outgoing>) {
        let (accept_id, endpoint) = (record.accept_id, record.endpoint);
        match result {
            Ok(Said::Published(published)) => debug!(%accept_id, endpoint, kind = published.kind.word(), "normalized"),
            Ok(Said::Repeated(basis)) => debug!(%accept_id, endpoint, basis = basis.as_str(), "repeated: not published again"),
            Err(reason) => warn!(%accept_id, endpoint, reason = reason.as_str(), "dead letter"),
        }
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
    pub fn result(&self) -> Result<Said, Reason> {
        self.result
    }

    pub fn count(&self, metrics: &Metrics, committed_ms: i64) {
        match self.result {
            Ok(Said::Published(published)) => self.count_published(published, metrics, committed_ms),
            Ok(Said::Repeated(basis)) => metrics.event_repeated(self.vendor, basis.as_str()),
            Err(reason) => metrics.dead_letter_published(self.vendor, reason.as_str()),
        }
    }

    fn count_published(&self, published: Published, metrics: &Metrics, committed_ms: i64) {
        let Published { kind, change, payload, stale } = published;
        let latency = Duration::from_millis(u64::try_from(committed_ms - self.received_ms).unwrap_or(0));
        let event_type = envelope::event_type(kind, change);
        self.topics.iter().for_each(|topic| metrics.event_published(topic, event_type, latency));
        if payload == Payload::OmittedForSize {
            metrics.payload_omitted(self.vendor);
        }
        if stale {
            metrics.event_stale(self.vendor);
        }
    }
}
