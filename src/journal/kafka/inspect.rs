//! Looks at a fleet's journal beside its replicas: joins no group, commits nothing, changes nothing.
//!
//! What a checkpoint says is held against the topic by the rule of `source`: a topic that was made anew is told by the accept id
//! of the record before the checkpoint. Knows no bytes of a record but that id.

use std::ops::{ControlFlow, Range};

use super::past::accept_id;
use crate::kafka::cluster::GroupMember;
use crate::kafka::fleet::Survey;
use crate::kafka::raw::{Raw, RawTopic};
use crate::kafka::{Cause, Checkpoint, Class, Fault};

pub struct Inspection {
    survey: Survey,
    topic: String,
}

/// One partition at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub partition: i32,
    /// Of the first record that is there.
    pub first: u64,
    /// Behind the last one.
    pub end: u64,
    pub checkpoint: Option<Checkpoint>,
    pub fit: Fit,
    /// When the oldest one was taken that is not delivered.
    pub oldest_undelivered_ms: Option<i64>,
}

/// What the topic says of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// Nothing against it: the record before it has its accept id, or is there no more, or there is no checkpoint yet.
    Fits,
    /// Records that were not delivered are there no more.
    Lost { records: u64 },
    /// The record before it is another one: the topic was made anew.
    Other { accept_id: String },
    /// The topic ends before it.
    Beyond,
}

impl Partition {
    /// The next record that a replica publishes.
    pub fn next(&self) -> u64 {
        match (&self.checkpoint, &self.fit) {
            (Some(checkpoint), Fit::Fits | Fit::Lost { .. }) => checkpoint.next.clamp(self.first, self.end),
            _ => self.first,
        }
    }

    pub fn undelivered(&self) -> u64 {
        self.end - self.next()
    }
}

impl Inspection {
    pub fn of(survey: Survey, topic: &str) -> Inspection {
        Inspection { survey, topic: topic.to_owned() }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn partitions(&mut self) -> Result<Vec<Partition>, Fault> {
        let numbers = self.survey.partitions()?;
        if numbers.is_empty() {
            let detail = format!("there is no topic {}: make it with `waitbridge topics --create`", self.topic);
            return Err(Fault { class: Class::Retriable, cause: Cause::UnknownTopic, topic: Some(self.topic.clone()), detail });
        }
        numbers.map(|partition| self.partition(partition)).collect()
    }

    pub fn members(&mut self) -> Result<Vec<GroupMember>, Fault> {
        self.survey.members()
    }

    /// These records in order, until it is enough.
    pub fn walk(&mut self, partition: i32, range: Range<u64>, tell: &mut dyn FnMut(Raw) -> ControlFlow<()>) -> Result<(), Fault> {
        self.survey.raw().walk(partition, range, tell)
    }

    /// Nothing before it was taken at this time or later, as far as the replicas' clocks agree.
    pub fn since(&mut self, partition: &Partition, received_ms: i64) -> Result<u64, Fault> {
        Ok(self.survey.raw().since(partition.partition, received_ms)?.unwrap_or(partition.end))
    }

    fn partition(&mut self, partition: i32) -> Result<Partition, Fault> {
        // In this order: the checkpoint moves on meanwhile, and must not be taken for one beyond the end.
        let checkpoint = self.survey.committed(partition)?;
        let there = self.survey.raw().bounds(partition)?;
        let fit = match &checkpoint {
            Some(checkpoint) => self.fit(checkpoint, &there)?,
            None => Fit::Fits,
        };
        let mut found = Partition { partition, first: there.start, end: there.end, checkpoint, fit, oldest_undelivered_ms: None };
        found.oldest_undelivered_ms = self.record(partition, found.next(), &there)?.map(|raw| raw.written_ms);
        Ok(found)
    }

    fn fit(&mut self, checkpoint: &Checkpoint, there: &Range<u64>) -> Result<Fit, Fault> {
        let Checkpoint { partition, next, metadata, .. } = checkpoint;
        if *next > there.end {
            return Ok(Fit::Beyond);
        }
        if *next < there.start {
            return Ok(Fit::Lost { records: there.start - next });
        }
        let before = match next.checked_sub(1) {
            Some(before) => self.record(*partition, before, there)?,
            None => None,
        };
        let found = before.map(|raw| accept_id(&raw)).filter(|found| !metadata.is_empty() && found != metadata);
        Ok(found.map_or(Fit::Fits, |accept_id| Fit::Other { accept_id }))
    }

    fn record(&mut self, partition: i32, offset: u64, there: &Range<u64>) -> Result<Option<Raw>, Fault> {
        let mut found = None;
        if there.contains(&offset) {
            self.walk(partition, offset..offset + 1, &mut |raw| {
                found = Some(raw);
                ControlFlow::Break(())
            })?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(checkpoint: Option<u64>, fit: Fit, expected: (u64, u64)) {
        let checkpoint = checkpoint.map(|next| Checkpoint { topic: "raw".to_owned(), partition: 0, next, metadata: String::new() });
        let partition = Partition { partition: 0, first: 10, end: 20, checkpoint, fit, oldest_undelivered_ms: None };
        assert_eq!((partition.next(), partition.undelivered()), expected, "{partition:?}");
    }

    #[test]
    fn what_is_published_next_is_what_a_replica_would_go_on_with() {
        check(None, Fit::Fits, (10, 10));
        check(Some(15), Fit::Fits, (15, 5));
        check(Some(20), Fit::Fits, (20, 0));
        check(Some(5), Fit::Lost { records: 5 }, (10, 10));
        check(Some(15), Fit::Other { accept_id: String::new() }, (10, 10));
        check(Some(30), Fit::Beyond, (10, 10));
    }
}
