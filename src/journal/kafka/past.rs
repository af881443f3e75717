//! Reads again what lies before a position of the raw topic, for those who remember it and for those who replay it.
//!
//! Receipt is when a record's replica took it; their clocks differ, so it is held to what came before: it never goes backward
//! within a partition.

use std::ops::{ControlFlow, Range};

use uuid::Uuid;

use crate::delivery::Record;
use crate::journal::{Past, Position, ReadError, Stored};
use crate::kafka::raw::{Raw, RawTopic};

const PIECE_RECORDS: usize = 1000;
const PIECE_BYTES: usize = 4 << 20;

/// At one place in a partition: everything before `next`.
#[derive(Debug, Clone, Default)]
pub(super) struct Settled {
    pub(super) next: u64,
    /// The latest receipt: the clocks of replicas differ, and receipt never goes backward.
    pub(super) latest_ms: i64,
    /// Of the last record before `next`, as a checkpoint names it.
    pub(super) accept_id: String,
}

impl Settled {
    /// The place behind this record.
    pub(super) fn behind(&self, raw: &Raw) -> Settled {
        Settled { next: raw.offset + 1, latest_ms: self.latest_ms.max(raw.written_ms), accept_id: accept_id(raw) }
    }
}

/// The first record of that past; none where nothing was written yet.
pub(super) fn begin<R: RawTopic>(raw: &mut R, past: &Past) -> Result<Option<u64>, ReadError> {
    let partition = past.until.partition;
    let there = raw.bounds(partition)?;
    let Some(latest_ms) = receipt(raw, past.until, &there)? else { return Ok(None) };
    let since = raw.since(partition, latest_ms.saturating_sub(past.window_ms))?.unwrap_or(there.end);
    Ok(Some(past.from.max(since).max(there.start)))
}

/// Tells of the records from `settled` on, in order, in pieces; `settled` follows what was told.
pub(super) fn tell<R: RawTopic>(
    raw: &mut R,
    settled: &mut Settled,
    until: Position,
    tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let Position { partition, offset } = until;
    let mut place = settled.clone();
    let (mut piece, mut bytes, mut told) = (Vec::new(), 0, ControlFlow::Continue(()));
    raw.walk(partition, place.next..offset, &mut |raw| {
        place = place.behind(&raw);
        bytes += raw.value.len();
        let position = Position { partition, offset: raw.offset };
        piece.push(Stored { position, received_ms: place.latest_ms, bytes: raw.value });
        if piece.len() >= PIECE_RECORDS || bytes >= PIECE_BYTES {
            told = tell(&piece);
            *settled = place.clone();
            piece.clear();
            bytes = 0;
        }
        told
    })?;
    if !piece.is_empty() {
        let _ = tell(&piece);
    }
    *settled = place;
    Ok(())
}

/// The receipt from which the window before this position is counted back.
fn receipt<R: RawTopic>(raw: &mut R, until: Position, there: &Range<u64>) -> Result<Option<i64>, ReadError> {
    let last = until.offset.min(there.end.saturating_sub(1));
    let mut found = None;
    if there.contains(&last) {
        raw.walk(until.partition, last..last + 1, &mut |raw| {
            found = Some(raw.written_ms);
            ControlFlow::Break(())
        })?;
    }
    Ok(found)
}

/// Of bytes that are no record of ours it is nil, as in a dead letter.
pub(super) fn accept_id(raw: &Raw) -> String {
    Record::decode(&raw.value).map_or(Uuid::nil(), |record| record.accept_id).to_string()
}
