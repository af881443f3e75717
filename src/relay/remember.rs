//! Brings the memory up to where publishing goes on: when a partition comes, and after a commit of unknown end.
//!
//! The journal is read again over the window, and each record is decided as it was then, without publishing. The
//! ingress accepts meanwhile, and the partitions that flow go on: each turn takes a slice. Knows no Kafka.

use std::ops::ControlFlow;

use tracing::info;

use super::Relay;
use super::memory::Staged;
use crate::journal::{Past, Position, ReadError, Source, Stored};
use crate::kafka::Broker;

/// Of one turn: those that flow wait for it.
const SLICE_MS: i64 = 100;
/// Of one turn where nothing else flows; the group of a fleet has to be heard now and then.
const SLICE_ALONE_MS: i64 = 10_000;

impl<S: Source, B: Broker> Relay<S, B> {
    /// A slice for each partition that does not flow yet. Breaks off when a stop is asked for: then it is not published from.
    pub(super) fn remember(&mut self) -> Result<(), ReadError> {
        let slice_ms = if self.partitions.only_remembers() { SLICE_ALONE_MS } else { SLICE_MS };
        for until in self.partitions.remembering() {
            let known = self.memory.until(until.partition);
            if known != Some(until.offset) {
                // The checkpoint went back, or nothing is known yet: only the whole window tells.
                let from = known.filter(|known| *known < until.offset).unwrap_or_else(|| {
                    self.memory.forget(until.partition);
                    0
                });
                if self.review(from, until, slice_ms)?.is_break() {
                    continue;
                }
            }
            self.source.go_on_at(until)?;
            self.partitions.flows(until);
            self.metrics.memory(self.memory.entries(), self.memory.coverage_ms());
        }
        Ok(())
    }

    /// Breaks when its time is up, or a stop is asked for.
    fn review(&mut self, from: u64, until: Position, slice_ms: i64) -> Result<ControlFlow<()>, ReadError> {
        let Relay { source, prepare, memory, stop, clock, .. } = self;
        let began_ms = clock.now_ms();
        let past = Past { from, until, window_ms: memory.limits().review_ms() };
        let (mut records, mut told) = (0, ControlFlow::Continue(()));
        source.review(past, &mut |piece: &[Stored]| {
            let Some(last) = piece.last() else { return told };
            prepare.again(piece, memory);
            memory.merge(Staged::default(), &[Position { offset: last.position.offset + 1, ..last.position }]);
            records += piece.len();
            if stop.is_requested() || clock.now_ms() - began_ms >= slice_ms {
                told = ControlFlow::Break(());
            }
            told
        })?;
        if told.is_continue() {
            memory.merge(Staged::default(), &[until]);
            let (entries, took_ms) = (memory.entries(), clock.now_ms() - began_ms);
            info!(partition = until.partition, records, entries, took_ms, "the window of the journal is remembered");
        }
        Ok(told)
    }
}
