//! Publishes what the folder of a disk journal holds, and ends: the relay without listeners.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::WallClock;
use crate::journal::disk::{self, drain};
use crate::journal::{Assignment, Checkpoint, Past, Position, ReadError, ReadLimit, Source, Stored};
use crate::kafka::producer::KafkaBroker;
use crate::metrics::Metrics;
use crate::providers::endpoints::Endpoints;
use crate::relay::prepare::Prepare;
use crate::relay::{Ended, Relay};
use crate::settings::Settings;
use crate::shutdown::Stop;

/// For the end, once nothing is left or a person asks for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How it came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All of it, so many of them now.
    Whole {
        records: u64,
    },
    Stopped {
        records: u64,
    },
}

/// Waits for Kafka as long as it takes, until `stop`.
pub fn drain(settings: Settings, dir: &Path, stop: Arc<Stop>) -> Result<Drained> {
    let metrics = Arc::new(Metrics::new());
    let options = disk::Options { dir: dir.to_owned(), ..settings.journal.options(&settings.kafka.checkpoint_topic) };
    let drain::Drain { source, id } = drain::open(options, metrics.clone())?;
    let mut kafka = settings.kafka.options(&id.to_string());
    // A disk journal's, also where the settings are a fleet's by now.
    kafka.group = kafka.transactional_id.clone();
    let broker = KafkaBroker::new(kafka, metrics.clone(), stop.clone());
    let broker = broker.map_err(|why| anyhow!("[kafka.properties]: {why}"))?;
    let prepare = Prepare::new(settings.prepare, Arc::new(Endpoints::new(settings.endpoints)));
    let clock = Box::new(WallClock { stop: stop.clone() });
    let tally = Arc::new(Tally::default());
    let source = UntilEmpty { source, stop: stop.clone(), tally: tally.clone(), seen: 0 };
    let relay = Relay::new(source, broker, prepare, settings.relay, clock, stop, Arc::default(), metrics);
    match relay.run() {
        Ended::Stopped => Ok(tally.told()),
        Ended::Disowned => Err(anyhow!("another `waitbridge journal drain` empties the same folder, or a copy of it: let that one end")),
    }
}

#[derive(Default)]
struct Tally {
    records: AtomicU64,
    emptied: AtomicBool,
}

impl Tally {
    fn told(&self) -> Drained {
        let records = self.records.load(Ordering::Relaxed);
        if self.emptied.load(Ordering::Relaxed) { Drained::Whole { records } } else { Drained::Stopped { records } }
    }
}

/// Asks for the end once there is nothing left to read: the relay reads on only when all before is committed.
struct UntilEmpty<S> {
    source: S,
    stop: Arc<Stop>,
    tally: Arc<Tally>,
    /// Everything before it is counted: after an abort the same records are read again.
    seen: u64,
}

impl<S: Source> Source for UntilEmpty<S> {
    fn read(&mut self, limit: ReadLimit, wait: Duration, out: &mut Vec<Stored>) -> Result<(), ReadError> {
        let before = out.len();
        self.source.read(limit, wait, out)?;
        let new = out[before..].iter().filter(|stored| stored.position.offset >= self.seen).count();
        self.tally.records.fetch_add(new as u64, Ordering::Relaxed);
        self.seen = out.last().map_or(self.seen, |last| self.seen.max(last.position.offset + 1));
        if out.is_empty() {
            self.tally.emptied.store(true, Ordering::Relaxed);
            self.stop.request(Instant::now() + PATIENCE);
        }
        Ok(())
    }

    fn assignments(&mut self) -> Vec<Assignment> {
        self.source.assignments()
    }

    fn owner(&self) -> Option<&str> {
        self.source.owner()
    }

    fn checkpoint_at(&self, partition: i32) -> (String, i32) {
        self.source.checkpoint_at(partition)
    }

    fn resume(&mut self, partition: i32, checkpoint: Option<&Checkpoint>) -> Result<Position, ReadError> {
        self.source.resume(partition, checkpoint)
    }

    fn go_on_at(&mut self, position: Position) -> Result<(), ReadError> {
        self.source.go_on_at(position)
    }

    fn rest(&mut self, partition: i32) {
        self.source.rest(partition);
    }

    fn review(&mut self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError> {
        self.source.review(past, tell)
    }

    fn checkpoint(&self, next: Position) -> Checkpoint {
        self.source.checkpoint(next)
    }

    fn advance(&mut self, next: Position, cluster_id: &str) {
        self.source.advance(next, cluster_id);
    }

    fn disown(&mut self, winner: &str) {
        self.source.disown(winner);
    }
}
