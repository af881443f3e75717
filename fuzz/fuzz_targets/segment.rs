//! A segment of the journal, of any bytes or with a few bytes flipped: read to its end, in order, and no record whose
//! checksums do not hold. The format is written down here a second time, from the drawing in `src/journal/disk.rs`.
#![no_main]

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::LazyLock;

use waitbridge::journal::disk::inspect::{Entry, Sight, Since, inspect};
use waitbridge_fuzz::process_folder;
use waitbridge_fuzz::second::crc32c;

const BASE: u64 = 1000;
/// Of the segment behind, which says how many records the first one held.
const NEXT_BASE: u64 = 1_000_000;
const HEADER_BYTES: usize = 96;
const RECORD_HEADER_BYTES: usize = 32;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    fs::write(process_folder().join(format!("{NEXT_BASE:020}.log")), header(NEXT_BASE, 0)).expect("a segment");
    process_folder()
});

// What is written: bodies, and where which bits are flipped afterwards; without bodies the bytes themselves.
libfuzzer_sys::fuzz_target!(|input: (Vec<&[u8]>, Vec<(u16, u8)>, &[u8])| {
    let (bodies, flips, tail) = input;
    let mut bytes = if bodies.is_empty() { Vec::new() } else { header(BASE, 0).to_vec() };
    bodies.iter().zip(BASE..).for_each(|(body, seq)| bytes.extend(record(seq, body)));
    let whole = bytes.len();
    bytes.extend(tail);
    let length = bytes.len().max(1);
    let flips: Vec<_> = flips.into_iter().filter(|(at, bits)| usize::from(*at) % length < bytes.len() && *bits != 0).collect();
    flips.iter().for_each(|(at, bits)| bytes[usize::from(*at) % length] ^= bits);
    let is_unhurt = bytes.starts_with(&original(&bodies)[..whole]);
    fs::write(FOLDER.join(format!("{BASE:020}.log")), &bytes).expect("a segment");
    let read = walk(&bytes);
    if is_unhurt {
        assert!(read.len() >= bodies.len() && read.iter().zip(&bodies).all(|(read, body)| read == body), "what is unhurt is read");
    }
});

fn original(bodies: &[&[u8]]) -> Vec<u8> {
    let mut bytes = if bodies.is_empty() { Vec::new() } else { header(BASE, 0).to_vec() };
    bodies.iter().zip(BASE..).for_each(|(body, seq)| bytes.extend(record(seq, body)));
    bytes
}

/// The bodies that come out.
fn walk(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut read, mut next_seq, mut next_offset, mut sights) = (Vec::new(), BASE, HEADER_BYTES as u64, 0);
    let Ok(inspection) = inspect(&FOLDER) else { return read };
    let walked = inspection.walk(Since::default(), &mut |sight| {
        sights += 1;
        assert!(sights <= bytes.len() / 8 + 2, "it comes to an end");
        match sight {
            Sight::Record(entry) => {
                assert!(entry.place.seq >= next_seq && entry.offset >= next_offset, "in order");
                assert!(holds(&entry, bytes), "no record whose checksums do not hold: {}", entry.place.seq);
                (next_seq, next_offset) = (entry.place.seq + 1, entry.offset + entry.frame_bytes);
                read.push(entry.bytes.to_vec());
            }
            Sight::Flaw(flaw) => assert!(flaw.seq >= BASE && flaw.records > 0, "a flaw costs something: {flaw:?}"),
        }
        Ok(ControlFlow::Continue(()))
    });
    walked.expect("nothing is wrong with the disk");
    inspection.outer_flaws();
    read
}

fn holds(entry: &Entry, bytes: &[u8]) -> bool {
    let at = entry.offset as usize;
    let (head, body) = bytes[at..].split_at(RECORD_HEADER_BYTES);
    let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
    let body = &body[..number(0) as usize - RECORD_HEADER_BYTES];
    number(4) == crc32c(&[&head[..4], &head[8..]])
        && number(24) == crc32c(&[&head[8..16], body])
        && head[8..16] == entry.place.seq.to_le_bytes()
        && head[16..24] == entry.place.received_ms.to_le_bytes()
        && body == entry.bytes
}

fn header(base: u64, records_before: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(b"wbjournl");
    header[8] = 1;
    header[48..56].copy_from_slice(&base.to_le_bytes());
    header[64..72].copy_from_slice(&records_before.to_le_bytes());
    let crc = crc32c(&[&header[..92]]);
    header[92..].copy_from_slice(&crc.to_le_bytes());
    header
}

fn record(seq: u64, body: &[u8]) -> Vec<u8> {
    let mut record = vec![0; RECORD_HEADER_BYTES];
    record[..4].copy_from_slice(&(RECORD_HEADER_BYTES as u32 + body.len() as u32).to_le_bytes());
    record[8..16].copy_from_slice(&seq.to_le_bytes());
    record[16..24].copy_from_slice(&1_773_156_060_500u64.to_le_bytes());
    record[24..28].copy_from_slice(&crc32c(&[&seq.to_le_bytes(), body]).to_le_bytes());
    let crc = crc32c(&[&record[..4], &record[8..]]);
    record[4..8].copy_from_slice(&crc.to_le_bytes());
    record.extend(body);
    record.resize(record.len().next_multiple_of(8), 0);
    record
}
