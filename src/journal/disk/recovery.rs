//! From a folder to a journal: what is on the disk, how far it goes, and which seqs are still free.
//!
//! Nothing is ever appended behind an old tail. What a killed process wrote but did not sync is made durable
//! before anybody reads it; what is not whole at the very end had no answer and is cut off.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex};

use tokio::sync::watch;
use uuid::Uuid;

use super::cursor::{Cursor, Found, Record};
use super::disowned::DISOWNED;
use super::format::{HeaderError, SEGMENT_HEADER_BYTES, SegmentHeader, Totals, frame_bytes, segment_base, segment_name};
use super::mark::Mark;
use super::queue::Queue;
use super::segments::{Clock, Log, Segment, Spare, Stage, State};
use super::source::DiskSource;
use super::storage::{File, Lock, Shelf, Storage, read_all, write_whole};
use super::writer::Writer;
use super::{OpenError, Options, keeper, quarantine};
use crate::metrics::Metrics;

pub const LOCK: &str = "lock";
pub const ID: &str = "id";
const SMALL_FILE_BYTES_MAX: u64 = 4096;
const PIECE_BYTES: u64 = 1 << 20;

/// An open journal whose threads do not run yet: a test may drive it step by step.
pub struct Parts {
    pub log: Arc<Log>,
    pub writer: Writer,
    pub source: DiskSource,
}

/// What the disk held at the start.
struct Held {
    segments: VecDeque<Segment>,
    /// The last seq, 0 for none.
    last: u64,
    newest_ms: i64,
    totals: Totals,
}

pub fn recover(storage: Arc<dyn Storage>, clock: Clock, options: Options, metrics: Arc<Metrics>) -> Result<Parts, OpenError> {
    if let Some(record) = text_of(&*storage, &options, DISOWNED)? {
        return Err(OpenError::Disowned { dir: options.dir, record: record.trim().replace('\n', ", ") });
    }
    let parts = hold_folder(storage, clock, options, metrics)?;
    keeper::prepare_bytes(&parts.log, keeper::FIRST_BYTES.min(parts.log.options.segment_bytes));
    Ok(parts)
}

pub fn text_of(storage: &dyn Storage, options: &Options, name: &str) -> Result<Option<String>, OpenError> {
    text(storage, name).map_err(|source| OpenError::Io { path: options.dir.join(name), source })
}

/// Whoever owns its checkpoint.
pub fn hold_folder(storage: Arc<dyn Storage>, clock: Clock, options: Options, metrics: Arc<Metrics>) -> Result<Parts, OpenError> {
    let disk = Disk { storage: &*storage, options: &options, metrics: &metrics };
    let lock = disk.lock()?;
    keeper::remove_if_there(disk.storage, keeper::SPARE).map_err(disk.io(keeper::SPARE))?;
    disk.storage.sync_dir("").map_err(disk.io(""))?;
    let id = disk.journal_id()?;
    let mark = Mark::open(disk.storage).map_err(disk.io("mark"))?;
    let synced = mark.latest().map_or(0, |slot| slot.synced);
    let marked = mark.latest().map_or(0, |slot| slot.next);
    let held = disk.hold(id, synced)?;
    let newest_base = held.segments.back().map_or(0, |segment| segment.base);
    let first = (held.last + 1).max(marked + 1).max(newest_base + 1).max(clock());
    #[cfg(test)]
    let first = if crate::planted::is(crate::planted::Bug::SeqGivenTwice) { (held.last + 1).max(newest_base + 1) } else { first };
    let log = Arc::new(Log {
        id,
        boot: Uuid::new_v4(),
        first,
        held: (held.last + 1).max(marked).max(synced),
        queue: Queue::default(),
        mark: Mutex::new(mark),
        poisoned: watch::Sender::new(false),
        state: Mutex::new(held.state(marked)),
        synced: Condvar::new(),
        wanted: Condvar::new(),
        prepared: Condvar::new(),
        storage,
        clock,
        options,
        metrics,
        _lock: lock,
    });
    let writer = Writer::new(log.clone(), held.newest_ms);
    let source = DiskSource::new(log.clone()).map_err(|source| OpenError::Io { path: log.options.dir.clone(), source })?;
    Ok(Parts { log, writer, source })
}

impl Held {
    fn state(&self, marked: u64) -> State {
        State {
            segments: self.segments.clone(),
            spare: Spare::Wanted,
            next: self.last + 1,
            room: 0,
            delivered: marked,
            totals: self.totals,
            delivered_totals: self.totals,
            oldest_ms: self.newest_ms,
            poisoned: false,
            closing: false,
        }
    }
}

struct Disk<'a> {
    storage: &'a dyn Storage,
    options: &'a Options,
    metrics: &'a Metrics,
}

impl Disk<'_> {
    fn io(&self, name: &str) -> impl Fn(io::Error) -> OpenError {
        let path = self.options.dir.join(name);
        move |source| OpenError::Io { path: path.clone(), source }
    }

    fn damaged(&self, name: &str, why: String) -> OpenError {
        OpenError::Damaged { path: self.options.dir.join(name), why }
    }

    fn lock(&self) -> Result<Box<dyn std::any::Any + Send + Sync>, OpenError> {
        match self.storage.lock(LOCK).map_err(self.io(LOCK))? {
            Lock::Taken(lock) => Ok(lock),
            Lock::HeldBy(pid) => Err(OpenError::Locked { dir: self.options.dir.clone(), pid }),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>, OpenError> {
        text(self.storage, name).map_err(self.io(name))
    }

    /// Made once. A new one beside old segments would publish them again under another name.
    fn journal_id(&self) -> Result<Uuid, OpenError> {
        if let Some(text) = self.text(ID)? {
            return text.trim().parse().map_err(|_| self.damaged(ID, "is no UUID".to_owned()));
        }
        if let Some(base) = self.bases()?.last() {
            return Err(self.damaged(ID, format!("is missing beside {}: restore it", segment_name(*base))));
        }
        let id = Uuid::new_v4();
        write_whole(self.storage, ID, format!("{id}\n").as_bytes()).map_err(self.io(ID))?;
        Ok(id)
    }

    fn bases(&self) -> Result<Vec<u64>, OpenError> {
        bases(self.storage).map_err(self.io(""))
    }

    /// Reads the headers of all segments and the whole of the newest one: only that one can have a torn tail.
    fn hold(&self, id: Uuid, synced: u64) -> Result<Held, OpenError> {
        let mut held = Held { segments: VecDeque::new(), last: 0, newest_ms: 0, totals: Totals::default() };
        let mut previous_tells = false;
        for base in self.bases()? {
            let (segment, created_ms) = self.segment(base, id, held.totals)?;
            for earlier in held.segments.iter_mut().rev().take_while(|earlier: &&mut Segment| earlier.newest_ms == i64::MAX) {
                earlier.newest_ms = created_ms.unwrap_or(i64::MAX);
            }
            if let Some(previous) = held.segments.back_mut() {
                previous.last = base - 1;
                let both_tell = created_ms.is_some() && previous_tells;
                previous.records = both_tell.then(|| segment.before.records.saturating_sub(previous.before.records));
            }
            previous_tells = created_ms.is_some();
            held.totals = segment.before;
            held.newest_ms = created_ms.unwrap_or(held.newest_ms);
            held.segments.push_back(segment);
        }
        let Some(mut newest) = held.segments.pop_back() else { return Ok(held) };
        self.survey(&mut newest, &mut held, synced).map_err(self.io(&segment_name(newest.base)))?;
        for undated in held.segments.iter_mut().filter(|segment| segment.newest_ms == i64::MAX) {
            undated.newest_ms = held.newest_ms;
        }
        held.segments.push_back(newest);
        Ok(held)
    }

    /// With a damaged header its records are still read, each by its own checksum.
    fn segment(&self, base: u64, id: Uuid, before: Totals) -> Result<(Segment, Option<i64>), OpenError> {
        let name = segment_name(base);
        let (file_bytes, header) = header(self.storage, &name).map_err(self.io(&name))?;
        let mut segment = Segment {
            base,
            last: u64::MAX,
            newest_ms: i64::MAX,
            end: file_bytes,
            file_bytes,
            before,
            boot: None,
            records: None,
            stage: Stage::Sealed,
        };
        match header {
            Ok(header) if header.journal != id => Err(self.damaged(&name, format!("belongs to journal {}, not {id}", header.journal))),
            Ok(header) if header.base != base => Err(self.damaged(&name, format!("was {}", segment_name(header.base)))),
            Ok(header) => {
                (segment.before, segment.boot) = (header.before, Some(header.boot));
                Ok((segment, Some(header.created_ms)))
            }
            Err(HeaderError::Newer(found)) => Err(OpenError::NewerFormat { path: self.options.dir.join(name), found }),
            Err(HeaderError::Damaged) => {
                self.metrics.journal_record_damaged();
                tracing::error!(segment = name, "the header of this segment is damaged; its records are read all the same");
                Ok((segment, None))
            }
        }
    }

    /// Finds the end of the newest segment, cuts it there, and makes durable what it will let others read.
    fn survey(&self, newest: &mut Segment, held: &mut Held, synced: u64) -> io::Result<()> {
        let file = self.storage.open(&segment_name(newest.base))?;
        let mut cursor = Cursor::new(file.clone(), newest);
        let mut tail = Tail { end: SEGMENT_HEADER_BYTES.min(newest.end), next: newest.base, sure_end: SEGMENT_HEADER_BYTES };
        loop {
            match cursor.next()? {
                Found::Record(record) => {
                    tail.pass(&record, synced);
                    held.newest_ms = held.newest_ms.max(record.received_ms);
                    held.totals.add(record.body_bytes);
                }
                Found::Damage(_) => {}
                Found::End => break,
            }
        }
        held.last = cursor.expected() - 1;
        self.tell_of(&tail, &mut cursor, newest, synced)?;
        settle(&*file, &mut cursor, &tail, newest.end)?;
        (newest.last, newest.newest_ms, newest.end, newest.file_bytes) = (held.last, held.newest_ms, tail.end, tail.end);
        newest.records = Some(tail.next - newest.base);
        Ok(())
    }

    /// What stands behind the last whole record had no answer, unless the mark knows better.
    fn tell_of(&self, tail: &Tail, cursor: &mut Cursor, newest: &Segment, synced: u64) -> io::Result<()> {
        let (segment, offset, seq) = (segment_name(newest.base), tail.end, tail.next);
        if cursor.expected() > seq {
            quarantine::keep(self.storage, &format!("{seq}.tail"), cursor.bytes(offset, quarantine::FILE_BYTES_MAX)?);
            tracing::info!(segment, offset, seq, "a torn tail was cut off");
        }
        if newest.base < synced && seq < synced {
            let lost = seq..synced.min(cursor.expected().max(seq + 1));
            tracing::error!(segment, offset, seq, records = lost.end - seq, "records at the end were durable, and are damaged or gone");
            lost.for_each(|_| self.metrics.journal_record_damaged());
        }
        Ok(())
    }
}

/// The names of the segments, as numbers, in order.
pub fn bases(shelf: &dyn Shelf) -> io::Result<Vec<u64>> {
    let mut bases: Vec<u64> = shelf.list("")?.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    Ok(bases)
}

/// A segment's length and header.
pub fn header(shelf: &dyn Shelf, name: &str) -> io::Result<(u64, Result<SegmentHeader, HeaderError>)> {
    let file = shelf.open(name)?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    file.read_at(&mut bytes, 0)?;
    Ok((file.len()?, SegmentHeader::decode(&bytes)))
}

/// A small file, if it is there.
pub fn text(shelf: &dyn Shelf, name: &str) -> io::Result<Option<String>> {
    match shelf.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => {
            let content = opened.and_then(|file| read_all(&*file, SMALL_FILE_BYTES_MAX))?;
            Ok(Some(String::from_utf8_lossy(&content).into_owned()))
        }
    }
}

/// Where the newest segment ends.
struct Tail {
    /// Behind the last whole record, and the seq that would come next.
    end: u64,
    next: u64,
    /// Up to here the mark says that it was synced.
    sure_end: u64,
}

impl Tail {
    fn pass(&mut self, record: &Record, synced: u64) {
        self.end = record.offset + frame_bytes(record.body_bytes as usize);
        self.next = record.seq + 1;
        if record.seq < synced {
            self.sure_end = self.end;
        }
    }
}

/// Writes again what may be in the page cache only. To sync it is not enough: after a failed sync the kernel
/// takes the pages for clean, shows them to the next process, and would never write them.
fn settle(file: &dyn File, cursor: &mut Cursor, tail: &Tail, file_end: u64) -> io::Result<()> {
    let mut offset = tail.sure_end;
    while offset < tail.end {
        let piece = cursor.bytes(offset, (tail.end - offset).min(PIECE_BYTES))?;
        file.write_at(piece, offset)?;
        offset += piece.len() as u64;
    }
    if tail.end < file_end {
        file.set_len(tail.end)?;
    }
    if tail.sure_end < tail.end || cursor.expected() > tail.next {
        file.sync_data()?;
    }
    Ok(())
}
