//! The raw topic as the relay sees it: partitions that come and go, where each goes on, what is there.
//!
//! Here stand the rules for what a checkpoint says against what the topic holds now. The accept id of the record before the
//! checkpoint tells a topic that was made anew from the one that was there. Knows of a record only that id.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};
use uuid::Uuid;

use super::backlog::Backlogs;
use crate::delivery::Record;
use crate::journal::{Assignment, Checkpoint, Past, Position, ReadError, ReadLimit, Source, Stored};
use crate::kafka::group::Change;
use crate::kafka::raw::{Raw, RawTopic};
use crate::metrics::Metrics;

const PIECE_RECORDS: usize = 1000;
const PIECE_BYTES: usize = 4 << 20;

pub struct KafkaSource<R> {
    raw: R,
    topic: String,
    ours: BTreeMap<i32, Ours>,
    backlogs: Arc<Backlogs>,
    metrics: Arc<Metrics>,
}

/// One partition that is ours: the places of which the receipt is known.
#[derive(Default)]
struct Ours {
    /// What is known of all records before the next one to publish, or to review.
    settled: Settled,
    /// Behind it; read, and not known to be in Kafka.
    read: VecDeque<Settled>,
}

impl Ours {
    /// A place before it stays known: after a commit of unknown end the memory goes on from there.
    fn resume(&mut self, next: u64, accept_id: String) {
        if self.place(next).is_some() {
            return;
        }
        self.read.clear();
        if self.settled.next < next {
            self.read.push_back(Settled { next, accept_id, ..self.settled });
        } else {
            self.settled = Settled { next, accept_id, latest_ms: 0 };
        }
    }

    fn place(&self, next: u64) -> Option<&Settled> {
        [&self.settled].into_iter().chain(&self.read).find(|place| place.next == next)
    }
}

/// At one place in a partition: everything before `next`.
#[derive(Debug, Clone, Default)]
struct Settled {
    next: u64,
    /// The latest receipt: the clocks of replicas differ, and receipt never goes backward.
    latest_ms: i64,
    /// Of the last record before `next`, as a checkpoint names it.
    accept_id: String,
}

impl Settled {
    /// The place behind this record.
    fn behind(&self, raw: &Raw) -> Settled {
        Settled { next: raw.offset + 1, latest_ms: self.latest_ms.max(raw.written_ms), accept_id: accept_id(raw) }
    }
}

impl<R: RawTopic> KafkaSource<R> {
    pub(super) fn new(raw: R, topic: &str, backlogs: Arc<Backlogs>, metrics: Arc<Metrics>) -> KafkaSource<R> {
        KafkaSource { raw, topic: topic.to_owned(), ours: BTreeMap::new(), backlogs, metrics }
    }

    fn going_on_at(&mut self, partition: i32, checkpoint: Option<&Checkpoint>) -> Result<u64, ReadError> {
        let there = self.raw.bounds(partition)?;
        let Some(checkpoint) = checkpoint else { return Ok(self.without_checkpoint(partition, &there)) };
        if checkpoint.next > there.end || !self.is_same_topic(checkpoint, &there)? {
            self.metrics.journal_rolled_back();
            let (checkpoint, first, end) = (checkpoint.next, there.start, there.end);
            error!(partition, checkpoint, first, end, "the raw topic is not the one of the checkpoint: publishing all that it holds");
            return Ok(there.start);
        }
        if checkpoint.next < there.start {
            let lost = there.start - checkpoint.next;
            (0..lost).for_each(|_| self.metrics.journal_record_damaged());
            error!(partition, lost, "the raw topic no longer holds records that were not delivered: its retention is too short");
        }
        Ok(checkpoint.next.max(there.start))
    }

    fn without_checkpoint(&self, partition: i32, there: &Range<u64>) -> u64 {
        if !there.is_empty() {
            self.metrics.checkpoint_was_missing();
            let (first, end) = (there.start, there.end);
            warn!(partition, first, end, "no checkpoint in Kafka: publishing all that the raw topic holds");
        }
        there.start
    }

    /// Whether the record before the checkpoint is the one that it names. One that retention has taken cannot be asked.
    fn is_same_topic(&mut self, checkpoint: &Checkpoint, there: &Range<u64>) -> Result<bool, ReadError> {
        let Some(before) = checkpoint.next.checked_sub(1).filter(|before| there.contains(before)) else { return Ok(true) };
        let mut found = None;
        self.raw.walk(checkpoint.partition, before..checkpoint.next, &mut |raw| {
            found = Some(accept_id(&raw));
            ControlFlow::Break(())
        })?;
        Ok(checkpoint.metadata.is_empty() || found.is_none_or(|found| found == checkpoint.metadata))
    }

    /// The receipt from which the window before this position is counted back.
    fn receipt(&mut self, until: Position, there: &Range<u64>) -> Result<Option<i64>, ReadError> {
        let last = until.offset.min(there.end.saturating_sub(1));
        let mut found = None;
        if there.contains(&last) {
            self.raw.walk(until.partition, last..last + 1, &mut |raw| {
                found = Some(raw.written_ms);
                ControlFlow::Break(())
            })?;
        }
        Ok(found)
    }

    fn ours(&mut self, partition: i32) -> &mut Ours {
        self.ours.entry(partition).or_default()
    }

    fn take(&mut self, raw: Raw) -> Stored {
        let ours = self.ours(raw.partition);
        let behind = ours.read.back().unwrap_or(&ours.settled).behind(&raw);
        let received_ms = behind.latest_ms;
        ours.read.push_back(behind);
        self.backlogs.saw(raw.partition, raw.offset, received_ms);
        Stored { position: Position { partition: raw.partition, offset: raw.offset }, received_ms, bytes: raw.value }
    }
}

impl<R: RawTopic> Source for KafkaSource<R> {
    fn assignments(&mut self) -> Vec<Assignment> {
        let changes = self.raw.changes();
        let turn = |change| match change {
            Change::Came(partition) => {
                self.ours.insert(partition, Ours::default());
                Assignment::Assigned(partition)
            }
            Change::Left(partition) => {
                self.raw.leave(partition);
                self.ours.remove(&partition);
                self.backlogs.left(partition);
                Assignment::Revoked(partition)
            }
        };
        changes.into_iter().map(turn).collect()
    }

    /// The group says whose a partition is.
    fn owner(&self) -> Option<&str> {
        None
    }

    fn checkpoint_at(&self, partition: i32) -> (String, i32) {
        (self.topic.clone(), partition)
    }

    fn resume(&mut self, partition: i32, checkpoint: Option<&Checkpoint>) -> Result<Position, ReadError> {
        let offset = self.going_on_at(partition, checkpoint)?;
        self.rest(partition);
        let named = checkpoint.filter(|checkpoint| checkpoint.next == offset).map(|checkpoint| checkpoint.metadata.clone());
        self.ours(partition).resume(offset, named.unwrap_or_default());
        self.backlogs.moved(partition, offset, None);
        Ok(Position { partition, offset })
    }

    fn go_on_at(&mut self, position: Position) -> Result<(), ReadError> {
        let ours = self.ours(position.partition);
        ours.read.retain(|read| read.next <= position.offset);
        Ok(self.raw.follow(position.partition, position.offset)?)
    }

    fn rest(&mut self, partition: i32) {
        self.raw.leave(partition);
    }

    fn read(&mut self, limit: ReadLimit, wait: Duration, out: &mut Vec<Stored>) -> Result<(), ReadError> {
        let (mut records, mut bytes, mut wait) = (0, 0, wait);
        while records < limit.records_max && bytes < limit.bytes_max {
            let Some(raw) = self.raw.next(wait)? else { return Ok(()) };
            wait = Duration::ZERO;
            let stored = self.take(raw);
            records += 1;
            bytes += stored.bytes.len();
            out.push(stored);
        }
        Ok(())
    }

    fn review(&mut self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError> {
        let partition = past.until.partition;
        let there = self.raw.bounds(partition)?;
        let Some(latest_ms) = self.receipt(past.until, &there)? else { return Ok(()) };
        let since = self.raw.since(partition, latest_ms.saturating_sub(past.window_ms))?.unwrap_or(there.end);
        let from = past.from.max(since).max(there.start);
        let ours = self.ours.entry(partition).or_default();
        let mut place = ours.place(from).cloned().unwrap_or(Settled { next: from, ..Settled::default() });
        let (mut piece, mut bytes, mut told) = (Vec::new(), 0, ControlFlow::Continue(()));
        // Where the memory stands, even if the walk breaks off with an error.
        *ours = Ours { settled: place.clone(), read: VecDeque::new() };
        self.raw.walk(partition, from..past.until.offset, &mut |raw| {
            place = place.behind(&raw);
            bytes += raw.value.len();
            let position = Position { partition, offset: raw.offset };
            piece.push(Stored { position, received_ms: place.latest_ms, bytes: raw.value });
            if piece.len() >= PIECE_RECORDS || bytes >= PIECE_BYTES {
                told = tell(&piece);
                ours.settled = place.clone();
                piece.clear();
                bytes = 0;
            }
            told
        })?;
        if !piece.is_empty() {
            let _ = tell(&piece);
        }
        ours.settled = place;
        Ok(())
    }

    fn checkpoint(&self, next: Position) -> Checkpoint {
        let Position { partition, offset } = next;
        let known = self.ours.get(&partition).into_iter().flat_map(|ours| ours.read.iter().chain([&ours.settled]));
        let accept_id = known.into_iter().find(|settled| settled.next == offset).map(|settled| settled.accept_id.clone());
        Checkpoint { topic: self.topic.clone(), partition, next: offset, metadata: accept_id.unwrap_or_default() }
    }

    fn advance(&mut self, next: Position, _cluster_id: &str) {
        let ours = self.ours(next.partition);
        while ours.read.front().is_some_and(|read| read.next <= next.offset) {
            ours.settled = ours.read.pop_front().expect("asked above");
        }
        let oldest_ms = ours.read.front().map(|read| read.latest_ms);
        self.backlogs.moved(next.partition, next.offset, oldest_ms);
    }

    /// Nobody owns the checkpoint alone.
    fn disown(&mut self, _winner: &str) {
        info!("a member of a fleet cannot be disowned");
    }
}

/// Of bytes that are no record of ours it is nil, as in a dead letter.
fn accept_id(raw: &Raw) -> String {
    Record::decode(&raw.value).map_or(Uuid::nil(), |record| record.accept_id).to_string()
}
