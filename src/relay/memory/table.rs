//! Facts by key, in the order in which they were last learned: the oldest goes first.
//!
//! One map from key to a place, one list of places; a place is linked to its neighbors in age. Of versions it keeps
//! more than the newest: once that has left the window, the newest of the others has to be known. Knows neither
//! what a key stands for nor what an event is.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::keys::Key;
use crate::event::Kind;

/// What is known under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    Seen,
    /// Published by the endpoint of this hash.
    PublishedBy(u64),
    /// The hash of a person's latest body.
    Body(u64),
    Version(Version),
    /// The person whom a visit named: the part of its key behind `…/person/`.
    Person(Box<str>),
    /// What a visit was last: the part of its location key behind `…/location/`, nothing for none.
    Last(Kind, Option<Box<str>>),
}

/// A version in milliseconds, and the next newest one that was learned after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    ms: i64,
    later: u32,
}

impl Fact {
    pub fn version(ms: i64) -> Fact {
        Fact::Version(Version { ms, later: NONE })
    }
}

/// No place.
const NONE: u32 = u32::MAX;
/// The places grow by this share, so that little of them is ever unused.
const GROWTH: usize = 8;
const GROWTH_MIN: usize = 64;

pub struct Table {
    places: HashMap<Key, u32, BuildHasherDefault<AsItIs>>,
    entries: Vec<Entry>,
    len: usize,
    oldest: u32,
    newest: u32,
    /// The first of the unused places, which are linked by `newer`.
    unused: u32,
}

struct Entry {
    key: Key,
    received_ms: i64,
    fact: Fact,
    older: u32,
    newer: u32,
}

impl Default for Table {
    fn default() -> Table {
        Table { places: HashMap::default(), entries: Vec::new(), len: 0, oldest: NONE, newest: NONE, unused: NONE }
    }
}

impl Table {
    pub fn len(&self) -> usize {
        self.len
    }

    /// What was learned last under this key, if not before `since_ms`.
    pub fn find(&self, key: &Key, since_ms: i64) -> Option<&Fact> {
        let entry = self.entry(*self.places.get(key)?);
        (entry.received_ms >= since_ms).then_some(&entry.fact)
    }

    /// The newest version learned under this key, but not before `since_ms`.
    pub fn newest_version(&self, key: &Key, since_ms: i64) -> Option<i64> {
        let mut place = *self.places.get(key)?;
        while place != NONE {
            let entry = self.entry(place);
            let Fact::Version(version) = entry.fact else { return None };
            if entry.received_ms >= since_ms {
                return Some(version.ms);
            }
            place = version.later;
        }
        None
    }

    /// `received_ms` never goes backward from call to call.
    pub fn learn(&mut self, key: Key, received_ms: i64, fact: Fact) {
        match (self.places.get(&key), &fact) {
            (None, _) => {
                let place = self.append(Entry { key, received_ms, fact, older: NONE, newer: NONE });
                self.places.insert(key, place);
            }
            (Some(&place), Fact::Version(version)) => self.learn_version(place, received_ms, version.ms),
            (Some(&place), _) => {
                self.unlink(place);
                let entry = self.entry_mut(place);
                (entry.received_ms, entry.fact) = (received_ms, fact);
                self.link(place);
            }
        }
    }

    /// What is neither newer nor learned later than another version can never be the newest of a window.
    fn learn_version(&mut self, first: u32, received_ms: i64, ms: i64) {
        let key = self.entry(first).key;
        let (mut kept, mut place) = (NONE, first);
        while place != NONE && self.version(place).ms > ms {
            (kept, place) = (place, self.version(place).later);
        }
        while place != NONE {
            let later = self.version(place).later;
            self.release(place);
            place = later;
        }
        let added = self.append(Entry { key, received_ms, fact: Fact::version(ms), older: NONE, newer: NONE });
        match kept {
            NONE => drop(self.places.insert(key, added)),
            kept => self.entry_mut(kept).fact = Fact::Version(Version { ms: self.version(kept).ms, later: added }),
        }
    }

    /// The receipt of the oldest.
    pub fn oldest_ms(&self) -> Option<i64> {
        (self.oldest != NONE).then(|| self.entry(self.oldest).received_ms)
    }

    pub fn forget_oldest(&mut self) {
        let place = self.oldest;
        let entry = self.entry(place);
        let key = entry.key;
        match entry.fact {
            // Later versions were learned later, so the oldest of all is the first of its versions.
            Fact::Version(Version { later, .. }) if later != NONE => drop(self.places.insert(key, later)),
            _ => drop(self.places.remove(&key)),
        }
        self.release(place);
    }

    /// All, the oldest first.
    pub fn into_facts(mut self) -> impl Iterator<Item = (Key, i64, Fact)> {
        let mut place = self.oldest;
        std::iter::from_fn(move || {
            let entry = self.entries.get_mut(place as usize)?;
            place = entry.newer;
            let fact = match std::mem::replace(&mut entry.fact, Fact::Seen) {
                // Places mean nothing outside.
                Fact::Version(Version { ms, .. }) => Fact::version(ms),
                fact => fact,
            };
            Some((entry.key, entry.received_ms, fact))
        })
    }

    /// What it takes in memory, but for the texts.
    #[cfg(test)]
    pub fn capacity_bytes(&self) -> usize {
        // A map is never fuller than 7/8, in powers of two, with one byte of its own a place.
        let slots = (self.places.capacity() * 8 / 7).next_power_of_two();
        slots * (size_of::<(Key, u32)>() + 1) + self.entries.capacity() * size_of::<Entry>()
    }

    /// What the texts take: as most allocators give it, with their own eight bytes, in steps of 16.
    #[cfg(test)]
    pub fn text_bytes(&self) -> usize {
        let bytes = |fact: &Fact| match fact {
            Fact::Person(part) | Fact::Last(_, Some(part)) => (part.len() + 8).next_multiple_of(16).max(32),
            _ => 0,
        };
        self.entries.iter().map(|entry| bytes(&entry.fact)).sum()
    }

    fn version(&self, place: u32) -> Version {
        match self.entry(place).fact {
            Fact::Version(version) => version,
            _ => unreachable!("what a key stands for never changes"),
        }
    }

    fn entry(&self, place: u32) -> &Entry {
        &self.entries[place as usize]
    }

    fn entry_mut(&mut self, place: u32) -> &mut Entry {
        &mut self.entries[place as usize]
    }

    fn append(&mut self, entry: Entry) -> u32 {
        let place = self.unused;
        let place = if place == NONE {
            if self.entries.len() == self.entries.capacity() {
                self.entries.reserve_exact(GROWTH_MIN.max(self.entries.len() / GROWTH));
            }
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        } else {
            self.unused = self.entry(place).newer;
            *self.entry_mut(place) = entry;
            place
        };
        self.len += 1;
        self.link(place);
        place
    }

    fn release(&mut self, place: u32) {
        self.unlink(place);
        let unused = self.unused;
        let entry = self.entry_mut(place);
        (entry.fact, entry.newer) = (Fact::Seen, unused);
        self.unused = place;
        self.len -= 1;
    }

    /// As the newest.
    fn link(&mut self, place: u32) {
        let newest = self.newest;
        let entry = self.entry_mut(place);
        (entry.older, entry.newer) = (newest, NONE);
        match newest {
            NONE => self.oldest = place,
            newest => self.entry_mut(newest).newer = place,
        }
        self.newest = place;
    }

    fn unlink(&mut self, place: u32) {
        let Entry { older, newer, .. } = *self.entry(place);
        match older {
            NONE => self.oldest = newer,
            older => self.entry_mut(older).newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.entry_mut(newer).older = older,
        }
    }
}

/// Keys are hashes already.
#[derive(Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("a key gives one number");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
