//! The journal's folder: there, closed to others, large enough, quick enough, whole at its head, and used by whom.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Notes;
use crate::cli::show::{age, bytes, count, since_ms};
use crate::journal::disk::inspect::{Holder, Inspection, Stat, free_bytes};
use crate::settings::Settings;

const SYNCS: u64 = 64;
const PIECE: [u8; 4096] = [b'x'; 4096];
const SYNCS_WITHIN: Duration = Duration::from_secs(3);
/// Every delivery waits for one sync.
const SLOW_MS: f64 = 50.0;

pub(super) fn look(settings: &Settings, journal: Option<&Inspection>, stat: Option<&Stat>) -> Notes {
    let mut notes = Notes::of("journal");
    let dir = &settings.journal.dir;
    match fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            notes.warning(
                format!("{} is not there", dir.display()),
                "the first start makes it; its parent must let the service's user do so",
            );
        }
        Err(error) => notes.problem(format!("{}: {error}", dir.display()), "give the folder to the service's user"),
        Ok(metadata) if !metadata.is_dir() => notes.problem(format!("{} is no folder", dir.display()), "set another journal.dir"),
        Ok(metadata) => {
            folder(&mut notes, dir, &metadata);
            space(&mut notes, settings, stat.map_or(0, |stat| stat.file_bytes));
            syncs(&mut notes, dir);
        }
    }
    if let (Some(journal), Some(stat)) = (journal, stat) {
        content(&mut notes, journal, stat);
    }
    notes
}

fn folder(notes: &mut Notes, dir: &Path, metadata: &fs::Metadata) {
    let mode = metadata.mode() & 0o777;
    let said = format!("{}, mode {mode:04o}", dir.display());
    if mode & 0o077 != 0 {
        notes.warning(said, "others may enter it: chmod 0700; waitbridge tries to close it when it starts");
    } else {
        notes.fine(said);
    }
    // Where the system does not tell who we are, nothing is said.
    let ours = fs::metadata("/proc/self").map_or(metadata.uid(), |own| own.uid());
    if ours != metadata.uid() {
        let said = format!("it belongs to user {}, and this is user {ours}", metadata.uid());
        notes.warning(said, "run `waitbridge doctor` as the service's user");
    }
}

fn space(notes: &mut Notes, settings: &Settings, taken: u64) {
    let Ok(free) = free_bytes(&settings.journal.dir) else { return };
    let (size_max, free_min) = (settings.journal.size_max, settings.journal.free_min);
    let said = format!("{} free; the journal takes {} of {}", bytes(free), bytes(taken), bytes(size_max));
    if free < free_min.saturating_add(settings.journal.segment_bytes) {
        notes.problem(said, "no other segment can be made (journal.free_min): deliveries will be refused; make room");
    } else if free < free_min.saturating_add(size_max.saturating_sub(taken)) {
        notes.warning(said, "the file system is full before the journal is: make room, or lower journal.size_max");
    } else {
        notes.fine(said);
    }
}

fn syncs(notes: &mut Notes, dir: &Path) {
    match sync_times(dir) {
        Ok(times) => {
            let (half, most) = (percentile(&times, 50), percentile(&times, 99));
            let said = format!("a write and sync of 4 KiB takes {half:.2} ms (p50), {most:.2} ms (p99); {} tries", times.len());
            if most > SLOW_MS {
                notes.warning(said, "each delivery waits for a sync: use a faster disk, not a network file system");
            } else {
                notes.fine(said);
            }
        }
        Err(error) => notes.problem(format!("nothing can be written and synced there: {error}"), "give the folder to the service's user"),
    }
}

/// In milliseconds, sorted: into blocks that are there already, as the journal does; in a file that has no name.
fn sync_times(dir: &Path) -> io::Result<Vec<f64>> {
    let file = tempfile::tempfile_in(dir)?;
    let piece_bytes = PIECE.len() as u64;
    file.write_all_at(&vec![0; (SYNCS * piece_bytes) as usize], 0)?;
    file.sync_data()?;
    let started = Instant::now();
    let mut times = Vec::new();
    for index in (0..SYNCS).take_while(|_| started.elapsed() < SYNCS_WITHIN) {
        let began = Instant::now();
        file.write_all_at(&PIECE, index * piece_bytes)?;
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

fn content(notes: &mut Notes, journal: &Inspection, stat: &Stat) {
    let id = journal.id.map_or("without its id".to_owned(), |id| id.to_string());
    let user = match stat.holder {
        Holder::Process(pid) => format!("used by process {pid}"),
        Holder::Nobody => "used by nobody".to_owned(),
        Holder::Unknown => "used by an unknown process, or none".to_owned(),
    };
    notes.fine(format!("journal {id}, {}, {user}", count(stat.held.records, "record")));
    if let Some(record) = &stat.disowned {
        notes.problem(
            format!("another process owns its checkpoint ({record})"),
            "this folder is a copy: use the original, and drain this one",
        );
    }
    for flaw in journal.outer_flaws() {
        notes.problem(format!("{} is damaged ({})", flaw.segment, flaw.kind.code()), "see `waitbridge journal verify`");
    }
    if let Some(oldest) = stat.oldest_undelivered {
        let waited = since_ms(oldest.received_ms);
        let said = format!("{} not in Kafka, by the local mark; the oldest for {}", count(stat.undelivered.records, "record"), age(waited));
        if waited > Duration::from_secs(60) {
            notes.warning(said, "see what is said of Kafka, and `waitbridge status`")
        } else {
            notes.fine(said)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_measured_and_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let times = sync_times(dir.path()).unwrap();
        assert!(!times.is_empty() && times.is_sorted());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!((percentile(&[1.0, 2.0, 3.0, 4.0], 50), percentile(&[1.0, 2.0], 99), percentile(&[], 50)), (3.0, 2.0, 0.0));
    }
}
