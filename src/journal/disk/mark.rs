//! The local mark: how far Kafka had the events when it was last written, and in which cluster.
//!
//! It is the second best witness, asked only where Kafka's checkpoint is absent. Two slots, each with a
//! checksum: writes go to one slot until they are synced, then to the other, so that a torn write never
//! costs the last synced one. Knows nothing of segments.

use std::io;
use std::sync::Arc;

use super::format::{u32_at, u64_at};
use super::storage::{File, Storage};

pub const NAME: &str = "mark";
const SLOT_BYTES: usize = 128;
/// Apart, so that no two slots share a block of the disk.
const SLOT_STRIDE: u64 = 4096;
const CLUSTER_BYTES_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Everything before it is in Kafka.
    pub next: u64,
    /// Everything before it was durable here: a record missing from below it is damage, never a torn tail.
    pub synced: u64,
    pub cluster_id: String,
    turn: u64,
}

pub struct Mark {
    file: Arc<dyn File>,
    latest: Option<Slot>,
    /// Of the last synced slot; the next writes go to the other one.
    synced_turn: u64,
}

impl Mark {
    /// Makes it where there is none, at full size, so that a full disk cannot keep it from being written later.
    pub fn open(storage: &dyn Storage) -> io::Result<Mark> {
        let file = match storage.open(NAME) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                super::storage::write_whole(storage, NAME, &[0; 2 * SLOT_STRIDE as usize])?;
                storage.open(NAME)?
            }
            opened => opened?,
        };
        // What a killed process wrote is seen here, but may not be on the disk yet.
        file.sync_data()?;
        let latest = latest(&*file)?;
        let synced_turn = latest.as_ref().map_or(0, |slot| slot.turn);
        Ok(Mark { file, latest, synced_turn })
    }

    pub fn latest(&self) -> Option<&Slot> {
        self.latest.as_ref()
    }

    /// The mark, if anything was ever delivered.
    pub fn delivered(&self) -> Option<&Slot> {
        self.latest.as_ref().filter(|slot| slot.next > 0)
    }

    /// Survives this process at once, and the machine after the next sync.
    pub fn write(&mut self, next: u64, synced: u64, cluster_id: &str) -> io::Result<()> {
        let cluster_id = &cluster_id[..cluster_id.floor_char_boundary(CLUSTER_BYTES_MAX)];
        let slot = Slot { next, synced, cluster_id: cluster_id.to_owned(), turn: self.synced_turn + 1 };
        let written = self.file.write_at(&slot.encode(), slot.turn % 2 * SLOT_STRIDE);
        self.latest = Some(slot);
        written
    }

    pub fn sync(&mut self) -> io::Result<()> {
        let Some(slot) = self.latest.as_ref().filter(|slot| slot.turn != self.synced_turn) else { return Ok(()) };
        // Written again: after a failed sync the kernel takes the page for clean, and would sync nothing.
        self.file.write_at(&slot.encode(), slot.turn % 2 * SLOT_STRIDE)?;
        self.file.sync_data()?;
        self.synced_turn = slot.turn;
        Ok(())
    }
}

impl Slot {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut out = [0; SLOT_BYTES];
        out[8..16].copy_from_slice(&self.turn.to_le_bytes());
        out[16..24].copy_from_slice(&self.next.to_le_bytes());
        out[24..32].copy_from_slice(&self.synced.to_le_bytes());
        out[32] = self.cluster_id.len() as u8;
        out[33..33 + self.cluster_id.len()].copy_from_slice(self.cluster_id.as_bytes());
        let crc = crc32c::crc32c(&out[4..]);
        out[0..4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8; SLOT_BYTES]) -> Option<Slot> {
        let turn = u64_at(bytes, 8);
        if turn == 0 || crc32c::crc32c(&bytes[4..]) != u32_at(bytes, 0) {
            return None;
        }
        let cluster_id = bytes[33..].get(..bytes[32] as usize)?;
        let cluster_id = String::from_utf8_lossy(cluster_id).into_owned();
        Some(Slot { next: u64_at(bytes, 16), synced: u64_at(bytes, 24), cluster_id, turn })
    }
}

/// The newest whole slot. Beside a writer it may be the one before: a slot that is being written is not whole.
pub fn latest(file: &dyn File) -> io::Result<Option<Slot>> {
    let slots = [read_slot(file, 0)?, read_slot(file, SLOT_STRIDE)?];
    Ok(slots.into_iter().flatten().max_by_key(|slot| slot.turn))
}

fn read_slot(file: &dyn File, offset: u64) -> io::Result<Option<Slot>> {
    let mut bytes = [0; SLOT_BYTES];
    let length = file.read_at(&mut bytes, offset)?;
    Ok(if length == SLOT_BYTES { Slot::decode(&bytes) } else { None })
}

#[cfg(test)]
mod tests {
    use super::super::model::ModelDisk;
    use super::*;

    #[test]
    fn a_synced_mark_survives_whatever_is_torn_after_it() {
        let cluster_id = |next: u64| next.to_string().repeat(CLUSTER_BYTES_MAX);
        for seed in 0..200 {
            let disk = ModelDisk::new(seed);
            let mut mark = Mark::open(&disk).unwrap();
            for next in 1..9 {
                mark.write(next, next, &cluster_id(next)).unwrap();
                if next == 3 || next == 4 {
                    mark.sync().unwrap();
                }
            }
            disk.lose_power();
            let found = Mark::open(&disk).unwrap().latest().cloned().expect("one slot is whole");
            assert!((4..9).contains(&found.next) && cluster_id(found.next).starts_with(&found.cluster_id), "seed {seed}: {found:?}");
        }
    }
}
