//! What the journal's whole window says, up to what Kafka has: which versions there are, and who was erased since.
//!
//! The relay's own memory stays with the relay. This one is read from the same window by the same code, and brought up to date
//! every second, so that an old event says `stale` beside what the relay has published meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::until_stopped;
use crate::delivery::Record;
use crate::event::{Event, Kind, Scope};
use crate::journal::{Past, Position, ReadError, Stored, Window};
use crate::relay::memory::{self, Memory, Staged};
use crate::relay::prepare::Prepare;
use crate::shutdown::Stop;

/// Whom or what an event is about, as far as an erasure may be about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject(String);

impl Subject {
    fn of(record: &Record, scope: Scope, id: &str) -> Subject {
        Subject([record.vendor, record.tenant, scope.as_str(), id].join("/"))
    }

    pub fn erased_by(record: &Record, event: &Event) -> Option<Subject> {
        event.erasure.map(|erasure| Subject::of(record, erasure.scope, &event.subject_id))
    }

    /// Of a message also its visit; of everything the person that it names.
    pub fn all(record: &Record, event: &Event) -> Vec<Subject> {
        let message_visit = event.message.as_ref().and_then(|message| message.visit_id.as_deref());
        let visit = matches!(event.kind, Kind::Visit | Kind::Block).then_some(&*event.subject_id).or(message_visit);
        let person = (event.kind == Kind::Person).then_some(&*event.subject_id);
        let named = event.person.as_ref().map(|person| &*person.id);
        let visit = visit.map(|id| Subject::of(record, Scope::Visit, id));
        visit.into_iter().chain([person, named].into_iter().flatten().map(|id| Subject::of(record, Scope::Person, id))).collect()
    }
}

pub struct Known {
    window: Arc<dyn Window>,
    /// Decides as the relay did.
    prepare: Prepare,
    pub memory: Memory,
    /// When each was erased last, by receipt.
    erased: HashMap<Subject, i64>,
    looked: Option<Instant>,
}

/// To look costs the reading of a segment.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Known {
    pub fn new(window: Arc<dyn Window>, prepare: Prepare, limits: memory::Limits) -> Known {
        Known { window, prepare, memory: Memory::new(limits), erased: HashMap::new(), looked: None }
    }

    /// Takes in what has come into the window since the last time, if that is a while ago. What a stop breaks off is taken in
    /// again by the next.
    pub fn catch_up(&mut self, stop: &Stop) -> Result<(), ReadError> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let Known { window, prepare, memory, erased, .. } = self;
        for until in window.delivered()? {
            let from = memory.until(until.partition).unwrap_or(0);
            if from >= until.offset {
                continue;
            }
            let past = Past { from, until, window_ms: memory.limits().review_ms() };
            window.review(past, &mut |piece: &[Stored]| {
                learn(prepare, memory, piece);
                erased.extend(piece.iter().filter_map(|stored| Some((prepare.erases(stored)?, stored.received_ms))));
                until_stopped(stop)
            })?;
            if !stop.is_requested() {
                memory.merge(Staged::default(), &[until]);
            }
        }
        Ok(())
    }

    pub fn erased_ms(&self, subject: &Subject) -> Option<i64> {
        self.erased.get(subject).copied()
    }
}

fn learn(prepare: &Prepare, memory: &mut Memory, piece: &[Stored]) {
    let Some(last) = piece.last() else { return };
    prepare.again(piece, memory);
    memory.merge(Staged::default(), &[Position { offset: last.position.offset + 1, ..last.position }]);
}
