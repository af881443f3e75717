//! What goes wrong: the list, and how each of it is done to a process.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::deliveries::{DEAD, PERSON};
use super::super::kafka::{Cluster, TRANSACTION_TIMEOUT_MS, Topic};
use super::super::process::{Kin, Process, die, lock};
use super::{After, Copy, World};
use crate::journal::disk::driven::segment_name;

/// What goes wrong. Each is counted by its name.
pub const FAULTS: [&str; 21] = [
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

impl World {
    pub(super) fn go_wrong(self: &Arc<World>, process: &Process) {
        if process.kin == Kin::Copy {
            return self.end_copy(process);
        }
        if self.faults.is_empty() {
            return;
        }
        let fault = self.faults[self.below(self.faults.len() as u64) as usize];
        if self.inflict(fault, process) {
            self.hit(fault);
            lock(&self.plan).faults += 1;
            self.pass_the_time();
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
            "stopped in a hurry" => process.stop.request(Instant::now()),
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

    /// Now and then a transaction meets its coordinator's patience.
    fn pass_the_time(&self) {
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
            cluster.checkpoints.is_empty() && !cluster.committed.is_empty()
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
        super::super::live_on_copy(self, &copy);
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
        let is_known = cluster.checkpoints.get(&0).is_some_and(|checkpoint| Some(checkpoint.next) == marked);
        if !is_known || cluster.holds_transaction() || !process.disk.is_well() {
            return false;
        }
        process.log.sync_mark();
        cluster.checkpoints.clear();
        true
    }

    fn forget_id(&self) -> bool {
        let quiet = !lock(&self.cluster).holds_transaction();
        self.id_forgotten.store(quiet, Ordering::Relaxed);
        quiet
    }

    fn replace(&self) -> bool {
        let mut cluster = lock(&self.cluster);
        let next = Cluster::new(cluster.id + 1);
        let old = std::mem::replace(&mut *cluster, next);
        let marked = lock(&self.plan).marked;
        // A mark behind the lost checkpoint comes back to records whose window may be gone.
        if old.checkpoints.get(&0).map(|checkpoint| checkpoint.next) != marked {
            self.window_shrank.store(true, Ordering::Relaxed);
        }
        lock(&self.ledger).replaced.push((old.committed, marked.unwrap_or(0)));
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
