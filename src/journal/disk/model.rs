//! A disk for tests that tells written bytes from durable ones. When it loses power, each unsynced sector and
//! name is kept or lost by the seed; it can fill up, fail a sync, flip a bit, and go back to a snapshot.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::segments::locked;
use super::storage::{File, Lock, Shelf, Storage};
use crate::planted::{self, Bug};

/// Less than any disk's: more tears.
const SECTOR_BYTES: usize = 64;

/// A small generator of our own: the same seed gives the same run everywhere.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }
}

/// What a killed process unwinds with.
pub struct Killed;

pub struct ModelDisk {
    world: Arc<Mutex<World>>,
}

/// What would be found after a loss of power.
#[derive(Clone)]
pub struct Snapshot {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
}

struct World {
    dice: Dice,
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// What happened to names since the last sync, in order: only a beginning of it survives.
    renamed: Vec<NameChange>,
    full: Option<Full>,
    /// Verbs until this happens; None: never.
    until_dead: Option<u64>,
    until_killed: Option<u64>,
    until_failed_sync: Option<u64>,
}

/// Whether who asks for free space learns that there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Full {
    Told,
    Untold,
}

#[derive(Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone)]
enum NameChange {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

impl ModelDisk {
    pub fn new(seed: u64) -> ModelDisk {
        let world = World {
            dice: Dice::new(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renamed: Vec::new(),
            full: None,
            until_dead: None,
            until_killed: None,
            until_failed_sync: None,
        };
        ModelDisk { world: Arc::new(Mutex::new(world)) }
    }

    pub fn set_full(&self, full: bool) {
        locked(&self.world).full = full.then_some(Full::Told);
    }

    /// Nothing more can be written, though there is free space: as a quota does it.
    pub fn use_up_quota(&self) {
        locked(&self.world).full = Some(Full::Untold);
    }

    /// Power fails in the middle of what comes next.
    pub fn die_after(&self, verbs: u64) {
        locked(&self.world).until_dead = Some(verbs);
    }

    /// The process is killed in the middle of what comes next; what it wrote is still seen.
    pub fn kill_after(&self, verbs: u64) {
        locked(&self.world).until_killed = Some(verbs);
    }

    /// It died in the middle of something.
    pub fn has_no_power(&self) -> bool {
        locked(&self.world).until_dead == Some(0)
    }

    /// Its syncs do what they say, now and for a while.
    pub fn is_well(&self) -> bool {
        let world = locked(&self.world);
        (world.until_dead, world.until_failed_sync) == (None, None)
    }

    /// The folder as another process would copy it: what is seen, synced or not.
    pub fn copy(&self, seed: u64) -> ModelDisk {
        let snapshot = {
            let world = locked(&self.world);
            let whole = |inode: &Inode| Inode { seen: inode.seen.clone(), durable: inode.seen.clone(), unsynced: Vec::new() };
            Snapshot { inodes: world.inodes.iter().map(whole).collect(), names: world.names.clone() }
        };
        let copy = ModelDisk::new(seed);
        copy.restore(&snapshot);
        copy
    }

    pub fn fail_sync_after(&self, syncs: u64) {
        locked(&self.world).until_failed_sync = Some(syncs);
    }

    pub fn heal(&self) {
        let mut world = locked(&self.world);
        (world.full, world.until_dead, world.until_failed_sync, world.until_killed) = (None, None, None, None);
    }

    /// Power fails now, and comes back.
    pub fn lose_power(&self) {
        let snapshot = self.snapshot();
        self.restore(&snapshot);
    }

    pub fn snapshot(&self) -> Snapshot {
        let mut world = locked(&self.world);
        let World { dice, inodes, durable_names, renamed, .. } = &mut *world;
        let inodes = inodes.iter().map(|inode| inode.after_power_loss(dice)).collect();
        let mut names = durable_names.clone();
        let kept = dice.below(renamed.len() as u64 + 1) as usize;
        renamed.iter().take(kept).for_each(|change| change.apply(&mut names));
        Snapshot { inodes, names }
    }

    pub fn restore(&self, snapshot: &Snapshot) {
        let mut world = locked(&self.world);
        let Snapshot { inodes, names } = snapshot.clone();
        (world.inodes, world.names, world.durable_names) = (inodes, names.clone(), names);
        (world.renamed, world.until_dead, world.until_failed_sync, world.until_killed) = (Vec::new(), None, None, None);
    }

    pub fn flip(&self, name: &str, bit: u64) {
        let mut world = locked(&self.world);
        let id = world.names[name];
        let (byte, mask) = ((bit / 8) as usize, 1 << (bit % 8));
        world.inodes[id].seen[byte] ^= mask;
        if let Some(durable) = world.inodes[id].durable.get_mut(byte) {
            *durable ^= mask;
        }
    }

    pub fn names(&self) -> Vec<String> {
        locked(&self.world).names.keys().cloned().collect()
    }

    fn verb<T>(&self, verb: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        run_verb(&self.world, verb)
    }
}

fn run_verb<T>(world: &Mutex<World>, verb: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
    let mut world = locked(world);
    match &mut world.until_dead {
        Some(0) => return Err(io::Error::other("no power")),
        Some(verbs) => *verbs -= 1,
        None => {}
    }
    match &mut world.until_killed {
        Some(0) => {
            world.until_killed = None;
            drop(world);
            std::panic::resume_unwind(Box::new(Killed));
        }
        Some(verbs) => *verbs -= 1,
        None => {}
    }
    verb(&mut world)
}

impl World {
    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.renamed.push(change);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Link(name, id) => drop(names.insert(name.clone(), *id)),
            NameChange::Unlink(name) => drop(names.remove(name)),
            NameChange::Rename(from, to) => {
                let id = names.remove(from).expect("renamed in order");
                names.insert(to.clone(), id);
            }
        }
    }
}

impl Inode {
    /// Each sector that was not synced is there or not, whatever the order in which they were written.
    fn after_power_loss(&self, dice: &mut Dice) -> Inode {
        let mut durable = self.durable.clone();
        let luck = dice.below(4);
        for change in &self.unsynced {
            change.apply(&mut durable, |_| luck == 0 || luck > 1 && dice.one_in(2));
        }
        Inode { seen: durable.clone(), durable, unsynced: Vec::new() }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>, mut kept: impl FnMut(usize) -> bool) {
        match self {
            Change::Length(length) if kept(*length) => content.resize(*length, 0),
            Change::Length(_) => {}
            Change::Write(offset, bytes) => {
                let mut at = *offset;
                while at < offset + bytes.len() {
                    let end = (at / SECTOR_BYTES + 1).saturating_mul(SECTOR_BYTES).min(offset + bytes.len());
                    if kept(at) {
                        content.resize(content.len().max(end), 0);
                        content[at..end].copy_from_slice(&bytes[at - offset..end - offset]);
                    }
                    at = end;
                }
            }
        }
    }
}

impl Shelf for ModelDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let id = self.verb(|world| world.find(name))?;
        Ok(Arc::new(ModelFile { world: self.world.clone(), id }))
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let inside = |path: &String| match name {
            "" => (!path.contains('/')).then(|| path.clone()),
            _ => path.strip_prefix(name).map(|rest| rest.trim_start_matches('/').to_owned()),
        };
        self.verb(|world| Ok(world.names.keys().filter_map(inside).collect()))
    }
}

impl Storage for ModelDisk {
    fn lock(&self, _name: &str) -> io::Result<Lock> {
        Ok(Lock::Taken(Box::new(())))
    }

    fn make_dir(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let id = self.verb(|world| {
            assert!(!world.names.contains_key(name), "{name} is there already");
            world.inodes.push(Inode::default());
            let id = world.inodes.len() - 1;
            world.change_name(NameChange::Link(name.to_owned(), id));
            Ok(id)
        })?;
        Ok(Arc::new(ModelFile { world: self.world.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.verb(|world| {
            world.find(from)?;
            world.change_name(NameChange::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.verb(|world| {
            world.find(name)?;
            world.change_name(NameChange::Unlink(name.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        if !name.is_empty() || planted::is(Bug::DirectoryNotSynced) {
            return Ok(());
        }
        self.verb(|world| {
            world.durable_names = world.names.clone();
            world.renamed.clear();
            Ok(())
        })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.verb(|world| Ok(if world.full == Some(Full::Told) { 0 } else { 1 << 40 }))
    }
}

struct ModelFile {
    world: Arc<Mutex<World>>,
    id: usize,
}

impl File for ModelFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        run_verb(&self.world, |world| {
            let seen = world.inodes[self.id].seen.get(offset as usize..).unwrap_or(&[]);
            let length = buffer.len().min(seen.len());
            buffer[..length].copy_from_slice(&seen[..length]);
            Ok(length)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        run_verb(&self.world, |world| {
            let full = world.full.is_some();
            let inode = &mut world.inodes[self.id];
            if full && offset as usize + bytes.len() > inode.seen.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let change = Change::Write(offset as usize, bytes.to_vec());
            change.apply(&mut inode.seen, |_| true);
            inode.unsynced.push(change);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        run_verb(&self.world, |world| {
            if planted::is(Bug::SyncSkipped) {
                return Ok(());
            }
            let failed = world.until_failed_sync == Some(0);
            world.until_failed_sync = world.until_failed_sync.map(|syncs| syncs.saturating_sub(1));
            let World { dice, inodes, .. } = world;
            let inode = &mut inodes[self.id];
            if failed {
                // As Linux does it: what could not be written counts as clean, is still seen, and is never tried again.
                inode.durable = inode.after_power_loss(dice).durable;
                inode.unsynced.clear();
                return if planted::is(Bug::FailedSyncIgnored) { Ok(()) } else { Err(rustix::io::Errno::IO.into()) };
            }
            for change in std::mem::take(&mut inode.unsynced) {
                change.apply(&mut inode.durable, |_| true);
            }
            Ok(())
        })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        run_verb(&self.world, |world| {
            let inode = &mut world.inodes[self.id];
            inode.seen.resize(bytes as usize, 0);
            inode.unsynced.push(Change::Length(bytes as usize));
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        run_verb(&self.world, |world| Ok(world.inodes[self.id].seen.len() as u64))
    }
}
