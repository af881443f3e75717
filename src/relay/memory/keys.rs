//! What the memory's keys are: hashes of 128 bits, of what they stand for, under a seed of this process.
//!
//! The seed keeps a sender from choosing what collides, and costs nothing: the memory is built anew at each start.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// Narrower than a `u128`, which would have to be aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key([u32; 4]);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [high, low, ..] = self.0;
        state.write_u64(u64::from(high) << 32 | u64::from(low));
    }
}

/// What a key stands for, so that no two of different kinds meet.
#[derive(Debug, Clone, Copy)]
pub enum Table {
    AcceptId,
    EventId,
    Data,
    Body,
    Version,
    VisitPerson,
    VisitLast,
}

#[derive(Default)]
pub struct Seed(RandomState, RandomState);

impl Seed {
    pub fn key(&self, table: Table, parts: &[&[u8]]) -> Key {
        let [first, second] = [&self.0, &self.1].map(|state| hash(state, table as u8, parts));
        Key([(first >> 32) as u32, first as u32, (second >> 32) as u32, second as u32])
    }

    /// A shorter one, to compare with one other.
    pub fn print(&self, bytes: &[u8]) -> u64 {
        hash(&self.0, u8::MAX, &[bytes])
    }
}

/// With the length before each part: no two lists of parts give the same bytes.
fn hash(state: &RandomState, tag: u8, parts: &[&[u8]]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write_u8(tag);
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}
