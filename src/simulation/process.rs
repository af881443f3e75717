//! One process of the simulation: the disk journal's writer and keeper above, the relay below, and the seams between
//! them and the world. At each seam the world has its turn: deliveries come, time passes, and any moment may be the last.
//!
//! Knows what a process can do and what can be done to it; which of it happens is the world's choice.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::broker::{Membership, Scene};
use super::ground::Ground;
use super::world::World;
use crate::delivery::Record;
use crate::journal::disk::DiskSource;
use crate::journal::disk::driven::{Killed, Log, ModelDisk, Writer, keep_house};
use crate::journal::{Assignment, Checkpoint, Past, Position, ReadError, ReadLimit, Source, Stored};
use crate::kafka::Fault;
use crate::planted::{self, Bug};
use crate::shutdown::Stop;

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends this process as kill -9 does.
pub fn die() -> ! {
    std::panic::resume_unwind(Box::new(Killed))
}

pub struct Process {
    pub world: Arc<World>,
    pub disk: Arc<ModelDisk>,
    pub log: Arc<Log>,
    pub stop: Arc<Stop>,
    writer: Mutex<Writer>,
    pub kin: Kin,
    published: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kin {
    First,
    /// It runs while the process that it was copied from stands still.
    Copy,
}

impl Process {
    pub fn new(world: Arc<World>, disk: Arc<ModelDisk>, log: Arc<Log>, writer: Writer, kin: Kin) -> Process {
        Process { world, disk, log, stop: Arc::default(), writer: Mutex::new(writer), kin, published: AtomicBool::new(false) }
    }

    /// Deliveries arrive together and are answered together.
    pub fn accept(&self, how_many: u64) {
        let mut waiting = Vec::new();
        for _ in 0..how_many {
            let sent = self.world.next_delivery();
            waiting.push((sent.accept_id, self.log.queue.append(sent.record())));
        }
        let mut batch = VecDeque::new();
        self.log.queue.take(&mut batch, Duration::ZERO);
        lock(&self.writer).commit(&mut batch);
        for (accept_id, mut appended) in waiting {
            if let Ok(Ok(_)) = appended.try_recv() {
                lock(&self.world.ledger).accepted(accept_id);
            }
        }
        if self.log.state().poisoned {
            self.world.hit("sync failed");
            self.ask_to_stop();
        }
    }

    pub fn keep_house(&self) {
        keep_house(&self.log);
    }

    /// In good order, within a time that is long.
    pub fn ask_to_stop(&self) {
        self.stop.request(Instant::now() + Duration::from_secs(3600));
    }

    /// Its name is on the checkpoint.
    pub fn has_published(&self) -> bool {
        self.published.load(Ordering::Relaxed)
    }

    pub fn close(&self) {
        self.log.queue.close();
        lock(&self.writer).close();
        self.log.sync_mark();
    }
}

impl Scene for Arc<Process> {
    fn ground(&self) -> &Ground {
        &self.world
    }

    fn turn(&self) {
        self.world.clone().turn(self);
    }

    fn wait_ms(&self, ms: i64) {
        self.world.pass_ms(ms);
        self.turn();
    }

    fn now_ms(&self) -> i64 {
        self.world.now_ms()
    }

    fn transactional_id(&self) -> u64 {
        0
    }

    fn reaches_kafka(&self) -> bool {
        !self.world.is_away()
    }

    fn id_is_forgotten(&self) -> bool {
        self.world.id_is_forgotten()
    }

    /// Nobody joins the group of a disk.
    fn membership(&self) -> Result<Membership, Fault> {
        Ok(None)
    }

    fn is_member(&self, _membership: Membership) -> bool {
        true
    }

    fn seen(&self, checkpoint: Checkpoint) -> Checkpoint {
        if planted::is(Bug::OwnerNotCompared) { Checkpoint { metadata: self.log.owner(), ..checkpoint } } else { checkpoint }
    }

    fn has_committed(&self) {
        if self.kin == Kin::First {
            self.world.leave_copy();
        }
    }
}

/// The journal's lower half, with the world's turn at each call.
pub struct SimulatedSource {
    process: Arc<Process>,
    inner: DiskSource,
    /// Where the last commit left it.
    advanced: Option<u64>,
    /// Where the last read left it.
    resumed: Option<Position>,
}

impl SimulatedSource {
    pub fn new(process: Arc<Process>, inner: DiskSource) -> SimulatedSource {
        SimulatedSource { process, inner, advanced: None, resumed: None }
    }
}

impl Source for SimulatedSource {
    fn assignments(&mut self) -> Vec<Assignment> {
        self.inner.assignments()
    }

    fn owner(&self) -> Option<&str> {
        self.inner.owner()
    }

    fn checkpoint_at(&self, partition: i32) -> (String, i32) {
        self.inner.checkpoint_at(partition)
    }

    fn resume(&mut self, partition: i32, checkpoint: Option<&Checkpoint>) -> Result<Position, ReadError> {
        self.process.turn();
        self.process.world.looks_at(&self.process, checkpoint);
        let zero = Checkpoint { topic: String::new(), partition, next: 0, metadata: String::new() };
        let checkpoint = match checkpoint {
            None if planted::is(Bug::AbsentIsZero) => Some(&zero),
            Some(_) if planted::is(Bug::MarkWinsOverTheCheckpoint) && lock(&self.process.log.mark).delivered().is_some() => None,
            Some(_) if planted::is(Bug::CheckpointNotReadBack) && self.advanced.is_some() => {
                let mine = Checkpoint { next: self.advanced.expect("asked above"), ..checkpoint.expect("matched").clone() };
                return self.inner.resume(partition, Some(&mine));
            }
            other => other,
        };
        if let Some(resumed) = self.resumed
            && planted::is(Bug::NotRewoundAfterAnAbort)
        {
            return Ok(resumed);
        }
        self.inner.resume(partition, checkpoint)
    }

    fn go_on_at(&mut self, position: Position) -> Result<(), ReadError> {
        self.inner.go_on_at(position)
    }

    fn rest(&mut self, partition: i32) {
        self.inner.rest(partition);
    }

    fn read(&mut self, limit: ReadLimit, wait: Duration, out: &mut Vec<Stored>) -> Result<(), ReadError> {
        self.process.turn();
        let before = out.len();
        self.inner.read(limit, Duration::ZERO, out)?;
        let mut ledger = lock(&self.process.world.ledger);
        for stored in &out[before..] {
            let record = Record::decode(&stored.bytes).expect("what is read is what was appended");
            ledger.read(record.accept_id, stored.position.offset, stored.received_ms);
            self.resumed = Some(Position { offset: stored.position.offset + 1, ..stored.position });
        }
        drop(ledger);
        if let Some(resumed) = self.resumed
            && planted::is(Bug::AdvancedBeforeTheCommit)
        {
            self.inner.advance(resumed, "model");
        }
        if out.is_empty() && !wait.is_zero() && self.process.world.is_healed() {
            self.process.world.drained();
            self.process.ask_to_stop();
        }
        Ok(())
    }

    fn review(&mut self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError> {
        self.process.turn();
        if planted::is(Bug::MemoryNotRebuilt) {
            return Ok(());
        }
        self.inner.review(past, tell)
    }

    fn checkpoint(&self, next: Position) -> Checkpoint {
        self.inner.checkpoint(next)
    }

    fn advance(&mut self, next: Position, cluster_id: &str) {
        // Between the commit and the mark.
        self.process.turn();
        self.inner.advance(next, cluster_id);
        self.advanced = Some(next.offset);
        self.process.published.store(true, Ordering::Relaxed);
        self.process.world.marked(next.offset);
    }

    fn disown(&mut self, winner: &str) {
        self.inner.disown(winner);
    }
}
