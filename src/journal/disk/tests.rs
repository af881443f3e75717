//! The journal on a real disk, in a folder of its own for each test.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::model::ModelDisk;
use super::queue::Taken;
use super::storage::Storage;
use super::*;
use crate::journal::{Assignment, Checkpoint, Past, Position, ReadLimit, Source, Stored};

const ALL: ReadLimit = ReadLimit { records_max: 1_000_000, bytes_max: 1 << 30 };
const CLUSTER: &str = "cluster-of-the-test";

pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Folder {
        Folder(std::env::temp_dir().join(format!("waitbridge-journal-{}", Uuid::new_v4())))
    }

    pub(super) fn options(&self) -> Options {
        let checkpoint_topic = "checkpoints".to_owned();
        let (window_ms, segment_bytes, size_max) = (3_600_000, SEGMENT_BYTES_MIN, 1 << 30);
        Options { dir: self.0.clone(), window_ms, segment_bytes, size_max, free_min: 0, checkpoint_topic }
    }

    pub(super) fn open(&self) -> Start {
        let metrics = Arc::new(Metrics::new());
        let Opened { journal, source, id, boot } = open(self.options(), metrics.clone()).unwrap();
        Start { journal, source, id, boot, metrics }
    }

    fn refused(&self) -> OpenError {
        open(self.options(), Arc::new(Metrics::new())).err().expect("it must not open")
    }

    /// As it is now, at another place.
    pub(super) fn copy(&self) -> Folder {
        let copy = Folder::new();
        fs::create_dir(&copy.0).unwrap();
        for entry in fs::read_dir(&self.0).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            fs::copy(entry.path(), copy.0.join(entry.file_name())).unwrap();
        }
        copy
    }

    pub(super) fn segments(&self) -> Vec<PathBuf> {
        let paths = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let mut segments: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
        segments.sort();
        segments
    }

    /// Changes the bytes of the last segment.
    pub(super) fn spoil(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.segments().pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One start of a process.
pub(super) struct Start {
    pub(super) journal: Arc<DiskJournal>,
    pub(super) source: DiskSource,
    pub(super) id: Uuid,
    boot: Uuid,
    metrics: Arc<Metrics>,
}

impl Start {
    pub(super) fn append(&self, record: &str) -> u64 {
        self.journal.append("key", record.into()).blocking_recv().unwrap().unwrap().offset
    }

    pub(super) fn read(&mut self) -> Vec<Stored> {
        let mut out = Vec::new();
        self.source.read(ALL, Duration::ZERO, &mut out).unwrap();
        out
    }

    fn texts(&mut self) -> Vec<String> {
        self.read().into_iter().map(|stored| String::from_utf8(stored.bytes).unwrap()).collect()
    }

    pub(super) fn resume(&mut self, checkpoint: Option<(u64, &str)>) -> u64 {
        let topic = || "checkpoints".to_owned();
        let checkpoint = checkpoint.map(|(next, owner)| Checkpoint { topic: topic(), partition: 0, next, metadata: owner.to_owned() });
        go_on(&mut self.source, checkpoint.as_ref()).offset
    }

    pub(super) fn advance(&mut self, next: u64) {
        self.source.advance(Position { partition: 0, offset: next }, CLUSTER);
    }

    fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(self.metrics.render()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("waitbridge_{name} ")));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }
}

/// As the relay does, once it remembers what was before.
pub(super) fn go_on(source: &mut DiskSource, checkpoint: Option<&Checkpoint>) -> Position {
    let position = source.resume(0, checkpoint).unwrap();
    source.go_on_at(position).unwrap();
    position
}

#[test]
fn what_is_appended_is_read_in_order_over_the_borders_of_starts() {
    let folder = Folder::new();
    let mut seqs = Vec::new();
    for text in ["a", "b"] {
        let start = folder.open();
        seqs.extend([start.append(text), start.append(&text.repeat(2))]);
    }
    let mut start = folder.open();
    seqs.push(start.append(""));
    assert_eq!(start.resume(None), 0);
    let read = start.read();
    assert_eq!(read.iter().map(|stored| stored.position.offset).collect::<Vec<_>>(), seqs);
    assert_eq!(read.iter().map(|stored| stored.bytes.as_slice()).collect::<Vec<_>>(), [b"a" as &[u8], b"aa", b"b", b"bb", b""]);
    assert!(seqs.is_sorted_by(|one, next| one < next) && read.is_sorted_by_key(|stored| stored.received_ms));
    assert_eq!(folder.segments().len(), 3, "each start has its own");
    assert_eq!((start.source.assignments(), start.source.assignments()), (vec![Assignment::Assigned(0)], vec![]));
}

#[test]
fn a_second_start_is_told_the_process_that_has_the_folder() {
    let folder = Folder::new();
    let first = folder.open();
    let refused = folder.refused();
    assert!(matches!(refused, OpenError::Locked { pid, .. } if pid == std::process::id()), "{refused}");
    drop(first);
    folder.open();
}

#[test]
fn nobody_else_may_look_into_the_folder() {
    let folder = Folder::new();
    fs::create_dir(&folder.0).unwrap();
    folder.open().append("a");
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.0), 0o700);
    for entry in fs::read_dir(&folder.0).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_copied_folder_has_the_same_id_and_another_owner_and_a_disowned_one_stays_shut() {
    let folder = Folder::new();
    let (id, boot) = {
        let start = folder.open();
        (start.append("a") > 0).then_some((start.id, start.boot)).unwrap()
    };
    let copy = folder.copy();
    let mut start = copy.open();
    assert!(start.id == id && start.boot != boot && start.texts() == ["a"]);
    assert!(start.source.owner().unwrap().starts_with(&start.boot.to_string()));
    start.source.disown("another");
    drop(start);
    let refused = copy.refused().to_string();
    assert!(refused.contains("waitbridge journal drain --dir") && refused.contains("delivered="), "{refused}");
    folder.open();
}

#[test]
fn where_to_go_on_follows_from_the_checkpoint_the_mark_and_what_the_disk_held() {
    enum Mark {
        Kept,
        Lost,
    }
    const NEW: i64 = i64::MAX;
    // Kafka's checkpoint, counted from the first of three records; the mark stands at the second; what must come of it.
    let rows: [(Option<i64>, Mark, i64, [f64; 2]); 8] = [
        (Some(0), Mark::Kept, 0, [0.0, 0.0]),
        (Some(2), Mark::Kept, 2, [0.0, 0.0]),
        (Some(3), Mark::Lost, 3, [0.0, 0.0]),
        (Some(4), Mark::Kept, 4, [1.0, 0.0]),
        (Some(1 << 60), Mark::Kept, NEW, [1.0, 0.0]),
        (Some(1 << 60), Mark::Lost, NEW, [1.0, 0.0]),
        (None, Mark::Kept, 1, [0.0, 1.0]),
        (None, Mark::Lost, -1, [0.0, 0.0]),
    ];
    let folder = Folder::new();
    let seqs = {
        let mut start = folder.open();
        let seqs = ["a", "b", "c"].map(|text| start.append(text));
        start.read();
        start.advance(seqs[1]);
        seqs
    };
    for (checkpoint, mark, wanted, [rollbacks, missing]) in rows {
        let copy = folder.copy();
        if let Mark::Lost = mark {
            fs::remove_file(copy.0.join("mark")).unwrap();
        }
        let mut start = copy.open();
        let checkpoint = checkpoint.map(|offset| seqs[0] + offset as u64);
        let new = start.append("new");
        let wanted = match wanted {
            -1 => 0,
            NEW => new,
            offset => seqs[0] + offset as u64,
        };
        for _ in 0..2 {
            assert_eq!(start.resume(checkpoint.map(|next| (next, "another boot"))), wanted, "{checkpoint:?}");
            assert_eq!(start.journal.backlog().records as usize, start.read().len());
        }
        assert_eq!(start.metric("journal_rollbacks_total"), rollbacks, "{checkpoint:?}: told once");
        assert_eq!(start.metric("checkpoint_missing_total"), missing * 2.0, "{checkpoint:?}");
        let owner = start.source.owner().unwrap().to_owned();
        assert_eq!(start.resume(Some((new + 1, &owner))), new + 1, "its own commit is no rollback");
        assert_eq!(start.metric("journal_rollbacks_total"), rollbacks);
    }
}

#[test]
fn a_disk_restored_from_a_snapshot_gives_no_seq_twice_and_loses_nothing_that_it_accepts() {
    let folder = Folder::new();
    folder.open().append("before");
    let snapshot = folder.copy();
    let lost = folder.open().append("after the snapshot");
    let mut start = snapshot.open();
    let seq = start.append("new");
    assert!(seq > lost);
    start.resume(Some((lost + 1, "another boot")));
    assert_eq!(start.texts(), ["new"]);
    assert_eq!(start.metric("journal_rollbacks_total"), 1.0);
}

/// The one that was copied ends before it learns of the other, and starts again when that one is gone.
#[test]
fn what_a_copied_folder_accepted_meanwhile_is_published_by_its_next_start() {
    let folder = Folder::new();
    let mut start = folder.open();
    start.append("delivered");
    start.resume(None);
    start.texts();
    let both = start.append("both");
    drop(start);
    let copy = folder.copy();
    let mine = folder.open();
    mine.append("mine");
    drop(mine);
    let mut other = copy.open();
    let others = other.append("the other's");
    let name = other.source.owner().unwrap().to_owned();
    assert_eq!((other.resume(Some((both, "before"))), other.texts()), (both, vec!["both".to_owned(), "the other's".to_owned()]));
    let mut again = folder.open();
    again.append("later");
    again.resume(Some((others + 1, &name)));
    assert_eq!(again.texts(), ["mine", "later"]);
    drop(other);
    let mut other = copy.open();
    other.resume(Some((others + 1, &name)));
    assert_eq!(other.texts(), [""; 0], "of its own it has published all");
}

#[test]
fn a_damaged_place_costs_at_most_the_record_that_it_is_in() {
    let frame = 32 + 8;
    let at = |record: usize, byte: usize| 96 + record * frame + byte;
    // Where the bit is flipped; what is still read.
    let rows = [
        ("body", at(1, 32), "a c"),
        ("seq", at(1, 9), "a c"),
        ("length", at(1, 0), "a c"),
        ("padding", at(1, 39), "a b c"),
        ("first record", at(0, 5), "b c"),
        ("last body of a closed segment", at(2, 32), "a b"),
        ("last header of a closed segment", at(2, 4), "a b"),
        ("segment header", 20, "a b c"),
    ];
    for (place, byte, wanted) in rows {
        let folder = Folder::new();
        let seqs = {
            let start = folder.open();
            ["a", "b", "c"].map(|text| start.append(text))
        };
        folder.spoil(|bytes| bytes[byte] ^= 4);
        let mut start = folder.open();
        start.append("d");
        let wanted = format!("{wanted} d");
        assert_eq!(start.texts().join(" "), wanted, "{place}");
        let damaged = if place == "padding" { 0.0 } else { 1.0 };
        assert_eq!(start.metric("journal_damaged_records_total"), damaged, "{place}");
        start.resume(Some((seqs[0], "another boot")));
        assert_eq!((start.texts().join(" "), start.metric("journal_damaged_records_total")), (wanted, damaged), "{place}: counted once");
        let kept = fs::read_dir(folder.0.join("quarantine")).map_or(0, |files| files.count());
        assert_eq!(kept > 0, !["padding", "segment header"].contains(&place), "{place}: kept for a human");
    }
}

#[test]
fn a_closed_segment_that_was_cut_short_or_zeroed_costs_what_it_held_and_says_so() {
    let frame_bytes = format::frame_bytes(1) as usize;
    let behind_the_first = format::SEGMENT_HEADER_BYTES as usize + frame_bytes;
    type Spoil = fn(&mut Vec<u8>, usize);
    let rows: [(&str, Spoil, &str, f64); 3] = [
        ("cut", |bytes, at| bytes.truncate(at), "a d", 2.0),
        ("zeroed", |bytes, at| bytes[at..].fill(0), "a d", 2.0),
        ("cut in a record", |bytes, at| bytes.truncate(at + 20), "a d", 2.0),
    ];
    for (what, spoil, wanted, damaged) in rows {
        let folder = Folder::new();
        let first = {
            let start = folder.open();
            ["a", "b", "c"].map(|text| start.append(text))[0]
        };
        folder.open().append("d");
        let closed = &folder.segments()[0];
        let mut bytes = fs::read(closed).unwrap();
        spoil(&mut bytes, behind_the_first);
        fs::write(closed, bytes).unwrap();
        let mut start = folder.open();
        assert_eq!(start.texts().join(" "), wanted, "{what}");
        assert_eq!(start.metric("journal_damaged_records_total"), damaged, "{what}");
        start.resume(Some((first, "another boot")));
        assert_eq!(
            (start.texts().join(" ").as_str(), start.metric("journal_damaged_records_total")),
            (wanted, damaged),
            "{what}: counted once"
        );
    }
}

#[test]
fn a_torn_tail_is_the_end_and_no_damage() {
    type Tear = fn(&mut Vec<u8>);
    let rows: [(&str, Tear); 4] = [
        ("the body never came", |bytes| bytes[96 + 40 + 32] = 0),
        ("the header never came", |bytes| bytes[96 + 40..96 + 72].fill(0)),
        ("half a header came", |bytes| bytes[96 + 40..96 + 50].fill(0)),
        ("nothing behind is whole", |bytes| bytes.truncate(96 + 40 + 33)),
    ];
    for (case, tear) in rows {
        let folder = Folder::new();
        let start = folder.open();
        start.append("a");
        start.append("torn");
        let killed = folder.copy();
        killed.spoil(tear);
        // The mark would know that the record had its answer.
        fs::remove_file(killed.0.join("mark")).unwrap();
        let mut start = killed.open();
        start.append("b");
        assert_eq!(start.texts(), ["a", "b"], "{case}");
        assert_eq!(start.metric("journal_damaged_records_total"), 0.0, "{case}");
    }
}

#[test]
fn a_newer_format_is_refused_with_its_number() {
    let folder = Folder::new();
    folder.open().append("a");
    folder.spoil(|bytes| {
        bytes[8] = 9;
        let crc = crc32c::crc32c(&bytes[..92]);
        bytes[92..96].copy_from_slice(&crc.to_le_bytes());
    });
    let refused = folder.refused();
    assert!(matches!(refused, OpenError::NewerFormat { found: 9, .. }), "{refused}");
}

#[test]
fn a_closed_journal_takes_nothing_and_its_source_reads_on() {
    let folder = Folder::new();
    let mut start = folder.open();
    let appended: Vec<_> = (0..100).map(|_| start.journal.append("key", b"a".to_vec())).collect();
    start.journal.close();
    start.journal.close();
    assert!(appended.into_iter().all(|appended| appended.blocking_recv().unwrap().is_ok()));
    assert_eq!(start.journal.append("key", b"b".to_vec()).blocking_recv().unwrap(), Err(AppendError::Unavailable));
    assert_eq!(start.journal.writable(), Err(AppendError::Unavailable));
    let read = start.read();
    assert_eq!((read.len(), start.journal.backlog().records), (100, 100));
    start.advance(read[99].position.offset + 1);
    assert_eq!(
        (start.journal.backlog(), start.metric("journal_oldest_undelivered_age_seconds")),
        (Backlog { records: 0, bytes: Some(0) }, 0.0)
    );
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let folder = Folder::new();
    let rows = [("journal.segment", 1 << 20, 1 << 30), ("journal.size_max", SEGMENT_BYTES_MIN, 2 * SEGMENT_BYTES_MIN)];
    for (wanted, segment_bytes, size_max) in rows {
        let refused = open(Options { segment_bytes, size_max, ..folder.options() }, Arc::new(Metrics::new())).err();
        assert!(matches!(refused, Some(OpenError::TooSmall { key, .. }) if key == wanted), "{wanted}");
    }
}

/// A journal on the model disk, driven by hand, with segments of four records.
struct Driven {
    disk: Arc<ModelDisk>,
    clock_us: Arc<AtomicU64>,
    parts: Parts,
}

const WINDOW_MS: u64 = 12_000;
const SMALL_BYTES: u64 = 96 + 4 * (32 + 1000);

impl Driven {
    fn new() -> Driven {
        Driven::on(Arc::new(ModelDisk::new(1)), 1_000_000_000_000)
    }

    fn on(disk: Arc<ModelDisk>, clock_us: u64) -> Driven {
        let clock_us = Arc::new(AtomicU64::new(clock_us));
        let clock = clock_us.clone();
        let (dir, checkpoint_topic) = (PathBuf::from("/model"), String::new());
        let (window_ms, segment_bytes, size_max) = (WINDOW_MS, SMALL_BYTES, 4 * SMALL_BYTES);
        let options = Options { dir, window_ms, segment_bytes, size_max, free_min: 0, checkpoint_topic };
        let clock: Clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let parts = recovery::recover(disk.clone(), clock, options, Arc::new(Metrics::new())).unwrap();
        Driven { disk, clock_us, parts }
    }

    fn append(&mut self) -> Result<u64, AppendError> {
        self.append_bytes(1000)
    }

    fn append_bytes(&mut self, length: usize) -> Result<u64, AppendError> {
        let mut appended = self.parts.log.queue.append(vec![7; length]);
        let mut batch = Default::default();
        assert_eq!(self.parts.log.queue.take(&mut batch, Duration::ZERO), Taken::More);
        self.parts.writer.commit(&mut batch);
        appended.try_recv().expect("answered").map(|position| position.offset)
    }

    fn pass(&mut self, ms: u64) {
        self.clock_us.fetch_add(ms * 1000, Ordering::Relaxed);
        self.parts.writer.commit(&mut Default::default());
        keeper::turn(&self.parts.log);
    }

    fn deliver_all(&mut self) {
        let mut out = Vec::new();
        self.parts.source.read(ALL, Duration::ZERO, &mut out).unwrap();
        let offset = out.last().expect("there was something").position.offset + 1;
        self.parts.source.advance(Position { partition: 0, offset }, CLUSTER);
    }

    fn segments(&self) -> usize {
        self.disk.names().iter().filter(|name| name.ends_with(".log")).count()
    }
}

#[test]
fn delivered_segments_go_with_the_window_also_when_it_is_quiet() {
    let mut journal = Driven::new();
    for _ in 0..4 {
        journal.append().unwrap();
    }
    journal.deliver_all();
    journal.pass(WINDOW_MS / 2);
    journal.append().unwrap();
    journal.pass(10 * WINDOW_MS);
    assert_eq!(journal.segments(), 2, "the window of what is still to be delivered counts back from its receipt");
    journal.deliver_all();
    journal.append().unwrap();
    journal.pass(0);
    assert_eq!(journal.segments(), 1);
    journal.deliver_all();
    journal.pass(WINDOW_MS + 1);
    assert_eq!(journal.segments(), 0, "closed by age, and then freed");
    let seq = journal.append().unwrap();
    journal.deliver_all();
    journal.pass(WINDOW_MS / 12);
    journal.pass(WINDOW_MS + 1);
    assert_eq!(journal.segments(), 0);
    journal.disk.sync_dir("").unwrap();
    journal.disk.lose_power();
    let again = Driven::on(journal.disk.clone(), 0);
    assert!(again.parts.log.first > seq, "a clock that went back gives no seq twice");
}

#[test]
fn a_checkpoint_behind_the_mark_holds_up_the_freeing() {
    let mut journal = Driven::new();
    let first = journal.append().unwrap();
    for _ in 0..8 {
        journal.append().unwrap();
    }
    journal.deliver_all();
    let checkpoint = journal.parts.source.checkpoint(Position { partition: 0, offset: first + 1 });
    go_on(&mut journal.parts.source, Some(&checkpoint));
    while journal.append().is_ok() {}
    go_on(&mut journal.parts.source, Some(&checkpoint));
    let mut out = Vec::new();
    journal.parts.source.read(ALL, Duration::ZERO, &mut out).unwrap();
    assert_eq!(out[0].position.offset, first + 1, "Kafka was restored from an older copy, and needs them again");
}

#[test]
fn what_a_failed_sync_left_in_the_page_cache_is_durable_before_it_is_read() {
    for seed in 0..20 {
        let disk = Arc::new(ModelDisk::new(seed));
        let mut journal = Driven::on(disk.clone(), 1_000_000_000_000);
        journal.append().unwrap();
        disk.fail_sync_after(0);
        assert_eq!(journal.append(), Err(AppendError::Unavailable));
        disk.heal();
        let read_by = |mut journal: Driven| {
            let mut out = Vec::new();
            journal.parts.source.read(ALL, Duration::ZERO, &mut out).unwrap();
            out
        };
        let before = read_by(Driven::on(disk.clone(), 2_000_000_000_000));
        disk.lose_power();
        assert_eq!(read_by(Driven::on(disk, 3_000_000_000_000)), before, "seed {seed}");
    }
}

#[test]
fn a_loss_of_power_at_any_moment_of_an_append_is_no_damage() {
    for seed in 0..400 {
        let disk = Arc::new(ModelDisk::new(seed));
        let mut journal = Driven::on(disk.clone(), 1_000_000_000_000);
        (0..seed % 5).for_each(|_| assert!(journal.append().is_ok()));
        disk.die_after(seed / 5 % 12);
        let _ = journal.append();
        for (start, clock_us) in (1..4).zip([2_000_000_000_000, 3_000_000_000_000, 4_000_000_000_000]) {
            disk.lose_power();
            let mut again = Driven::on(disk.clone(), clock_us);
            again.append().unwrap();
            let mut out = Vec::new();
            again.parts.source.read(ALL, Duration::ZERO, &mut out).unwrap();
            let text = String::from_utf8(again.parts.log.metrics.render()).unwrap();
            assert!(text.contains("journal_damaged_records_total 0"), "seed {seed}, start {start}");
            assert!(out.len() as u64 >= seed % 5 + start, "seed {seed}, start {start}");
        }
    }
}

#[test]
fn the_window_shrinks_before_a_delivery_is_refused_and_room_heals_it() {
    let mut journal = Driven::new();
    let taken = (0..100).take_while(|_| journal.append().is_ok()).count();
    assert_eq!(taken, 16, "four segments of four");
    assert_eq!(journal.append(), Err(AppendError::Full));
    assert_eq!(journal.parts.log.writable(), Err(AppendError::Full));
    journal.deliver_all();
    journal.pass(0);
    assert_eq!(journal.parts.log.writable(), Ok(()));
    for _ in 0..50 {
        journal.append().unwrap();
        journal.deliver_all();
    }
}

#[test]
fn a_full_disk_is_met_before_any_answer_and_heals() {
    let mut journal = Driven::new();
    journal.append().unwrap();
    journal.disk.set_full(true);
    assert!((0..3).all(|_| journal.append().is_ok()));
    assert_eq!(journal.append(), Err(AppendError::Full));
    let full = Driven::on(journal.disk.clone(), 2_000_000_000_000);
    assert_eq!(full.parts.log.writable(), Err(AppendError::Full), "it opens: what is there can still be delivered");
    journal.disk.set_full(false);
    journal.pass(1000);
    journal.append().unwrap();
}

/// The receipts of what a review tells of, up to this seq.
fn reviewed(journal: &mut Driven, from: u64, until: u64, window_ms: i64) -> Vec<(u64, i64)> {
    let mut all = Vec::new();
    let past = Past { from, until: Position { partition: 0, offset: until }, window_ms };
    let mut tell = |piece: &[Stored]| {
        all.extend(piece.iter().map(|stored| (stored.position.offset, stored.received_ms)));
        ControlFlow::Continue(())
    };
    journal.parts.source.review(past, &mut tell).unwrap();
    all
}

#[test]
fn the_past_is_the_window_before_a_position_over_segments_and_starts() {
    let mut journal = Driven::new();
    assert_eq!(reviewed(&mut journal, 0, 0, 1000), []);
    let mut all: Vec<(u64, i64)> = Vec::new();
    for number in 0..11 {
        journal.clock_us.fetch_add(100_000, Ordering::Relaxed);
        journal.parts.writer.commit(&mut Default::default());
        keeper::turn(&journal.parts.log);
        if number == 6 {
            let clock_us = journal.clock_us.load(Ordering::Relaxed);
            journal = Driven::on(journal.disk.clone(), clock_us);
        }
        all.push((journal.append().unwrap(), (journal.clock_us.load(Ordering::Relaxed) / 1000) as i64));
    }
    let after = all[10].0 + 1;
    for until in all.iter().map(|(seq, _)| *seq).chain([0, after, after + 1000]) {
        let latest_ms = all.iter().find(|(seq, _)| *seq >= until).unwrap_or(&all[10]).1;
        for (from, window_ms) in [(0, 0), (0, 99), (0, 100), (0, 450), (0, 100_000), (all[3].0, 100_000), (all[3].0 + 1, 300)] {
            let is_in = |(seq, ms): &&(u64, i64)| (from..until).contains(seq) && *ms >= latest_ms - window_ms;
            let expected: Vec<(u64, i64)> = all.iter().filter(is_in).copied().collect();
            assert_eq!(reviewed(&mut journal, from, until, window_ms), expected, "{from}..{until}, {window_ms} ms");
        }
    }
    let mut out = Vec::new();
    journal.parts.source.read(ALL, Duration::ZERO, &mut out).unwrap();
    assert_eq!(out.len(), 11, "and no reader has moved");
}

#[test]
fn a_record_that_no_segment_takes_is_refused_and_holds_up_nobody() {
    let mut journal = Driven::new();
    assert_eq!(journal.append_bytes(5000), Err(AppendError::Unavailable));
    journal.append().unwrap();
}

#[test]
fn receipt_never_goes_backward_with_the_clock() {
    let mut journal = Driven::new();
    journal.append().unwrap();
    journal.clock_us.store(1_000_000, Ordering::Relaxed);
    journal.append().unwrap();
    let mut again = Driven::on(journal.disk.clone(), 2_000_000);
    again.append().unwrap();
    let mut out = Vec::new();
    again.parts.source.read(ALL, Duration::ZERO, &mut out).unwrap();
    assert_eq!(out.iter().map(|stored| stored.received_ms).collect::<Vec<_>>(), [1_000_000_000; 3]);
    assert!(out.is_sorted_by_key(|stored| stored.position));
}

#[tokio::test]
async fn a_failed_sync_poisons_the_journal_for_good() {
    let Driven { disk, parts, .. } = Driven::new();
    let Opened { journal, .. } = start(parts).unwrap();
    journal.append("key", vec![1]).await.unwrap().unwrap();
    while journal.log.state().room > 0 && !matches!(journal.log.state().spare, segments::Spare::Ready(_)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let failed = journal.failed();
    disk.fail_sync_after(0);
    assert_eq!(journal.append("key", vec![2]).await.unwrap(), Err(AppendError::Unavailable));
    disk.heal();
    failed.await;
    assert_eq!(journal.append("key", vec![3]).await.unwrap(), Err(AppendError::Unavailable));
    assert_eq!(journal.writable(), Err(AppendError::Unavailable));
}
