//! Reads what is durable, in order, over the borders of segments and of starts; sets aside what is damaged.
//! Knows nothing of checkpoints.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::cursor::{Cursor, Damage, Found, Record};
use super::format::{Totals, segment_name};
use super::quarantine;
use super::segments::{Log, Segment, Stage};
use crate::journal::{Position, ReadLimit, Stored};

pub struct Reader {
    log: Arc<Log>,
    /// The next seq to read.
    position: u64,
    cursor: Option<Cursor>,
    /// What was read and is not yet known to be in Kafka.
    ahead: VecDeque<Ahead>,
    /// Damage below it has been counted already: after an abort the same records are read again.
    counted: u64,
}

struct Ahead {
    next_seq: u64,
    received_ms: i64,
    totals: Totals,
}

impl Reader {
    pub fn new(log: Arc<Log>) -> Reader {
        Reader { log, position: 0, cursor: None, ahead: VecDeque::new(), counted: 0 }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes to this seq, or the first one behind it, and tells the backlog how much lies from there on.
    pub fn seek(&mut self, position: u64) -> io::Result<()> {
        self.position = position;
        self.ahead.clear();
        self.cursor = None;
        let Some(segment) = self.log.segment_for(position) else {
            let mut state = self.log.state();
            state.delivered_totals = state.totals;
            return Ok(());
        };
        let mut passed = segment.before;
        let mut oldest_ms = segment.newest_ms;
        if let Some(mut cursor) = self.open(&segment)? {
            oldest_ms = skip(&mut cursor, position, &mut passed)?.unwrap_or(oldest_ms);
            self.cursor = Some(cursor);
        }
        let mut state = self.log.state();
        (state.delivered_totals, state.oldest_ms) = (passed, oldest_ms);
        state.show_backlog(&self.log.metrics);
        Ok(())
    }

    /// Adds what is durable now, at least one record if there is any.
    pub fn read(&mut self, limit: ReadLimit, out: &mut Vec<Stored>) -> io::Result<()> {
        let bound = self.log.state().next;
        let (out_max, mut bytes) = (out.len() + limit.records_max, 0);
        while self.position < bound && out.len() < out_max {
            let Some(record) = self.next()? else {
                self.position = self.position.max(bound);
                break;
            };
            assert!(record.seq < bound || record.seq < self.log.state().next, "read what is not durable: {}", record.seq);
            let cursor = self.cursor.as_mut().expect("it found the record");
            bytes += record.body_bytes as usize;
            if bytes > limit.bytes_max && bytes > record.body_bytes as usize {
                cursor.rewind(record.offset, record.seq);
                break;
            }
            let Record { seq, received_ms, body_bytes, .. } = record;
            let position = Position { partition: 0, offset: seq };
            out.push(Stored { position, received_ms, bytes: cursor.body(&record)?.to_vec() });
            self.pass(seq + 1, received_ms, Totals { records: 1, bytes: body_bytes });
        }
        Ok(())
    }

    /// What of the things read lies before `next`, and the receipt of the oldest of the others, or shortly before.
    pub fn delivered(&mut self, next: u64) -> (Totals, Option<i64>) {
        let mut totals = Totals::default();
        let mut oldest_ms = None;
        while let Some(ahead) = self.ahead.pop_front_if(|ahead| ahead.next_seq <= next) {
            totals.records += ahead.totals.records;
            totals.bytes += ahead.totals.bytes;
            oldest_ms = Some(ahead.received_ms);
        }
        (totals, self.ahead.front().map(|ahead| ahead.received_ms).or(oldest_ms))
    }

    fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let Some(cursor) = self.cursor.as_mut() else {
                match self.log.segment_for(self.position) {
                    Some(segment) if self.go_to(segment)? => continue,
                    _ => return Ok(None),
                }
            };
            match cursor.next()? {
                Found::Record(record) if record.seq < self.position => {}
                Found::Record(record) => return Ok(Some(record)),
                Found::Damage(damage) => self.set_aside(damage)?,
                Found::End if self.go_on()? => {}
                Found::End => return Ok(None),
            }
        }
    }

    /// At the end of a segment: is there more of it, or another one?
    fn go_on(&mut self) -> io::Result<bool> {
        let cursor = self.cursor.as_mut().expect("it came to its end");
        match self.log.segment(cursor.base()) {
            Some(segment) if segment.end > cursor.end() => {
                cursor.extend(&segment);
                Ok(true)
            }
            Some(segment) if segment.stage == Stage::Open => Ok(false),
            closed => {
                let base = cursor.base();
                closed.iter().for_each(|segment| self.miss(segment));
                match self.log.segment_after(base) {
                    Some(segment) => self.go_to(segment),
                    None => Ok(false),
                }
            }
        }
    }

    /// A closed segment that was cut short, or ends in zeros, looks as if it ended there: the next one knows better.
    fn miss(&mut self, segment: &Segment) {
        let read_until = self.cursor.as_ref().expect("it came to its end").expected();
        let until = segment.base + segment.records.unwrap_or(0);
        if until > read_until.max(self.counted) {
            let (segment, records) = (segment_name(segment.base), until - read_until);
            tracing::error!(segment, seq = read_until, records, "the end of a closed segment is gone, and what it held");
            self.log.metrics.journal_records_damaged(until.saturating_sub(read_until));
            self.counted = until;
        }
        if until > read_until {
            let received_ms = self.ahead.back().map_or(0, |ahead| ahead.received_ms);
            self.pass(until, received_ms, Totals { records: until - read_until, bytes: 0 });
        }
    }

    /// To this segment, or the first behind it that is there.
    fn go_to(&mut self, segment: Segment) -> io::Result<bool> {
        let mut next = Some(segment);
        while let Some(segment) = next {
            if let Some(cursor) = self.open(&segment)? {
                self.cursor = Some(cursor);
                return Ok(true);
            }
            next = self.log.segment_after(segment.base);
        }
        Ok(false)
    }

    /// None: freed meanwhile, or taken away by somebody else, which is damage.
    fn open(&self, segment: &Segment) -> io::Result<Option<Cursor>> {
        match self.log.storage.open(&segment_name(segment.base)) {
            Ok(file) => Ok(Some(Cursor::new(file, segment))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.log.segment(segment.base).is_some() {
                    self.log.metrics.journal_record_damaged();
                    tracing::error!(segment = segment_name(segment.base), "a segment has gone; what it held is lost");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn set_aside(&mut self, damage: Damage) -> io::Result<()> {
        let Damage { seq, next_seq, offset, end } = damage;
        if next_seq > self.counted.max(self.position) {
            let cursor = self.cursor.as_mut().expect("it found the damage");
            let segment = segment_name(cursor.base());
            let bytes = cursor.bytes(offset, (end - offset).min(quarantine::FILE_BYTES_MAX))?;
            quarantine::keep(&*self.log.storage, &seq.to_string(), bytes);
            tracing::error!(segment, offset, seq, records = next_seq - seq, "damaged: set aside, and reading goes on behind it");
            self.log.metrics.journal_records_damaged(next_seq.saturating_sub(seq));
            self.counted = next_seq;
        }
        let received_ms = self.ahead.back().map_or(0, |ahead| ahead.received_ms);
        self.pass(next_seq, received_ms, Totals { records: next_seq - seq, bytes: end - offset });
        Ok(())
    }

    fn pass(&mut self, next_seq: u64, received_ms: i64, totals: Totals) {
        if next_seq > self.position {
            self.position = next_seq;
            self.ahead.push_back(Ahead { next_seq, received_ms, totals });
        }
    }
}

/// Passes what lies before `position`; the receipt of the first record behind it, if there is one.
fn skip(cursor: &mut Cursor, position: u64, passed: &mut Totals) -> io::Result<Option<i64>> {
    loop {
        match cursor.next()? {
            Found::Record(record) if record.seq < position => passed.add(record.body_bytes),
            Found::Record(record) => {
                cursor.rewind(record.offset, record.seq);
                return Ok(Some(record.received_ms));
            }
            Found::Damage(damage) if damage.next_seq <= position => {
                passed.records += damage.next_seq - damage.seq;
                passed.bytes += damage.end - damage.offset;
            }
            Found::Damage(damage) => {
                cursor.rewind(damage.offset, damage.seq);
                return Ok(None);
            }
            Found::End => return Ok(None),
        }
    }
}
