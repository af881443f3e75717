//! The one that writes: gathers what waits, gives it seq and receipt time, writes it in one piece, syncs, tells
//! the readers, and only then answers. Knows nothing of who waits or reads.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::format::{RECORD_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentHeader, Totals, encode_record, frame_bytes, segment_name};
use super::keeper;
use super::queue::{Taken, Waiting};
use super::segments::{Blank, Log, Segment, Spare, Stage, wait};
use super::storage::File;
use crate::journal::{AppendError, Position};

/// What one write takes, so that its sync stays short.
const GROUP_BYTES_MAX: u64 = 4 << 20;
/// How often a quiet writer looks whether its segment has become old.
const TURN: Duration = Duration::from_secs(1);

pub struct Writer {
    log: Arc<Log>,
    current: Option<Current>,
    next: u64,
    last_ms: i64,
    totals: Totals,
    buffer: Vec<u8>,
    group: Vec<Answer>,
}

struct Current {
    file: Arc<dyn File>,
    base: u64,
    created_ms: i64,
    end: u64,
    capacity: u64,
}

struct Answer {
    since: Instant,
    answer: oneshot::Sender<Result<Position, AppendError>>,
}

impl Writer {
    pub fn new(log: Arc<Log>, last_ms: i64) -> Writer {
        let (next, totals) = (log.first, log.state().totals);
        Writer { log, current: None, next, last_ms, totals, buffer: Vec::new(), group: Vec::new() }
    }

    /// Until the queue closes.
    pub fn run(&mut self) {
        let mut batch = VecDeque::new();
        loop {
            let taken = self.log.clone().queue.take(&mut batch, TURN);
            self.commit(&mut batch);
            if taken == Taken::Last {
                return self.close();
            }
        }
    }

    /// Makes everything in `batch` durable and answers it, or refuses it.
    pub fn commit(&mut self, batch: &mut VecDeque<Waiting>) {
        self.last_ms = self.last_ms.max(self.log.now_ms());
        self.seal_if_old();
        while let Some(first) = batch.front() {
            match self.make_room(first.record.len()) {
                Ok(()) => self.commit_group(batch),
                Err(error) => refuse(batch.pop_front(), error),
            }
        }
    }

    pub fn close(&mut self) {
        self.seal();
    }

    fn make_room(&mut self, body_bytes: usize) -> Result<(), AppendError> {
        if self.log.state().poisoned {
            return Err(AppendError::Unavailable);
        }
        let frame_bytes = frame_bytes(body_bytes);
        if body_bytes > RECORD_BYTES_MAX || frame_bytes + SEGMENT_HEADER_BYTES > self.log.options.segment_bytes {
            tracing::error!(body_bytes, "this record is larger than a segment takes: raise journal.segment");
            return Err(AppendError::Unavailable);
        }
        if self.current.as_ref().is_some_and(|current| current.has_room(frame_bytes)) {
            return Ok(());
        }
        let spare = self.take_spare()?;
        self.seal();
        self.begin(spare).map_err(|error| {
            self.log.poison("beginning a segment", &error);
            AppendError::Unavailable
        })
    }

    /// Waits while one is being made; none can be made: that is the answer.
    fn take_spare(&self) -> Result<Blank, AppendError> {
        loop {
            let mut state = self.log.state();
            if state.poisoned {
                return Err(AppendError::Unavailable);
            }
            match std::mem::replace(&mut state.spare, Spare::Taken) {
                Spare::Ready(blank) => return Ok(blank),
                other => state.spare = other,
            }
            if let Some(error) = state.spare.refused() {
                return Err(error);
            }
            if let Spare::Preparing(_) = state.spare {
                drop(wait(&self.log.prepared, state, TURN));
            } else {
                drop(state);
                keeper::prepare(&self.log);
            }
        }
    }

    /// A segment has its name and its header durably before the first record is written to it.
    fn begin(&mut self, blank: Blank) -> io::Result<()> {
        let (log, base, created_ms) = (&self.log, self.next, self.last_ms);
        let header = SegmentHeader { journal: log.id, boot: log.boot, base, created_ms, before: self.totals };
        blank.file.write_at(&header.encode(), 0)?;
        blank.file.sync_data()?;
        log.storage.rename(keeper::SPARE, &segment_name(base))?;
        log.storage.sync_dir("")?;
        let end = SEGMENT_HEADER_BYTES;
        let (before, file_bytes) = (self.totals, blank.bytes);
        let segment = Segment {
            base,
            last: base - 1,
            newest_ms: created_ms,
            end,
            file_bytes,
            before,
            boot: Some(log.boot),
            records: None,
            stage: Stage::Open,
        };
        let mut state = log.state();
        state.segments.push_back(segment);
        state.spare = Spare::Wanted;
        drop(state);
        log.wanted.notify_one();
        self.current = Some(Current { file: blank.file, base, created_ms, end, capacity: blank.bytes });
        Ok(())
    }

    fn commit_group(&mut self, batch: &mut VecDeque<Waiting>) {
        let began = Instant::now();
        let totals = self.encode_group(batch);
        match self.write_group() {
            Ok(end) => {
                self.publish(end, totals);
                self.log.metrics.journal_synced(self.group.len(), began.elapsed());
                self.answer_group();
            }
            Err(error) => {
                #[cfg(test)]
                if crate::planted::is(crate::planted::Bug::ReadPastTheSyncedEnd) {
                    let end = self.current.as_ref().map_or(0, |current| current.end) + self.buffer.len() as u64;
                    self.publish(end, totals);
                }
                self.log.poison("writing or syncing records", &error);
                for Answer { answer, .. } in self.group.drain(..) {
                    let _ = answer.send(Err(AppendError::Unavailable));
                }
            }
        }
    }

    fn encode_group(&mut self, batch: &mut VecDeque<Waiting>) -> Totals {
        let current = self.current.as_ref().expect("there is room");
        let room = (current.capacity - current.end).min(GROUP_BYTES_MAX.max(frame_bytes(batch[0].record.len())));
        let mut totals = self.totals;
        self.buffer.clear();
        while let Some(first) = batch.front() {
            if self.buffer.len() as u64 + frame_bytes(first.record.len()) > room {
                break;
            }
            let Waiting { record, since, answer } = batch.pop_front().expect("it has a front");
            encode_record(&mut self.buffer, self.next + self.group.len() as u64, self.last_ms, &record);
            totals.add(record.len() as u64);
            self.group.push(Answer { since, answer });
        }
        totals
    }

    fn write_group(&mut self) -> io::Result<u64> {
        let current = self.current.as_mut().expect("there is room");
        let end = current.end + self.buffer.len() as u64;
        assert!(end <= current.capacity, "a record must lie in blocks that are durable already");
        current.file.write_at(&self.buffer, current.end)?;
        current.file.sync_data()?;
        current.end = end;
        Ok(end)
    }

    fn publish(&mut self, end: u64, totals: Totals) {
        let first = self.next;
        self.next += self.group.len() as u64;
        self.totals = totals;
        let capacity = self.current.as_ref().map_or(0, |current| current.capacity);
        let mut state = self.log.state();
        assert!(state.next <= first, "a seq is never given twice: {} > {first}", state.next);
        if state.undelivered().records == 0 {
            state.oldest_ms = self.last_ms;
        }
        let segment = state.segments.back_mut().expect("the open segment is listed");
        (segment.last, segment.newest_ms, segment.end) = (self.next - 1, self.last_ms, end);
        (state.next, state.totals, state.room) = (self.next, totals, capacity - end);
        state.show_backlog(&self.log.metrics);
        drop(state);
        self.log.synced.notify_all();
    }

    fn answer_group(&mut self) {
        let first = self.next - self.group.len() as u64;
        for (offset, Answer { since, answer }) in (first..).zip(self.group.drain(..)) {
            self.log.metrics.journal_appended(since.elapsed());
            let _ = answer.send(Ok(Position { partition: 0, offset }));
        }
    }

    /// A quiet segment must not keep its records for longer than a busy one would.
    fn seal_if_old(&mut self) {
        let age_max_ms = (self.log.options.window_ms / 12).max(1000) as i64;
        let end_ms = self.last_ms - age_max_ms;
        if self.current.as_ref().is_some_and(|current| current.holds_records() && current.created_ms <= end_ms) {
            self.seal();
        }
    }

    /// Gives back the zeros behind the last record: from now on it ends where its file ends.
    fn seal(&mut self) {
        let Some(current) = self.current.take() else { return };
        let cut = current.file.set_len(current.end);
        if let Err(error) = &cut {
            tracing::warn!(base = current.base, %error, "a full segment could not be cut to its records and keeps its zeros");
        }
        let mut state = self.log.state();
        state.room = 0;
        let segment = state.segments.back_mut().expect("the open segment is listed");
        segment.stage = Stage::Sealed;
        segment.records = Some(self.totals.records - segment.before.records);
        if cut.is_ok() {
            segment.file_bytes = current.end;
        }
        drop(state);
        self.log.show();
    }
}

impl Current {
    fn has_room(&self, frame_bytes: u64) -> bool {
        self.end + frame_bytes <= self.capacity
    }

    fn holds_records(&self) -> bool {
        self.end > SEGMENT_HEADER_BYTES
    }
}

fn refuse(waiting: Option<Waiting>, error: AppendError) {
    if let Some(waiting) = waiting {
        let _ = waiting.answer.send(Err(error));
    }
}
