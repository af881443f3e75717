//! What comes next: read and prepared while Kafka has the batch before it.
//!
//! It stands on what that batch would change in the memory, so it is worth something only behind its commit. After anything else it
//! is thrown away, and the journal is read again from the checkpoint.

use std::time::Duration;

use super::memory::Staged;
use super::prepare::Batch;
use super::{BATCH_BYTES_MAX, READ_WAIT, Relay};
use crate::journal::{ReadError, ReadLimit, Source, Stored};
use crate::kafka::Broker;
#[cfg(test)]
use crate::planted::{self, Bug};

/// Records in order; the first of them are prepared.
#[derive(Default)]
pub(super) struct Ahead {
    pub(super) stored: Vec<Stored>,
    pub(super) prepared: Batch,
    pub(super) staged: Staged,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    fn take_unprepared(&mut self) -> Vec<Stored> {
        self.stored.split_off(self.prepared.outcomes.len())
    }
}

impl<S: Source, B: Broker> Relay<S, B> {
    /// What has gathered, up to the maximum. A lone record goes at once; while more is arriving, a moment is given.
    pub(super) fn gather(&mut self) -> Result<Ahead, ReadError> {
        let mut next = std::mem::replace(&mut self.ahead, Ok(Ahead::default()))?;
        let is_free = next.is_empty() && self.partitions.remembering().is_empty();
        self.read_on(&mut next, if is_free { READ_WAIT } else { Duration::ZERO })?;
        let until_ms = self.clock.now_ms() + self.limits.batch_wait.as_millis() as i64;
        let mut before = 1;
        while next.stored.len() > before && self.clock.now_ms() < until_ms {
            before = next.stored.len();
            self.read_on(&mut next, Duration::from_millis(1))?;
        }
        let unprepared = next.take_unprepared();
        let free = self.hold_back(unprepared)?;
        self.add(&mut next, free, &Staged::default());
        Ok(next)
    }

    /// While Kafka has a batch that would change this. Nothing is waited for, and what must be held back is not looked at.
    pub(super) fn look_ahead(&mut self, before: &Staged) {
        let mut next = Ahead::default();
        #[cfg(test)]
        let before = if planted::is(Bug::AheadPreparedApart) { &Staged::default() } else { before };
        self.ahead = match self.read_on(&mut next, Duration::ZERO) {
            Ok(()) if next.stored.iter().any(|stored| self.waits_for_its_endpoint(stored)) => Ok(next),
            Ok(()) => {
                let unprepared = next.take_unprepared();
                self.add(&mut next, unprepared, before);
                Ok(next)
            }
            Err(read_error) => Err(read_error),
        };
    }

    /// What it stood on did not come to be.
    pub(super) fn forget_ahead(&mut self) {
        #[cfg(test)]
        if planted::is(Bug::AheadKeptAfterAFailure) {
            return;
        }
        self.ahead = Ok(Ahead::default());
    }

    fn read_on(&mut self, next: &mut Ahead, wait: Duration) -> Result<(), ReadError> {
        let records_max = self.narrow.batch_max(&self.partitions.known(), self.limits.batch_max);
        let bytes: usize = next.stored.iter().map(|stored| stored.bytes.len()).sum();
        let limit =
            ReadLimit { records_max: records_max.saturating_sub(next.stored.len()), bytes_max: BATCH_BYTES_MAX.saturating_sub(bytes) };
        if limit.records_max == 0 || limit.bytes_max == 0 { Ok(()) } else { self.source.read(limit, wait, &mut next.stored) }
    }

    fn add(&self, next: &mut Ahead, stored: Vec<Stored>, before: &Staged) {
        let is_too_large = |stored: &Stored| self.narrow.is_too_large(stored);
        let more = self.prepare.batch_behind(&stored, &self.memory, before, &mut next.staged, is_too_large);
        next.prepared.records.extend(more.records);
        next.prepared.outcomes.extend(more.outcomes);
        next.stored.extend(stored);
    }

    #[cfg(test)]
    pub(super) fn merged_too_early(&mut self, staged: Staged) -> Staged {
        if !planted::is(Bug::MemoryMergedBeforeTheCommit) {
            return staged;
        }
        self.memory.merge(staged, &self.partitions.known());
        Staged::default()
    }
}
