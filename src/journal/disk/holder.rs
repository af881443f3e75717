//! Who holds the journal's lock, asked without touching it: even a shared lock taken for a moment could keep a service
//! from starting. Linux lists the locks of this machine; elsewhere nobody is known.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const LOCKS: &str = "/proc/locks";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    Process(u32),
    Nobody,
    /// The system does not tell.
    Unknown,
}

/// Of a lock file that may not be there yet.
pub fn holder(lock: &Path) -> Holder {
    let Ok(file) = fs::metadata(lock) else { return Holder::Nobody };
    let Ok(locks) = fs::read_to_string(LOCKS) else { return Holder::Unknown };
    let device = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    let noted = fs::read_to_string(lock).ok().and_then(|pid| pid.trim().parse().ok());
    held_by(&locks, device, file.ino(), noted)
}

/// Some file systems show another device here than to `stat`: there the process that noted itself in the file counts.
fn held_by(locks: &str, device: (u32, u32), inode: u64, noted: Option<u32>) -> Holder {
    let held = locks.lines().filter_map(parse).find(|lock| lock.inode == inode && (lock.device == device || Some(lock.pid) == noted));
    held.map_or(Holder::Nobody, |lock| Holder::Process(lock.pid))
}

struct Listed {
    pid: u32,
    device: (u32, u32),
    inode: u64,
}

/// `1: FLOCK  ADVISORY  WRITE 7067 fe:00:5761242 0 EOF`; one that only waits has an arrow in its second place.
fn parse(line: &str) -> Option<Listed> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, pid, place, ..] = words.as_slice() else { return None };
    let mut place = place.split(':');
    let mut hex = || u32::from_str_radix(place.next()?, 16).ok();
    let device = (hex()?, hex()?);
    Some(Listed { pid: pid.parse().ok()?, device, inode: place.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_the_one_of_this_very_file() {
        let locks = "1: FLOCK  ADVISORY  WRITE 7067 fe:00:57 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 9 fe:00:58 0 EOF\n\
            2: POSIX  ADVISORY  READ 8 fe:00:58 0 EOF\n3: FLOCK  ADVISORY  READ 10 00:2a:59 0 EOF\n";
        for (inode, noted, expected) in [
            (57, None, Holder::Process(7067)),
            (58, None, Holder::Nobody),
            (59, None, Holder::Nobody),
            (59, Some(10), Holder::Process(10)),
            (59, Some(11), Holder::Nobody),
        ] {
            assert_eq!(held_by(locks, (0xfe, 0), inode, noted), expected, "{inode} {noted:?}");
        }
    }

    #[test]
    fn a_lock_of_this_process_is_seen_while_it_lasts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(holder(&path), Holder::Nobody);
        let file = fs::File::create(&path).unwrap();
        file.try_lock().unwrap();
        assert_eq!(holder(&path), Holder::Process(std::process::id()));
        drop(file);
        assert_eq!(holder(&path), Holder::Nobody);
    }
}
