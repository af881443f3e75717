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
use super::replay::{Lens, Subject};
use crate::delivery::{Auth, Record};
use crate::envelope::{self, Form, Mode, Origin, Outgoing, Payload, Verdict};
use crate::event::{Change, Event, Kind, Reason};
use crate::journal::Stored;
use crate::metrics::Metrics;
use crate::providers::endpoints::{Endpoint, Endpoints, UNKNOWN};
use crate::providers::{Carry, PayloadRule, Rules, json, vendor};
use crate::routing::{Ids, Routes, Topics};
use crate::timestamp::Timestamp;

#[derive(Clone)]
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
    /// Lets nothing through that only a reader of the topics needs.
    bare: Rules,
    endpoints: Arc<Endpoints>,
    /// What a replay does otherwise.
    replay: Option<Arc<Lens>>,
}

/// What a record is decided for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Publish,
    /// It is published already, and nothing has to be written.
    Remember,
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
    /// A replay does not publish it.
    LeftOut(LeftOut),
}

/// Why a replay leaves a delivery out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// Nobody asked for it.
    Unwanted,
    /// What it is about was erased after it.
    Erased,
    /// A dead letter without a body.
    NoBody,
    /// It would be a dead letter again.
    Dead(Reason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    kind: Kind,
    change: Change,
    payload: Payload,
    pub(super) stale: bool,
}

/// The fate of one record: what becomes of it, and what the memory learns by it.
struct Fate {
    result: Result<Said, Reason>,
    records: Vec<Outgoing>,
    lessons: Vec<Lesson>,
}

impl Prepare {
    pub fn new(settings: Settings, endpoints: Arc<Endpoints>) -> Prepare {
        let bare = Rules { payload: PayloadRule::None, notes: Carry::Off, message_bodies: Carry::Off, ..settings.rules };
        Prepare { settings, bare, endpoints, replay: None }
    }

    /// For a replay: what was too old when it came is wanted now.
    pub fn through(self, lens: Arc<Lens>) -> Prepare {
        Prepare { settings: Settings { expired_after_ms: None, ..self.settings }, replay: Some(lens), ..self }
    }

    /// `is_too_large` tells of records that Kafka has refused for their size.
    pub fn batch(&self, stored: &[Stored], memory: &Memory, staged: &mut Staged, is_too_large: impl Fn(&Stored) -> bool) -> Batch {
        self.batch_behind(stored, memory, &Staged::default(), staged, is_too_large)
    }

    /// The same behind a batch that is on its way: `before` is what that one would change in the memory.
    pub fn batch_behind(
        &self,
        stored: &[Stored],
        memory: &Memory,
        before: &Staged,
        staged: &mut Staged,
        is_too_large: impl Fn(&Stored) -> bool,
    ) -> Batch {
        let mut batch = Batch::default();
        for one in stored {
            let record = decoded(&one.bytes);
            let fate = self.fate(one, &record, &memory.recall([staged, before], one), Purpose::Publish, &is_too_large);
            staged.learn(one, fate.lessons);
            batch.add(&record, one.received_ms, fate.result, fate.records);
        }
        batch
    }

    /// This is in a transaction now: a replay counts it once that is committed.
    pub fn publishes(&self, stored: &[Stored], batch: &Batch) {
        if let Some(lens) = &self.replay {
            lens.publishes(stored, batch);
        }
    }

    /// The same decisions about what was published before: for what the memory learns by them.
    pub fn again(&self, stored: &[Stored], memory: &mut Memory) {
        let nothing = Staged::default();
        for one in stored {
            let record = decoded(&one.bytes);
            let fate = self.fate(one, &record, &memory.recall([&nothing; 2], one), self.again_for(&record), &|_| false);
            memory.learn(one, fate.lessons);
        }
    }

    /// What a delivery erases, if it can be understood.
    pub(super) fn erases(&self, stored: &Stored) -> Option<Subject> {
        let record = decoded(&stored.bytes);
        let origin = Origin { record: &record, received: Timestamp::clamped(stored.received_ms) };
        let erased = || self.understood(origin, Purpose::Remember, |event| Ok(Subject::erased_by(&record, event)));
        catch_unwind(AssertUnwindSafe(erased)).ok()?.ok()?
    }

    /// Only of a long body is it not known that the event fits: then it is written again, to see.
    fn again_for(&self, record: &Record) -> Purpose {
        if envelope::bytes_max(record.body.len()) <= self.settings.value_bytes_max { Purpose::Remember } else { Purpose::Publish }
    }

    /// The branches stand here, in the contract's order; an accept id tells of dead letters too.
    fn fate(&self, stored: &Stored, record: &Record, recall: &Recall, purpose: Purpose, is_too_large: &impl Fn(&Stored) -> bool) -> Fate {
        let origin = Origin { record, received: Timestamp::clamped(stored.received_ms) };
        let accept_id = recall.accept_id(record.accept_id);
        let said = match () {
            () if accept_id.as_ref().is_some_and(|lesson| recall.knows(lesson)) => Ok(Fate::repeated(Basis::AcceptId, Vec::new())),
            () if is_too_large(stored) => Err(Reason::TooLarge),
            () => self.caught(origin, recall, purpose),
        };
        let mut fate = said.unwrap_or_else(|reason| self.dead(origin, reason));
        fate.lessons.extend(accept_id);
        match self.replay.as_ref().and_then(|lens| lens.passes_over(stored, record)) {
            Some(why) => Fate::left_out(why, fate.lessons),
            None => fate,
        }
    }

    /// A replay makes no dead letters: they are there already.
    fn dead(&self, origin: Origin, reason: Reason) -> Fate {
        match &self.replay {
            None => Fate::dead(self.dead_letter(origin, reason)),
            Some(_) => Fate::left_out(LeftOut::Dead(reason), Vec::new()),
        }
    }

    fn caught(&self, origin: Origin, recall: &Recall, purpose: Purpose) -> Result<Fate, Reason> {
        let event = || self.understood(origin, purpose, |event| self.event(origin, event, recall, purpose));
        catch_unwind(AssertUnwindSafe(event)).unwrap_or(Err(Reason::NormalizeFailed))
    }

    fn understood<T>(&self, origin: Origin, purpose: Purpose, tell: impl FnOnce(&Event) -> Result<T, Reason>) -> Result<T, Reason> {
        let endpoint = self.endpoint(origin.record).ok_or(Reason::EndpointUnknown)?;
        let body = json::prepare(origin.record.body, self.settings.rules.json_depth_max)?;
        tell(&endpoint.provider.normalize(&body, origin.received, self.rules(purpose))?)
    }

    fn event(&self, origin: Origin, event: &Event, recall: &Recall, purpose: Purpose) -> Result<Fate, Reason> {
        let form = self.form();
        let keys = form.keys(origin.record);
        let traces = recall.traces(origin, event, keys);
        let (repeats, found) = (recall.repeats(&traces), recall.found(&traces));
        let in_time = self.not_expired(event, origin.received);
        match repeats {
            Some(Basis::Id) if in_time.is_ok() => return Ok(Fate::repeated(Basis::Id, recall.again(&traces, &found))),
            Some(basis) => return Ok(Fate::repeated(basis, Vec::new())),
            None => in_time?,
        }
        let later = self.replay.as_ref().map(|lens| lens.found(origin, event, keys, &found));
        let known = later.as_ref().unwrap_or(&found);
        if self.replay.as_ref().is_some_and(|lens| lens.is_erased(origin, event, known)) {
            return Ok(Fate::left_out(LeftOut::Erased, traces.lessons(&found)));
        }
        let verdict = Verdict { replayed: self.replay.is_some(), ..known.verdict() };
        // A small body can say very much: what cannot fit is not even written.
        if envelope::bytes_min(event) > self.settings.value_bytes_max {
            return Err(Reason::TooLarge);
        }
        for payload in [Payload::Carried, Payload::OmittedForSize] {
            let records = match purpose {
                Purpose::Publish => form.records(origin, event, &verdict, payload),
                Purpose::Remember => Vec::new(),
            };
            if records.iter().all(|record| self.fits(record)) {
                let said = Said::Published(Published { kind: event.kind, change: event.change, payload, stale: known.stale });
                return Ok(Fate { result: Ok(said), records, lessons: traces.lessons(&found) });
            }
        }
        Err(Reason::TooLarge)
    }

    /// Bytes of no known form have none to wait for.
    pub fn knows_endpoint(&self, stored: &Stored) -> bool {
        Record::decode(&stored.bytes).is_none_or(|record| self.endpoint(&record).is_some())
    }

    fn rules(&self, purpose: Purpose) -> &Rules {
        match purpose {
            Purpose::Publish => &self.settings.rules,
            Purpose::Remember => &self.bare,
        }
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

    fn left_out(why: LeftOut, lessons: Vec<Lesson>) -> Fate {
        Fate { result: Ok(Said::LeftOut(why)), records: Vec::new(), lessons }
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
            Ok(Said::LeftOut(why)) => debug!(%accept_id, endpoint, ?why, "not replayed"),
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
            Ok(Said::LeftOut(_)) => {}
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
