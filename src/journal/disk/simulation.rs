//! Thousands of generated lives of a journal on the model disk, step by step on one thread, against a simple
//! model: nothing acknowledged is lost or read twice, nothing is read that was not appended, order is kept, no
//! seq is given twice in any life. A run that fails prints its seed; `SEED=n` runs that one alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::format::segment_name;
use super::model::{Dice, ModelDisk, Snapshot};
use super::recovery::{Parts, recover};
use super::storage::Storage;
use super::*;
use crate::journal::{Appended, Checkpoint, Position, ReadLimit, Source, Stored};

const STEPS: usize = 120;
const CLUSTER: &str = "model";

/// How often each thing happened in all runs: a fault that never came proves nothing.
static HITS: [AtomicU64; Event::All as usize] = [const { AtomicU64::new(0) }; Event::All as usize];

#[derive(Debug, Clone, Copy)]
enum Event {
    Acknowledged,
    Full,
    Unavailable,
    PowerLost,
    PowerLostInside,
    Killed,
    Closed,
    SyncFailed,
    Flipped,
    Restored,
    CheckpointForgotten,
    Aborted,
    Damaged,
    Freed,
    Read,
    All,
}

fn hit(event: Event) {
    HITS[event as usize].fetch_add(1, Ordering::Relaxed);
}

struct World {
    dice: Dice,
    disk: Arc<ModelDisk>,
    clock_us: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
    parts: Option<Parts>,
    appended: u64,
    /// Seq and text of all that was acknowledged, in any life.
    given: BTreeMap<u64, String>,
    /// Of these: what the disk may have lost in ways that no journal could help.
    excused: BTreeSet<u64>,
    texts: BTreeSet<String>,
    /// Kafka: what a read_committed reader sees, and the checkpoint of the same transactions.
    published: Vec<(u64, String)>,
    checkpoint: Option<Checkpoint>,
    snapshot: Option<(Snapshot, BTreeSet<u64>)>,
    restored: bool,
    flipped: bool,
    lost_its_place: bool,
    /// Only then does the mark know all that the checkpoint knows.
    marked: bool,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            dice: Dice::new(seed),
            disk: Arc::new(ModelDisk::new(seed)),
            clock_us: Arc::new(AtomicU64::new(1_000_000_000)),
            metrics: Arc::new(Metrics::new()),
            parts: None,
            appended: 0,
            given: BTreeMap::new(),
            excused: BTreeSet::new(),
            texts: BTreeSet::new(),
            published: Vec::new(),
            checkpoint: None,
            snapshot: None,
            restored: false,
            flipped: false,
            lost_its_place: false,
            marked: false,
        }
    }

    fn options(&self) -> Options {
        let (dir, checkpoint_topic) = (PathBuf::from("/model"), "checkpoints".to_owned());
        Options { dir, window_ms: 1200, segment_bytes: 2048, size_max: 16 * 2048, free_min: 0, checkpoint_topic }
    }

    /// Opens, however often the power fails meanwhile.
    fn open(&mut self) {
        while self.parts.is_none() {
            self.pass(5_000);
            let clock = self.clock_us.clone();
            let clock: Clock = Arc::new(move || clock.load(Ordering::Relaxed));
            match recover(self.disk.clone(), clock, self.options(), self.metrics.clone()) {
                Ok(parts) => self.parts = Some(parts),
                Err(OpenError::Io { .. }) => self.lose_power(),
                Err(error) => panic!("{error}"),
            }
        }
        self.resume();
    }

    fn resume(&mut self) {
        let checkpoint = self.checkpoint.clone();
        let source = self.source();
        let resumed = source.resume(0, checkpoint.as_ref()).and_then(|position| source.go_on_at(position));
        self.lost_its_place = resumed.is_err();
    }

    fn source(&mut self) -> &mut DiskSource {
        &mut self.parts.as_mut().expect("it is open").source
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..30 => self.append(),
            30..55 => self.relay(),
            55..68 => self.keep_house(),
            68..76 => self.pass(400_000),
            76..79 => self.kill(),
            79..81 => self.close(),
            81..84 => self.lose_power_now(),
            84..88 => self.disk.die_after(self.dice.below(12)),
            88..90 => self.disk.fail_sync_after(self.dice.below(4)),
            90..93 => self.disk.set_full(self.dice.one_in(2)),
            93..95 => self.flip(),
            95..97 => self.forget_checkpoint(),
            97..99 => self.take_snapshot(),
            _ => self.go_back(),
        }
        self.go_on();
    }

    /// What has failed is started again.
    fn go_on(&mut self) {
        let poisoned = self.parts.as_ref().is_some_and(|parts| parts.log.state().poisoned);
        if self.disk.free_bytes().is_err() {
            hit(Event::PowerLostInside);
            self.lose_power();
        } else if poisoned {
            hit(Event::SyncFailed);
            self.parts = None;
        }
        if self.parts.is_none() {
            self.open();
        }
    }

    fn pass(&mut self, us_max: u64) {
        let us = 1 + self.dice.below(us_max);
        self.clock_us.fetch_add(us, Ordering::Relaxed);
    }

    fn append(&mut self) {
        let mut waiting: Vec<(String, Appended)> = Vec::new();
        for _ in 0..1 + self.dice.below(6) {
            self.appended += 1;
            // No journal takes more than a record in a microsecond: the seqs of a start never overtake its clock.
            self.pass(100);
            let text = format!("{}{}", self.appended, "x".repeat(self.dice.below(300) as usize));
            self.texts.insert(text.clone());
            let appended = self.parts.as_ref().unwrap().log.queue.append(text.clone().into());
            waiting.push((text, appended));
        }
        let Parts { log, writer, .. } = self.parts.as_mut().unwrap();
        let mut batch = VecDeque::new();
        log.queue.take(&mut batch, Duration::ZERO);
        writer.commit(&mut batch);
        for (text, mut appended) in waiting {
            match appended.try_recv().expect("answered") {
                Ok(Position { offset, .. }) => {
                    hit(Event::Acknowledged);
                    let twice = self.given.insert(offset, text);
                    assert_eq!(twice, None, "seq {offset} was given twice");
                }
                Err(AppendError::Full) => hit(Event::Full),
                Err(AppendError::Unavailable) => hit(Event::Unavailable),
            }
        }
    }

    /// One turn of a relay: read, publish with the checkpoint in one transaction, advance. Any of it may fail.
    fn relay(&mut self) {
        if self.lost_its_place {
            return self.resume();
        }
        let limit = ReadLimit { records_max: 1 + self.dice.below(8) as usize, bytes_max: 200 + self.dice.below(800) as usize };
        let mut out = Vec::new();
        if self.source().read(limit, Duration::ZERO, &mut out).is_err() {
            return self.resume();
        }
        let Some(last) = out.last() else { return };
        hit(Event::Read);
        assert!(out.len() <= limit.records_max && out.is_sorted_by_key(|stored| stored.received_ms));
        let next = Position { partition: 0, offset: last.position.offset + 1 };
        if self.dice.one_in(8) {
            hit(Event::Aborted);
            return self.resume();
        }
        out.iter().for_each(|stored| self.publish(stored));
        self.checkpoint = Some(self.source().checkpoint(next));
        self.marked = !self.dice.one_in(10);
        if self.marked {
            self.source().advance(next, CLUSTER);
        }
    }

    fn publish(&mut self, stored: &Stored) {
        let (seq, text) = (stored.position.offset, String::from_utf8(stored.bytes.clone()).expect("whole"));
        assert!(self.texts.contains(&text), "{seq} was never appended");
        assert!(self.given.get(&seq).is_none_or(|given| *given == text), "{seq} is another record");
        assert!(self.published.last().is_none_or(|(last, _)| *last < seq), "{seq} after {:?}", self.published.last());
        self.published.push((seq, text));
    }

    fn keep_house(&mut self) {
        let before = self.disk.names().len();
        keeper::turn(&self.parts.as_ref().unwrap().log);
        (self.disk.names().len() < before).then(|| hit(Event::Freed));
    }

    /// The process ends; what it wrote is still in the page cache.
    fn kill(&mut self) {
        hit(Event::Killed);
        self.parts = None;
    }

    fn close(&mut self) {
        hit(Event::Closed);
        let mut parts = self.parts.take().unwrap();
        parts.log.queue.close();
        parts.writer.close();
        parts.log.sync_mark();
    }

    fn lose_power_now(&mut self) {
        hit(Event::PowerLost);
        self.lose_power();
    }

    fn lose_power(&mut self) {
        self.parts = None;
        self.marked = false;
        self.disk.lose_power();
    }

    /// One bit below the durable end of one segment; at most one record is in it.
    fn flip(&mut self) {
        let segments = self.parts.as_ref().unwrap().log.state().segments.clone();
        let Some(segment) = segments.get(self.dice.below(segments.len().max(1) as u64) as usize) else { return };
        let bit = self.dice.below(segment.end * 8);
        hit(Event::Flipped);
        self.flipped = true;
        self.disk.flip(&segment_name(segment.base), bit);
        let mut end = format::SEGMENT_HEADER_BYTES;
        for (seq, text) in self.given.range(segment.base..segment.last.saturating_add(1)) {
            end += format::frame_bytes(text.len());
            if bit / 8 < end {
                self.excused.insert(*seq);
                break;
            }
        }
    }

    /// The mark stands in, where it is as good.
    fn forget_checkpoint(&mut self) {
        if self.marked && self.checkpoint.is_some() {
            hit(Event::CheckpointForgotten);
            self.checkpoint = None;
            self.resume();
            let next = self.published.last().map_or(0, |(last, _)| last + 1);
            self.checkpoint = Some(self.source().checkpoint(Position { partition: 0, offset: next }));
        }
    }

    fn take_snapshot(&mut self) {
        self.snapshot = Some((self.disk.snapshot(), self.given.keys().copied().collect()));
    }

    /// What was accepted after the snapshot has gone with the disk.
    fn go_back(&mut self) {
        let Some((snapshot, held)) = self.snapshot.take() else { return };
        hit(Event::Restored);
        (self.parts, self.marked, self.restored) = (None, false, true);
        self.disk.restore(&snapshot);
        self.excused.extend(self.given.keys().filter(|seq| !held.contains(seq)));
    }

    /// All faults end: everything must drain without anybody's help.
    fn end(&mut self) {
        self.disk.heal();
        for _ in 0..80 {
            self.keep_house();
            self.relay();
            self.pass(400_000);
            self.go_on();
        }
        let before = self.given.len();
        (0..5).for_each(|_| self.append());
        assert!(self.given.len() > before, "it takes deliveries again");
        for _ in 0..50 {
            self.relay();
        }
        let published: BTreeSet<u64> = self.published.iter().map(|(seq, _)| *seq).collect();
        let lost: Vec<_> = self.given.keys().filter(|seq| !published.contains(seq) && !self.excused.contains(seq)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        self.check_backlog();
        let text = String::from_utf8(self.metrics.render()).unwrap();
        assert!(self.restored || self.flipped || text.contains("journal_rollbacks_total 0"), "a rollback without one");
        (!text.contains("journal_damaged_records_total 0")).then(|| hit(Event::Damaged));
    }

    fn check_backlog(&mut self) {
        let offset = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.next);
        self.source().advance(Position { partition: 0, offset }, CLUSTER);
        let undelivered = self.parts.as_ref().unwrap().log.state().undelivered();
        assert!(self.flipped || undelivered.records == 0, "a backlog of {undelivered:?} where there is none");
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    world.open();
    for _ in 0..STEPS {
        world.step();
    }
    world.end();
}

#[test]
fn in_thousands_of_lives_nothing_acknowledged_is_lost_doubled_or_reordered() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(2000),
    };
    for seed in seeds.clone() {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("failed with SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
    if seeds.end - seeds.start > 1000 {
        let hits: Vec<u64> = HITS.iter().map(|hits| hits.load(Ordering::Relaxed)).collect();
        assert!(hits.iter().all(|hits| *hits > 100), "not every fault came: {hits:?}");
    }
}
