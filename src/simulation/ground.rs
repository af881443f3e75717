//! What both simulations stand on: one dice, one clock, one Kafka, what was sent, and how often each thing happened.
//!
//! Knows no journal: which process lives, and what goes wrong with it, is each world's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::Hits;
use super::deliveries::{Sent, Vendors};
use super::kafka::{Cluster, Mishap};
use super::ledger::Ledger;
use super::process::lock;
use crate::journal::disk::driven::Dice;

/// In the year 2001.
const START_US: u64 = 1_000_000_000_000_000;

pub struct Ground {
    pub dice: Mutex<Dice>,
    pub clock_us: Arc<AtomicU64>,
    pub cluster: Mutex<Cluster>,
    pub ledger: Mutex<Ledger>,
    pub hits: Mutex<Hits>,
    vendors: Mutex<Vendors>,
    /// One of the calls to Kafka in this many goes wrong by itself; 0: none.
    mishap_every: u64,
    healed: AtomicBool,
}

impl Ground {
    pub fn new(dice: Dice, vendors: Vendors, mishap_every: u64) -> Ground {
        Ground {
            dice: Mutex::new(dice),
            clock_us: Arc::new(AtomicU64::new(START_US)),
            cluster: Mutex::new(Cluster::new(0)),
            ledger: Mutex::default(),
            hits: Mutex::default(),
            vendors: Mutex::new(vendors),
            mishap_every,
            healed: AtomicBool::new(false),
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

    pub fn next_sent(&self) -> Sent {
        // No journal takes more than a record in a microsecond.
        self.clock_us.fetch_add(20 + self.below(100), Ordering::Relaxed);
        lock(&self.vendors).next(&mut lock(&self.dice), self.now_ms())
    }

    /// From here on nothing goes wrong any more.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
        let mut cluster = lock(&self.cluster);
        cluster.topics.clear();
        cluster.away_until_ms = 0;
    }

    pub fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    pub fn is_away(&self) -> bool {
        self.now_ms() < lock(&self.cluster).away_until_ms
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
}
