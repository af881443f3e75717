//! The lower spine: read what is durable, in order; prepare, publish, advance.
//!
//! The branches of the lower floor stand here, as a machine of a few states. A transaction holds a batch's
//! records and its checkpoint, so a `read_committed` reader sees both or none, whatever is killed. After
//! anything but a clean commit the checkpoint is read back from Kafka before anything is decided.
//!
//! ```text
//! Build ─► Init ─► Read ─► Claim ─► Live ─► Live …
//!   ▲       │fatal   ▲                │fault
//!   │◄──────┘        └──── Abort ◄────┤ abortable
//!   │◄────────────────────────────────┤ fatal
//!   │◄── ours ── Fenced ◄─────────────┘ fenced ── another's ──► Ended(Disowned)
//! ```
//! Each partition that comes is read, remembered and then flows (`partitions`); those that flow go on meanwhile.
//! Knows no HTTP. It runs on one thread and may block; it never gives up, and stops only when asked to, or when
//! another process owns its checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use crate::envelope::Outgoing;
use crate::journal::{Assignment, Position, ReadError, Source, Stored};
use crate::kafka::{Broker, Cause, Checkpoint, Class, Fault};
use crate::metrics::Metrics;
use crate::shutdown::Stop;

mod ahead;
mod hold;
pub mod memory;
mod narrow;
mod partitions;
pub mod prepare;
mod remember;
pub mod replay;
pub mod status;
mod trouble;

use ahead::Ahead;
use memory::Memory;
use narrow::Narrow;
use partitions::Partitions;
use prepare::{Batch, Prepare};
use status::Status;

/// How long a read of the journal waits before it looks whether it should stop.
const READ_WAIT: Duration = Duration::from_millis(200);
/// Well inside the shortest expiry of a group's offsets in use.
const RECOMMIT_AFTER_MS: i64 = 3_600_000;
/// While other partitions flow, how often to ask for the checkpoint of one that has none to tell yet: its former owner's
/// transaction may be open until the coordinator gives it up.
const ASK_AGAIN_MS: i64 = 1_000;
/// Records of one batch in memory, beside `batch_max`. There are two at most: one that Kafka has, and the next.
const BATCH_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub batch_max: usize,
    pub batch_wait: Duration,
    pub retry_min: Duration,
    pub retry_max: Duration,
    pub memory: memory::Limits,
    /// How long an event of an unknown endpoint waits for it; its partition waits with it.
    pub endpoint_unknown_wait_ms: i64,
}

/// Wall-clock time; a seam, so that tests own it.
pub trait Clock: Send {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;
    fn sleep(&self, time: Duration);
}

/// How a relay came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Stopped,
    /// Another process owns this journal's checkpoint.
    Disowned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Build,
    Init,
    Read,
    Claim,
    Live,
    Abort,
    Fenced,
    Ended(Ended),
}

pub struct Relay<S, B> {
    source: S,
    broker: B,
    prepare: Prepare,
    memory: Memory,
    limits: Limits,
    clock: Box<dyn Clock>,
    stop: Arc<Stop>,
    status: Arc<Status>,
    metrics: Arc<Metrics>,
    partitions: Partitions,
    /// Behind the batch that Kafka has; or why nothing could be read there.
    ahead: Result<Ahead, ReadError>,
    /// Kafka is not asked before this for a partition's checkpoint while others flow.
    ask_again_ms: i64,
    cluster_id: Option<String>,
    claimed: Claimed,
    backoff: Duration,
    committed_ms: i64,
    complained_ms: i64,
    /// Why the producer is dropped, from then until there is a new one.
    rebuild_cause: Option<Cause>,
    narrow: Narrow,
}

/// Whether this process has put its name on the checkpoint. Before that any owner is fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claimed {
    NotYet,
    Yes,
}

impl<S: Source, B: Broker> Relay<S, B> {
    #[expect(clippy::too_many_arguments, reason = "the composition root hands over every part once")]
    pub fn new(
        source: S,
        broker: B,
        prepare: Prepare,
        limits: Limits,
        clock: Box<dyn Clock>,
        stop: Arc<Stop>,
        status: Arc<Status>,
        metrics: Arc<Metrics>,
    ) -> Relay<S, B> {
        let backoff = limits.retry_min;
        Relay {
            source,
            broker,
            prepare,
            memory: Memory::new(limits.memory),
            limits,
            clock,
            stop,
            status,
            metrics,
            partitions: Partitions::default(),
            ahead: Ok(Ahead::default()),
            ask_again_ms: 0,
            cluster_id: None,
            claimed: Claimed::NotYet,
            backoff,
            committed_ms: 0,
            complained_ms: 0,
            rebuild_cause: None,
            narrow: Narrow::default(),
        }
    }

    /// Works until it is stopped, or disowned.
    pub fn run(mut self) -> Ended {
        let mut state = State::Build;
        loop {
            state = match state {
                State::Build => self.build(),
                State::Init => self.init(),
                State::Read => self.read_checkpoints(),
                State::Claim => self.claim(),
                State::Live => self.live(),
                State::Abort => self.abort(),
                State::Fenced => self.fenced(),
                State::Ended(ended) => return ended,
            }
        }
    }

    fn build(&mut self) -> State {
        match self.broker.build() {
            Ok(()) => {
                if let Some(cause) = self.rebuild_cause.take() {
                    self.metrics.producer_rebuilt(cause.as_str());
                }
                State::Init
            }
            Err(fault) => self.again(&fault, State::Build),
        }
    }

    fn init(&mut self) -> State {
        match self.broker.init() {
            Ok(()) => self.doubt(),
            Err(fault) if fault.class == Class::Retriable => self.again(&fault, State::Init),
            Err(fault) => self.rebuild(&fault),
        }
    }

    /// After anything but a clean commit: the checkpoint is asked for before anything is decided, and nothing is read meanwhile.
    fn doubt(&mut self) -> State {
        self.rest();
        State::Read
    }

    fn rest(&mut self) {
        self.partitions.all().into_iter().for_each(|partition| self.source.rest(partition));
        self.partitions.doubt();
        self.forget_ahead();
        self.ask_again_ms = 0;
    }

    /// Init has resolved the predecessor's open transaction, so what is read now is the last word. One partition whose
    /// checkpoint cannot be had does not hold up those that flow.
    fn read_checkpoints(&mut self) -> State {
        self.take_assignments();
        self.cluster_id = self.broker.cluster_id();
        while let Some(partition) = self.partitions.next_unread() {
            let found = match self.checkpoint_of(partition) {
                Ok(found) => found,
                Err(fault) if self.partitions.known().is_empty() => return self.again(&fault, State::Read),
                Err(fault) => return self.later(&fault),
            };
            if let Some(winner) = self.winner(found.clone()) {
                return self.disowned(&winner);
            }
            match self.source.resume(partition, found.as_ref()) {
                Ok(position) => self.partitions.resumed(position),
                Err(read_error) => return self.unreadable(&read_error),
            }
        }
        if self.claimed == Claimed::Yes { State::Live } else { State::Claim }
    }

    fn later(&mut self, fault: &Fault) -> State {
        self.blocked(fault);
        self.ask_again_ms = self.clock.now_ms() + ASK_AGAIN_MS;
        State::Live
    }

    fn take_assignments(&mut self) {
        let assignments = self.source.assignments();
        for assignment in &assignments {
            match *assignment {
                Assignment::Assigned(partition) => self.partitions.came(partition),
                Assignment::Revoked(partition) => {
                    self.partitions.left(partition);
                    self.memory.forget(partition);
                }
            }
        }
        // Some of what was prepared ahead may be another's now.
        if !assignments.is_empty() && !self.ahead.as_ref().is_ok_and(Ahead::is_empty) {
            self.rest();
        }
    }

    fn checkpoint_of(&mut self, partition: i32) -> Result<Option<Checkpoint>, Fault> {
        let (topic, at) = self.source.checkpoint_at(partition);
        self.broker.committed(&topic, at)
    }

    /// Who else has put its name on the checkpoint, since we did.
    fn winner(&self, found: Option<Checkpoint>) -> Option<String> {
        let owner = self.source.owner().filter(|_| self.claimed == Claimed::Yes)?;
        found.map(|found| found.metadata).filter(|name| name != owner)
    }

    /// Puts our name on the checkpoint, without moving it. Also keeps it from expiring in a quiet week.
    fn claim(&mut self) -> State {
        let positions = self.partitions.known();
        if !positions.is_empty()
            && let Err(fault) = self.transact(&[], &positions, |_| {})
        {
            return self.failed(&fault);
        }
        if self.claimed == Claimed::NotYet {
            info!("kafka takes our transactions; publishing");
        }
        self.claimed = Claimed::Yes;
        self.advanced(&positions);
        State::Live
    }

    fn live(&mut self) -> State {
        self.take_assignments();
        if self.partitions.has_unread() && self.clock.now_ms() >= self.ask_again_ms {
            return State::Read;
        }
        if let Err(read_error) = self.remember() {
            return self.unreadable(&read_error);
        }
        if self.partitions.only_remembers() {
            return self.or_stop(State::Live);
        }
        let next = match self.gather() {
            Ok(next) => next,
            Err(read_error) => return self.unreadable(&read_error),
        };
        if self.stop.is_overdue() {
            return State::Ended(Ended::Stopped);
        }
        if next.is_empty() { self.idle() } else { self.publish(next) }
    }

    fn idle(&self) -> State {
        if self.stop.is_requested() {
            return State::Ended(Ended::Stopped);
        }
        let quiet_ms = self.clock.now_ms().saturating_sub(self.committed_ms);
        if quiet_ms >= RECOMMIT_AFTER_MS { State::Claim } else { State::Live }
    }

    fn publish(&mut self, next: Ahead) -> State {
        let Ahead { stored, prepared, staged } = next;
        let started_ms = self.clock.now_ms();
        let (mut first, mut behind) = (BTreeMap::new(), BTreeMap::new());
        for Stored { position: Position { partition, offset }, .. } in &stored {
            first.entry(*partition).or_insert(*offset);
            behind.insert(*partition, Position { partition: *partition, offset: offset + 1 });
        }
        self.partitions.must_have_come_to(&first);
        let positions: Vec<Position> = behind.into_values().collect();
        self.prepare.publishes(&stored, &prepared);
        #[cfg(test)]
        let staged = self.merged_too_early(staged);
        match self.transact(&prepared.records, &positions, |relay| relay.look_ahead(&staged)) {
            Ok(()) => {
                self.memory.merge(staged, &positions);
                self.advanced(&positions);
                self.narrow.committed(&self.partitions.known());
                self.count(&prepared, started_ms);
                State::Live
            }
            Err(fault) => {
                self.narrow.failed(&stored, &fault);
                self.failed(&fault)
            }
        }
    }

    /// One transaction: all of the records and the checkpoints, or nothing. `meanwhile` is done while the records are on their way.
    fn transact(&mut self, records: &[Outgoing], positions: &[Position], meanwhile: impl FnOnce(&mut Self)) -> Result<(), Fault> {
        let checkpoints: Vec<Checkpoint> = positions.iter().map(|position| self.source.checkpoint(*position)).collect();
        self.broker.begin()?;
        self.broker.send(records)?;
        meanwhile(self);
        self.broker.drain()?;
        self.insist(|broker| broker.send_offsets(&checkpoints))?;
        self.insist(Broker::commit)
    }

    /// A retriable failure inside a transaction: the same call again, since only it can tell how the first one ended.
    fn insist(&mut self, mut call: impl FnMut(&mut B) -> Result<(), Fault>) -> Result<(), Fault> {
        loop {
            match call(&mut self.broker) {
                Err(fault) if fault.class == Class::Retriable && !self.stop.is_overdue() => {
                    self.blocked(&fault);
                    self.clock.sleep(self.limits.retry_min);
                }
                ended => return ended,
            }
        }
    }

    /// Kafka has everything before these positions.
    fn advanced(&mut self, positions: &[Position]) {
        let cluster_id = self.cluster_id.clone().unwrap_or_default();
        for position in positions {
            self.partitions.advanced(*position);
            self.source.advance(*position, &cluster_id);
        }
        self.committed_ms = self.clock.now_ms();
        self.backoff = self.limits.retry_min;
        self.metrics.relay_flows();
        self.status.flows();
    }

    fn count(&self, prepared: &Batch, started_ms: i64) {
        self.metrics.transaction_committed(between(started_ms, self.committed_ms));
        self.metrics.memory(self.memory.entries(), self.memory.coverage_ms());
        for outcome in &prepared.outcomes {
            outcome.count(&self.metrics, self.committed_ms);
        }
    }
}

fn between(started_ms: i64, ended_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ended_ms - started_ms).unwrap_or(0))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub mod trial;
