//! A fleet by a seed: two or three replicas, each a relay with its memory and the Kafka journal's lower half as they are,
//! against a model of the raw topic, of the group and of Kafka. One of them runs at a time, and the world's dice say which.
//!
//! ```text
//! fleet      the run: time, deliveries, who is next; until all has drained; then the judge
//! replica    a process on a thread of its own, with the baton handed on at its seams
//! group      the model of the consumer group           raw       the model of the raw topic
//! faults     what goes wrong                           accept    the upper half
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::broker::{Scene, SimulatedBroker, SimulatedClock};
use super::deliveries::{self, Vendors};
use super::ground::Ground;
use super::ledger::Window;
use super::process::lock;
use super::{Hits, limits};
use crate::journal::disk::driven::Dice;
use crate::journal::kafka::source_over;
use crate::journal::{Checkpoint, Position};
use crate::metrics::Metrics;
use crate::relay::status::Status;
use crate::relay::{Limits, Relay};

mod accept;
mod faults;
mod group;
mod raw;
mod replica;

use accept::Late;
pub use faults::HITS;
use faults::{FAULTS, fault_is_rare};
use group::Group;
use raw::{RawLog, SimulatedRaw};
use replica::{Held, Life, Replica, SimulatedSource};

const TENANTS: [&str; 5] = ["t", "u", "v", "w", "x"];
/// Of one tenant.
const CASTS: u64 = 3;
const DELIVERIES_MIN: u64 = 200;
const FAULTS_MIN: u64 = 5;
const TURNS_MAX: usize = 30_000;
/// From the end of the faults on.
const DRAIN_TURNS_MAX: usize = 10_000;
const TRANSACTION_TIMEOUT_MS: i64 = 10_000;
const SKEW_MS: u64 = 2_000;
pub const RAW_TOPIC: &str = "raw";

/// What the replicas see of the world.
pub struct Fleet {
    pub ground: Ground,
    pub group: Mutex<Group>,
    pub raw: Mutex<RawLog>,
    metrics: Arc<Metrics>,
    partitions: i32,
}

impl Fleet {
    pub fn written_ms(&self, position: Position) -> i64 {
        lock(&self.raw).written_ms(position.partition, position.offset)
    }

    fn partition_of(&self, tenant: &str) -> i32 {
        let number = TENANTS.iter().position(|one| *one == tenant).expect("one of them");
        number as i32 % self.partitions
    }
}

/// The place of one replica.
enum Seat {
    DownUntil(i64),
    Up(Held),
}

/// Whether a replica bears the same transactional id in each of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    Stable,
    Fresh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freeze {
    NotNow,
    Due,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Faulty,
    /// All faults have ended.
    Draining,
    /// Everything is out.
    Stopping,
}

struct Run {
    fleet: Arc<Fleet>,
    seats: Vec<Seat>,
    ids: Ids,
    phase: Phase,
    lives: u64,
    turns_left: usize,
    deliveries_left: u64,
    faults: Vec<&'static str>,
    faults_done: u64,
    /// The next replica that has only its commit to do stands still.
    freeze: Freeze,
    late: Vec<Late>,
    /// The seat that took an event first.
    took: BTreeMap<u64, usize>,
    was_away: bool,
    window: Window,
}

/// One seed, until all has drained; or what broke which promise.
pub fn run(seed: u64) -> Result<Hits, String> {
    let mut run = Run::new(seed);
    while run.turns_left > 0 {
        run.turns_left -= 1;
        run.world();
        run.replica()?;
        if run.phase == Phase::Stopping && run.seats.iter().all(|seat| matches!(seat, Seat::DownUntil(_))) {
            return run.judged();
        }
    }
    Err(format!("it does not come to an end: {}", run.standing()))
}

pub fn relay(replica: &Arc<Replica>) -> Relay<SimulatedSource, SimulatedBroker<Arc<Replica>>> {
    let metrics = replica.fleet.metrics.clone();
    let raw = SimulatedRaw::new(replica.clone());
    let source = SimulatedSource::new(replica.clone(), source_over(raw, RAW_TOPIC, metrics.clone()));
    let limits = Limits { endpoint_unknown_wait_ms: 60_000, batch_wait: Duration::from_millis(5), ..limits() };
    let (broker, clock) = (SimulatedBroker::new(replica.clone()), Box::new(SimulatedClock(replica.clone())));
    let (stop, status) = (replica.stop.clone(), Arc::new(Status::default()));
    Relay::new(source, broker, deliveries::prepare(), limits, clock, stop, status, metrics)
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut dice = Dice::new(seed ^ 0xF1EE7);
        let mut faults: Vec<_> = FAULTS.into_iter().filter(|fault| dice.one_in(if fault_is_rare(fault) { 6 } else { 2 })).collect();
        if faults.is_empty() {
            faults.push(FAULTS[0]);
        }
        let (partitions, replicas) = (2 + dice.below(3) as i32, 2 + dice.below(2));
        let ids = if dice.one_in(2) { Ids::Stable } else { Ids::Fresh };
        let (mishap_every, deliveries_left) = (dice.below(3) * 12, DELIVERIES_MIN + dice.below(60));
        let ground = Ground::new(dice, Vendors::new(&TENANTS, CASTS), mishap_every);
        lock(&ground.cluster).transaction_timeout_ms = TRANSACTION_TIMEOUT_MS;
        let (group, raw) = (Mutex::new(Group::new(partitions)), Mutex::new(RawLog::new(partitions)));
        Run {
            fleet: Arc::new(Fleet { ground, group, raw, metrics: Arc::new(Metrics::new()), partitions }),
            seats: (0..replicas).map(|_| Seat::DownUntil(0)).collect(),
            ids,
            phase: Phase::Faulty,
            lives: 0,
            turns_left: TURNS_MAX,
            deliveries_left,
            faults,
            faults_done: 0,
            freeze: Freeze::NotNow,
            late: Vec::new(),
            took: BTreeMap::new(),
            was_away: false,
            window: Window::Whole,
        }
    }

    fn ground(&self) -> &Ground {
        &self.fleet.ground
    }

    fn below(&self, bound: u64) -> u64 {
        self.ground().below(bound)
    }

    /// What happens between two turns of replicas.
    fn world(&mut self) {
        self.time_passes();
        self.kafka_goes_on();
        match self.phase {
            Phase::Faulty => {
                self.start_those_down();
                match self.below(100) {
                    0..25 => self.deliver(),
                    25..31 => self.go_wrong(),
                    _ => {}
                }
                self.freeze_if_due();
                self.heal_if_done();
            }
            Phase::Draining => {
                self.start_those_down();
                self.stop_if_drained();
            }
            Phase::Stopping => {}
        }
    }

    fn time_passes(&self) {
        let leap_ms = if self.below(25) == 0 { self.below(3_000) } else { 0 };
        self.ground().pass_ms((self.below(60) + leap_ms) as i64);
    }

    fn kafka_goes_on(&mut self) {
        let now_ms = self.ground().now_ms();
        if self.below(30) == 0 {
            // Somebody makes the topic, or allows it.
            lock(&self.ground().cluster).topics.clear();
        }
        if self.ground().is_away() {
            self.was_away = true;
            return;
        }
        if std::mem::take(&mut self.was_away) {
            lock(&self.fleet.group).renew(now_ms);
        }
        if self.below(4) == 0 && lock(&self.ground().cluster).complete() {
            self.ground().hit("markers written late");
        }
        if lock(&self.ground().cluster).time_out(now_ms) {
            self.ground().hit("coordinator timed out");
        }
        self.late_appends(now_ms);
        self.members_are_heard(now_ms);
    }

    fn members_are_heard(&self, now_ms: i64) {
        let mut group = lock(&self.fleet.group);
        for held in self.up().filter(|held| held.frozen_until_ms <= now_ms) {
            let process = held.replica.process;
            if held.replica.reaches_kafka() {
                group.hear(process, now_ms);
                if self.below(3) > 0 {
                    group.beat(process, now_ms);
                }
            } else if self.below(60) == 0 {
                group.give_up(process);
            }
        }
        if group.expire(now_ms) > 0 {
            self.ground().hit("taken for dead");
        }
        group.divide();
    }

    fn up(&self) -> impl Iterator<Item = &Held> {
        self.seats.iter().filter_map(|seat| if let Seat::Up(held) = seat { Some(held) } else { None })
    }

    fn start_those_down(&mut self) {
        let now_ms = self.ground().now_ms();
        for seat in 0..self.seats.len() {
            if matches!(self.seats[seat], Seat::DownUntil(until_ms) if until_ms <= now_ms) {
                self.lives += 1;
                let id = if self.ids == Ids::Stable { seat as u64 } else { 100 + self.lives };
                let skew_ms = self.below(2 * SKEW_MS) as i64 - SKEW_MS as i64;
                let held = Replica::start(&self.fleet, id, self.lives, skew_ms);
                lock(&self.fleet.group).enter(held.replica.process);
                self.seats[seat] = Seat::Up(held);
            }
        }
    }

    /// One of those that do not stand still runs until it gives the baton back.
    fn replica(&mut self) -> Result<(), String> {
        let now_ms = self.ground().now_ms();
        let wakes_ms = |held: &Held| held.frozen_until_ms.max(held.replica.wakes_ms.load(Ordering::Relaxed));
        let awake: Vec<usize> =
            (0..self.seats.len()).filter(|seat| matches!(&self.seats[*seat], Seat::Up(held) if wakes_ms(held) <= now_ms)).collect();
        if awake.is_empty() {
            let next_ms = self.up().map(wakes_ms).min().unwrap_or(now_ms + 200);
            self.ground().pass_ms((next_ms - now_ms).clamp(1, 200));
            return Ok(());
        }
        let seat = awake[self.below(awake.len() as u64) as usize];
        let Seat::Up(held) = &self.seats[seat] else { unreachable!("it is awake") };
        let (process, ended) = (held.replica.process, held.turn());
        match ended {
            None => {}
            Some(Err(why)) => return Err(why),
            Some(Ok(Life::Killed)) => unreachable!("only the world kills"),
            Some(Ok(Life::Stopped)) => {
                lock(&self.fleet.group).leave(process);
                self.seats[seat] = Seat::DownUntil(now_ms + self.below(2_000) as i64);
            }
        }
        Ok(())
    }

    fn heal_if_done(&mut self) {
        if self.deliveries_left > 0 || self.faults_done < FAULTS_MIN {
            return;
        }
        self.ground().heal();
        self.phase = Phase::Draining;
        self.turns_left = DRAIN_TURNS_MAX;
        for seat in &mut self.seats {
            match seat {
                Seat::DownUntil(until_ms) => *until_ms = 0,
                Seat::Up(held) => {
                    held.frozen_until_ms = 0;
                    held.replica.cut_off_until_ms.store(0, Ordering::Relaxed);
                }
            }
        }
    }

    /// Then each stops in good order.
    fn stop_if_drained(&mut self) {
        if !self.late.is_empty() || self.up().count() < self.seats.len() || !self.has_drained() {
            return;
        }
        self.phase = Phase::Stopping;
        self.up().for_each(|held| held.replica.stop.request(Instant::now() + Duration::from_secs(3600)));
    }

    fn has_drained(&self) -> bool {
        let (mut raw, cluster) = (lock(&self.fleet.raw), lock(&self.ground().cluster));
        let is_out = |(partition, lane): (usize, &mut raw::Lane)| {
            let is_last = |found: &Checkpoint| found.next == lane.end() && lane.is_of(found);
            lane.end() == lane.start || cluster.checkpoints.get(&(partition as i32)).is_some_and(is_last)
        };
        !cluster.holds_transaction() && raw.lanes().iter_mut().enumerate().all(is_out)
    }

    /// For whoever has to find out what holds it up.
    fn standing(&self) -> String {
        let (mut raw, cluster) = (lock(&self.fleet.raw), lock(&self.ground().cluster));
        let ends: Vec<u64> = raw.lanes().iter().map(raw::Lane::end).collect();
        let next: BTreeMap<i32, u64> = cluster.checkpoints.iter().map(|(partition, found)| (*partition, found.next)).collect();
        let (up, late, open) = (self.up().count(), self.late.len(), cluster.holds_transaction());
        let (phase, group) = (self.phase, lock(&self.fleet.group));
        format!("{phase:?}, {up} up, {late} late, ends {ends:?}, delivered {next:?}, a transaction is open: {open}, {group:?}")
    }

    fn judged(&self) -> Result<Hits, String> {
        lock(&self.ground().ledger).judge(&lock(&self.ground().cluster).committed, 0, self.window)?;
        Ok(lock(&self.ground().hits).clone())
    }
}
