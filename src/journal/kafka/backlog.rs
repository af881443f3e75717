//! How far this replica's partitions are delivered, told by the source and shown by the watch.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of one partition that is ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ours {
    /// The next offset to publish.
    pub(super) next: u64,
    /// Behind the last record, when the watch looked last.
    pub(super) end: u64,
    /// The receipt of the oldest one that was read and is not delivered.
    pub(super) oldest_ms: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Backlogs(Mutex<BTreeMap<i32, Ours>>);

impl Backlogs {
    pub(super) fn moved(&self, partition: i32, next: u64, oldest_ms: Option<i64>) {
        let mut all = self.lock();
        let ours = all.entry(partition).or_default();
        *ours = Ours { next, oldest_ms, end: ours.end.max(next) };
    }

    /// A record is there.
    pub(super) fn saw(&self, partition: i32, offset: u64, received_ms: i64) {
        if let Some(ours) = self.lock().get_mut(&partition) {
            ours.end = ours.end.max(offset + 1);
            ours.oldest_ms = ours.oldest_ms.or(Some(received_ms));
        }
    }

    pub(super) fn ends(&self, partition: i32, end: u64) {
        if let Some(ours) = self.lock().get_mut(&partition) {
            ours.end = end.max(ours.next);
        }
    }

    pub(super) fn left(&self, partition: i32) {
        self.lock().remove(&partition);
    }

    pub(super) fn partitions(&self) -> Vec<i32> {
        self.lock().keys().copied().collect()
    }

    pub(super) fn records(&self) -> u64 {
        self.lock().values().map(|ours| ours.end - ours.next).sum()
    }

    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.lock().values().filter(|ours| ours.end > ours.next).filter_map(|ours| ours.oldest_ms).min()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Ours>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
