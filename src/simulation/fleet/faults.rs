//! What goes wrong in a fleet: the list, and how each of it is done.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::broker::Scene;
use super::super::deliveries::{DEAD, PERSON};
use super::super::kafka::Topic;
use super::super::ledger::Window;
use super::super::process::lock;
use super::super::{BODY_REPEAT_MS, WINDOW_MS};
use super::{Freeze, Held, Run, Seat};

const BEFORE_COMMIT: &str = "replica frozen before its commit";

/// What goes wrong. Each is counted by its name.
pub const FAULTS: [&str; 15] = [
    "replica killed",
    "replica stopped",
    "replica stopped in a hurry",
    "replica frozen",
    BEFORE_COMMIT,
    "replica cut off",
    "partition asked back",
    "kafka goes away",
    "topic missing",
    "topic forbidden",
    "id expired",
    "retention took records",
    "raw topic made anew",
    "offsets expired",
    "quiet hour",
];

/// All that must happen often.
pub const HITS: [&str; 34] = {
    let more = [
        "kafka away",
        "coordinator timed out",
        "markers written late",
        "taken for dead",
        "lost member held back",
        "stale generation refused",
        "reader out of range",
        "made anew as long as the checkpoint",
        "append unanswered",
        "append unheard",
        "appended late",
        "retry elsewhere",
        "checkpoint kept",
        "call unheard",
        "answer lost",
        "appended, answer lost",
        "call refused",
        "fatal",
        "fatal, but done",
    ];
    let mut hits = [""; 34];
    let mut at = 0;
    while at < hits.len() {
        hits[at] = if at < FAULTS.len() { FAULTS[at] } else { more[at - FAULTS.len()] };
        at += 1;
    }
    hits
};

/// What is delivered is kept for so long.
const RETENTION_MS: i64 = WINDOW_MS + BODY_REPEAT_MS + 15_000;
/// Deliveries by which a topic that was made anew is filled up.
const FILLED_MAX: u64 = 50;

/// Those after which less can be said of what comes later.
pub fn fault_is_rare(fault: &str) -> bool {
    ["raw topic made anew", "offsets expired", "quiet hour"].contains(&fault)
}

impl Run {
    pub(super) fn go_wrong(&mut self) {
        if self.faults.is_empty() {
            return;
        }
        let fault = self.faults[self.below(self.faults.len() as u64) as usize];
        if self.inflict(fault) {
            self.ground().hit(fault);
            self.faults_done += 1;
        }
    }

    /// Whether it could happen now.
    fn inflict(&mut self, fault: &'static str) -> bool {
        match fault {
            "kafka goes away" => {
                let until_ms = self.ground().now_ms() + self.below(25_000) as i64;
                lock(&self.ground().cluster).away_until_ms = until_ms;
                true
            }
            "topic missing" => self.set_topic(Topic::Missing),
            "topic forbidden" => self.set_topic(Topic::Forbidden),
            "partition asked back" => lock(&self.fleet.group).ask_back(self.below(self.fleet.partitions as u64) as i32),
            BEFORE_COMMIT => {
                self.freeze = Freeze::Due;
                false
            }
            "retention took records" => self.retain(),
            "raw topic made anew" => self.make_anew(),
            "offsets expired" => self.expire(),
            "quiet hour" => {
                self.late.clear();
                self.ground().pass_ms(3_600_000);
                true
            }
            of_a_replica => self.befall(of_a_replica),
        }
    }

    fn befall(&mut self, fault: &'static str) -> bool {
        let seat = self.below(self.seats.len() as u64) as usize;
        let (now_ms, chance_ms) = (self.ground().now_ms(), self.below(15_000) as i64);
        let Seat::Up(held) = &mut self.seats[seat] else { return false };
        let replica = &held.replica;
        match fault {
            "replica killed" => self.kill(seat, chance_ms / 2),
            "replica stopped" => replica.stop.request(Instant::now() + Duration::from_secs(3600)),
            "replica stopped in a hurry" => replica.stop.request(Instant::now()),
            "replica frozen" => held.frozen_until_ms = now_ms + chance_ms,
            "replica cut off" => replica.cut_off_until_ms.store(now_ms + chance_ms, Ordering::Relaxed),
            "id expired" => replica.id_forgotten.store(true, Ordering::Relaxed),
            _ => unreachable!("every fault of the list is here"),
        }
        true
    }

    /// The moment is short: it is waited for.
    pub(super) fn freeze_if_due(&mut self) {
        if self.freeze == Freeze::Due && self.freeze_before_commit() {
            self.freeze = Freeze::NotNow;
            self.ground().hit(BEFORE_COMMIT);
            self.faults_done += 1;
        }
    }

    /// Long enough to be taken for dead, and short enough for its coordinator's patience.
    fn freeze_before_commit(&mut self) -> bool {
        let until_ms = self.ground().now_ms() + 6_200 + self.below(3_000) as i64;
        let cluster = lock(&self.fleet.ground.cluster);
        let open = self.seats.iter_mut().find_map(|seat| match seat {
            Seat::Up(held) if cluster.awaits_commit(held.replica.transactional_id) => Some(held),
            _ => None,
        });
        let is_open = open.is_some();
        open.into_iter().for_each(|held| held.frozen_until_ms = until_ms);
        is_open
    }

    /// What its producer had on its way goes with it.
    fn kill(&mut self, seat: usize, down_ms: i64) {
        let until_ms = self.ground().now_ms() + down_ms;
        if let Seat::Up(held) = std::mem::replace(&mut self.seats[seat], Seat::DownUntil(until_ms)) {
            let process = held.replica.process;
            held.kill();
            lock(&self.fleet.group).vanish(process);
            self.late.retain(|late| late.process != process);
        }
    }

    fn set_topic(&self, topic: Topic) -> bool {
        let name = if self.below(4) == 0 { DEAD } else { PERSON };
        lock(&self.ground().cluster).topics.insert(name.to_owned(), topic);
        true
    }

    /// Longer than any backlog's window, as the topic's settings should have it.
    fn retain(&self) -> bool {
        let now_ms = self.ground().now_ms();
        let (mut raw, cluster) = (lock(&self.fleet.raw), lock(&self.ground().cluster));
        let mut took = false;
        for (partition, lane) in raw.lanes().iter_mut().enumerate() {
            if let Some(delivered) = cluster.checkpoints.get(&(partition as i32)).filter(|found| lane.is_of(found)) {
                took |= lane.retain(delivered.next, now_ms, RETENTION_MS);
            }
        }
        took
    }

    /// The topic is deleted, with what was not delivered, and made again. Its checkpoints go with it, or are committed once more
    /// by one who has not heard of it.
    fn make_anew(&mut self) -> bool {
        let checkpoints = lock(&self.ground().cluster).checkpoints.clone();
        let Some(seat) = self.any_up().filter(|_| !checkpoints.is_empty()) else { return false };
        {
            let mut raw = lock(&self.fleet.raw);
            lock(&self.ground().ledger).era_ends(raw.era(), &lock(&self.ground().cluster).committed);
            raw.make_anew();
        }
        self.up().for_each(|held: &Held| held.replica.raw_gone.store(true, Ordering::Relaxed));
        if self.below(2) == 0 {
            lock(&self.ground().cluster).checkpoints.clear();
            return true;
        }
        self.ground().hit("checkpoint kept");
        let chosen = checkpoints.values().nth(self.below(checkpoints.len() as u64) as usize).expect("below their number");
        let filled = (chosen.next + self.below(4)).saturating_sub(1);
        if filled <= FILLED_MAX {
            while lock(&self.fleet.raw).lanes()[chosen.partition as usize].end() < filled && self.reaches(seat) {
                self.accept(seat);
            }
            let end = lock(&self.fleet.raw).lanes()[chosen.partition as usize].end();
            if end == chosen.next {
                self.ground().hit("made anew as long as the checkpoint");
            }
        }
        true
    }

    fn reaches(&self, seat: usize) -> bool {
        matches!(&self.seats[seat], Seat::Up(held) if held.replica.reaches_kafka())
    }

    /// The whole fleet is down for as long as it takes.
    fn expire(&mut self) -> bool {
        if lock(&self.ground().cluster).checkpoints.is_empty() {
            return false;
        }
        for seat in 0..self.seats.len() {
            self.kill(seat, 21_000);
        }
        self.ground().pass_ms(20_000);
        let mut cluster = lock(&self.ground().cluster);
        cluster.fence_all();
        cluster.checkpoints.clear();
        lock(&self.ground().ledger).replaced.push((std::mem::take(&mut cluster.committed), 0));
        drop(cluster);
        self.window = Window::Damaged;
        true
    }
}
