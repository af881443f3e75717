//! The world around the simulated processes: what comes in, what time it is, what goes wrong, by a seed.
//!
//! It decides; `process` lets it happen. Once everything has been sent and enough has gone wrong, all faults end,
//! and what was accepted must come out without anybody's help.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::deliveries::{DEAD, PERSON, Sent, Vendors};
use super::kafka::{Cluster, Mishap, TRANSACTION_TIMEOUT_MS, Topic};
use super::ledger::Ledger;
use super::process::{Kin, Process, die, lock};
use crate::journal::Checkpoint;
use crate::journal::disk::driven::{Dice, ModelDisk, Snapshot, segment_name};

pub const DELIVERIES_MIN: u64 = 200;
pub const FAULTS_MIN: u64 = 5;
/// The world's turns within which everything must have drained, once nothing goes wrong any more.
const DRAIN_TURNS_MAX: u64 = 20_000;

/// In the year 2001.
const START_US: u64 = 1_000_000_000_000_000;

/// What goes wrong. Each is counted by its name.
const FAULTS: [&str; 21] = [
    "kill",
    "kill inside a write",
    "power lost",
    "power lost inside a write",
    "stopped",
    "stopped in a hurry",
    "sync fails soon",
    "disk full",
    "quota used up",
    "disk freed",
    "bit flipped",
    "snapshot taken",
    "restored from a snapshot",
    "folder copied",
    "kafka goes away",
    "topic missing",
    "topic forbidden",
    "checkpoint expired",
    "id expired",
    "cluster replaced",
    "clock set back",
];

/// All that must happen often.
pub const HITS: [&str; 33] = {
    let mut hits = [""; 33];
    let mut at = 0;
    while at < FAULTS.len() {
        hits[at] = FAULTS[at];
        at += 1;
    }
    let more = [
        "kafka away",
        "coordinator timed out",
        "markers written late",
        "power was lost inside",
        "sync failed",
        "disowned",
        "call unheard",
        "answer lost",
        "appended, answer lost",
        "call refused",
        "fatal",
        "fatal, but done",
    ];
    let mut at = 0;
    while at < more.len() {
        hits[FAULTS.len() + at] = more[at];
        at += 1;
    }
    hits
};

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

    /// The first process has gone on: what was sent to the copy stays there.
    pub fn leave_copy(&self) {
        let mut plan = lock(&self.plan);
        if let Some(copy) = plan.copy.take() {
            lock(&self.ledger).forget(copy.sent);
        }
    }

    /// The first process ended before it learned of the copy, and starts again as if that had been its own past.
    pub fn forget_copy(&self) {
        let mut plan = lock(&self.plan);
        if let Some(copy) = plan.copy.take() {
            let mut ledger = lock(&self.ledger);
            let until = ledger.entries.len();
            ledger.forget(copy.sent.start..until);
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
        let is_ours = checkpoint.metadata == process.log.boot.to_string();
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

    fn go_wrong(self: &Arc<World>, process: &Process) {
        if process.kin == Kin::Copy {
            return self.end_copy(process);
        }
        // Whoever was copied must learn of it first: killed before, it would take what the copy said for its own.
        if self.faults.is_empty() || lock(&self.plan).copy.is_some() {
            return;
        }
        let fault = self.faults[self.below(self.faults.len() as u64) as usize];
        if self.inflict(fault, process) {
            self.hit(fault);
            lock(&self.plan).faults += 1;
            self.end_if_over();
        }
    }

    fn end_copy(&self, process: &Process) {
        match self.below(6) {
            0 => process.ask_to_stop(),
            1 => die(),
            2 => {
                *lock(&self.after) = After::PowerLost;
                die()
            }
            _ => {}
        }
    }

    /// Whether it could happen now. What ends the life says so in `after`, and does not come back.
    fn inflict(self: &Arc<World>, fault: &'static str, process: &Process) -> bool {
        match fault {
            "kill" => self.ends(fault, After::Same),
            "power lost" => self.ends(fault, After::PowerLost),
            "kill inside a write" => process.disk.kill_after(self.below(12)),
            "power lost inside a write" => process.disk.die_after(self.below(12)),
            "stopped" => process.ask_to_stop(),
            "stopped in a hurry" => process.stop.request(std::time::Instant::now()),
            "sync fails soon" => process.disk.fail_sync_after(self.below(4)),
            "disk full" => {
                // Then the window shrinks, and what was in it is no longer known to a later life.
                self.window_shrank.store(true, Ordering::Relaxed);
                process.disk.set_full(true);
            }
            "quota used up" => process.disk.use_up_quota(),
            "disk freed" => process.disk.set_full(false),
            "bit flipped" => return self.flip(process),
            "snapshot taken" => self.take_snapshot(process),
            "restored from a snapshot" => return self.restore(fault),
            "folder copied" => return self.copy(process),
            "kafka goes away" => lock(&self.cluster).away_until_ms = self.now_ms() + self.below(150_000) as i64,
            "topic missing" => self.set_topic(Topic::Missing),
            "topic forbidden" => self.set_topic(Topic::Forbidden),
            "checkpoint expired" => return self.expire(process),
            "id expired" => return self.forget_id(),
            "cluster replaced" => return self.replace(),
            "clock set back" => return self.set_back(),
            _ => unreachable!("every fault of the list is here"),
        }
        true
    }

    fn ends(&self, fault: &'static str, after: After) {
        self.hit(fault);
        lock(&self.plan).faults += 1;
        *lock(&self.after) = after;
        die();
    }

    /// Time heals a topic; and a transaction that nobody ended meets its coordinator's patience.
    fn end_if_over(&self) {
        if self.below(3) == 0 {
            lock(&self.cluster).topics.clear();
        }
        if self.below(12) == 0 {
            self.pass_ms(TRANSACTION_TIMEOUT_MS + 1000);
        }
    }

    fn set_topic(&self, topic: Topic) {
        let name = if self.below(4) == 0 { DEAD } else { PERSON };
        lock(&self.cluster).topics.insert(name.to_owned(), topic);
    }

    fn flip(&self, process: &Process) -> bool {
        let segments = process.log.state().segments.clone();
        let Some(segment) = segments.get(self.below(segments.len().max(1) as u64) as usize) else { return false };
        process.disk.flip(&segment_name(segment.base), self.below(segment.end.max(1) * 8));
        self.damages.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn take_snapshot(&self, process: &Process) {
        let held = lock(&self.ledger).entries.len();
        lock(&self.plan).snapshot = Some((process.disk.snapshot(), held));
    }

    /// What came after the snapshot has gone with the disk.
    fn restore(&self, fault: &'static str) -> bool {
        let both_lost = {
            let cluster = lock(&self.cluster);
            cluster.checkpoint.is_none() && !cluster.committed.is_empty()
        };
        // With checkpoint and mark both gone nothing is promised.
        if both_lost {
            return false;
        }
        let Some((snapshot, held)) = lock(&self.plan).snapshot.take() else { return false };
        {
            let mut ledger = lock(&self.ledger);
            let until = ledger.entries.len();
            ledger.forget(held..until);
        }
        lock(&self.plan).rolled_back = true;
        self.ends(fault, After::Restored(snapshot));
        true
    }

    /// Another process runs on a copy of the folder, while this one stands still; then this one goes on.
    fn copy(self: &Arc<World>, process: &Process) -> bool {
        if process.kin == Kin::Copy || process.log.state().poisoned || !process.has_published() || lock(&self.plan).copy.is_some() {
            return false;
        }
        let copy = Arc::new(process.disk.copy(self.below(u64::MAX)));
        let from = lock(&self.ledger).entries.len();
        lock(&self.plan).rolled_back = true;
        super::live_on_copy(self, &copy);
        let sent = from..lock(&self.ledger).entries.len();
        let mut plan = lock(&self.plan);
        plan.marked = None;
        plan.copy = Some(Copy { disk: copy, sent });
        true
    }

    /// A quiet week, in which the mark was synced long ago.
    fn expire(&self, process: &Process) -> bool {
        let mut cluster = lock(&self.cluster);
        let marked = lock(&self.plan).marked;
        let is_known = cluster.checkpoint.as_ref().is_some_and(|checkpoint| Some(checkpoint.next) == marked);
        if !is_known || cluster.holds_transaction() || !process.disk.is_well() {
            return false;
        }
        process.log.sync_mark();
        cluster.checkpoint = None;
        true
    }

    fn forget_id(&self) -> bool {
        let quiet = !lock(&self.cluster).holds_transaction();
        self.id_forgotten.store(quiet, Ordering::Relaxed);
        quiet
    }

    fn replace(&self) -> bool {
        let mut cluster = lock(&self.cluster);
        let old = std::mem::replace(&mut *cluster, Cluster::new(0));
        cluster.id = old.id + 1;
        let marked = lock(&self.plan).marked.unwrap_or(0);
        lock(&self.ledger).replaced.push((old.committed, marked));
        true
    }

    /// Seqs lean on the clock where the disk was older once.
    fn set_back(&self) -> bool {
        if lock(&self.plan).rolled_back || self.faults.contains(&"restored from a snapshot") || self.faults.contains(&"folder copied") {
            return false;
        }
        let us = self.below(3_000_000);
        self.clock_us.fetch_sub(us, Ordering::Relaxed);
        true
    }
}
