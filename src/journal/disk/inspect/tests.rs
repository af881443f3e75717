//! What is seen of a folder, beside its user and after every kind of damage.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::storage::File;
use super::super::tests::{Folder, Start};
use super::*;
use crate::journal::Journal;

/// The seqs of all whole records, and what is wrong: kind, segment, records lost.
fn seen(folder: &Folder) -> (Vec<u64>, Vec<(&'static str, u64)>) {
    let inspection = inspect(&folder.0).unwrap();
    let (mut seqs, mut flaws) = (Vec::new(), inspection.outer_flaws());
    inspection
        .walk(Since::default(), &mut |sight| {
            match sight {
                Sight::Record(entry) => seqs.push(entry.place.seq),
                Sight::Flaw(flaw) => flaws.push(flaw),
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    (seqs, flaws.iter().map(|flaw| (flaw.kind.code(), flaw.records)).collect())
}

/// Names, lengths and contents but of what the running journal itself changes each second.
fn contents(folder: &Folder) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(&folder.0).unwrap().map(Result::unwrap);
    let mut all: Vec<_> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default())).collect();
    all.sort();
    all
}

#[test]
fn a_journal_in_use_is_seen_as_it_is_and_nothing_in_it_changes() {
    let folder = Folder::new();
    let first = folder.open();
    let mut seqs: Vec<u64> = ["a", "bb"].map(|text| first.append(text)).into();
    drop(first);
    let mut start = folder.open();
    seqs.extend(["ccc", "dddd"].map(|text| start.append(text)));
    start.resume(None);
    start.read();
    start.advance(seqs[3]);
    start.journal.close();
    let before = contents(&folder);

    let inspection = inspect(&folder.0).unwrap();
    let stat = inspection.stat().unwrap();
    assert_eq!(inspection.id, Some(start.id));
    assert_eq!(inspection.marked().map(|(next, _)| next), Some(seqs[3]));
    assert_eq!((stat.held.records, stat.held.bytes), (4, 10));
    assert_eq!((stat.first.unwrap().seq, stat.last.unwrap().seq), (seqs[0], seqs[3]));
    assert_eq!((stat.undelivered.records, stat.undelivered.bytes, stat.oldest_undelivered.unwrap().seq), (1, 4, seqs[3]));
    assert_eq!(stat.holder, Holder::Process(std::process::id()));
    assert_eq!(seen(&folder), (seqs, vec![]));
    assert_eq!(contents(&folder), before);
}

#[test]
fn a_folder_without_a_journal_is_refused_and_stays_as_it_is() {
    let folder = Folder::new();
    assert!(inspect(&folder.0).is_err());
    assert!(!folder.0.exists(), "nothing was made");
    fs::create_dir(&folder.0).unwrap();
    let said = inspect(&folder.0).err().unwrap().to_string();
    assert!(said.contains("holds no journal"), "{said}");
    assert_eq!(contents(&folder), []);
}

/// Three records of 8 bytes in a closed segment, then one in another.
fn closed() -> (Folder, Vec<u64>) {
    let folder = Folder::new();
    let append = |start: Start, texts: &[&str]| texts.iter().map(|text| start.append(text)).collect::<Vec<u64>>();
    let mut seqs = append(folder.open(), &["a", "b", "c"]);
    seqs.extend(append(folder.open(), &["d"]));
    (folder, seqs)
}

#[test]
fn each_damage_of_a_closed_segment_is_told_with_what_it_costs() {
    type Row<'a> = (&'a str, fn(&mut Vec<u8>), &'a [usize], &'a [(&'a str, u64)]);
    let rows: [Row; 7] = [
        ("nothing", |_| {}, &[0, 1, 2, 3], &[]),
        ("a body", |bytes| bytes[96 + 40 + 32] ^= 4, &[0, 2, 3], &[("checksum", 1)]),
        ("a header", |bytes| bytes[96 + 40] ^= 4, &[0, 2, 3], &[("checksum", 1)]),
        ("the last body", |bytes| bytes[96 + 80 + 32] ^= 4, &[0, 1, 3], &[("checksum", 1)]),
        ("the end is gone", |bytes| bytes.truncate(96 + 40), &[0, 3], &[("missing", 2)]),
        ("the end is zeros", |bytes| bytes[96 + 80..].fill(0), &[0, 1, 3], &[("missing", 1)]),
        ("the segment's header", |bytes| bytes[20] ^= 4, &[0, 1, 2, 3], &[("segment_header", 0)]),
    ];
    for (case, spoil, whole, flaws) in rows {
        let (folder, seqs) = closed();
        let path = &folder.segments()[0];
        let mut bytes = fs::read(path).unwrap();
        spoil(&mut bytes);
        fs::write(path, bytes).unwrap();
        let whole = whole.iter().map(|index| seqs[*index]).collect();
        assert_eq!(seen(&folder), (whole, flaws.to_vec()), "{case}");
    }
}

#[test]
fn a_segment_that_is_gone_or_of_another_journal_is_told() {
    let (folder, seqs) = closed();
    fs::write(folder.0.join("id"), Uuid::new_v4().to_string()).unwrap();
    assert_eq!(seen(&folder), (seqs, vec![("foreign", 0), ("foreign", 0)]));
    fs::remove_file(folder.0.join("id")).unwrap();
    assert_eq!(seen(&folder).1, [("id_missing", 0)]);

    let (folder, mut seqs) = closed();
    folder.open().append("e");
    fs::remove_file(&folder.segments()[1]).unwrap();
    assert_eq!(seen(&folder).1, [("missing", 1)], "its neighbors know that it was there");
    seqs.pop();
    assert_eq!(seen(&folder).0[..3], seqs);
}

#[test]
fn a_torn_tail_is_no_damage_unless_the_mark_knows_that_it_was_durable() {
    let folder = Folder::new();
    let start = folder.open();
    let seqs = ["a", "torn"].map(|text| start.append(text));
    let killed = folder.copy();
    killed.spoil(|bytes| bytes[96 + 40 + 32] ^= 4);
    fs::remove_file(killed.0.join("mark")).unwrap();
    assert_eq!(seen(&killed), (vec![seqs[0]], vec![]));

    drop(start);
    let closed = folder.copy();
    closed.spoil(|bytes| bytes[96 + 40 + 32] ^= 4);
    assert_eq!(seen(&closed), (vec![seqs[0]], vec![("checksum", 1)]));
    let cut = folder.copy();
    cut.spoil(|bytes| bytes.truncate(96 + 40));
    assert_eq!(seen(&cut), (vec![seqs[0]], vec![("missing", 1)]));
}

#[test]
fn a_walk_goes_on_while_the_journal_is_written_and_freed() {
    let folder = Folder::new();
    let start = folder.open();
    for _ in 0..40 {
        start.append(&"x".repeat(1000));
    }
    std::thread::scope(|scope| {
        let append = |_| {
            start.append(&"y".repeat(10_000));
        };
        let writer = scope.spawn(move || (0..200).for_each(append));
        while !writer.is_finished() {
            let (seqs, flaws) = seen(&folder);
            assert_eq!(flaws, []);
            assert!(seqs.len() >= 40 && seqs.is_sorted());
        }
    });
    let inspection = inspect(&folder.0).unwrap();
    let held = inspection.stat().unwrap().held.records;
    assert_eq!(held, 240);
    let (folder, _) = closed();
    let inspection = inspect(&folder.0).unwrap();
    fs::remove_file(&folder.segments()[0]).unwrap();
    let mut records = 0;
    let mut count = |sight: Sight| {
        records += u64::from(matches!(sight, Sight::Record(_)));
        assert!(matches!(sight, Sight::Record(_)));
        Ok(ControlFlow::Continue(()))
    };
    inspection.walk(Since::default(), &mut count).unwrap();
    assert_eq!(records, 1, "what was freed after we began is passed over");
}

/// Somebody who writes while we look: what is half written becomes whole once it has been opened so often.
struct Writing {
    folder: ReadOnlyFolder,
    path: PathBuf,
    whole: Vec<u8>,
    opened: AtomicU32,
}

impl Shelf for Writing {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let is_segment = self.path.ends_with(name);
        if is_segment && self.opened.fetch_add(1, Ordering::Relaxed) == 3 {
            fs::write(&self.path, &self.whole)?;
        }
        self.folder.open(name)
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        self.folder.list(name)
    }
}

#[test]
fn what_is_being_written_is_looked_at_again_until_it_is_whole() {
    let folder = Folder::new();
    let start = folder.open();
    let seqs: Vec<u64> = ["a", "b", "c"].map(|text| start.append(text)).into();
    let killed = folder.copy();
    fs::remove_file(killed.0.join("mark")).unwrap();
    let path = killed.segments()[0].clone();
    let whole = fs::read(&path).unwrap();
    killed.spoil(|bytes| bytes[96 + 40 + 32] ^= 4);
    let shelf = Writing { folder: ReadOnlyFolder::at(&killed.0), path, whole, opened: AtomicU32::new(0) };
    let mut found = Vec::new();
    let mut tell = |sight: Sight| {
        match sight {
            Sight::Record(entry) => found.push(entry.place.seq),
            Sight::Flaw(flaw) => panic!("{flaw:?}"),
        }
        Ok(ControlFlow::Continue(()))
    };
    Inspection::of(Arc::new(shelf), &killed.0).unwrap().walk(Since::default(), &mut tell).unwrap();
    assert_eq!(found, seqs);
}
