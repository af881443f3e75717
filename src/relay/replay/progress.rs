//! How far a replay is, for those who ask from other threads.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::event::Reason;
use crate::relay::prepare::{LeftOut, Said};

/// What became of the deliveries that were looked at; counted after their commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub published: u64,
    /// Of those, older than what is known of their subject.
    pub stale: u64,
    /// Repeats among themselves.
    pub repeated: u64,
    /// Of somebody who was erased after them.
    pub erased: u64,
    /// Of other endpoints, or received at another time.
    pub unwanted: u64,
    /// Dead letters without a body.
    pub without_body: u64,
    /// Not understood, by reason.
    pub dead: BTreeMap<String, u64>,
}

impl Tally {
    pub fn of(result: Result<Said, Reason>) -> Tally {
        let mut tally = Tally::default();
        match result {
            Ok(Said::Published(published)) => (tally.published, tally.stale) = (1, u64::from(published.stale)),
            Ok(Said::Repeated(_)) => tally.repeated = 1,
            Ok(Said::LeftOut(LeftOut::Erased)) => tally.erased = 1,
            Ok(Said::LeftOut(LeftOut::Unwanted)) => tally.unwanted = 1,
            Ok(Said::LeftOut(LeftOut::NoBody)) => tally.without_body = 1,
            Ok(Said::LeftOut(LeftOut::Dead(reason))) | Err(reason) => drop(tally.dead.insert(reason.as_str().to_owned(), 1)),
        }
        tally
    }

    pub fn plus(mut self, other: Tally) -> Tally {
        self.published += other.published;
        self.stale += other.stale;
        self.repeated += other.repeated;
        self.erased += other.erased;
        self.unwanted += other.unwanted;
        self.without_body += other.without_body;
        other.dead.into_iter().for_each(|(reason, count)| *self.dead.entry(reason).or_default() += count);
        self
    }

    pub fn dead_count(&self) -> u64 {
        self.dead.values().sum()
    }

    pub fn looked_at(&self) -> u64 {
        self.published + self.repeated + self.erased + self.unwanted + self.without_body + self.dead_count()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reads the window, to know what is in it.
    #[default]
    Reading,
    /// From now on it can be resumed.
    Publishing,
    /// All of it is in Kafka.
    Finished,
}

/// What a look at it shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub phase: Phase,
    /// Deliveries that it will look at.
    pub total: u64,
    pub tally: Tally,
}

#[derive(Debug, Default)]
pub struct Progress(Mutex<Shown>);

impl Progress {
    pub fn now(&self) -> Shown {
        self.lock().clone()
    }

    pub fn will_look_at(&self, total: u64) {
        self.lock().total = total;
    }

    /// Its checkpoint stands.
    pub fn publishes(&self) {
        let mut shown = self.lock();
        if shown.phase == Phase::Reading {
            shown.phase = Phase::Publishing;
        }
    }

    pub fn finished(&self) {
        self.lock().phase = Phase::Finished;
    }

    pub fn add(&self, tally: Tally) {
        let mut shown = self.lock();
        shown.tally = std::mem::take(&mut shown.tally).plus(tally);
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
