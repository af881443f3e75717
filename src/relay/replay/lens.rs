//! What a replay decides otherwise than the relay, and the count of what came of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::known::{Known, Subject};
use super::progress::{Progress, Tally};
use super::{Order, What};
use crate::delivery::Record;
use crate::envelope::Origin;
use crate::event::Event;
use crate::journal::{Position, ReadError, Stored};
use crate::relay::memory::{Found, Staged};
use crate::relay::prepare::{Batch, LeftOut};
use crate::routing::Keys;
use crate::shutdown::Stop;

pub struct Lens {
    order: Order,
    known: Mutex<Known>,
    /// The batch that is being published: counted once it is committed.
    pending: Mutex<Option<(Position, Tally)>>,
    progress: Arc<Progress>,
}

impl Lens {
    pub fn new(order: Order, known: Known, progress: Arc<Progress>) -> Lens {
        Lens { order, known: Mutex::new(known), pending: Mutex::default(), progress }
    }

    pub fn catch_up(&self, stop: &Stop) -> Result<(), ReadError> {
        self.known().catch_up(stop)
    }

    /// What is not even looked at.
    pub fn passes_over(&self, stored: &Stored, record: &Record) -> Option<LeftOut> {
        let Order { endpoints, .. } = &self.order;
        let is_wanted = endpoints.is_empty() || endpoints.iter().any(|name| name == record.endpoint);
        match () {
            () if stored.bytes.is_empty() => Some(LeftOut::NoBody),
            () if is_wanted && self.order.is_in_time(stored.received_ms) => None,
            () => Some(LeftOut::Unwanted),
        }
    }

    /// Late is what is late by now. A dead letter taught nobody anything when it came: where it belongs is asked of now, too.
    pub fn found(&self, origin: Origin, event: &Event, keys: Keys, then: &Found) -> Found {
        let now = self.found_now(origin, event, keys);
        match self.order.what {
            What::Window => then.clone().but_stale_as(&now),
            What::DeadLetters(_) => now,
        }
    }

    fn found_now(&self, origin: Origin, event: &Event, keys: Keys) -> Found {
        let known = self.known();
        let staged = Staged::default();
        let at = |partition| Stored { position: Position { partition, offset: 0 }, received_ms: origin.received.ms(), bytes: Vec::new() };
        let found = |partition| {
            let at = at(partition);
            let recall = known.memory.recall([&staged; 2], &at);
            recall.found(&recall.traces(origin, event, keys))
        };
        // A subject is known in one partition only.
        known.memory.partitions().map(found).find(|found| *found != Found::default()).unwrap_or_default()
    }

    /// Whether it tells of somebody who was erased after it. The erasure itself is told again: who obeys a replay must hear of it.
    pub fn is_erased(&self, origin: Origin, event: &Event, known: &Found) -> bool {
        let erased = self.known();
        let is_gone = |subject: &Subject| erased.erased_ms(subject).is_some_and(|ms| known.stale || origin.received.ms() <= ms);
        event.erasure.is_none() && Subject::all(origin.record, event).iter().any(is_gone)
    }

    pub fn publishes(&self, stored: &[Stored], batch: &Batch) {
        let tally = batch.outcomes.iter().map(|outcome| Tally::of(outcome.result())).fold(Tally::default(), Tally::plus);
        let end = stored.last().map(|last| Position { offset: last.position.offset + 1, ..last.position });
        *self.pending() = end.map(|end| (end, tally));
    }

    /// Kafka has everything before `next`: what was published up to there is done, and anything else is not.
    pub fn committed(&self, next: Position) {
        if let Some((end, tally)) = self.pending().take()
            && end == next
        {
            self.progress.add(tally);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, Option<(Position, Tally)>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
