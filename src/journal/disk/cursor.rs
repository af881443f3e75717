//! Walks over the records of one segment, up to a bound that is known to be durable.
//!
//! What is damaged is stepped over and reported, never hidden and never the end: a damaged body by its
//! header's length, a damaged header by looking for the next valid one. Knows no other segment and counts nothing.

use std::io;
use std::sync::Arc;

use super::format::{RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, frame_bytes};
use super::segments::Segment;
use super::storage::File;

const BUFFER_BYTES: u64 = 1 << 20;

pub struct Cursor {
    file: Arc<dyn File>,
    base: u64,
    /// Where the next record begins.
    offset: u64,
    /// Nothing at or behind it is ever read.
    end: u64,
    /// The seq that the next record must carry: within a segment there are no gaps.
    expected: u64,
    /// No record carries a higher seq: what stands behind it belongs to nobody.
    last: u64,
    buffer: Vec<u8>,
    buffer_offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Record(Record),
    Damage(Damage),
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub seq: u64,
    pub received_ms: i64,
    pub body_bytes: u64,
    pub offset: u64,
}

/// Bytes that hold records which cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Of the first record lost.
    pub seq: u64,
    /// Of the first record behind.
    pub next_seq: u64,
    pub offset: u64,
    pub end: u64,
}

impl Cursor {
    pub fn new(file: Arc<dyn File>, segment: &Segment) -> Cursor {
        let Segment { base, end, last, .. } = *segment;
        Cursor { file, base, offset: SEGMENT_HEADER_BYTES, end, expected: base, last, buffer: Vec::new(), buffer_offset: 0 }
    }

    pub fn base(&self) -> u64 {
        self.base
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// More has become durable.
    pub fn extend(&mut self, segment: &Segment) {
        assert!(segment.end >= self.end, "what was durable stays durable: {} < {}", segment.end, self.end);
        (self.end, self.last) = (segment.end, segment.last);
    }

    /// Finds the same again at the next call.
    pub fn rewind(&mut self, offset: u64, seq: u64) {
        self.offset = offset;
        self.expected = seq;
    }

    pub fn next(&mut self) -> io::Result<Found> {
        if self.expected > self.last {
            return Ok(Found::End);
        }
        match self.header_at(self.offset)? {
            Some(header) => self.step_over(header),
            None => self.find_next_header(),
        }
    }

    /// The body of the record that was found last.
    pub fn body(&mut self, record: &Record) -> io::Result<&[u8]> {
        self.load(record.offset + RECORD_HEADER_BYTES, record.body_bytes)
    }

    /// The bytes of a damaged region, or of a tail.
    pub fn bytes(&mut self, offset: u64, bytes_max: u64) -> io::Result<&[u8]> {
        self.load(offset, bytes_max)
    }

    fn step_over(&mut self, header: RecordHeader) -> io::Result<Found> {
        let offset = self.offset;
        let whole = header.fits(self.load(offset + RECORD_HEADER_BYTES, header.body_bytes)?);
        self.offset = (offset + header.frame_bytes()).min(self.end);
        self.expected = header.seq + 1;
        let RecordHeader { seq, received_ms, body_bytes, .. } = header;
        Ok(match whole {
            true => Found::Record(Record { seq, received_ms, body_bytes, offset }),
            false => Found::Damage(Damage { seq, next_seq: self.expected, offset, end: self.offset }),
        })
    }

    /// Only zeros behind are the end; anything else is damage, up to the next header or to the end.
    fn find_next_header(&mut self) -> io::Result<Found> {
        let offset = self.offset;
        let mut blank = true;
        let mut next = None;
        let mut at = offset;
        while at < self.end && next.is_none() {
            next = self.header_at(at)?;
            if next.is_none() {
                blank &= self.load(at, 8)?.iter().all(|byte| *byte == 0);
                at += 8;
            }
        }
        if blank && next.is_none() {
            return Ok(Found::End);
        }
        let seq = self.expected;
        self.offset = at.min(self.end);
        self.expected = next.map_or(seq + 1, |header| header.seq);
        Ok(Found::Damage(Damage { seq, next_seq: self.expected, offset, end: self.offset }))
    }

    fn header_at(&mut self, offset: u64) -> io::Result<Option<RecordHeader>> {
        // Lost records lie between what was expected and what is here, so their number is bounded by the bytes skipped.
        let lost_max = (offset - self.offset) / frame_bytes(0);
        let plausible = self.expected..=self.last.min(self.expected + lost_max);
        let room = self.end.saturating_sub(offset);
        let bytes = self.load(offset, RECORD_HEADER_BYTES)?;
        if (bytes.len() as u64) < RECORD_HEADER_BYTES || bytes[..4] == [0; 4] {
            return Ok(None);
        }
        Ok(RecordHeader::decode(bytes).filter(|header| plausible.contains(&header.seq) && header.frame_bytes() <= room))
    }

    /// At most `length` bytes from `offset`, fewer only where the durable part ends.
    fn load(&mut self, offset: u64, length: u64) -> io::Result<&[u8]> {
        let length = length.min(self.end.saturating_sub(offset));
        let buffered = self.buffer_offset + self.buffer.len() as u64;
        if offset < self.buffer_offset || offset + length > buffered {
            self.fill(offset, length)?;
        }
        let from = (offset - self.buffer_offset) as usize;
        let to = (from + length as usize).min(self.buffer.len());
        Ok(&self.buffer[from..to])
    }

    fn fill(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let wanted = length.max(BUFFER_BYTES).min(self.end.saturating_sub(offset));
        self.buffer.resize(wanted as usize, 0);
        self.buffer_offset = offset;
        let filled = self.file.read_at(&mut self.buffer, offset);
        self.buffer.truncate(*filled.as_ref().unwrap_or(&0));
        filled.map(|_| ())
    }
}
