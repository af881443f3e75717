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
    /// The last position of the batch that was refused.
    until: Option<Position>,
    suspect: Option<(Position, u32)>,
}

impl Narrow {
    /// How many records the next batch may take.
    pub(super) fn batch_max(&self, next: &BTreeMap<i32, Position>, batch_max: usize) -> usize {
        let inside = self.until.is_some_and(|until| next.get(&until.partition).is_some_and(|next| next.offset <= until.offset));
        if inside { 1 } else { batch_max }
    }

    pub(super) fn is_too_large(&self, position: Position) -> bool {
        self.suspect.is_some_and(|(suspect, refusals)| suspect == position && refusals >= REFUSALS)
    }

    pub(super) fn failed(&mut self, batch: &[Stored], fault: &Fault) {
        if fault.cause != Cause::TooLarge {
            return;
        }
        match batch {
            [alone] => self.suspect = Some((alone.position, 1 + self.refusals(alone.position))),
            _ => self.until = batch.last().map(|stored| stored.position),
        }
    }

    /// Everything before `next` went through.
    pub(super) fn committed(&mut self, next: &BTreeMap<i32, Position>) {
        self.suspect = None;
        if self.batch_max(next, usize::MAX) == usize::MAX {
            self.until = None;
        }
    }

    fn refusals(&self, position: Position) -> u32 {
        self.suspect.filter(|(suspect, _)| *suspect == position).map_or(0, |(_, refusals)| refusals)
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
    fn one_record_too_large_is_found_among_its_batch() {
        let mut narrow = Narrow::default();
        narrow.failed(&[stored(7), stored(8), stored(9)], &fault(Cause::TooLarge));
        assert_eq!(narrow.batch_max(&BTreeMap::from([(0, at(7))]), 1000), 1);

        narrow.failed(&[stored(7)], &fault(Cause::TooLarge));
        assert!(!narrow.is_too_large(at(7)), "the first may be the echo of the batch");
        narrow.committed(&BTreeMap::from([(0, at(8))]));

        narrow.failed(&[stored(8)], &fault(Cause::TooLarge));
        narrow.failed(&[stored(8)], &fault(Cause::TimedOut));
        narrow.failed(&[stored(8)], &fault(Cause::TooLarge));
        assert!(narrow.is_too_large(at(8)));

        narrow.committed(&BTreeMap::from([(0, at(10))]));
        assert_eq!(narrow.batch_max(&BTreeMap::from([(0, at(10))]), 1000), 1000);
    }
}
