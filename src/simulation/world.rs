//! The world around the simulated processes: what comes in, what time it is, what goes wrong, by a seed.
//!
//! It decides; `process` lets it happen. Once everything has been sent and enough has gone wrong, all faults end,
//! and what was accepted must come out without anybody's help.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::deliveries::{Sent, Vendors};
use super::kafka::{Cluster, Mishap};
use super::ledger::Ledger;
use super::process::{Kin, Process, die, lock};
use crate::journal::Checkpoint;
use crate::journal::disk::driven::{Dice, ModelDisk, Snapshot};

mod faults;

use faults::FAULTS;
pub use faults::HITS;

pub const DELIVERIES_MIN: u64 = 200;
pub const FAULTS_MIN: u64 = 5;
/// The world's turns within which everything must have drained, once nothing goes wrong any more.
const DRAIN_TURNS_MAX: u64 = 20_000;

/// In the year 2001.
const START_US: u64 = 1_000_000_000_000_000;

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
    pub dice: Mutex<Dice>,
    pub clock_us: Arc<AtomicU64>,
    pub cluster: Mutex<Cluster>,
    pub ledger: Mutex<Ledger>,
    pub hits: Mutex<BTreeMap<&'static str, u64>>,
    pub after: Mutex<After>,
    pub damages: AtomicU64,
    pub window_shrank: AtomicBool,
    vendors: Mutex<Vendors>,
    plan: Mutex<Plan>,
    id_forgotten: AtomicBool,
    /// One of the calls to Kafka in this many goes wrong by itself; 0: none.
    mishap_every: u64,
    /// Faults of this seed, out of all.
    faults: Vec<&'static str>,
}

struct Plan {
    deliveries_left: u64,
    faults: u64,
    healed: bool,
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
            healed: false,
            drained: false,
            drain_turns: turns_none,
            snapshot: None,
            marked: None,
            rolled_back: false,
            copy: None,
        };
        World {
            dice: Mutex::new(dice),
            clock_us: Arc::new(AtomicU64::new(START_US)),
            cluster: Mutex::new(Cluster::new(0)),
            ledger: Mutex::default(),
            hits: Mutex::default(),
            after: Mutex::default(),
            damages: AtomicU64::new(0),
            window_shrank: AtomicBool::new(false),
            vendors: Mutex::new(Vendors::new()),
            plan: Mutex::new(plan),
            id_forgotten: AtomicBool::new(false),
            mishap_every,
            faults,
        }
    }

    /// Counts it, and shows it where one seed runs alone.
    pub fn hit(&self, what: &'static str) {
        tracing::info!(at_ms = self.now_ms() - START_US as i64 / 1000, sent = lock(&self.ledger).entries.len(), what, "happened");
        *lock(&self.hits).entry(what).or_default() += 1;
    }

    pub fn now_ms(&self) -> i64 {
        (self.clock_us.load(Ordering::Relaxed) / 1000) as i64
    }

    pub fn pass_ms(&self, ms: i64) {
        self.clock_us.fetch_add(ms.max(0) as u64 * 1000, Ordering::Relaxed);
    }

    pub fn below(&self, bound: u64) -> u64 {
        lock(&self.dice).below(bound)
    }

    pub fn next_delivery(&self) -> Sent {
        // No journal takes more than a record in a microsecond.
        self.clock_us.fetch_add(20 + self.below(100), Ordering::Relaxed);
        let sent = lock(&self.vendors).next(&mut lock(&self.dice), self.now_ms());
        lock(&self.ledger).sent(sent.clone());
        sent
    }

    pub fn is_healed(&self) -> bool {
        lock(&self.plan).healed
    }

    pub fn drained(&self) {
        lock(&self.plan).drained = true;
    }

    pub fn has_drained(&self) -> bool {
        lock(&self.plan).drained
    }

    pub fn is_away(&self) -> bool {
        self.now_ms() < lock(&self.cluster).away_until_ms
    }

    pub fn id_is_forgotten(&self) -> bool {
        self.id_forgotten.swap(false, Ordering::Relaxed)
    }

    /// A call to Kafka that goes wrong by itself.
    pub fn mishap(&self, ways: &[Mishap]) -> Option<Mishap> {
        if self.mishap_every == 0 || self.is_healed() || self.below(self.mishap_every) > 0 {
            return None;
        }
        let mishap = ways[self.below(ways.len() as u64) as usize];
        self.hit(match mishap {
            Mishap::Unheard => "call unheard",
            Mishap::AnswerLost => "answer lost",
            Mishap::AppendedAnswerLost => "appended, answer lost",
            Mishap::Refused => "call refused",
            Mishap::Fatal => "fatal",
            Mishap::FatalDone => "fatal, but done",
        });
        Some(mishap)
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
        plan.marked = None;
        let copy = plan.copy.take()?;
        let mut ledger = lock(&self.ledger);
        let until = ledger.entries.len();
        ledger.forget(copy.sent.end..until);
        Some(copy.disk)
    }

    /// With what was not synced of the disk, the mark may have gone; and with it what a new cluster had to be told.
    pub fn forget_mark(&self) {
        lock(&self.plan).marked = None;
        if lock(&self.cluster).checkpoint.is_none()
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
        let mut plan = lock(&self.plan);
        if plan.deliveries_left > 0 || plan.faults < FAULTS_MIN || process.kin == Kin::Copy {
            return;
        }
        plan.healed = true;
        process.disk.heal();
        let mut cluster = lock(&self.cluster);
        cluster.topics.clear();
        cluster.away_until_ms = 0;
    }
}
