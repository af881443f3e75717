//! How far this replica's partitions are delivered, as the source, the writers and the watch tell it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::Metrics;

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

pub(super) struct Backlogs {
    all: Mutex<All>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct All {
    ours: BTreeMap<i32, Ours>,
    /// Appended by this replica to partitions of which it does not know yet whether they are its own, or where they go on.
    unclaimed: BTreeMap<i32, u64>,
    part: Part,
}

/// Whether the group has given this replica anything yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    NotYet,
    Known,
}

impl Backlogs {
    pub(super) fn new(metrics: Arc<Metrics>) -> Backlogs {
        Backlogs { all: Mutex::new(All { ours: BTreeMap::new(), unclaimed: BTreeMap::new(), part: Part::NotYet }), metrics }
    }

    /// The first partitions that came tell which of the others are somebody else's.
    pub(super) fn came(&self, partitions: &[i32]) {
        self.change(|all| {
            if std::mem::replace(&mut all.part, Part::Known) == Part::NotYet {
                all.unclaimed.retain(|partition, _| partitions.contains(partition));
            }
            for partition in partitions {
                all.unclaimed.entry(*partition).or_default();
            }
        });
    }

    pub(super) fn resumed(&self, partition: i32, next: u64, end: u64) {
        self.change(|all| {
            all.unclaimed.remove(&partition);
            all.ours.insert(partition, Ours { next, end: end.max(next), oldest_ms: None });
        });
    }

    pub(super) fn delivered(&self, partition: i32, next: u64, oldest_ms: Option<i64>) {
        self.change(|all| {
            if let Some(ours) = all.ours.get_mut(&partition) {
                *ours = Ours { next, oldest_ms, end: ours.end.max(next) };
            }
        });
    }

    pub(super) fn appended(&self, partition: i32, offset: u64) {
        self.change(|all| {
            if let Some(ours) = all.ours.get_mut(&partition) {
                ours.end = ours.end.max(offset + 1);
            } else if all.part == Part::NotYet || all.unclaimed.contains_key(&partition) {
                *all.unclaimed.entry(partition).or_default() += 1;
            }
        });
    }

    /// A record was read.
    pub(super) fn saw(&self, partition: i32, offset: u64, received_ms: i64) {
        self.change(|all| {
            if let Some(ours) = all.ours.get_mut(&partition) {
                ours.end = ours.end.max(offset + 1);
                ours.oldest_ms = ours.oldest_ms.or(Some(received_ms));
            }
        });
    }

    pub(super) fn ends(&self, partition: i32, end: u64) {
        self.change(|all| {
            if let Some(ours) = all.ours.get_mut(&partition) {
                ours.end = end.max(ours.next);
            }
        });
    }

    pub(super) fn left(&self, partition: i32) {
        self.change(|all| {
            all.ours.remove(&partition);
            all.unclaimed.remove(&partition);
        });
    }

    pub(super) fn partitions(&self) -> Vec<i32> {
        self.lock().ours.keys().copied().collect()
    }

    pub(super) fn records(&self) -> u64 {
        self.lock().records()
    }

    fn change(&self, change: impl FnOnce(&mut All)) {
        let mut all = self.lock();
        change(&mut all);
        self.metrics.journal_backlog(all.records(), 0, all.oldest_ms());
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn records(&self) -> u64 {
        self.ours.values().map(|ours| ours.end - ours.next).chain(self.unclaimed.values().copied()).sum()
    }

    fn oldest_ms(&self) -> Option<i64> {
        self.ours.values().filter(|ours| ours.end > ours.next).filter_map(|ours| ours.oldest_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_before_its_partition_is_known_is_not_taken_for_delivered() {
        let backlogs = Backlogs::new(Arc::new(Metrics::new()));
        (0..3).for_each(|partition| backlogs.appended(partition, 7));
        assert_eq!(backlogs.records(), 3);
        backlogs.came(&[0, 1]);
        assert_eq!(backlogs.records(), 2, "partition 2 is another replica's");
        backlogs.resumed(0, 6, 8);
        assert_eq!(backlogs.records(), 3, "two of partition 0, and what is not known of partition 1");
        backlogs.appended(1, 8);
        assert_eq!(backlogs.records(), 4, "it came, and is not resumed yet");
        backlogs.resumed(1, 9, 9);
        backlogs.delivered(0, 8, None);
        backlogs.appended(2, 8);
        assert_eq!(backlogs.records(), 0);
    }
}
