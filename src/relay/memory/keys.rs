//! What the memory's keys are: hashes of 128 bits, of what they stand for, under a seed of this process.
//!
//! The seed keeps a sender from choosing what collides, and costs nothing: the memory is built anew at each start.

use std::hash::{Hash, Hasher};

use siphasher::sip128::{Hash128, Hasher128, SipHasher13};
use uuid::Uuid;

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

/// One walk over what is hashed gives all 128 bits.
pub struct Seed(SipHasher13);

impl Default for Seed {
    fn default() -> Seed {
        Seed(SipHasher13::new_with_key(Uuid::new_v4().as_bytes()))
    }
}

impl Seed {
    pub fn key(&self, table: Table, parts: &[&[u8]]) -> Key {
        let Hash128 { h1, h2 } = self.hash(table as u8, parts);
        Key([(h1 >> 32) as u32, h1 as u32, (h2 >> 32) as u32, h2 as u32])
    }

    /// A shorter one, to compare with one other.
    pub fn print(&self, bytes: &[u8]) -> u64 {
        self.hash(u8::MAX, &[bytes]).h1
    }

    /// With the length before each part: no two lists of parts give the same bytes.
    fn hash(&self, tag: u8, parts: &[&[u8]]) -> Hash128 {
        let mut hasher = self.0;
        hasher.write_u8(tag);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish128()
    }
}
