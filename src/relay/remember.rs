//! Brings the memory up to where publishing goes on: at the start, and after a commit of unknown end.
//!
//! The journal is read again over the window, and each record is decided as it was then, without publishing. The
//! ingress accepts meanwhile. Knows no Kafka.

use std::ops::ControlFlow;

use tracing::info;

use super::Relay;
use super::memory::Staged;
use crate::journal::{Past, Position, ReadError, Source, Stored};
use crate::kafka::Broker;

impl<S: Source, B: Broker> Relay<S, B> {
    /// Breaks off when a stop is asked for: then nothing may be published.
    pub(super) fn remember(&mut self) -> Result<ControlFlow<()>, ReadError> {
        let positions: Vec<Position> = self.next.values().copied().collect();
        for position in positions {
            let known = self.memory.until(position.partition);
            if known == Some(position.offset) {
                continue;
            }
            // The checkpoint went back, or nothing is known yet: only the whole window tells.
            let from = known.filter(|known| *known < position.offset).unwrap_or_else(|| {
                self.memory.forget(position.partition);
                0
            });
            if self.review(from, position)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.metrics.memory(self.memory.entries(), self.memory.coverage_ms());
        Ok(ControlFlow::Continue(()))
    }

    fn review(&mut self, from: u64, until: Position) -> Result<ControlFlow<()>, ReadError> {
        let Relay { source, prepare, memory, stop, clock, .. } = self;
        let began_ms = clock.now_ms();
        let past = Past { from, until, window_ms: memory.limits().review_ms() };
        let (mut records, mut told) = (0, ControlFlow::Continue(()));
        source.review(past, &mut |piece: &[Stored]| {
            let Some(last) = piece.last() else { return told };
            prepare.again(piece, memory);
            memory.merge(Staged::default(), &[Position { offset: last.position.offset + 1, ..last.position }]);
            records += piece.len();
            if stop.is_requested() {
                told = ControlFlow::Break(());
            }
            told
        })?;
        if told.is_continue() {
            memory.merge(Staged::default(), &[until]);
        }
        let (entries, took_ms) = (memory.entries(), clock.now_ms() - began_ms);
        info!(partition = until.partition, records, entries, took_ms, "the window of the journal is remembered");
        Ok(told)
    }
}
