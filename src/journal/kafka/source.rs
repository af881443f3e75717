//! The raw topic as the relay sees it: partitions that come and go, where each goes on, what is there.
//!
//! Here stand the rules for what a checkpoint says against what the topic holds now. The accept id of the record before the
//! checkpoint tells a topic that was made anew from the one that was there. Knows of a record only that id.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};

use super::backlog::Backlogs;
use super::past::{self, Settled, accept_id};
use crate::journal::{Assignment, Checkpoint, Past, Position, ReadError, ReadLimit, Source, Stored};
use crate::kafka::group::Change;
use crate::kafka::raw::{Raw, RawTopic};
use crate::metrics::Metrics;

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
    /// What is odd about its checkpoint is told once.
    told: Told,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Told {
    #[default]
    NotYet,
    Yes,
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

impl<R: RawTopic> KafkaSource<R> {
    pub(super) fn new(raw: R, topic: &str, backlogs: Arc<Backlogs>, metrics: Arc<Metrics>) -> KafkaSource<R> {
        KafkaSource { raw, topic: topic.to_owned(), ours: BTreeMap::new(), backlogs, metrics }
    }

    fn going_on_at(&mut self, partition: i32, checkpoint: Option<&Checkpoint>, there: &Range<u64>) -> Result<u64, ReadError> {
        let told = std::mem::replace(&mut self.ours(partition).told, Told::Yes);
        let (first, end) = (there.start, there.end);
        let Some(checkpoint) = checkpoint else {
            if told == Told::NotYet && first < end {
                self.metrics.checkpoint_was_missing();
                warn!(partition, first, end, "no checkpoint in Kafka: publishing all that the raw topic holds");
            }
            return Ok(first);
        };
        let next = checkpoint.next;
        if next > end || !self.is_same_topic(checkpoint, there)? {
            if told == Told::NotYet {
                self.metrics.journal_rolled_back();
                error!(partition, next, first, end, "the raw topic is not the one of the checkpoint: publishing all that it holds");
            }
            return Ok(first);
        }
        if next < first && told == Told::NotYet {
            let lost = first - next;
            self.metrics.journal_records_damaged(lost);
            error!(partition, lost, "the raw topic no longer holds records that were not delivered: its retention is too short");
        }
        Ok(next.max(first))
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
        let came = changes.iter().filter_map(|change| match change {
            Change::Came(partition) => Some(*partition),
            Change::Left(_) => None,
        });
        if !changes.is_empty() {
            self.backlogs.came(&came.collect::<Vec<_>>());
        }
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
        let there = self.raw.bounds(partition)?;
        let offset = self.going_on_at(partition, checkpoint, &there)?;
        self.rest(partition);
        let named = checkpoint.filter(|checkpoint| checkpoint.next == offset).map(|checkpoint| checkpoint.metadata.clone());
        self.ours(partition).resume(offset, named.unwrap_or_default());
        self.backlogs.resumed(partition, offset, there.end);
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
        let Some(from) = past::begin(&mut self.raw, &past)? else { return Ok(()) };
        let ours = self.ours.entry(past.until.partition).or_default();
        // Where the memory stands, even if the walk breaks off with an error.
        ours.settled = ours.place(from).cloned().unwrap_or(Settled { next: from, ..Settled::default() });
        ours.read.clear();
        past::tell(&mut self.raw, &mut ours.settled, past.until, tell)
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
        self.backlogs.delivered(next.partition, next.offset, oldest_ms);
    }

    /// Nobody owns the checkpoint alone.
    fn disown(&mut self, _winner: &str) {
        info!("a member of a fleet cannot be disowned");
    }
}
