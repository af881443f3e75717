//! What the writer, the keeper and the reader share: which segments there are, how far they are durable, and
//! what is still owed to Kafka. Knows no bytes of a record and does no work of its own.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use super::Options;
use super::format::{Totals, segment_name};
use super::mark::Mark;
use super::queue::Queue;
use super::storage::{File, Storage};
use crate::journal::AppendError;
use crate::metrics::Metrics;

/// Microseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Less room than this, and no segment to follow: an ordinary delivery would be refused.
const ROOM_MIN: u64 = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The writer's present one; at most one, and the last.
    Open,
    Sealed,
}

#[derive(Debug, Clone, Copy)]
pub struct Segment {
    pub base: u64,
    /// The last seq, or for one from before this start the highest that it could hold.
    pub last: u64,
    /// No record in it is newer.
    pub newest_ms: i64,
    /// Everything before this offset is durable.
    pub end: u64,
    pub file_bytes: u64,
    /// What the journal ever held before it.
    pub before: Totals,
    /// The start that wrote it, where its header tells.
    pub boot: Option<Uuid>,
    /// How many records it holds, where it is closed and the header of the next one tells.
    pub records: Option<u64>,
    pub stage: Stage,
}

/// The segment made ahead: filled with zeros and synced, without a name of its own yet.
pub enum Spare {
    Wanted,
    /// With what the last try ended, which holds until this one succeeds.
    Preparing(Option<AppendError>),
    Ready(Blank),
    /// The writer has it and gives it its name: until then no other may be made.
    Taken,
    Refused(AppendError),
}

impl Spare {
    pub fn refused(&self) -> Option<AppendError> {
        match self {
            Spare::Refused(error) => Some(*error),
            Spare::Preparing(refused) => *refused,
            Spare::Wanted | Spare::Ready(_) | Spare::Taken => None,
        }
    }
}

pub struct Blank {
    pub file: Arc<dyn File>,
    pub bytes: u64,
}

pub struct State {
    /// In the order of their seqs.
    pub segments: VecDeque<Segment>,
    pub spare: Spare,
    /// One past the last durable record: no reader goes there.
    pub next: u64,
    /// What the open segment still takes.
    pub room: u64,
    /// Records before it are in Kafka, and the mark says so.
    pub delivered: u64,
    pub totals: Totals,
    pub delivered_totals: Totals,
    /// Receipt of the oldest undelivered record, or a little earlier.
    pub oldest_ms: i64,
    pub poisoned: bool,
    pub closing: bool,
}

/// The shared core of one open journal.
pub struct Log {
    pub storage: Arc<dyn Storage>,
    pub clock: Clock,
    pub options: Options,
    pub metrics: Arc<Metrics>,
    pub id: Uuid,
    pub boot: Uuid,
    /// The first seq that this start gives.
    pub first: u64,
    /// One past the last seq that this disk, or its mark, knew of at the start.
    pub held: u64,
    pub queue: Queue,
    pub mark: Mutex<Mark>,
    pub poisoned: watch::Sender<bool>,
    pub state: Mutex<State>,
    /// More is durable.
    pub synced: Condvar,
    /// The spare was taken, or the journal closes.
    pub wanted: Condvar,
    /// The spare is ready, or refused.
    pub prepared: Condvar,
    pub _lock: Box<dyn std::any::Any + Send + Sync>,
}

/// The start that put its name there, and one past the last seq that its disk knew by then.
pub fn parse_owner(name: &str) -> Option<(Uuid, u64)> {
    let (boot, held) = name.split_once('/')?;
    Some((boot.parse().ok()?, held.parse().ok()?))
}

impl Segment {
    /// Its last record, where that is known for sure.
    fn holds_to(&self) -> Option<u64> {
        match (self.records, self.stage) {
            (Some(0), _) => None,
            (Some(records), _) => Some(self.base + records - 1),
            (None, Stage::Open) => Some(self.last).filter(|last| *last >= self.base),
            (None, Stage::Sealed) => None,
        }
    }
}

/// A thread that panicked poisons the journal by itself; its locks need not tell of it again.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>, timeout: Duration) -> MutexGuard<'a, T> {
    condvar.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner).0
}

impl Log {
    pub fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    pub fn now_ms(&self) -> i64 {
        ((self.clock)() / 1000) as i64
    }

    pub fn writable(&self) -> Result<(), AppendError> {
        self.state().writable()
    }

    /// The name on the checkpoint: which start of which process, and what its disk knew by then. Records from there on
    /// that stand in another copy of the folder are not in this one.
    pub fn owner(&self) -> String {
        format!("{}/{}", self.boot, self.held)
    }

    /// Where what stands here and in no copy that this owner could have begins, before `until`.
    pub fn only_here(&self, owner: &str, until: u64) -> Option<u64> {
        let (boot, held) = parse_owner(owner)?;
        let state = self.state();
        let anothers = state.segments.iter().filter(|segment| segment.boot.is_some_and(|writer| writer != boot));
        let begins = anothers.filter(|segment| segment.holds_to().is_some_and(|last| last >= held)).map(|segment| segment.base.max(held));
        begins.min().filter(|begins| *begins < until)
    }

    /// The journal can no longer promise anything: refuse everything until the process has been started again.
    pub fn poison(&self, what: &str, error: &io::Error) {
        tracing::error!(what, %error, "the journal failed and takes nothing more; this process must end");
        self.state().poisoned = true;
        self.queue.refuse(AppendError::Unavailable);
        self.poisoned.send_replace(true);
        self.synced.notify_all();
        self.prepared.notify_all();
        self.show();
    }

    /// Brings the gauges up to what is.
    pub fn show(&self) {
        let state = self.state();
        match state.writable() {
            Ok(()) => self.metrics.journal_is_writable(),
            Err(_) => self.metrics.journal_is_not_writable(),
        }
        self.metrics.journal_size(state.file_bytes(), self.options.size_max);
        state.show_backlog(&self.metrics);
    }

    /// Makes the mark durable, with what is durable by now: below that nothing can be a torn tail.
    pub fn sync_mark(&self) {
        let synced = self.state().next;
        let mut mark = locked(&self.mark);
        let written = match mark.latest() {
            Some(slot) if slot.synced == synced => Ok(()),
            slot => {
                let (next, cluster_id) = slot.map_or_else(Default::default, |slot| (slot.next, slot.cluster_id.clone()));
                mark.write(next, synced, &cluster_id)
            }
        };
        if let Err(error) = written.and_then(|()| mark.sync()) {
            tracing::warn!(%error, "the local mark could not be synced");
        }
    }

    /// The segment to look in for this seq or the first one behind it.
    pub fn segment_for(&self, seq: u64) -> Option<Segment> {
        self.state().segments.iter().find(|segment| segment.last >= seq).copied()
    }

    /// None: it has been freed.
    pub fn segment(&self, base: u64) -> Option<Segment> {
        self.state().segments.iter().rev().find(|segment| segment.base == base).copied()
    }

    pub fn segment_after(&self, base: u64) -> Option<Segment> {
        self.state().segments.iter().find(|segment| segment.base > base).copied()
    }

    /// Takes the oldest segment off, its file too, if `may_go`. First from the list: nobody shall look for it.
    pub fn free_oldest(&self, may_go: impl Fn(&State, &Segment) -> bool) -> io::Result<bool> {
        // The mark must know of what is deleted, or an empty folder would know no seq at all.
        locked(&self.mark).sync()?;
        let oldest = {
            let mut state = self.state();
            match state.segments.front() {
                Some(oldest) if oldest.stage == Stage::Sealed && oldest.last < state.delivered && may_go(&state, oldest) => {
                    state.segments.pop_front()
                }
                _ => None,
            }
        };
        let Some(oldest) = oldest else { return Ok(false) };
        self.storage.remove(&segment_name(oldest.base))?;
        tracing::debug!(base = oldest.base, last = oldest.last, "segment freed");
        Ok(true)
    }
}

impl State {
    pub fn writable(&self) -> Result<(), AppendError> {
        match self.spare.refused() {
            _ if self.poisoned || self.closing => Err(AppendError::Unavailable),
            Some(error) if self.room < ROOM_MIN => Err(error),
            _ => Ok(()),
        }
    }

    pub fn undelivered(&self) -> Totals {
        self.totals.since(self.delivered_totals)
    }

    pub fn file_bytes(&self) -> u64 {
        let spare = if let Spare::Ready(blank) = &self.spare { blank.bytes } else { 0 };
        spare + self.segments.iter().map(|segment| segment.file_bytes).sum::<u64>()
    }

    pub fn show_backlog(&self, metrics: &Metrics) {
        let Totals { records, bytes } = self.undelivered();
        metrics.journal_backlog(records, bytes, (records > 0).then_some(self.oldest_ms));
    }
}
