//! What can be wrong with a journal, as far as reading it tells.

use super::super::cursor::Damage;
use super::super::format::segment_name;
use super::Entry;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The file it is in.
    pub segment: String,
    pub offset: u64,
    /// Of the first record that it costs, and how many.
    pub seq: u64,
    pub records: u64,
    pub kind: FlawKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlawKind {
    /// Bytes of records that cannot be read.
    Checksum,
    /// Records that were durable and are not there.
    Missing,
    SegmentHeader,
    /// Of another journal, or under another name.
    Foreign,
    IdMissing,
    /// Whole, but of a form that nobody of ours wrote.
    Content,
}

impl FlawKind {
    pub fn code(self) -> &'static str {
        match self {
            FlawKind::Checksum => "checksum",
            FlawKind::Missing => "missing",
            FlawKind::SegmentHeader => "segment_header",
            FlawKind::Foreign => "foreign",
            FlawKind::IdMissing => "id_missing",
            FlawKind::Content => "content",
        }
    }
}

impl Flaw {
    pub(super) fn unreadable(segment: u64, damage: &Damage) -> Flaw {
        let Damage { seq, next_seq, offset, .. } = *damage;
        Flaw { segment: segment_name(segment), offset, seq, records: next_seq - seq, kind: FlawKind::Checksum }
    }

    /// A record that is whole, and of no known form.
    pub fn unknown(entry: &Entry) -> Flaw {
        Flaw { segment: segment_name(entry.segment), offset: entry.offset, seq: entry.place.seq, records: 1, kind: FlawKind::Content }
    }
}
