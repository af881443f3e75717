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
use crate::kafka::{Cause, Class, Fault};
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
    /// The first record that was there when it was looked.
    first: u64,
    /// The record before the first one to read, where it is known.
    before: Option<Before>,
}

/// Reading begins with it: if it is another one, the topic was made anew since it was looked at.
struct Before {
    offset: u64,
    accept_id: String,
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

    fn before(&self, next: u64) -> Option<Before> {
        let accept_id = self.place(next).map(|place| place.accept_id.clone()).filter(|accept_id| !accept_id.is_empty())?;
        next.checked_sub(1).filter(|offset| *offset >= self.first).map(|offset| Before { offset, accept_id })
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

    /// Whether this is the record before the first one to read, which is the one that it was.
    fn is_before(&mut self, raw: &Raw) -> Result<bool, ReadError> {
        let ours = self.ours(raw.partition);
        let Some(Before { accept_id: expected, .. }) = ours.before.take().filter(|before| before.offset == raw.offset) else {
            return Ok(false);
        };
        if accept_id(raw) == expected {
            return Ok(true);
        }
        *ours = Ours { told: ours.told, ..Ours::default() };
        let (topic, detail) = (Some(self.topic.clone()), "the raw topic was made anew while it was looked at".to_owned());
        Err(ReadError::Kafka(Fault { class: Class::Retriable, cause: Cause::UnknownTopic, topic, detail }))
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
        self.ours(partition).first = there.start;
        self.ours(partition).resume(offset, named.unwrap_or_default());
        self.backlogs.resumed(partition, offset, there.end);
        Ok(Position { partition, offset })
    }

    fn go_on_at(&mut self, position: Position) -> Result<(), ReadError> {
        let ours = self.ours(position.partition);
        ours.read.retain(|read| read.next <= position.offset);
        ours.before = ours.before(position.offset);
        let from = ours.before.as_ref().map_or(position.offset, |before| before.offset);
        Ok(self.raw.follow(position.partition, from)?)
    }

    fn rest(&mut self, partition: i32) {
        self.raw.leave(partition);
    }

    fn read(&mut self, limit: ReadLimit, wait: Duration, out: &mut Vec<Stored>) -> Result<(), ReadError> {
        let (mut records, mut bytes, mut wait) = (0, 0, wait);
        while records < limit.records_max && bytes < limit.bytes_max {
            let Some(raw) = self.raw.next(wait)? else { return Ok(()) };
            if self.is_before(&raw)? {
                continue;
            }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use uuid::Uuid;

    use super::*;
    use crate::delivery::{Auth, Record};

    /// One partition; what it holds may change under its readers.
    #[derive(Clone)]
    struct Topic {
        records: Arc<Mutex<Vec<Raw>>>,
        first: u64,
        next: u64,
    }

    impl Topic {
        fn of(life: u64, first: u64) -> Topic {
            Topic { records: Arc::new(Mutex::new(records(life))), first, next: 0 }
        }

        fn is_made_anew(&self) {
            *self.records.lock().unwrap() = records(2);
        }
    }

    fn accept_id(life: u64, offset: u64) -> Uuid {
        Uuid::from_u64_pair(life, offset)
    }

    fn records(life: u64) -> Vec<Raw> {
        let (vendor, tenant, endpoint) = ("waitwhile", "t", "e");
        let value = |accept_id| Record { accept_id, auth: Auth::Hmac, vendor, tenant, endpoint, traceparent: None, body: b"{}" }.encode();
        (0..4).map(|offset| Raw { partition: 0, offset, written_ms: 1, value: value(accept_id(life, offset)) }).collect()
    }

    impl RawTopic for Topic {
        fn changes(&mut self) -> Vec<Change> {
            Vec::new()
        }

        fn bounds(&mut self, _partition: i32) -> Result<Range<u64>, Fault> {
            Ok(self.first..self.records.lock().unwrap().len() as u64)
        }

        fn since(&mut self, _partition: i32, _written_ms: i64) -> Result<Option<u64>, Fault> {
            Ok(None)
        }

        fn follow(&mut self, _partition: i32, offset: u64) -> Result<(), Fault> {
            assert!(offset >= self.first, "out of range");
            self.next = offset;
            Ok(())
        }

        fn leave(&mut self, _partition: i32) {}

        fn next(&mut self, _wait: Duration) -> Result<Option<Raw>, Fault> {
            self.next += 1;
            Ok(self.records.lock().unwrap().get(self.next as usize - 1).cloned())
        }

        fn walk(&mut self, _: i32, range: Range<u64>, tell: &mut dyn FnMut(Raw) -> ControlFlow<()>) -> Result<(), Fault> {
            let records = self.records.lock().unwrap()[range.start as usize..range.end as usize].to_vec();
            let _ = records.into_iter().try_for_each(tell);
            Ok(())
        }
    }

    fn source(topic: &Topic) -> KafkaSource<Topic> {
        let metrics = Arc::new(Metrics::new());
        KafkaSource::new(topic.clone(), "raw", Arc::new(Backlogs::new(metrics.clone())), metrics)
    }

    fn checkpoint(next: u64) -> Checkpoint {
        Checkpoint { topic: "raw".to_owned(), partition: 0, next, metadata: accept_id(1, next - 1).to_string() }
    }

    fn read(source: &mut KafkaSource<Topic>) -> Result<Vec<u64>, ReadError> {
        let mut out = Vec::new();
        source.read(ReadLimit { records_max: 10, bytes_max: 10_000 }, Duration::ZERO, &mut out)?;
        Ok(out.iter().map(|stored| stored.position.offset).collect())
    }

    #[test]
    fn reading_goes_on_behind_the_record_that_the_checkpoint_names() {
        for first in 0..=2 {
            let mut source = source(&Topic::of(1, first));
            let position = source.resume(0, Some(&checkpoint(2))).unwrap();
            source.go_on_at(position).unwrap();
            assert_eq!(read(&mut source).unwrap(), [2, 3], "the first that is there: {first}");
        }
    }

    #[test]
    fn a_topic_that_is_made_anew_while_it_is_looked_at_is_read_from_its_beginning() {
        let topic = Topic::of(1, 0);
        let mut source = source(&topic);
        let position = source.resume(0, Some(&checkpoint(2))).unwrap();
        topic.is_made_anew();
        source.go_on_at(position).unwrap();
        assert!(matches!(read(&mut source), Err(ReadError::Kafka(Fault { cause: Cause::UnknownTopic, .. }))));
        let position = source.resume(0, Some(&checkpoint(2))).unwrap();
        source.go_on_at(position).unwrap();
        assert_eq!(read(&mut source).unwrap(), [0, 1, 2, 3]);
    }
}
