//! The bytes of a segment header and of a record, as drawn at the head of `disk`. Knows no file.
//!
//! A record has two checksums: one over its header, so that a reader can step over a damaged body, and one
//! over seq and body, so that no old bytes can pass for a record of another place.

use uuid::Uuid;

/// Raised whenever an older waitbridge would misread what this one writes.
pub const FORMAT_VERSION: u32 = 1;
pub const SEGMENT_HEADER_BYTES: u64 = 96;
pub const RECORD_HEADER_BYTES: u64 = 32;
/// The largest body of one record.
pub const RECORD_BYTES_MAX: usize = 4 << 20;

const MAGIC: [u8; 8] = *b"wbjournl";
const ALIGNMENT: u64 = 8;

/// Records and their body bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub records: u64,
    pub bytes: u64,
}

impl Totals {
    pub fn add(&mut self, body_bytes: u64) {
        self.records += 1;
        self.bytes += body_bytes;
    }

    pub fn since(self, earlier: Totals) -> Totals {
        Totals { records: self.records.saturating_sub(earlier.records), bytes: self.bytes.saturating_sub(earlier.bytes) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    pub journal: Uuid,
    pub boot: Uuid,
    /// The seq of the first record.
    pub base: u64,
    pub created_ms: i64,
    /// What the journal ever held before this segment: a backlog is a difference, not a scan.
    pub before: Totals,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    Newer(u32),
    Damaged,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES as usize] {
        let mut out = [0; SEGMENT_HEADER_BYTES as usize];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[16..32].copy_from_slice(self.journal.as_bytes());
        out[32..48].copy_from_slice(self.boot.as_bytes());
        out[48..56].copy_from_slice(&self.base.to_le_bytes());
        out[56..64].copy_from_slice(&self.created_ms.to_le_bytes());
        out[64..72].copy_from_slice(&self.before.records.to_le_bytes());
        out[72..80].copy_from_slice(&self.before.bytes.to_le_bytes());
        let crc = crc32c::crc32c(&out[..92]);
        out[92..96].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES as usize]) -> Result<SegmentHeader, HeaderError> {
        if bytes[0..8] != MAGIC || crc32c::crc32c(&bytes[..92]) != u32_at(bytes, 92) {
            return Err(HeaderError::Damaged);
        }
        match u32_at(bytes, 8) {
            FORMAT_VERSION => Ok(SegmentHeader::fields(bytes)),
            version => Err(HeaderError::Newer(version)),
        }
    }

    fn fields(bytes: &[u8]) -> SegmentHeader {
        let uuid = |at: usize| Uuid::from_slice(&bytes[at..at + 16]).expect("16 bytes are a UUID");
        SegmentHeader {
            journal: uuid(16),
            boot: uuid(32),
            base: u64_at(bytes, 48),
            created_ms: u64_at(bytes, 56) as i64,
            before: Totals { records: u64_at(bytes, 64), bytes: u64_at(bytes, 72) },
        }
    }
}

/// What stands before a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    pub seq: u64,
    pub received_ms: i64,
    pub body_bytes: u64,
    body_crc: u32,
}

impl RecordHeader {
    /// None: no record begins here, or its header is damaged.
    pub fn decode(bytes: &[u8]) -> Option<RecordHeader> {
        let length = u64::from(u32_at(bytes, 0));
        let sane = (RECORD_HEADER_BYTES..=RECORD_HEADER_BYTES + RECORD_BYTES_MAX as u64).contains(&length);
        if !sane || header_crc(bytes) != u32_at(bytes, 4) {
            return None;
        }
        Some(RecordHeader {
            seq: u64_at(bytes, 8),
            received_ms: u64_at(bytes, 16) as i64,
            body_bytes: length - RECORD_HEADER_BYTES,
            body_crc: u32_at(bytes, 24),
        })
    }

    pub fn frame_bytes(&self) -> u64 {
        frame_bytes(self.body_bytes as usize)
    }

    pub fn fits(&self, body: &[u8]) -> bool {
        body.len() as u64 == self.body_bytes && body_crc(self.seq, body) == self.body_crc
    }
}

/// What a body of this length takes in a segment.
pub fn frame_bytes(body_bytes: usize) -> u64 {
    (RECORD_HEADER_BYTES + body_bytes as u64).next_multiple_of(ALIGNMENT)
}

pub fn encode_record(out: &mut Vec<u8>, seq: u64, received_ms: i64, body: &[u8]) {
    let start = out.len();
    let length = RECORD_HEADER_BYTES as u32 + body.len() as u32;
    let mut header = [0; RECORD_HEADER_BYTES as usize];
    header[0..4].copy_from_slice(&length.to_le_bytes());
    header[8..16].copy_from_slice(&seq.to_le_bytes());
    header[16..24].copy_from_slice(&received_ms.to_le_bytes());
    header[24..28].copy_from_slice(&body_crc(seq, body).to_le_bytes());
    let crc = header_crc(&header);
    header[4..8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
    out.resize(start + frame_bytes(body.len()) as usize, 0);
}

/// Zero-padded, so that names sort as numbers.
pub fn segment_name(base: u64) -> String {
    format!("{base:020}.log")
}

pub fn segment_base(name: &str) -> Option<u64> {
    name.strip_suffix(".log").filter(|digits| digits.len() == 20)?.parse().ok()
}

fn header_crc(header: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[0..4]), &header[8..RECORD_HEADER_BYTES as usize])
}

fn body_crc(seq: u64, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&seq.to_le_bytes()), body)
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_any_flipped_bit_is_noticed() {
        let mut frame = Vec::new();
        encode_record(&mut frame, 7, 1234, b"thirteen byte");
        assert_eq!(frame.len() as u64, frame_bytes(13));
        let whole = |frame: &[u8]| RecordHeader::decode(frame).filter(|header| header.fits(&frame[32..45]));
        let header = whole(&frame).unwrap();
        assert_eq!((header.seq, header.received_ms, header.body_bytes, header.frame_bytes()), (7, 1234, 13, 48));
        for bit in 0..45 * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(whole(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn a_segment_header_reads_back_and_a_newer_or_damaged_one_is_told_apart() {
        let before = Totals { records: 4, bytes: 5 };
        let header = SegmentHeader { journal: Uuid::new_v4(), boot: Uuid::new_v4(), base: 9, created_ms: -1, before };
        let mut bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        bytes[8] = 2;
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Damaged));
        let crc = crc32c::crc32c(&bytes[..92]);
        bytes[92..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Newer(2)));
    }

    #[test]
    fn a_segment_is_named_by_its_base() {
        assert_eq!(segment_base(&segment_name(u64::MAX)), Some(u64::MAX));
        for other in ["1.log", "spare", "0000000000000000000x.log", "00000000000000000001.tmp"] {
            assert_eq!(segment_base(other), None, "{other}");
        }
    }
}
