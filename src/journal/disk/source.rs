//! The journal as the relay sees it: where to go on, what is there, how far Kafka has it.
//!
//! Here stand the rules for what Kafka's checkpoint and the local mark say against what the disk holds.
//! Knows nothing of Kafka but that checkpoint.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disowned::{DISOWNED, Record};
use super::past;
use super::reader::Reader;
use super::segments::{Log, locked, wait};
use super::storage::write_whole;
use crate::journal::{Assignment, Checkpoint, Past, Position, ReadError, ReadLimit, Source, Stored};

pub struct DiskSource {
    log: Arc<Log>,
    reader: Reader,
    owner: String,
    assigned: Option<Assignment>,
    pace: Pace,
    rollback_told: bool,
    copy_told: bool,
    drain_from: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Resting,
    Going,
}

impl DiskSource {
    /// Until Kafka has been asked, the mark says what is delivered.
    pub(super) fn new(log: Arc<Log>) -> io::Result<DiskSource> {
        let mut reader = Reader::new(log.clone());
        let delivered = log.state().delivered;
        reader.seek(delivered)?;
        let owner = log.owner();
        Ok(DiskSource {
            log,
            reader,
            owner,
            assigned: Some(Assignment::Assigned(0)),
            pace: Pace::Going,
            rollback_told: false,
            copy_told: false,
            drain_from: None,
        })
    }

    /// Only what stands from here on is published, under a checkpoint of its own.
    pub(super) fn draining(self, from: u64) -> DiskSource {
        DiskSource { drain_from: Some(from), ..self }
    }

    /// A checkpoint that exists always wins over the mark.
    fn going_on_at(&mut self, checkpoint: Option<&Checkpoint>) -> u64 {
        if let Some(from) = self.drain_from {
            let marked = || locked(&self.log.mark).delivered().map_or(0, |mark| mark.next);
            return checkpoint.map_or_else(marked, |checkpoint| checkpoint.next).max(from);
        }
        let Some(checkpoint) = checkpoint else { return self.marked() };
        if checkpoint.metadata == self.owner {
            return checkpoint.next;
        }
        if let Some(own) = self.only_here(checkpoint) {
            return own;
        }
        if checkpoint.next <= self.log.held {
            return checkpoint.next;
        }
        self.tell_of_rollback(checkpoint.next);
        // What the checkpoint covers in between is not what this start accepted under the same seqs.
        checkpoint.next.min(self.log.first)
    }

    /// Another copy of this folder has published past what it could not have: that is still to be done, but for what the
    /// mark knows to be.
    fn only_here(&mut self, checkpoint: &Checkpoint) -> Option<u64> {
        let begins = self.log.only_here(&checkpoint.metadata, checkpoint.next)?;
        let own = begins.max(locked(&self.log.mark).delivered().map_or(0, |mark| mark.next)).min(checkpoint.next);
        if !self.copy_told && own < checkpoint.next {
            self.copy_told = true;
            tracing::error!(checkpoint = checkpoint.next, own, "a copy of this folder was at work; going on with what only this one holds");
        }
        Some(own)
    }

    fn tell_of_rollback(&mut self, checkpoint: u64) {
        if !self.rollback_told {
            self.rollback_told = true;
            self.log.metrics.journal_rolled_back();
            let held = self.log.held;
            tracing::error!(checkpoint, held, "Kafka has more than this disk ever held: it is an older copy, or its tail was lost");
        }
    }

    fn marked(&self) -> u64 {
        let mark = locked(&self.log.mark).delivered().cloned();
        let Some(mark) = mark else { return 0 };
        self.log.metrics.checkpoint_was_missing();
        tracing::warn!(position = mark.next, cluster = mark.cluster_id, "no checkpoint in Kafka: going on from the local mark");
        mark.next
    }

    fn await_records(&self, wait_max: Duration) {
        let deadline = Instant::now() + wait_max;
        let mut state = self.log.state();
        while state.next <= self.reader.position() && !state.poisoned {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = wait(&self.log.synced, state, left);
        }
    }

    /// False: it says so already.
    fn mark(&self, next: u64, cluster_id: &str) -> bool {
        let (synced, delivered, closing) = {
            let state = self.log.state();
            (state.next, state.delivered, state.closing)
        };
        let mut mark = locked(&self.log.mark);
        if delivered == next && mark.latest().is_some_and(|slot| slot.next == next && slot.cluster_id == cluster_id) {
            return false;
        }
        // In a closed journal nobody else will sync it.
        let written = mark.write(next, synced, cluster_id).and_then(|()| if closing { mark.sync() } else { Ok(()) });
        if let Err(error) = written {
            tracing::warn!(%error, "the local mark could not be written");
        }
        true
    }
}

impl Source for DiskSource {
    fn assignments(&mut self) -> Vec<Assignment> {
        self.assigned.take().into_iter().collect()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn checkpoint_at(&self, partition: i32) -> (String, i32) {
        (self.log.options.checkpoint_topic.clone(), partition)
    }

    fn resume(&mut self, partition: i32, checkpoint: Option<&Checkpoint>) -> Result<Position, ReadError> {
        let offset = self.going_on_at(checkpoint);
        {
            // First: nothing from here on may be freed while we look for it.
            let mut state = self.log.state();
            state.delivered = state.delivered.min(offset);
        }
        self.reader.seek(offset)?;
        self.rest(partition);
        Ok(Position { partition, offset })
    }

    fn go_on_at(&mut self, position: Position) -> Result<(), ReadError> {
        if self.reader.position() != position.offset {
            self.reader.seek(position.offset)?;
        }
        self.pace = Pace::Going;
        Ok(())
    }

    fn rest(&mut self, _partition: i32) {
        self.pace = Pace::Resting;
    }

    fn read(&mut self, limit: ReadLimit, wait: Duration, out: &mut Vec<Stored>) -> Result<(), ReadError> {
        match self.pace {
            Pace::Resting => std::thread::sleep(wait),
            Pace::Going => {
                self.await_records(wait);
                self.reader.read(limit, out)?;
            }
        }
        Ok(())
    }

    fn review(&mut self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError> {
        Ok(past::review(&self.log, past, tell)?)
    }

    fn checkpoint(&self, next: Position) -> Checkpoint {
        let topic = self.log.options.checkpoint_topic.clone();
        Checkpoint { topic, partition: 0, next: next.offset, metadata: self.owner.clone() }
    }

    fn advance(&mut self, next: Position, cluster_id: &str) {
        if !self.mark(next.offset, cluster_id) {
            return;
        }
        let (passed, oldest_ms) = self.reader.delivered(next.offset);
        let mut state = self.log.state();
        state.delivered = next.offset;
        state.delivered_totals.records += passed.records;
        state.delivered_totals.bytes += passed.bytes;
        state.oldest_ms = oldest_ms.unwrap_or(state.oldest_ms);
        state.show_backlog(&self.log.metrics);
    }

    fn disown(&mut self, winner: &str) {
        let delivered = self.log.state().delivered;
        let content = Record { first: self.log.first, delivered, winner: winner.to_owned() }.encode();
        let storage = &*self.log.storage;
        // On a full disk there is still room for a name: that closes the folder as well.
        let marked =
            write_whole(storage, DISOWNED, content.as_bytes()).or_else(|_| storage.create(DISOWNED).and_then(|_| storage.sync_dir("")));
        match marked {
            Ok(()) => tracing::error!("another process owns this journal's checkpoint; this folder is marked and will not be opened again"),
            Err(error) => tracing::error!(%error, "another process owns this journal's checkpoint, and the folder could not be marked"),
        }
    }
}
