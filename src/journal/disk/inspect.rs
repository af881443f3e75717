//! Looks into a journal's folder, also beside the process that uses it: takes no lock, makes nothing, changes nothing.
//!
//! It sees the segments that are there when it begins; one that is freed meanwhile is passed over. What a writer is
//! writing at the moment looks damaged until it is whole, so that is looked at again. Knows no bytes of a record, and of
//! Kafka only what the local mark says.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::OpenError;
use super::cursor::{Cursor, Found, Record};
use super::format::{HeaderError, SegmentHeader, Totals, frame_bytes, segment_name};
pub use super::holder::Holder;
use super::mark::{self, Slot};
use super::recovery::{ID, LOCK, bases, header, text};
use super::segments::{Segment, Stage};
use super::storage::{ReadOnlyFolder, Shelf};

mod flaw;
mod stat;

pub use flaw::{Flaw, FlawKind};
pub use stat::Stat;

pub use super::storage::free_bytes;

/// How long a write may take to become whole before our eyes.
const LOOKS: u32 = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub struct Inspection {
    shelf: Arc<dyn Shelf>,
    dir: PathBuf,
    /// None: it was never started.
    pub id: Option<Uuid>,
    mark: Option<Slot>,
    segments: Vec<Piece>,
}

/// A segment as it was when we began.
struct Piece {
    segment: Segment,
    header: Option<SegmentHeader>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub seq: u64,
    pub received_ms: i64,
}

/// One whole record.
pub struct Entry<'a> {
    pub place: Place,
    pub segment: u64,
    pub offset: u64,
    /// What it takes in its segment.
    pub frame_bytes: u64,
    pub bytes: &'a [u8],
}

/// What a walk comes by.
pub enum Sight<'a> {
    Record(Entry<'a>),
    Flaw(Flaw),
}

/// Where a walk begins: what lies before is passed over, by whole segments where that is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Since {
    pub seq: u64,
    pub received_ms: i64,
}

type Tell<'a> = dyn FnMut(Sight) -> io::Result<ControlFlow<()>> + 'a;

/// Who holds the folder's lock; also of a replica's folder, which holds no journal.
pub fn holder(dir: &Path) -> Holder {
    super::holder::holder(&dir.join(LOCK))
}

/// Records in the folder that Kafka does not have, by the local mark; also of a folder that never held a journal.
pub fn undelivered(dir: &Path) -> Result<u64, OpenError> {
    let stat = Inspection::of(Arc::new(ReadOnlyFolder::at(dir)), dir)?.stat();
    let stat = stat.map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    // What cannot be read cannot be published either, and is no reason to wait for it.
    Ok(stat.oldest_undelivered.map_or(0, |_| stat.undelivered.records))
}

/// Looks at the folder.
pub fn inspect(dir: &Path) -> Result<Inspection, OpenError> {
    let found = Inspection::of(Arc::new(ReadOnlyFolder::at(dir)), dir)?;
    if found.id.is_none() && found.segments.is_empty() {
        let why = "holds no journal: name another folder, or start `waitbridge serve` once".to_owned();
        return Err(OpenError::Damaged { path: dir.to_owned(), why });
    }
    Ok(found)
}

impl Inspection {
    fn of(shelf: Arc<dyn Shelf>, dir: &Path) -> Result<Inspection, OpenError> {
        let io = |name: &str| {
            let path = dir.join(name);
            move |source| OpenError::Io { path, source }
        };
        let id = text(&*shelf, ID).map_err(io(ID))?.and_then(|text| text.trim().parse().ok());
        let mark = read_mark(&*shelf).map_err(io(mark::NAME))?;
        let mut segments: Vec<Piece> = Vec::new();
        for base in bases(&*shelf).map_err(io(""))? {
            if let Some(piece) = piece(&*shelf, dir, base)? {
                if let Some(before) = segments.last_mut() {
                    before.end_before(&piece);
                }
                segments.push(piece);
            }
        }
        Ok(Inspection { shelf, dir: dir.to_owned(), id, mark, segments })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How far Kafka had it by the local mark: position and cluster id.
    pub fn marked(&self) -> Option<(u64, &str)> {
        let slot = self.mark.as_ref().filter(|slot| slot.next > 0)?;
        Some((slot.next, &slot.cluster_id))
    }

    /// Of the segments.
    pub fn file_bytes(&self) -> u64 {
        self.segments.iter().map(|piece| piece.segment.file_bytes).sum()
    }

    /// Every record and every flaw, in order, until it is enough.
    pub fn walk(&self, since: Since, tell: &mut Tell) -> io::Result<()> {
        let is_in = |piece: &&Piece| piece.segment.last >= since.seq && piece.segment.newest_ms >= since.received_ms;
        for (index, piece) in self.segments.iter().enumerate().filter(|(_, piece)| is_in(piece)) {
            let mut each = |sight: Sight| match &sight {
                Sight::Record(entry) if entry.place.seq < since.seq || entry.place.received_ms < since.received_ms => {
                    Ok(ControlFlow::Continue(()))
                }
                _ => tell(sight),
            };
            if self.walk_piece(piece, self.segments.get(index + 1), &mut each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// All that can be told without reading records.
    pub fn outer_flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self.id.is_none() {
            flaws.push(Flaw { segment: ID.to_owned(), offset: 0, seq: 0, records: 0, kind: FlawKind::IdMissing });
        }
        for Piece { segment, header } in &self.segments {
            let kind = match header {
                None => FlawKind::SegmentHeader,
                Some(header) if header.base != segment.base || self.id.is_some_and(|id| id != header.journal) => FlawKind::Foreign,
                Some(_) => continue,
            };
            flaws.push(Flaw { segment: segment_name(segment.base), offset: 0, seq: segment.base, records: 0, kind });
        }
        flaws
    }

    fn walk_piece(&self, piece: &Piece, next: Option<&Piece>, tell: &mut Tell) -> io::Result<ControlFlow<()>> {
        let Some(mut cursor) = self.open(piece)? else { return Ok(ControlFlow::Continue(())) };
        let (mut seen, mut behind) = (0, piece.segment.base);
        let mut torn = None;
        loop {
            match self.next(&mut cursor, piece)? {
                Found::Record(record) => {
                    (seen, behind) = (seen + 1, record.seq + 1);
                    if tell_flaw(torn.take(), tell)?.is_break() || tell(Sight::Record(entry(piece, &record, &mut cursor)?))?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Found::Damage(damage) => {
                    let flaw = Flaw::unreadable(piece.segment.base, &damage);
                    (seen, behind) = (seen + flaw.records, damage.next_seq);
                    if tell_flaw(torn.replace(flaw), tell)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Found::End => break,
            }
        }
        // Behind the last whole record of the newest segment: had no answer, unless the mark knows better.
        let torn = torn.filter(|flaw| next.is_some() || flaw.seq < self.synced());
        let missing = self.missing(piece, next, seen, behind);
        match tell_flaw(torn, tell)? {
            ControlFlow::Continue(()) => tell_flaw(missing, tell),
            enough => Ok(enough),
        }
    }

    /// What others say that this segment held, against what was seen in it.
    fn missing(&self, piece: &Piece, next: Option<&Piece>, seen: u64, behind: u64) -> Option<Flaw> {
        let records = match (next, &piece.header) {
            (Some(Piece { header: Some(next), .. }), Some(header)) => next.before.since(header.before).records.saturating_sub(seen),
            (None, _) if piece.segment.base < self.synced() => self.synced().saturating_sub(behind),
            _ => 0,
        };
        let Segment { base, end, .. } = piece.segment;
        (records > 0).then(|| Flaw { segment: segment_name(base), offset: end, seq: behind, records, kind: FlawKind::Missing })
    }

    /// What does not fit together may be in the making.
    fn next(&self, cursor: &mut Cursor, piece: &Piece) -> io::Result<Found> {
        let mut found = cursor.next()?;
        for _ in 1..LOOKS {
            let Found::Damage(damage) = found else { break };
            if piece.segment.stage == Stage::Sealed || damage.next_seq <= self.synced() {
                break;
            }
            std::thread::sleep(LOOK_AGAIN);
            if let Some(fresh) = self.open(piece)? {
                *cursor = fresh;
                cursor.rewind(damage.offset, damage.seq);
                found = cursor.next()?;
            }
        }
        Ok(found)
    }

    /// None: it was freed meanwhile.
    fn open(&self, piece: &Piece) -> io::Result<Option<Cursor>> {
        match self.shelf.open(&segment_name(piece.segment.base)) {
            Ok(file) => Ok(Some(Cursor::new(file, &piece.segment))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn synced(&self) -> u64 {
        self.mark.as_ref().map_or(0, |slot| slot.synced)
    }
}

impl Piece {
    fn end_before(&mut self, next: &Piece) {
        self.segment.last = next.segment.base - 1;
        self.segment.newest_ms = next.header.map_or(i64::MAX, |header| header.created_ms);
        self.segment.stage = Stage::Sealed;
    }
}

/// The newest until there is a newer one. None: it was freed meanwhile.
fn piece(shelf: &dyn Shelf, dir: &Path, base: u64) -> Result<Option<Piece>, OpenError> {
    let name = segment_name(base);
    let (file_bytes, header) = match header(shelf, &name) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::Io { path: dir.join(name), source }),
    };
    let header = match header {
        Ok(header) => Some(header),
        Err(HeaderError::Damaged) => None,
        Err(HeaderError::Newer(found)) => return Err(OpenError::NewerFormat { path: dir.join(name), found }),
    };
    let before = header.map_or_else(Totals::default, |header| header.before);
    let segment = Segment {
        base,
        last: u64::MAX,
        newest_ms: i64::MAX,
        end: file_bytes,
        file_bytes,
        before,
        boot: None,
        records: None,
        stage: Stage::Open,
    };
    Ok(Some(Piece { segment, header }))
}

fn read_mark(shelf: &dyn Shelf) -> io::Result<Option<Slot>> {
    match shelf.open(mark::NAME) {
        Ok(file) => mark::latest(&*file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn entry<'a>(piece: &Piece, record: &Record, cursor: &'a mut Cursor) -> io::Result<Entry<'a>> {
    let Record { seq, received_ms, body_bytes, offset } = *record;
    let frame_bytes = frame_bytes(body_bytes as usize);
    Ok(Entry { place: Place { seq, received_ms }, segment: piece.segment.base, offset, frame_bytes, bytes: cursor.body(record)? })
}

fn tell_flaw(flaw: Option<Flaw>, tell: &mut Tell) -> io::Result<ControlFlow<()>> {
    flaw.map_or(Ok(ControlFlow::Continue(())), |flaw| tell(Sight::Flaw(flaw)))
}

#[cfg(test)]
mod tests;
