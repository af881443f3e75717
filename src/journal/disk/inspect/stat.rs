//! The journal in figures. Reads no more than two segments: the headers of the others say what lies between.

use std::io;
use std::ops::ControlFlow;

use super::super::disowned::DISOWNED;
use super::super::format::Totals;
use super::super::holder::{Holder, holder};
use super::super::recovery::{LOCK, text};
use super::super::segments::Stage;
use super::super::{keeper, quarantine};
use super::{Inspection, Place, Sight};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub segments: usize,
    /// With the segment made ahead.
    pub file_bytes: u64,
    pub held: Totals,
    pub first: Option<Place>,
    pub last: Option<Place>,
    /// By the local mark.
    pub undelivered: Totals,
    pub oldest_undelivered: Option<Place>,
    pub quarantined_files: usize,
    pub holder: Holder,
    /// What the mark of a copy says that must not be opened.
    pub disowned: Option<String>,
}

impl Inspection {
    pub fn stat(&self) -> io::Result<Stat> {
        let delivered = self.marked().map_or(0, |(next, _)| next);
        let (oldest_undelivered, passed) = self.find(delivered)?;
        let (first, freed) = self.find(0)?;
        let (last, ever) = self.end()?;
        Ok(Stat {
            segments: self.segments.len(),
            file_bytes: self.file_bytes() + self.spare_bytes(),
            held: ever.since(freed),
            first,
            last,
            undelivered: ever.since(passed),
            oldest_undelivered,
            quarantined_files: self.shelf.list(quarantine::FOLDER).map_or(0, |names| names.len()),
            holder: holder(&self.dir.join(LOCK)),
            disowned: text(&*self.shelf, DISOWNED)?.map(|text| text.trim().replace('\n', ", ")),
        })
    }

    /// The first record at or behind a seq, and what the journal ever held before it.
    fn find(&self, seq: u64) -> io::Result<(Option<Place>, Totals)> {
        let mut passed = Totals::default();
        let mut found = None;
        for piece in self.segments.iter().filter(|piece| piece.segment.last >= seq) {
            passed = piece.segment.before;
            let _ = self.walk_piece(piece, None, &mut |sight| {
                let Sight::Record(entry) = sight else { return Ok(ControlFlow::Continue(())) };
                if entry.place.seq >= seq {
                    found = Some(entry.place);
                    return Ok(ControlFlow::Break(()));
                }
                passed.add(entry.bytes.len() as u64);
                Ok(ControlFlow::Continue(()))
            })?;
            if found.is_some() {
                break;
            }
        }
        Ok((found, passed))
    }

    /// The last record, and what the journal ever held.
    fn end(&self) -> io::Result<(Option<Place>, Totals)> {
        let mut ever = self.segments.last().map_or_else(Totals::default, |piece| piece.segment.before);
        let mut last = None;
        for piece in self.segments.iter().rev() {
            let is_newest = piece.segment.stage == Stage::Open;
            let _ = self.walk_piece(piece, None, &mut |sight| {
                if let Sight::Record(entry) = sight {
                    last = Some(entry.place);
                    if is_newest {
                        ever.add(entry.bytes.len() as u64);
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if last.is_some() {
                break;
            }
        }
        Ok((last, ever))
    }

    fn spare_bytes(&self) -> u64 {
        self.shelf.open(keeper::SPARE).and_then(|file| file.len()).unwrap_or(0)
    }
}
