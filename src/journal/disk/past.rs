//! Reads again what lies before a position: the window of the journal, for those who remember it.
//!
//! What is damaged has been counted and set aside when it was read first, and is passed over here. Moves no reader,
//! and knows nothing of what is delivered.

use std::io;
use std::ops::ControlFlow;

use super::cursor::{Cursor, Found, Record};
use super::format::segment_name;
use super::segments::{Log, Segment};
use crate::journal::{Past, Position, Stored};

const PIECE_RECORDS: usize = 1000;
const PIECE_BYTES: usize = 4 << 20;

/// Tells of the past in order, in pieces.
pub fn review(log: &Log, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> io::Result<()> {
    let until = past.until.offset;
    let Some(latest_ms) = receipt(log, until)? else { return Ok(()) };
    let since_ms = latest_ms.saturating_sub(past.window_ms);
    let is_in = |segment: &Segment| segment.newest_ms >= since_ms && segment.last >= past.from && segment.base < until;
    let (mut piece, mut bytes) = (Vec::new(), 0);
    let walked = walk(log, is_in, |record, cursor| {
        if record.seq >= until {
            return Ok(ControlFlow::Break(()));
        }
        if record.seq < past.from || record.received_ms < since_ms {
            return Ok(ControlFlow::Continue(()));
        }
        let position = Position { partition: past.until.partition, offset: record.seq };
        piece.push(Stored { position, received_ms: record.received_ms, bytes: cursor.body(record)?.to_vec() });
        bytes += record.body_bytes as usize;
        if piece.len() < PIECE_RECORDS && bytes < PIECE_BYTES {
            return Ok(ControlFlow::Continue(()));
        }
        let told = tell(&piece);
        piece.clear();
        bytes = 0;
        Ok(told)
    });
    walked?;
    if !piece.is_empty() {
        let _ = tell(&piece);
    }
    Ok(())
}

/// Of the record at this seq or the first behind it, else of the newest that there is.
fn receipt(log: &Log, seq: u64) -> io::Result<Option<i64>> {
    let mut found = None;
    walk(
        log,
        |segment| segment.last >= seq,
        |record, _| {
            if record.seq < seq {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some(record.received_ms);
            Ok(ControlFlow::Break(()))
        },
    )?;
    Ok(found.or_else(|| log.state().segments.iter().map(|segment| segment.newest_ms).max()))
}

/// Every whole record of these segments in order, until it is enough.
fn walk(
    log: &Log,
    is_in: impl Fn(&Segment) -> bool,
    mut each: impl FnMut(&Record, &mut Cursor) -> io::Result<ControlFlow<()>>,
) -> io::Result<()> {
    let segments: Vec<Segment> = log.state().segments.iter().filter(|segment| is_in(segment)).copied().collect();
    for segment in segments {
        let mut cursor = match log.storage.open(&segment_name(segment.base)) {
            Ok(file) => Cursor::new(file, &segment),
            // Freed meanwhile: so the window has gone on, and it is not in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        loop {
            match cursor.next()? {
                Found::Record(record) => {
                    if each(&record, &mut cursor)?.is_break() {
                        return Ok(());
                    }
                }
                Found::Damage(_) => {}
                Found::End => break,
            }
        }
    }
    Ok(())
}
