//! The world around the simulated processes: what comes in, what time it is, what goes wrong, by a seed.
//!
//! It decides; `process` lets it happen. Once everything has been sent and enough has gone wrong, all faults end,
//! and what was accepted must come out without anybody's help.

use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::deliveries::{CASTS, Sent, TENANT, Vendors};
use super::ground::Ground;
use super::process::{Kin, Process, die, lock};
use crate::journal::Checkpoint;
use crate::journal::disk::driven::{Dice, ModelDisk, Snapshot};
use crate::metrics::Metrics;

mod faults;

use faults::FAULTS;
pub use faults::HITS;

pub const DELIVERIES_MIN: u64 = 200;
pub const FAULTS_MIN: u64 = 5;
/// The world's turns within which everything must have drained, once nothing goes wrong any more.
const DRAIN_TURNS_MAX: u64 = 20_000;

/// How the present life ends, or what comes after it.
#[derive(Default)]
pub enum After {
    #[default]
    Same,
    PowerLost,
    Restored(Snapshot),
}

/// A copy of the folder on which another process has run.
struct Copy {
    disk: Arc<ModelDisk>,
    /// What was sent to it, and not to the first.
    sent: Range<usize>,
}

pub struct World {
    ground: Ground,
    pub metrics: Arc<Metrics>,
    pub after: Mutex<After>,
    pub damages: AtomicU64,
    pub window_shrank: AtomicBool,
    plan: Mutex<Plan>,
    id_forgotten: AtomicBool,
    /// Faults of this seed, out of all.
    faults: Vec<&'static str>,
}

struct Plan {
    deliveries_left: u64,
    faults: u64,
    /// There was nothing left to read after that.
    drained: bool,
    drain_turns: u64,
    snapshot: Option<(Snapshot, usize)>,
    /// Everything before it is in Kafka, and the mark says so.
    marked: Option<u64>,
    /// Seqs may come again, or a checkpoint may lie beyond them.
    rolled_back: bool,
    copy: Option<Copy>,
}

impl Deref for World {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut dice = Dice::new(seed ^ 0x5EED);
        // Those after which less can be said of repeats come in fewer runs.
        let sides = |fault| if ["disk full", "bit flipped", "restored from a snapshot", "folder copied"].contains(&fault) { 4 } else { 2 };
        let faults = FAULTS.into_iter().filter(|fault| dice.one_in(sides(*fault))).collect();
        let (mishap_every, deliveries_left) = (dice.below(3) * 12, DELIVERIES_MIN + dice.below(100));
        let (faults_none, turns_none) = (0, 0);
        let plan = Plan {
            deliveries_left,
            faults: faults_none,
            drained: false,
            drain_turns: turns_none,
            snapshot: None,
            marked: None,
            rolled_back: false,
            copy: None,
        };
        World {
            ground: Ground::new(dice, Vendors::new(&[TENANT], CASTS), mishap_every),
            metrics: Arc::new(Metrics::new()),
            after: Mutex::default(),
            damages: AtomicU64::new(0),
            window_shrank: AtomicBool::new(false),
            plan: Mutex::new(plan),
            id_forgotten: AtomicBool::new(false),
            faults,
        }
    }

    pub fn next_delivery(&self) -> Sent {
        let sent = self.next_sent();
        lock(&self.ledger).sent(sent.clone());
        sent
    }

    pub fn drained(&self) {
        lock(&self.plan).drained = true;
    }

    pub fn has_drained(&self) -> bool {
        lock(&self.plan).drained
    }

    pub fn id_is_forgotten(&self) -> bool {
        self.id_forgotten.swap(false, Ordering::Relaxed)
    }

    /// Kafka has everything before it, and the mark says so.
    pub fn marked(&self, next: u64) {
        lock(&self.plan).marked = Some(next);
    }

    /// The first process goes on, or starts again: what was sent to the copy stays there.
    pub fn leave_copy(&self) {
        let mut plan = lock(&self.plan);
        if let Some(copy) = plan.copy.take() {
            lock(&self.ledger).forget(copy.sent);
        }
    }

    /// The copy has won: what was sent to the first since then stays there.
    pub fn take_copy(&self) -> Option<Arc<ModelDisk>> {
        let mut plan = lock(&self.plan);
        // A snapshot is one of the folder that has lost.
        (plan.marked, plan.snapshot) = (None, None);
        let copy = plan.copy.take()?;
        let mut ledger = lock(&self.ledger);
        let until = ledger.entries.len();
        ledger.forget(copy.sent.end..until);
        Some(copy.disk)
    }

    /// With what was not synced of the disk, the mark may have gone; and with it what a new cluster had to be told.
    pub fn forget_mark(&self) {
        lock(&self.plan).marked = None;
        if lock(&self.cluster).checkpoints.is_empty()
            && let Some((_, again_from)) = lock(&self.ledger).replaced.last_mut()
        {
            *again_from = 0;
        }
    }

    /// A checkpoint beyond all that this disk ever held has one reason only.
    pub fn looks_at(&self, process: &Process, checkpoint: Option<&Checkpoint>) {
        let Some(checkpoint) = checkpoint else { return };
        let is_ours = checkpoint.metadata == process.log.owner();
        if !is_ours && checkpoint.next > process.log.held && !lock(&self.plan).rolled_back && self.damages.load(Ordering::Relaxed) == 0 {
            panic!("Kafka has what this disk never held, and the disk was never older: {} > {}", checkpoint.next, process.log.held);
        }
    }

    /// What happens between two calls of a process.
    pub fn turn(self: &Arc<World>, process: &Process) {
        if process.disk.has_no_power() {
            self.hit("power was lost inside");
            *lock(&self.after) = After::PowerLost;
            die();
        }
        self.clock_us.fetch_add(self.below(30_000), Ordering::Relaxed);
        if self.below(4) == 0 && lock(&self.cluster).complete() {
            self.hit("markers written late");
        }
        if self.below(100) == 0 {
            // Somebody makes the topic, or allows it.
            lock(&self.cluster).topics.clear();
        }
        if self.is_healed() {
            return self.drain(process);
        }
        match self.below(100) {
            0..22 => self.deliver(process),
            22..32 => process.keep_house(),
            32..36 => self.pass_ms(self.below(800) as i64),
            36..40 => self.go_wrong(process),
            _ => {}
        }
        self.heal_if_done(process);
    }

    fn deliver(&self, process: &Process) {
        let how_many = {
            let mut plan = lock(&self.plan);
            let how_many = (1 + self.below(6)).min(plan.deliveries_left);
            plan.deliveries_left -= how_many;
            how_many
        };
        if how_many > 0 {
            process.accept(how_many);
        }
    }

    fn drain(&self, process: &Process) {
        let turns = {
            let mut plan = lock(&self.plan);
            plan.drain_turns += 1;
            plan.drain_turns
        };
        assert!(turns < DRAIN_TURNS_MAX, "it does not drain by itself");
        if self.below(10) == 0 {
            process.keep_house();
        }
    }

    fn heal_if_done(&self, process: &Process) {
        let plan = lock(&self.plan);
        if plan.deliveries_left > 0 || plan.faults < FAULTS_MIN || process.kin == Kin::Copy {
            return;
        }
        process.disk.heal();
        drop(plan);
        self.heal();
    }
}
