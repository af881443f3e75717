//! A model of the raw topic, and one replica's readers of it.
//!
//! The log outlives its readers; made anew, it is another log of the same name. A reader learns of that by its own calls, and
//! may have fetched ahead. Knows of a record only what the topic keeps.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::broker::Scene;
use super::super::kafka::{Mishap, fault};
use super::super::process::lock;
use super::replica::Replica;
use crate::delivery::Record;
use crate::kafka::group::Change;
use crate::kafka::raw::{Raw, RawTopic};
use crate::kafka::{Cause, Checkpoint, Class, Fault};
use crate::planted::{self, Bug};

/// A reader that finds nothing waits for this long.
const IDLE_MS: i64 = 100;

/// All topics of this name that ever were.
pub struct RawLog(Vec<Vec<Lane>>);

/// One partition.
#[derive(Clone, Default)]
pub struct Lane {
    /// Retention has taken what is before.
    pub start: u64,
    records: Vec<Raw>,
    /// The latest receipt.
    latest_ms: i64,
}

impl Lane {
    pub fn end(&self) -> u64 {
        self.records.len() as u64
    }

    /// Whether a checkpoint tells of this topic, and not of the one before it.
    pub fn is_of(&self, checkpoint: &Checkpoint) -> bool {
        let before = checkpoint.next.checked_sub(1).and_then(|before| self.records.get(before as usize));
        let record = before.and_then(|raw| Record::decode(&raw.value));
        record.is_some_and(|record| record.accept_id.to_string() == checkpoint.metadata)
    }

    fn get(&self, offset: u64) -> Option<&Raw> {
        self.records.get(offset as usize).filter(|_| offset >= self.start)
    }

    /// Takes what was written so long before now, and before the first that is not delivered.
    pub fn retain(&mut self, delivered: u64, now_ms: i64, retention_ms: i64) -> bool {
        let since_ms = self.get(delivered).map_or(now_ms, |next| next.written_ms.min(now_ms)) - retention_ms;
        let is_old = |raw: &Raw| raw.offset < delivered && raw.written_ms < since_ms;
        let before = self.start;
        while self.get(self.start).is_some_and(is_old) {
            self.start += 1;
        }
        self.start > before
    }
}

impl RawLog {
    pub fn new(partitions: i32) -> RawLog {
        RawLog(vec![vec![Lane::default(); partitions as usize]])
    }

    pub fn era(&self) -> u64 {
        self.0.len() as u64 - 1
    }

    pub fn make_anew(&mut self) {
        let lanes = self.lanes().len();
        self.0.push(vec![Lane::default(); lanes]);
    }

    pub fn lanes(&mut self) -> &mut Vec<Lane> {
        self.0.last_mut().expect("there is always one")
    }

    pub fn written_ms(&self, partition: i32, offset: u64) -> i64 {
        let lane = &self.0.last().expect("there is always one")[partition as usize];
        lane.get(offset).map_or(0, |raw| raw.written_ms)
    }

    fn lane(&mut self, partition: i32) -> &mut Lane {
        &mut self.lanes()[partition as usize]
    }

    /// Offset and receipt: a receipt never goes backward within a partition.
    pub fn append(&mut self, partition: i32, written_ms: i64, value: Vec<u8>) -> (u64, i64) {
        let lane = self.lane(partition);
        let offset = lane.end();
        lane.records.push(Raw { partition, offset, written_ms, value });
        lane.latest_ms = lane.latest_ms.max(written_ms);
        (offset, lane.latest_ms)
    }
}

/// One replica's.
pub struct SimulatedRaw {
    replica: Arc<Replica>,
    /// Era and next offset of what is followed.
    followed: BTreeMap<i32, (u64, u64)>,
}

impl SimulatedRaw {
    pub fn new(replica: Arc<Replica>) -> SimulatedRaw {
        SimulatedRaw { replica, followed: BTreeMap::new() }
    }

    fn asked(&self) -> Result<(), Fault> {
        self.replica.turn();
        let unheard = || fault(Class::Retriable, Cause::TimedOut);
        if !self.replica.reaches_kafka() {
            self.replica.wait_ms(1_000);
            return Err(unheard());
        }
        self.heard_of_it()?;
        self.replica.ground().mishap(&[Mishap::Unheard]).map_or(Ok(()), |_| Err(unheard()))
    }

    /// Between its end and its return the topic is not there, and every reader is told so.
    fn heard_of_it(&self) -> Result<(), Fault> {
        if !self.replica.raw_gone.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        self.replica.ground().hit("raw topic gone");
        Err(fault(Class::Fatal, Cause::UnknownTopic))
    }

    /// What this partition gives next, if anything.
    fn fetch(&mut self, partition: i32) -> Result<Option<Raw>, Fault> {
        let log = &mut *lock(&self.replica.fleet.raw);
        let Some((era, next)) = self.followed.get_mut(&partition) else { return Ok(None) };
        let is_now = *era == log.era();
        // What was fetched ahead is still there.
        let is_given = is_now || self.replica.fleet.ground.below(2) == 0;
        let lane = &log.0[*era as usize][partition as usize];
        if let Some(raw) = lane.get(*next).filter(|_| is_given) {
            *next += 1;
            return Ok(Some(raw.clone()));
        }
        if is_now && (lane.start..=lane.end()).contains(next) {
            return Ok(None);
        }
        self.followed.remove(&partition);
        self.replica.raw_gone.store(false, Ordering::Relaxed);
        self.replica.fleet.ground.hit("reader out of range");
        Err(fault(Class::Fatal, Cause::UnknownTopic))
    }
}

impl RawTopic for SimulatedRaw {
    fn changes(&mut self) -> Vec<Change> {
        self.replica.turn();
        let mut changes = lock(&self.replica.fleet.group).changes(self.replica.process);
        if planted::is(Bug::RevokedPartitionPublished) {
            changes.retain(|change| matches!(change, Change::Came(_)));
        }
        changes
    }

    fn bounds(&mut self, partition: i32) -> Result<Range<u64>, Fault> {
        self.asked()?;
        let mut log = lock(&self.replica.fleet.raw);
        let lane = log.lane(partition);
        Ok(lane.start..lane.end())
    }

    fn since(&mut self, partition: i32, written_ms: i64) -> Result<Option<u64>, Fault> {
        self.asked()?;
        let mut log = lock(&self.replica.fleet.raw);
        let lane = log.lane(partition);
        Ok(lane.records[lane.start as usize..].iter().find(|raw| raw.written_ms >= written_ms).map(|raw| raw.offset))
    }

    fn follow(&mut self, partition: i32, offset: u64) -> Result<(), Fault> {
        let era = lock(&self.replica.fleet.raw).era();
        self.followed.insert(partition, (era, offset));
        Ok(())
    }

    fn leave(&mut self, partition: i32) {
        self.followed.remove(&partition);
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Raw>, Fault> {
        self.replica.turn();
        if self.replica.reaches_kafka() && !self.followed.is_empty() {
            let partitions: Vec<i32> = self.followed.keys().copied().collect();
            let first = self.replica.fleet.ground.below(partitions.len() as u64) as usize;
            for partition in partitions[first..].iter().chain(&partitions[..first]) {
                if let Some(raw) = self.fetch(*partition)? {
                    return Ok(Some(raw));
                }
            }
        }
        if !wait.is_zero() {
            self.replica.wait_ms(IDLE_MS);
        }
        Ok(None)
    }

    /// The topic may be made anew meanwhile, or the call end half way.
    fn walk(&mut self, partition: i32, range: Range<u64>, tell: &mut dyn FnMut(Raw) -> ControlFlow<()>) -> Result<(), Fault> {
        if range.is_empty() {
            return Ok(());
        }
        self.asked()?;
        let records: Vec<Option<Raw>> = {
            let mut log = lock(&self.replica.fleet.raw);
            let lane = log.lane(partition);
            range.clone().map(|offset| lane.get(offset).cloned()).collect()
        };
        let breaks_at = self.replica.ground().mishap(&[Mishap::AnswerLost]).map(|_| records.len() / 2);
        for (index, raw) in records.into_iter().enumerate() {
            let raw = raw.filter(|_| breaks_at != Some(index)).ok_or_else(|| fault(Class::Retriable, Cause::TimedOut))?;
            if tell(raw).is_break() {
                break;
            }
        }
        Ok(())
    }
}
