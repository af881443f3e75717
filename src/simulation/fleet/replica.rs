//! One replica of the simulated fleet: a relay on a thread of its own, which runs only while it holds the baton, and the
//! seams at which it gives it back.
//!
//! Knows what a replica can do and what can be done to it; which of it happens is the world's choice.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::broker::{Membership, Scene};
use super::super::ground::Ground;
use super::super::process::{die, lock};
use super::super::{kafka, told_by};
use super::Fleet;
use super::raw::SimulatedRaw;
use crate::delivery::Record;
use crate::journal::disk::driven::Killed;
use crate::journal::kafka::KafkaSource;
use crate::journal::{Assignment, Checkpoint, Past, Position, ReadError, ReadLimit, Source, Stored};
use crate::kafka::{Cause, Class, Fault};
use crate::planted::{self, Bug};
use crate::shutdown::Stop;

pub struct Replica {
    pub fleet: Arc<Fleet>,
    /// Of this life alone.
    pub process: u64,
    pub transactional_id: u64,
    pub skew_ms: i64,
    pub stop: Arc<Stop>,
    pub id_forgotten: AtomicBool,
    /// The raw topic was deleted, and it has not heard of it.
    pub raw_gone: AtomicBool,
    /// Until then it waits.
    pub wakes_ms: AtomicI64,
    /// Until then it does not reach Kafka.
    pub cut_off_until_ms: AtomicI64,
    baton: Mutex<Baton>,
}

struct Baton {
    take: Receiver<()>,
    give: Sender<Given>,
}

/// What a replica gives back.
enum Given {
    Turn,
    /// Its life is over.
    End(Result<Life, String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Stopped,
    Killed,
}

/// The world's hold of a replica.
pub struct Held {
    pub replica: Arc<Replica>,
    /// Until then its machine stands still.
    pub frozen_until_ms: i64,
    go: Sender<()>,
    given: Receiver<Given>,
    thread: JoinHandle<()>,
}

impl Replica {
    pub fn start(fleet: &Arc<Fleet>, transactional_id: u64, process: u64, skew_ms: i64) -> Held {
        let ((go, take), (give, given)) = (channel(), channel());
        let replica = Arc::new(Replica {
            fleet: fleet.clone(),
            process,
            transactional_id,
            skew_ms,
            stop: Arc::default(),
            id_forgotten: AtomicBool::new(false),
            raw_gone: AtomicBool::new(false),
            wakes_ms: AtomicI64::new(0),
            cut_off_until_ms: AtomicI64::new(0),
            baton: Mutex::new(Baton { take, give: give.clone() }),
        });
        let (lives, bug) = (replica.clone(), planted::planted());
        let thread = std::thread::spawn(move || {
            planted::plant(bug);
            let ended = lives.live();
            // Nobody may listen any more.
            let _ = give.send(Given::End(ended));
        });
        Held { replica, frozen_until_ms: 0, go, given, thread }
    }

    fn live(self: &Arc<Replica>) -> Result<Life, String> {
        let lived = catch_unwind(AssertUnwindSafe(|| {
            self.wait_for_the_baton();
            super::relay(self).run();
        }));
        match lived {
            Ok(()) => Ok(Life::Stopped),
            Err(panic) if panic.is::<Killed>() => Ok(Life::Killed),
            Err(panic) => Err(told_by(panic)),
        }
    }

    fn wait_for_the_baton(&self) {
        if lock(&self.baton).take.recv().is_err() {
            die();
        }
    }

    fn give_back(&self) {
        let _ = lock(&self.baton).give.send(Given::Turn);
        self.wait_for_the_baton();
    }
}

impl Held {
    /// Lets it run until it gives the baton back; what it says if that was the last time.
    pub fn turn(&self) -> Option<Result<Life, String>> {
        self.go.send(()).expect("it waits for it");
        match self.given.recv().expect("it says how it ended") {
            Given::Turn => None,
            Given::End(ended) => Some(ended),
        }
    }

    /// As kill -9 does.
    pub fn kill(self) {
        let Held { go, thread, .. } = self;
        drop(go);
        thread.join().expect("it catches its panics");
    }
}

impl Scene for Arc<Replica> {
    fn ground(&self) -> &Ground {
        &self.fleet.ground
    }

    fn turn(&self) {
        if self.fleet.ground.below(3) == 0 {
            self.give_back();
        }
    }

    fn wait_ms(&self, ms: i64) {
        self.wakes_ms.fetch_max(self.fleet.ground.now_ms() + ms, Ordering::Relaxed);
        self.give_back();
    }

    fn now_ms(&self) -> i64 {
        self.fleet.ground.now_ms() + self.skew_ms
    }

    fn transactional_id(&self) -> u64 {
        self.transactional_id
    }

    fn reaches_kafka(&self) -> bool {
        !self.fleet.ground.is_away() && self.fleet.ground.now_ms() >= self.cut_off_until_ms.load(Ordering::Relaxed)
    }

    fn id_is_forgotten(&self) -> bool {
        self.id_forgotten.swap(false, Ordering::Relaxed)
    }

    /// The product's guard stands in `kafka::group`, on this side of the seam.
    fn membership(&self) -> Result<Membership, Fault> {
        let group = lock(&self.fleet.group);
        if group.has_lost(self.process) && !planted::is(Bug::StaleGroupMetadata) {
            self.fleet.ground.hit("lost member held back");
            return Err(kafka::fault(Class::Abortable, Cause::Fenced));
        }
        Ok(group.membership(self.process))
    }

    fn is_member(&self, membership: Membership) -> bool {
        lock(&self.fleet.group).takes(membership)
    }
}

/// The journal's lower half, where bugs are planted.
pub struct SimulatedSource {
    replica: Arc<Replica>,
    inner: KafkaSource<SimulatedRaw>,
    /// Where the last commit left each partition.
    advanced: BTreeMap<i32, u64>,
    /// Where the last read left it.
    read: BTreeMap<i32, u64>,
}

impl SimulatedSource {
    pub fn new(replica: Arc<Replica>, inner: KafkaSource<SimulatedRaw>) -> SimulatedSource {
        SimulatedSource { replica, inner, advanced: BTreeMap::new(), read: BTreeMap::new() }
    }
}

impl Source for SimulatedSource {
    fn assignments(&mut self) -> Vec<Assignment> {
        let assignments = self.inner.assignments();
        for assignment in &assignments {
            let (Assignment::Assigned(partition) | Assignment::Revoked(partition)) = assignment;
            self.read.remove(partition);
            if !planted::is(Bug::OtherStaysMemory) {
                self.advanced.remove(partition);
            }
        }
        assignments
    }

    fn owner(&self) -> Option<&str> {
        self.inner.owner()
    }

    fn checkpoint_at(&self, partition: i32) -> (String, i32) {
        self.inner.checkpoint_at(partition)
    }

    fn resume(&mut self, partition: i32, checkpoint: Option<&Checkpoint>) -> Result<Position, ReadError> {
        let nameless = checkpoint.map(|checkpoint| Checkpoint { metadata: String::new(), ..checkpoint.clone() });
        let mine = checkpoint.zip(self.advanced.get(&partition)).map(|(found, mine)| Checkpoint { next: *mine, ..found.clone() });
        let checkpoint = match planted::planted() {
            Some(Bug::RecreatedTopicSkipped) => nameless.as_ref(),
            Some(Bug::CheckpointNotReadBack) => mine.as_ref().or(checkpoint),
            Some(Bug::NotRewoundAfterAnAbort) if self.read.contains_key(&partition) => {
                return Ok(Position { partition, offset: self.read[&partition] });
            }
            _ => checkpoint,
        };
        self.inner.resume(partition, checkpoint)
    }

    fn go_on_at(&mut self, position: Position) -> Result<(), ReadError> {
        self.inner.go_on_at(position)
    }

    fn rest(&mut self, partition: i32) {
        self.inner.rest(partition);
    }

    fn read(&mut self, limit: ReadLimit, wait: Duration, out: &mut Vec<Stored>) -> Result<(), ReadError> {
        let before = out.len();
        self.inner.read(limit, wait, out)?;
        for stored in &mut out[before..] {
            if planted::is(Bug::ReceiptOfEachClock) {
                stored.received_ms = self.replica.fleet.written_ms(stored.position);
            }
            let record = Record::decode(&stored.bytes).expect("what is read is what was appended");
            lock(&self.replica.ground().ledger).read(record.accept_id, stored.position.offset, stored.received_ms);
            self.read.insert(stored.position.partition, stored.position.offset + 1);
        }
        Ok(())
    }

    fn review(&mut self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError> {
        match planted::planted() {
            Some(Bug::MemoryNotRebuilt) => self.inner.review(past, &mut |_| ControlFlow::Continue(())),
            Some(Bug::OtherStaysMemory) => {
                let known = self.advanced.get(&past.until.partition).copied().unwrap_or(0);
                self.inner.review(past, &mut |piece| {
                    let known = piece.partition_point(|stored| stored.position.offset < known);
                    tell(&piece[known..])
                })
            }
            _ => self.inner.review(past, tell),
        }
    }

    fn checkpoint(&self, next: Position) -> Checkpoint {
        self.inner.checkpoint(next)
    }

    fn advance(&mut self, next: Position, cluster_id: &str) {
        self.inner.advance(next, cluster_id);
        self.advanced.insert(next.partition, next.offset);
    }

    fn disown(&mut self, winner: &str) {
        self.inner.disown(winner);
    }
}
