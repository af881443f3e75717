//! The relay against a model Kafka whose every call may fail in every way, by a seed: whatever happens, each record
//! is there once, in order, or is a dead letter.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::status::{Activity, Status};
use super::{Clock, Ended, Limits, Relay, memory, trial};
use crate::delivery::{Auth, Record};
use crate::envelope::Outgoing;
use crate::event::{Change, Event, Kind, Reason};
use crate::journal::{Assignment, Checkpoint, Past, Position, ReadError, ReadLimit, Source, Stored};
use crate::kafka::{Broker, Cause, Class, Fault};
use crate::metrics::Metrics;
use crate::shutdown::Stop;

mod partitions;

const OWNER: &str = "our boot";
const RECORDS: u64 = 40;

#[test]
fn every_call_may_fail_in_every_way_and_each_record_is_there_once_and_in_order() {
    for seed in 1..=400 {
        let kafka = run(Model { chance: Chance(seed), trouble: 8, ..Model::default() }, &plain_bodies());
        assert_eq!(kafka.ended, Some(Ended::Stopped), "seed {seed}");
        assert_eq!(bodies(&kafka.model.log), plain_bodies(), "seed {seed}");
        assert_eq!(kafka.model.checkpoint.map(|checkpoint| checkpoint.next), Some(RECORDS), "seed {seed}");
    }
}

#[test]
fn a_transaction_that_aborts_once_each_time_loses_and_doubles_nothing() {
    let kafka = run(Model { abort_each_once: true, ..Model::default() }, &plain_bodies());
    assert_eq!(bodies(&kafka.model.log), plain_bodies());
    assert!(kafka.model.aborts >= 1);
}

/// Some come twice, and some lives end in between: what the one has published the next one knows.
#[test]
fn what_comes_again_is_published_once_whatever_fails_and_over_lives() {
    for seed in 1..=200 {
        let mut chance = Chance(seed);
        let twice: Vec<String> = plain_bodies().into_iter().flat_map(|body| [body.clone(), body]).collect();
        let cut = chance.below(twice.len() as u64) as usize;
        let first = run(Model { chance: Chance(seed), trouble: 8, ..Model::default() }, &twice[..cut]).model;
        assert_eq!(first.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.next), cut as u64, "seed {seed}");
        let second = Model { chance: Chance(seed + 1000), trouble: 8, log: first.log, checkpoint: first.checkpoint, ..Model::default() };
        let kafka = run(second, &twice);
        assert_eq!(kafka.ended, Some(Ended::Stopped), "seed {seed}");
        assert_eq!(bodies(&kafka.model.log), plain_bodies(), "seed {seed}, cut at {cut}");
    }
}

#[test]
fn a_batch_of_nothing_but_repeats_moves_the_checkpoint_all_the_same() {
    let same = vec!["same".to_owned(); RECORDS as usize];
    let kafka = run(Model { abort_each_once: true, ..Model::default() }, &same);
    assert_eq!(bodies(&kafka.model.log), ["same"]);
    assert_eq!(kafka.model.checkpoint.map(|checkpoint| checkpoint.next), Some(RECORDS));
}

#[test]
fn one_record_too_large_for_its_topic_becomes_a_dead_letter_and_the_others_go_on() {
    let mut all = plain_bodies();
    all[17] = "huge 17".to_owned();
    let kafka = run(Model::default(), &all);
    let (letters, events): (Vec<_>, Vec<_>) = kafka.model.log.iter().partition(|record| &*record.topic == "dead");
    assert_eq!(events.len() as u64, RECORDS - 1);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].headers[0], ("wb_reason", "too_large".into()));
    assert_eq!(letters[0].value, None);
}

#[test]
fn what_panics_or_cannot_be_understood_is_a_dead_letter_and_the_others_go_on() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut all = plain_bodies();
    all[3] = "panic".to_owned();
    all[5] = "\"unknown\"".to_owned();
    let kafka = run(Model::default(), &all);
    let reasons: Vec<&str> = kafka.model.log.iter().filter(|record| &*record.topic == "dead").map(|record| &*record.headers[0].1).collect();
    assert_eq!(reasons, ["normalize_failed", "unknown_type"]);
    assert_eq!(kafka.model.log.len() as u64, RECORDS);
}

#[test]
fn a_predecessors_checkpoint_is_taken_over_and_its_open_transaction_is_never_seen() {
    let before = Checkpoint { metadata: "its boot".to_owned(), ..checkpoint(7) };
    let kafka = run(Model { checkpoint: Some(before), ..Model::default() }, &plain_bodies());
    assert_eq!(bodies(&kafka.model.log), plain_bodies()[7..]);
}

#[test]
fn a_foreign_owner_after_our_claim_ends_the_relay_and_marks_the_journal() {
    let kafka = run(Model { stolen_at: Some(2), ..Model::default() }, &plain_bodies());
    assert_eq!(kafka.ended, Some(Ended::Disowned));
    assert!(kafka.disowned);
    assert_eq!(kafka.status, Activity::Disowned);
}

#[test]
fn a_coordinator_that_timed_us_out_looks_like_a_thief_and_is_none() {
    let kafka = run(Model { fenced_at: Some(2), ..Model::default() }, &plain_bodies());
    assert_eq!(kafka.ended, Some(Ended::Stopped));
    assert_eq!(bodies(&kafka.model.log), plain_bodies());
}

fn plain_bodies() -> Vec<String> {
    (0..RECORDS).map(|number| format!("{number}")).collect()
}

/// The bodies of the events in the log, by what the test's provider makes of them.
fn bodies(log: &[Outgoing]) -> Vec<String> {
    log.iter().map(|record| record.key.rsplit('/').next().unwrap().to_owned()).collect()
}

struct Outcome {
    ended: Option<Ended>,
    model: Model,
    disowned: bool,
    status: Activity,
}

fn run(model: Model, bodies: &[String]) -> Outcome {
    let kafka = Arc::new(Mutex::new(model));
    let stop = Arc::new(Stop::default());
    let disowned = Arc::new(Mutex::new(false));
    let status = Arc::new(Status::default());
    let source = Stack {
        assigned: Some(Assignment::Assigned(0)),
        records: bodies.iter().map(|body| record(body)).collect(),
        next: 0,
        stop: stop.clone(),
        disowned: disowned.clone(),
    };
    let clock = Box::new(Virtual(Mutex::new(0)));
    let prepare = trial::prepare(&["e"], "waitwhile", "t", normalize);
    let metrics = Arc::new(Metrics::new());
    let relay = Relay::new(source, kafka.clone(), prepare, limits(), clock, stop, status.clone(), metrics);
    let ended = Some(relay.run());
    let model = std::mem::take(&mut *kafka.lock().unwrap());
    let disowned = *disowned.lock().unwrap();
    Outcome { ended, model, disowned, status: status.now() }
}

fn limits() -> Limits {
    Limits {
        batch_max: 7,
        batch_wait: Duration::ZERO,
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(8),
        endpoint_unknown_wait_ms: 0,
        memory: memory::Limits { window_ms: 60_000, endpoint_repeat_ms: 60_000, body_repeat_ms: 60_000, entries_max: 1000 },
    }
}

fn record(body: &str) -> Vec<u8> {
    let (vendor, tenant, endpoint) = ("waitwhile", "t", "e");
    Record { accept_id: Uuid::now_v7(), auth: Auth::Hmac, vendor, tenant, endpoint, traceparent: None, body: body.as_bytes() }.encode()
}

/// Takes any body for the id of a person, but for what the tests want to go wrong.
fn normalize(body: &str) -> Result<Event<'_>, Reason> {
    match body {
        "panic" => panic!("as a poison record would"),
        "\"unknown\"" => Err(Reason::UnknownType),
        _ => Ok(Event::new(Kind::Person, Change::Updated, "plain", body.into(), "{}")),
    }
}

/// A journal in memory that asks for the stop when all of it was read, and nothing of it is in hand.
struct Stack {
    assigned: Option<Assignment>,
    records: Vec<Vec<u8>>,
    next: u64,
    stop: Arc<Stop>,
    disowned: Arc<Mutex<bool>>,
}

impl Stack {
    fn stored(&self, offset: u64) -> Stored {
        Stored { position: Position { partition: 0, offset }, received_ms: 1, bytes: self.records[offset as usize].clone() }
    }
}

impl Source for Stack {
    fn assignments(&mut self) -> Vec<Assignment> {
        self.assigned.take().into_iter().collect()
    }

    fn owner(&self) -> Option<&str> {
        Some(OWNER)
    }

    fn checkpoint_at(&self, partition: i32) -> (String, i32) {
        ("checkpoint".to_owned(), partition)
    }

    fn resume(&mut self, partition: i32, checkpoint: Option<&Checkpoint>) -> Result<Position, ReadError> {
        self.next = checkpoint.map_or(0, |checkpoint| checkpoint.next);
        Ok(Position { partition, offset: self.next })
    }

    fn go_on_at(&mut self, position: Position) -> Result<(), ReadError> {
        assert_eq!(position.offset, self.next);
        Ok(())
    }

    fn rest(&mut self, _partition: i32) {}

    /// Nothing more to read: all before it is committed, or it would not be asked.
    fn read(&mut self, limit: ReadLimit, wait: Duration, out: &mut Vec<Stored>) -> Result<(), ReadError> {
        if self.next == self.records.len() as u64 && !wait.is_zero() {
            self.stop.request(Instant::now() + Duration::from_secs(3600));
        }
        let until = (self.next + limit.records_max as u64).min(self.records.len() as u64);
        out.extend((self.next..until).map(|offset| self.stored(offset)));
        self.next = until;
        Ok(())
    }

    fn review(&mut self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError> {
        for offset in past.from..past.until.offset {
            if tell(&[self.stored(offset)]).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn checkpoint(&self, next: Position) -> Checkpoint {
        checkpoint(next.offset)
    }

    fn advance(&mut self, _next: Position, _cluster_id: &str) {}

    fn disown(&mut self, _winner: &str) {
        *self.disowned.lock().unwrap() = true;
    }
}

fn checkpoint(next: u64) -> Checkpoint {
    Checkpoint { topic: "checkpoint".to_owned(), partition: 0, next, metadata: OWNER.to_owned() }
}

pub(super) struct Virtual(pub(super) Mutex<i64>);

impl Clock for Virtual {
    fn now_ms(&self) -> i64 {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        *self.0.lock().unwrap() += time.as_millis() as i64;
    }
}

/// SplitMix64.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub fn pick(&mut self, all: &[&'static str]) -> &'static str {
        all[self.below(all.len() as u64) as usize]
    }
}

impl Default for Chance {
    fn default() -> Chance {
        Chance(1)
    }
}

/// One partition for everything, and one transactional id.
#[derive(Default)]
pub(super) struct Model {
    chance: Chance,
    /// One call in this many fails; 0: none does.
    trouble: u64,
    abort_each_once: bool,
    stolen_at: Option<u64>,
    fenced_at: Option<u64>,
    pub(super) log: Vec<Outgoing>,
    open: Option<Vec<Outgoing>>,
    /// What became of its records; told to who waits for it.
    failed: Option<Fault>,
    pending: Option<Checkpoint>,
    pub(super) checkpoint: Option<Checkpoint>,
    /// The producer is of no more use until it is built anew; fenced if its epoch is over.
    broken: Option<Class>,
    /// The commit happened, its answer was lost: asked again, it says so.
    answered_late: bool,
    commits: u64,
    /// Asks for the end after so many commits.
    pub(super) stop_after: Option<(u64, Arc<Stop>)>,
    aborts: u64,
    aborted: BTreeSet<u64>,
}

impl Model {
    pub(super) fn troubled(seed: u64) -> Model {
        Model { chance: Chance(seed), trouble: 8, ..Model::default() }
    }

    fn fault(class: Class) -> Fault {
        Fault { class, cause: Cause::Other, topic: None, detail: "by the model".to_owned() }
    }

    fn alive(&self) -> Result<(), Fault> {
        self.broken.map_or(Ok(()), |class| Err(Model::fault(class)))
    }

    /// Now and then a call fails in one of the given ways.
    fn lucky(&mut self, ways: &[Class]) -> Result<(), Fault> {
        if self.trouble == 0 || self.chance.below(self.trouble) > 0 {
            return Ok(());
        }
        let class = ways[self.chance.below(ways.len() as u64) as usize];
        if matches!(class, Class::Fatal | Class::Fenced) {
            self.broken = Some(class);
        }
        Err(Model::fault(class))
    }

    fn apply(&mut self) {
        self.log.extend(self.open.take().unwrap_or_default());
        self.checkpoint = self.pending.take().or(self.checkpoint.take());
        self.commits += 1;
        if let Some((_, stop)) = self.stop_after.as_ref().filter(|(commits, _)| self.commits >= *commits) {
            stop.request(Instant::now() + Duration::from_secs(3600));
        }
    }

    fn publish(&mut self, records: &[Outgoing]) -> Result<(), Fault> {
        self.steal()?;
        let commits = self.commits;
        if self.abort_each_once && !records.is_empty() && self.aborted.insert(commits) {
            return Err(Model::fault(Class::Abortable));
        }
        for record in records {
            if record.key.contains("huge") && &*record.topic == "person" {
                return Err(Fault { cause: Cause::TooLarge, ..Model::fault(Class::Abortable) });
            }
            self.lucky(&[Class::Abortable, Class::Fenced, Class::Fatal])?;
            self.open.as_mut().expect("begun").push(record.clone());
        }
        Ok(())
    }

    fn steal(&mut self) -> Result<(), Fault> {
        let at = Some(self.commits);
        if self.stolen_at == at || self.fenced_at == at {
            if self.stolen_at == at {
                self.checkpoint = Some(Checkpoint { metadata: "another boot".to_owned(), ..checkpoint(1) });
            }
            (self.stolen_at, self.fenced_at) = (None, None);
            self.broken = Some(Class::Fenced);
        }
        self.alive()
    }
}

const ANY: &[Class] = &[Class::Retriable, Class::Abortable, Class::Fenced, Class::Fatal];

impl Broker for Arc<Mutex<Model>> {
    fn build(&mut self) -> Result<(), Fault> {
        let mut model = self.lock().unwrap();
        model.lucky(&[Class::Retriable])?;
        model.broken = None;
        model.answered_late = false;
        Ok(())
    }

    fn init(&mut self) -> Result<(), Fault> {
        let mut model = self.lock().unwrap();
        model.lucky(&[Class::Retriable, Class::Fatal])?;
        (model.open, model.pending) = (None, None);
        Ok(())
    }

    fn cluster_id(&mut self) -> Option<String> {
        Some("model".to_owned())
    }

    fn committed(&mut self, _topic: &str, _partition: i32) -> Result<Option<Checkpoint>, Fault> {
        let mut model = self.lock().unwrap();
        model.lucky(&[Class::Retriable])?;
        Ok(model.checkpoint.clone())
    }

    fn begin(&mut self) -> Result<(), Fault> {
        let mut model = self.lock().unwrap();
        model.alive()?;
        assert!(model.open.is_none(), "a transaction is begun inside another");
        model.open = Some(Vec::new());
        Ok(())
    }

    fn send(&mut self, records: &[Outgoing]) -> Result<(), Fault> {
        let mut model = self.lock().unwrap();
        model.failed = model.publish(records).err();
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Fault> {
        self.lock().unwrap().failed.take().map_or(Ok(()), Err)
    }

    fn send_offsets(&mut self, checkpoints: &[Checkpoint]) -> Result<(), Fault> {
        let mut model = self.lock().unwrap();
        model.alive()?;
        model.lucky(ANY)?;
        model.pending = checkpoints.first().cloned();
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        let mut model = self.lock().unwrap();
        model.alive()?;
        if std::mem::take(&mut model.answered_late) {
            return Ok(());
        }
        let failed = model.lucky(ANY);
        let is_in_doubt = failed.as_ref().is_err_and(|fault| matches!(fault.class, Class::Retriable | Class::Fatal));
        if failed.is_ok() || (is_in_doubt && model.chance.below(2) == 0) {
            model.apply();
            model.answered_late = failed.as_ref().is_err_and(|fault| fault.class == Class::Retriable);
        }
        failed
    }

    fn abort(&mut self) -> Result<(), Fault> {
        let mut model = self.lock().unwrap();
        model.alive()?;
        model.lucky(&[Class::Retriable, Class::Fenced, Class::Fatal])?;
        (model.open, model.pending) = (None, None);
        model.aborts += 1;
        Ok(())
    }
}
