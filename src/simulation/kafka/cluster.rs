//! The model cluster itself: its log, its transactional ids and their open transactions, the offsets of the group.
//!
//! Outlives every client. Knows nothing of what a producer has been told.

use std::collections::BTreeMap;

use super::{Mishap, TRANSACTION_TIMEOUT_MS, Topic, fault};
use crate::envelope::Outgoing;
use crate::journal::disk::driven::Dice;
use crate::kafka::{Cause, Checkpoint, Class, Fault};
use crate::planted::{self, Bug};

pub struct Cluster {
    pub id: u64,
    /// What a `read_committed` reader sees, by its place in the log.
    pub committed: BTreeMap<u64, Outgoing>,
    /// By the journal's partition.
    pub checkpoints: BTreeMap<i32, Checkpoint>,
    pub topics: BTreeMap<String, Topic>,
    /// Nobody is reached before this time.
    pub away_until_ms: i64,
    pub transaction_timeout_ms: i64,
    written: u64,
    ids: BTreeMap<u64, Id>,
}

/// No cluster gives a producer what another one has given: there it means nothing.
const EPOCHS_A_CLUSTER: u64 = 1 << 32;

/// One transactional id as its coordinator knows it.
struct Id {
    epoch: u64,
    open: Option<Open>,
}

/// A transaction as its coordinator knows it.
struct Open {
    began_ms: i64,
    records: BTreeMap<u64, Outgoing>,
    checkpoints: BTreeMap<i32, Checkpoint>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Undecided,
    /// To be committed for sure; the markers are not written yet.
    Prepared,
}

impl Cluster {
    pub fn new(id: u64) -> Cluster {
        Cluster {
            id,
            committed: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            topics: BTreeMap::new(),
            away_until_ms: 0,
            transaction_timeout_ms: TRANSACTION_TIMEOUT_MS,
            written: 0,
            ids: BTreeMap::new(),
        }
    }

    pub fn holds_transaction(&self) -> bool {
        self.ids.values().any(|id| id.open.is_some())
    }

    /// Nothing but its commit is left to do.
    pub fn awaits_commit(&self, id: u64) -> bool {
        self.ids.get(&id).and_then(|id| id.open.as_ref()).is_some_and(|open| !open.checkpoints.is_empty())
    }

    /// The markers of prepared commits are written.
    pub fn complete(&mut self) -> bool {
        let is_prepared = |id: &Id| id.open.as_ref().is_some_and(|open| open.end == End::Prepared);
        let prepared: Vec<u64> = self.ids.iter().filter(|(_, id)| is_prepared(id)).map(|(id, _)| *id).collect();
        prepared.iter().for_each(|id| self.apply(*id));
        !prepared.is_empty()
    }

    /// The coordinator aborts what has been open for too long, and fences its producer.
    pub fn time_out(&mut self, now_ms: i64) -> bool {
        let is_old = |open: &Open| open.end == End::Undecided && now_ms - open.began_ms > self.transaction_timeout_ms;
        let old: Vec<u64> = self.ids.iter().filter(|(_, id)| id.open.as_ref().is_some_and(is_old)).map(|(id, _)| *id).collect();
        old.iter().for_each(|id| self.fence(*id));
        !old.is_empty()
    }

    /// As after a time that no transaction survives.
    pub fn fence_all(&mut self) {
        self.complete();
        self.ids.values_mut().for_each(Id::fence);
    }

    pub(super) fn fence(&mut self, id: u64) {
        self.id(id).fence();
    }

    fn id(&mut self, id: u64) -> &mut Id {
        let new = Id { epoch: self.id * EPOCHS_A_CLUSTER, open: None };
        self.ids.entry(id).or_insert(new)
    }

    pub(super) fn epoch(&self, id: u64) -> u64 {
        self.ids.get(&id).map_or(self.id * EPOCHS_A_CLUSTER, |id| id.epoch)
    }

    fn open(&mut self, id: u64, now_ms: i64) -> &mut Open {
        let open = || Open { began_ms: now_ms, records: BTreeMap::new(), checkpoints: BTreeMap::new(), end: End::Undecided };
        self.id(id).open.get_or_insert_with(open)
    }

    pub(super) fn write(&mut self, id: u64, record: &Outgoing, now_ms: i64) {
        self.written += 1;
        let place = self.written;
        self.open(id, now_ms).records.insert(place, record.clone());
    }

    pub(super) fn abort(&mut self, id: u64) {
        self.id(id).open = None;
    }

    /// From here on it will be committed, sooner or later.
    pub(super) fn decide(&mut self, id: u64, dice: &mut Dice) {
        match &mut self.id(id).open {
            Some(open) if dice.one_in(2) => open.end = End::Prepared,
            _ => self.apply(id),
        }
    }

    pub(super) fn move_checkpoints(&mut self, id: u64, checkpoints: &[Checkpoint], now_ms: i64) {
        let sent = checkpoints.iter().map(|checkpoint| (checkpoint.partition, checkpoint.clone()));
        self.open(id, now_ms).checkpoints.extend(sent);
    }

    pub(super) fn apply(&mut self, id: u64) {
        let Some(open) = self.id(id).open.take() else { return };
        self.committed.extend(open.records);
        self.checkpoints.extend(open.checkpoints);
    }
}

impl Id {
    /// Aborts what is open, under a new epoch.
    fn fence(&mut self) {
        self.open = None;
        self.epoch += 1;
    }
}

/// The checkpoint as committed; nobody is told while a transaction that would move it is open.
pub fn committed(cluster: &Cluster, partition: i32, mishap: Option<Mishap>) -> Result<Option<Checkpoint>, Fault> {
    let moves = |id: &Id| id.open.as_ref().is_some_and(|open| open.checkpoints.contains_key(&partition));
    let is_unstable = cluster.ids.values().any(moves) && !planted::is(Bug::UnstableCheckpointRead);
    if mishap.is_some() || is_unstable {
        return Err(fault(Class::Retriable, Cause::TimedOut));
    }
    Ok(cluster.checkpoints.get(&partition).cloned())
}
