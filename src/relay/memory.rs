//! What the last window of the journal says: what repeats, what is stale, whom a visit belongs to.
//!
//! A pure function of that window: nothing is known here that reading the window again would not give again, in
//! the same or another process. So it knows no clock (a record's window is counted back from its own receipt) and
//! no Kafka, and what a batch would change is [`Staged`] until the batch is committed.
//!
//! "Published" is itself a decision of the memory, so what is published at the window's beginning follows from what
//! was before it. That chain is cut in two ways: an event whose id comes again counts from then on as if it had come
//! first then, and the short windows are read again from before the long one begins ([`Limits::review_ms`]). What is
//! left needs equal data, or a person's equal body, sent without a pause for a whole window, or a retry that comes after its
//! event has left the window, followed by the same data through another endpoint; then a restart may publish it once more,
//! or once less, than the life before would have. Or a late event that names a visit's person, once the newer one has left the
//! window: after a restart what names nobody follows that person all the same.
//!
//! ```text
//! key                                         what is known
//! accept id                                   seen, dead letters and repeats too
//! vendor, tenant, account, event id           published, or come again
//! vendor, tenant, account, type, data         the endpoint that published it
//! vendor, tenant, person                      the latest published body, of a vendor that names no event
//! vendor, tenant, subject                     its versions
//! vendor, tenant, visit                       the person named last; what it was last, and where
//! ```

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::envelope::{Origin, Verdict};
use crate::event::{Event, Kind};
use crate::journal::{Position, Stored};
use crate::routing::{Keys, Known, LastVisit};

mod keys;
mod table;
mod traces;

use keys::Seed;
use table::{Fact, Table};
pub use traces::{Lesson, Traces};

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub window_ms: i64,
    /// Of another endpoint's equal data.
    pub endpoint_repeat_ms: i64,
    /// Of a person's equal body.
    pub body_repeat_ms: i64,
    /// Over all tables.
    pub entries_max: usize,
}

impl Limits {
    /// How far the journal has to be read again: what is published at the window's beginning depends on what the
    /// short windows before it say.
    pub fn review_ms(&self) -> i64 {
        self.window_ms + self.endpoint_repeat_ms.max(self.body_repeat_ms).min(self.window_ms)
    }
}

/// Why an event is not published again, in the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    AcceptId,
    Id,
    Endpoint,
    Body,
}

impl Basis {
    pub fn as_str(self) -> &'static str {
        match self {
            Basis::AcceptId => "accept_id",
            Basis::Id => "id",
            Basis::Endpoint => "endpoint",
            Basis::Body => "body",
        }
    }
}

pub struct Memory {
    limits: Limits,
    seed: Seed,
    partitions: BTreeMap<i32, Partition>,
}

#[derive(Default)]
struct Partition {
    table: Table,
    /// Knows all records before this offset, and none from there on.
    until: u64,
    latest_ms: i64,
    /// The newest receipt of what had to go for want of room.
    dropped_ms: Option<i64>,
}

/// What a batch would change, for each partition: seen by the later records of the batch, and by the next batch.
#[derive(Default)]
pub struct Staged(BTreeMap<i32, Table>);

impl Staged {
    pub fn learn(&mut self, stored: &Stored, lessons: Vec<Lesson>) {
        let table = self.0.entry(stored.position.partition).or_default();
        for Lesson { key, fact } in lessons {
            table.learn(key, stored.received_ms, fact);
        }
    }
}

impl Memory {
    pub fn new(limits: Limits) -> Memory {
        Memory { limits, seed: Seed::default(), partitions: BTreeMap::new() }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The position up to which it knows this partition.
    pub fn until(&self, partition: i32) -> Option<u64> {
        self.partitions.get(&partition).map(|partition| partition.until)
    }

    pub fn partitions(&self) -> impl Iterator<Item = i32> {
        self.partitions.keys().copied()
    }

    pub fn forget(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }

    /// The batch is committed: everything before these positions is known now.
    pub fn merge(&mut self, staged: Staged, positions: &[Position]) {
        for position in positions {
            self.partitions.entry(position.partition).or_default().until = position.offset;
        }
        for (partition, table) in staged.0 {
            let (partition, bounds) = self.partition(partition);
            table.into_facts().for_each(|(key, received_ms, fact)| partition.learn(key, received_ms, fact, bounds));
        }
    }

    /// What was committed before needs no staging.
    pub fn learn(&mut self, stored: &Stored, lessons: Vec<Lesson>) {
        let (partition, bounds) = self.partition(stored.position.partition);
        lessons.into_iter().for_each(|Lesson { key, fact }| partition.learn(key, stored.received_ms, fact, bounds));
    }

    /// A journal has few partitions at a time; each has its share, so that one may come without another's leave.
    fn partition(&mut self, partition: i32) -> (&mut Partition, Bounds) {
        let Limits { window_ms, entries_max, .. } = self.limits;
        self.partitions.entry(partition).or_default();
        let bounds = Bounds { window_ms, entries_max: entries_max / self.partitions.len() };
        (self.partitions.entry(partition).or_default(), bounds)
    }

    /// What is known at this record; of what is staged, the newest stands first.
    pub fn recall<'m>(&'m self, staged: [&'m Staged; 2], stored: &Stored) -> Recall<'m> {
        let partition = stored.position.partition;
        let [newest, before] = staged.map(|staged| staged.0.get(&partition));
        Recall {
            memory: self,
            tables: [newest, before, self.partitions.get(&partition).map(|partition| &partition.table)],
            received_ms: stored.received_ms,
        }
    }

    pub fn entries(&self) -> usize {
        self.partitions.values().map(|partition| partition.table.len()).sum()
    }

    /// How far back it is complete: the window, but for what had to go for want of room.
    pub fn coverage_ms(&self) -> i64 {
        let covered = |partition: &Partition| match partition.dropped_ms {
            Some(dropped_ms) => self.limits.window_ms.min(partition.latest_ms - dropped_ms),
            None => self.limits.window_ms,
        };
        self.partitions.values().map(covered).min().unwrap_or(0)
    }
}

/// Of one partition.
#[derive(Clone, Copy)]
struct Bounds {
    window_ms: i64,
    entries_max: usize,
}

impl Partition {
    fn learn(&mut self, key: keys::Key, received_ms: i64, fact: Fact, bounds: Bounds) {
        self.table.learn(key, received_ms, fact);
        self.latest_ms = received_ms;
        self.let_go(bounds);
    }

    fn let_go(&mut self, Bounds { window_ms, entries_max }: Bounds) {
        while let Some(oldest_ms) = self.table.oldest_ms() {
            if oldest_ms >= self.latest_ms - window_ms {
                if self.table.len() <= entries_max {
                    return;
                }
                self.dropped_ms = Some(oldest_ms);
            }
            self.table.forget_oldest();
        }
    }
}

/// What is known at one record: what its batch has staged before it, what the batch before that has, and the memory.
pub struct Recall<'m> {
    memory: &'m Memory,
    tables: [Option<&'m Table>; 3],
    received_ms: i64,
}

/// What the window says of an event that is no repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub stale: bool,
    person_key: Option<String>,
    last: Option<(Kind, String)>,
}

impl Found {
    pub fn but_stale_as(self, other: &Found) -> Found {
        Found { stale: other.stale, ..self }
    }

    pub fn verdict(&self) -> Verdict<'_> {
        let last = self.last.as_ref().map(|(kind, location_key)| LastVisit { kind: *kind, location_key });
        Verdict { stale: self.stale, replayed: false, known: Known { person_key: self.person_key.as_deref(), last } }
    }
}

impl Recall<'_> {
    /// What bears no accept id of ours was never given one: it repeats nothing.
    pub fn accept_id(&self, accept_id: Uuid) -> Option<Lesson> {
        (!accept_id.is_nil()).then(|| Lesson::accept_id(&self.memory.seed, accept_id))
    }

    /// Whether the whole window taught this already.
    pub fn knows(&self, lesson: &Lesson) -> bool {
        self.find(&lesson.key, self.memory.limits.window_ms).is_some()
    }

    pub fn traces<'e>(&self, origin: Origin<'e>, event: &'e Event<'e>, keys: Keys<'e>) -> Traces<'e> {
        Traces::of(&self.memory.seed, origin, event, keys)
    }

    /// Whether it says what was published already; asked after the accept id.
    pub fn repeats(&self, traces: &Traces) -> Option<Basis> {
        let Limits { window_ms, endpoint_repeat_ms, body_repeat_ms, .. } = self.memory.limits;
        if traces.event_id.is_some_and(|key| self.find(&key, window_ms).is_some()) {
            return Some(Basis::Id);
        }
        if let Some((key, endpoint)) = traces.data
            && self.find(&key, endpoint_repeat_ms).is_some_and(|fact| *fact != Fact::PublishedBy(endpoint))
        {
            return Some(Basis::Endpoint);
        }
        let (key, body) = traces.body?;
        (self.find(&key, body_repeat_ms) == Some(&Fact::Body(body))).then_some(Basis::Body)
    }

    pub fn found(&self, traces: &Traces) -> Found {
        let window_ms = self.memory.limits.window_ms;
        let since_ms = self.received_ms - window_ms;
        let newest = self.tables().filter_map(|table| table.newest_version(&traces.subject, since_ms)).max();
        let person = traces.asked_person.and_then(|key| self.find(&key, window_ms));
        let last = traces.asked_last.and_then(|key| self.find(&key, window_ms));
        Found {
            stale: traces.vendor_version_ms.is_some_and(|ms| newest.is_some_and(|newest_ms| newest_ms > ms)),
            person_key: person.and_then(|fact| traces.person_key(fact)),
            last: last.and_then(|fact| traces.last(fact)),
        }
    }

    /// What stays known by an event that comes again: that of it which nothing has changed since. It counts from now
    /// on, since whoever reads the window again later may find only this one in it.
    pub fn again(&self, traces: &Traces, found: &Found) -> Vec<Lesson> {
        let window_ms = self.memory.limits.window_ms;
        let is_unchanged = |lesson: &Lesson| match lesson.fact {
            Fact::Person(_) | Fact::Last(..) => self.find(&lesson.key, window_ms).is_none_or(|known| *known == lesson.fact),
            Fact::Seen | Fact::PublishedBy(_) | Fact::Body(_) | Fact::Version(_) => true,
        };
        traces.lasting(found).filter(is_unchanged).collect()
    }

    fn find(&self, key: &keys::Key, window_ms: i64) -> Option<&Fact> {
        let since_ms = self.received_ms - window_ms.min(self.memory.limits.window_ms);
        self.tables().find_map(|table| table.find(key, since_ms))
    }

    fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests;
