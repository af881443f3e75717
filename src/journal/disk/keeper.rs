//! The one that keeps house: makes the next segment ahead, syncs the mark, frees what Kafka has and the window
//! no longer needs. A full or read-only disk is met here, before any delivery has been answered.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::segments::{Blank, Log, Segment, Spare, State, wait};
use super::storage::Storage;
use crate::journal::AppendError;

/// The name of the segment made ahead until the writer takes it.
pub const SPARE: &str = "spare";
/// The first segment of a start is small, so that the start is quick; it must take the largest record.
pub const FIRST_BYTES: u64 = 8 << 20;
/// Zeros are synced in pieces, so that the writer's own syncs need not wait for many of them: measured, its
/// p99 halves against pieces of 4 MiB. While there is nothing to write to, larger is faster.
const PIECE_BYTES: u64 = 256 << 10;
const PIECE_ALONE_BYTES: u64 = 4 << 20;
const TURN: Duration = Duration::from_secs(1);

/// Until the journal closes.
pub fn run(log: &Log) {
    loop {
        turn(log);
        let mut state = log.state();
        if !state.closing && !matches!(state.spare, Spare::Wanted) {
            state = wait(&log.wanted, state, TURN);
        }
        if state.closing {
            return;
        }
    }
}

/// One round of housekeeping.
pub fn turn(log: &Log) {
    prepare(log);
    log.sync_mark();
    free(log);
    log.show();
}

/// Makes the next segment if there is none, or says why there can be none.
pub fn prepare(log: &Log) {
    prepare_bytes(log, log.options.segment_bytes);
}

pub fn prepare_bytes(log: &Log, bytes: u64) {
    let before = {
        let mut state = log.state();
        if !matches!(state.spare, Spare::Wanted | Spare::Refused(_)) {
            return;
        }
        let before = state.spare.refused();
        state.spare = Spare::Preparing(before);
        before
    };
    let spare = match make_room(log, bytes).and_then(|()| fill(log, bytes)) {
        Ok(blank) => Spare::Ready(blank),
        Err(error) => Spare::Refused(refusal(&error, before)),
    };
    log.state().spare = spare;
    log.prepared.notify_all();
    log.show();
}

/// The window shrinks before a delivery is refused.
fn make_room(log: &Log, bytes: u64) -> io::Result<()> {
    loop {
        let taken = log.state().file_bytes() + bytes;
        if taken <= log.options.size_max && log.storage.free_bytes()? >= log.options.free_min.saturating_add(bytes) {
            return Ok(());
        }
        if !log.free_oldest(|_, _| true)? {
            return Err(io::ErrorKind::StorageFull.into());
        }
    }
}

fn fill(log: &Log, bytes: u64) -> io::Result<Blank> {
    remove_if_there(&*log.storage, SPARE)?;
    let filled = fill_new(log, bytes);
    if filled.is_err() {
        // What was filled so far may be just what others need.
        let _ = remove_if_there(&*log.storage, SPARE);
    }
    filled
}

fn fill_new(log: &Log, bytes: u64) -> io::Result<Blank> {
    let file = log.storage.create(SPARE)?;
    let piece_bytes = if log.state().room > 0 { PIECE_BYTES } else { PIECE_ALONE_BYTES };
    let zeros = vec![0; piece_bytes.min(bytes) as usize];
    for offset in (0..bytes).step_by(zeros.len()) {
        let length = (bytes - offset).min(zeros.len() as u64);
        file.write_at(&zeros[..length as usize], offset)?;
        file.sync_data()?;
    }
    Ok(Blank { file, bytes })
}

pub fn remove_if_there(storage: &dyn Storage, name: &str) -> io::Result<()> {
    match storage.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Told once, not at every try.
fn refusal(error: &io::Error, before: Option<AppendError>) -> AppendError {
    let refusal = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::Full,
        _ => AppendError::Unavailable,
    };
    if before != Some(refusal) {
        tracing::error!(%error, %refusal, "no other segment can be made: once the present one is full, deliveries are refused");
    }
    refusal
}

/// Frees every segment whose records are all in Kafka and outside the window.
fn free(log: &Log) {
    let now_ms = log.now_ms();
    let window_ms = log.options.window_ms as i64;
    let outside = |state: &State, segment: &Segment| segment.newest_ms < window_end_ms(state, now_ms) - window_ms;
    while match log.free_oldest(outside) {
        Ok(freed) => freed,
        Err(error) => {
            tracing::warn!(%error, "a segment could not be freed");
            false
        }
    } {}
}

/// A window counts back from the records that are still to be published, however old they have become: what
/// they repeat must still be known when their turn comes.
fn window_end_ms(state: &State, now_ms: i64) -> i64 {
    if state.undelivered().records == 0 { now_ms } else { state.oldest_ms.min(now_ms) }
}

/// Wakes the keeper and has it end.
pub fn stop(log: &Arc<Log>) {
    log.state().closing = true;
    log.wanted.notify_all();
}
