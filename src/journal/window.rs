//! The past of a journal, for who reads it beside the relay: a replay.
//!
//! Tells what Kafka has already, and never what the relay has still to publish. Moves nothing, and knows nothing of
//! what is done with it. Dead letters can be read through the same seam.

use std::ops::ControlFlow;

use super::{Past, Position, ReadError, Stored};

pub trait Window: Send + Sync {
    /// For each partition the position before which everything is in Kafka.
    fn delivered(&self) -> Result<Vec<Position>, ReadError>;

    /// Where a replay of this partition can keep how far it is: a topic and a partition of it that are there.
    fn checkpoint_at(&self, partition: i32) -> (String, i32);

    /// Tells of the past in order, in pieces, as [`super::Source::review`] does.
    fn review(&self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError>;
}
