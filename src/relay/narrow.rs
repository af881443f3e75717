//! Finding the record that a broker refuses for its size, so that it does not hold up the others for ever.
//!
//! After such a refusal the records of that batch go one a transaction. The one whose own transaction is
//! refused again becomes a dead letter: again, since the first transaction after a refusal aborts once too.

use std::collections::BTreeMap;

use crate::journal::{Position, Stored};
use crate::kafka::{Cause, Fault};

/// Refusals of a record's own transaction before it is held to be the one.
const REFUSALS: u32 = 2;

#[derive(Debug, Default)]
pub(super) struct Narrow {
    /// The last offset of the batch that was refused, for each of its partitions.
    until: BTreeMap<i32, u64>,
    /// The record that was refused alone, and how often, for each partition: its offset alone may come to mean another one,
    /// where a topic is made anew.
    suspects: BTreeMap<i32, (Stored, u32)>,
}

impl Narrow {
    /// How many records the next batch may take.
    pub(super) fn batch_max(&self, next: &[Position], batch_max: usize) -> usize {
        let is_inside = |next: &Position| self.until.get(&next.partition).is_some_and(|until| next.offset <= *until);
        if next.iter().any(is_inside) { 1 } else { batch_max }
    }

    pub(super) fn is_too_large(&self, stored: &Stored) -> bool {
        self.refusals(stored) >= REFUSALS
    }

    pub(super) fn failed(&mut self, batch: &[Stored], fault: &Fault) {
        if fault.cause != Cause::TooLarge {
            return;
        }
        match batch {
            [stored] => {
                let refusals = 1 + self.refusals(stored);
                self.suspects.insert(stored.position.partition, (stored.clone(), refusals));
            }
            _ => self.until.extend(batch.iter().map(|Stored { position, .. }| (position.partition, position.offset))),
        }
    }

    /// Everything before `next` went through.
    pub(super) fn committed(&mut self, next: &[Position]) {
        let is_ahead = |partition: &i32, offset: u64| next.iter().any(|next| next.partition == *partition && next.offset <= offset);
        self.suspects.retain(|partition, (stored, _)| is_ahead(partition, stored.position.offset));
        self.until.retain(|partition, until| is_ahead(partition, *until));
    }

    fn refusals(&self, stored: &Stored) -> u32 {
        let is_it = |(suspect, _): &&(Stored, u32)| suspect.position == stored.position && suspect.bytes == stored.bytes;
        self.suspects.get(&stored.position.partition).filter(is_it).map_or(0, |(_, refusals)| *refusals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::Class;

    fn stored(offset: u64) -> Stored {
        Stored { position: at(offset), received_ms: 0, bytes: Vec::new() }
    }

    fn at(offset: u64) -> Position {
        Position { partition: 0, offset }
    }

    fn fault(cause: Cause) -> Fault {
        Fault { class: Class::Abortable, cause, topic: None, detail: String::new() }
    }

    #[test]
    fn one_partition_going_on_does_not_clear_a_suspect_of_another() {
        let mut narrow = Narrow::default();
        let other = |offset| Position { partition: 1, offset };
        let elsewhere = Stored { position: other(3), received_ms: 0, bytes: Vec::new() };
        narrow.failed(&[stored(7), elsewhere], &fault(Cause::TooLarge));
        for _ in 0..2 {
            narrow.failed(&[stored(7)], &fault(Cause::TooLarge));
            narrow.committed(&[at(7), other(4)]);
        }
        assert!(narrow.is_too_large(&stored(7)));
        assert_eq!(narrow.batch_max(&[at(7), other(4)], 1000), 1);
    }

    #[test]
    fn another_record_of_the_same_offset_is_not_the_suspect() {
        let mut narrow = Narrow::default();
        (0..2).for_each(|_| narrow.failed(&[stored(7)], &fault(Cause::TooLarge)));
        assert!(narrow.is_too_large(&stored(7)));
        assert!(!narrow.is_too_large(&Stored { bytes: b"of a topic made anew".to_vec(), ..stored(7) }));
    }

    #[test]
    fn one_record_too_large_is_found_among_its_batch() {
        let mut narrow = Narrow::default();
        narrow.failed(&[stored(7), stored(8), stored(9)], &fault(Cause::TooLarge));
        assert_eq!(narrow.batch_max(&[at(7)], 1000), 1);

        narrow.failed(&[stored(7)], &fault(Cause::TooLarge));
        assert!(!narrow.is_too_large(&stored(7)), "the first may be the echo of the batch");
        narrow.committed(&[at(8)]);

        narrow.failed(&[stored(8)], &fault(Cause::TooLarge));
        narrow.failed(&[stored(8)], &fault(Cause::TimedOut));
        narrow.failed(&[stored(8)], &fault(Cause::TooLarge));
        assert!(narrow.is_too_large(&stored(8)));

        narrow.committed(&[at(10)]);
        assert_eq!(narrow.batch_max(&[at(10)], 1000), 1000);
    }
}
