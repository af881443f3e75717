//! The journal's partitions that are ours, each on its way to being published from.
//!
//! A disk journal has one for ever; those of a fleet come and go. Knows positions only: who asks, reads and remembers is the relay.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::journal::Position;

/// How far a partition has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Only Kafka can tell where publishing goes on.
    Unread,
    /// Publishing goes on here, once the memory reaches up to it.
    Remembering(Position),
    /// The next position to publish; the journal is read from there.
    Flowing(Position),
    /// The same, but nothing is read until this time.
    Waiting(Position, i64),
}

#[derive(Debug, Default)]
pub(super) struct Partitions {
    stages: BTreeMap<i32, Stage>,
    /// The last one that Kafka was asked for.
    asked: i32,
}

impl Partitions {
    pub(super) fn came(&mut self, partition: i32) {
        self.stages.insert(partition, Stage::Unread);
    }

    pub(super) fn left(&mut self, partition: i32) {
        self.stages.remove(&partition);
    }

    /// After anything but a clean commit nobody but Kafka knows.
    pub(super) fn doubt(&mut self) {
        self.stages.values_mut().for_each(|stage| *stage = Stage::Unread);
    }

    /// The next one that Kafka has to be asked for: each has its turn.
    pub(super) fn next_unread(&mut self) -> Option<i32> {
        let after = (Bound::Excluded(self.asked), Bound::Unbounded);
        let unread = |(_, stage): &(&i32, &Stage)| **stage == Stage::Unread;
        let next = self.stages.range(after).find(unread).or_else(|| self.stages.iter().find(unread));
        let next = next.map(|(partition, _)| *partition)?;
        self.asked = next;
        Some(next)
    }

    pub(super) fn has_unread(&self) -> bool {
        self.stages.values().any(|stage| *stage == Stage::Unread)
    }

    pub(super) fn resumed(&mut self, position: Position) {
        self.stages.insert(position.partition, Stage::Remembering(position));
    }

    pub(super) fn remembering(&self) -> Vec<Position> {
        self.find(|stage| match stage {
            Stage::Remembering(position) => Some(position),
            _ => None,
        })
    }

    /// Nothing can be published yet.
    pub(super) fn only_remembers(&self) -> bool {
        let known = self.known().len();
        known > 0 && self.remembering().len() == known
    }

    pub(super) fn flows(&mut self, position: Position) {
        self.stages.insert(position.partition, Stage::Flowing(position));
    }

    pub(super) fn wait(&mut self, position: Position, until_ms: i64) {
        self.stages.insert(position.partition, Stage::Waiting(position, until_ms));
    }

    /// Those whose time has come.
    pub(super) fn waited(&self, now_ms: i64) -> Vec<Position> {
        self.find(|stage| match stage {
            Stage::Waiting(position, until_ms) if until_ms <= now_ms => Some(position),
            _ => None,
        })
    }

    /// Everything before this position is in Kafka.
    pub(super) fn advanced(&mut self, next: Position) {
        match self.stages.get_mut(&next.partition) {
            Some(Stage::Remembering(position) | Stage::Flowing(position) | Stage::Waiting(position, _)) => *position = next,
            Some(Stage::Unread) | None => unreachable!("published from a partition that is not ours"),
        }
    }

    /// Where publishing goes on, as far as it is known.
    pub(super) fn known(&self) -> Vec<Position> {
        self.find(|stage| match stage {
            Stage::Remembering(position) | Stage::Flowing(position) | Stage::Waiting(position, _) => Some(position),
            Stage::Unread => None,
        })
    }

    /// Before a commit, the first records of each partition: what lies before a position that is not known would be skipped by it, and
    /// what lies behind one published twice.
    pub(super) fn must_have_come_to(&self, first: &BTreeMap<i32, u64>) {
        let known = self.known();
        let is_known =
            |(partition, offset): (&i32, &u64)| known.iter().any(|known| known.partition == *partition && known.offset <= *offset);
        assert!(first.iter().all(is_known), "read from a partition whose position is not known, or before it");
    }

    pub(super) fn all(&self) -> Vec<i32> {
        self.stages.keys().copied().collect()
    }

    fn find(&self, wanted: impl Fn(Stage) -> Option<Position>) -> Vec<Position> {
        self.stages.values().filter_map(|stage| wanted(*stage)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unread_partition_has_its_turn() {
        let mut partitions = Partitions::default();
        [3, 0, 7].into_iter().for_each(|partition| partitions.came(partition));
        let turns: Vec<i32> = (0..4).map_while(|_| partitions.next_unread()).collect();
        assert_eq!(turns, [3, 7, 0, 3]);
        [0, 7].into_iter().for_each(|partition| partitions.resumed(Position { partition, offset: 5 }));
        assert_eq!(partitions.next_unread(), Some(3));
        partitions.left(3);
        assert_eq!(partitions.next_unread(), None);
        partitions.doubt();
        assert_eq!(partitions.next_unread(), Some(7));
    }
}
