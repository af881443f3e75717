//! A bounded past as the relay sees it: a source that comes to an end.
//!
//! One partition after the other, each in order. Its checkpoint is a group's offset like the relay's own, and bears the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::error;

use super::Course;
use super::pieces::{Next, Pieces};
use crate::journal::{Assignment, Checkpoint, Past, Position, ReadError, ReadLimit, Source, Stored};
use crate::shutdown::Stop;

/// For the end, once nothing is left or somebody asks for it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// With a rate: batches are so small that it is kept within this time.
const PACE: Duration = Duration::from_millis(200);

pub struct Replayed {
    course: Course,
    stop: Arc<Stop>,
    assigned: Vec<Assignment>,
    next: BTreeMap<i32, u64>,
    /// Those of them that are read from.
    flowing: BTreeSet<i32>,
    /// Of the partition that is being read.
    pieces: Option<Pieces>,
    not_before: Instant,
}

impl Replayed {
    pub fn new(course: Course, stop: Arc<Stop>) -> Replayed {
        let assigned = course.from.keys().map(|partition| Assignment::Assigned(*partition)).collect();
        let next = course.from.clone();
        Replayed { course, stop, assigned, next, flowing: BTreeSet::new(), pieces: None, not_before: Instant::now() }
    }

    /// What is left of the first partition that is not at its end.
    fn unread(&self) -> Option<(i32, Past)> {
        let until = &self.course.plan.until;
        let is_unread = |(partition, next): &(&i32, &u64)| until.get(*partition).is_some_and(|until| *next < until);
        let (partition, from) = self.next.iter().find(is_unread)?;
        let until = Position { partition: *partition, offset: until[partition] };
        Some((*partition, Past { from: *from, until, window_ms: i64::MAX }))
    }

    /// What is read now, and from when on the next may be.
    fn keep_pace(&mut self, limit: ReadLimit) -> ReadLimit {
        let Some(rate) = self.course.plan.order.rate else { return limit };
        self.stop.sleep(self.not_before.saturating_duration_since(Instant::now()));
        let records_max = (f64::from(rate) * PACE.as_secs_f64()).ceil().max(1.0) as usize;
        let records_max = records_max.min(limit.records_max);
        self.not_before = Instant::now() + Duration::from_secs_f64(records_max as f64 / f64::from(rate.max(1)));
        ReadLimit { records_max, ..limit }
    }

    fn read_next(&mut self, partition: i32, past: Past, limit: ReadLimit, wait: Duration, out: &mut Vec<Stored>) -> Result<(), ReadError> {
        let mut pieces = match self.pieces.take() {
            Some(pieces) => pieces,
            None => Pieces::of(self.course.past.clone(), past)?,
        };
        let before = out.len();
        match pieces.next(limit, wait, out)? {
            Next::More => self.pieces = Some(pieces),
            Next::End => drop(self.next.insert(partition, past.until.offset)),
        }
        if let Some(last) = out[before..].last() {
            self.next.insert(partition, last.position.offset + 1);
        }
        Ok(())
    }
}

impl Source for Replayed {
    fn assignments(&mut self) -> Vec<Assignment> {
        std::mem::take(&mut self.assigned)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.course.name)
    }

    fn checkpoint_at(&self, partition: i32) -> (String, i32) {
        self.course.past.checkpoint_at(partition)
    }

    fn resume(&mut self, partition: i32, checkpoint: Option<&Checkpoint>) -> Result<Position, ReadError> {
        let offset = checkpoint.map_or(self.course.from[&partition], |checkpoint| checkpoint.next);
        let position = Position { partition, offset };
        // A commit whose end was not known is known now.
        self.course.lens.committed(position);
        self.next.insert(partition, offset);
        self.rest(partition);
        Ok(position)
    }

    fn go_on_at(&mut self, position: Position) -> Result<(), ReadError> {
        self.next.insert(position.partition, position.offset);
        self.flowing.insert(position.partition);
        self.pieces = None;
        Ok(())
    }

    fn rest(&mut self, partition: i32) {
        self.flowing.remove(&partition);
        self.pieces = None;
    }

    /// It does not look ahead: keeping its pace it would hold a transaction open, and all who read behind it. So all that was read
    /// before is committed when it is asked with a wait, and nothing left means that it is done.
    fn read(&mut self, limit: ReadLimit, wait: Duration, out: &mut Vec<Stored>) -> Result<(), ReadError> {
        if wait.is_zero() || self.stop.is_requested() {
            return Ok(());
        }
        let limit = self.keep_pace(limit);
        self.course.lens.catch_up(&self.stop)?;
        match self.unread() {
            Some((partition, _)) if !self.flowing.contains(&partition) => {
                self.stop.sleep(wait);
                Ok(())
            }
            Some((partition, past)) => self.read_next(partition, past, limit, wait, out),
            None => {
                self.course.progress.finished();
                self.stop.request(Instant::now() + PATIENCE);
                Ok(())
            }
        }
    }

    fn review(&mut self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError> {
        self.course.past.review(past, tell)
    }

    fn checkpoint(&self, next: Position) -> Checkpoint {
        let (topic, partition) = self.checkpoint_at(next.partition);
        Checkpoint { topic, partition, next: next.offset, metadata: self.course.name.clone() }
    }

    /// For the first time when its name stands on the checkpoint.
    fn advance(&mut self, next: Position, _cluster_id: &str) {
        self.course.progress.publishes();
        self.course.lens.committed(next);
    }

    fn disown(&mut self, _winner: &str) {
        error!("another process goes on with this replay");
    }
}
