//! A model of Kafka: one cluster, one transactional id, and what goes wrong with them. What it answers is what a real
//! broker was seen to answer (`situations`).
//!
//! The cluster outlives its clients. A client is a producer with an epoch; it learns of anything only by its own calls.
//! Knows no journal and no oracle.

use std::collections::BTreeMap;

use crate::envelope::Outgoing;
use crate::journal::disk::driven::Dice;
use crate::kafka::{Cause, Checkpoint, Class, Fault};
use crate::planted::{self, Bug};

/// A transaction older than this is aborted by its coordinator.
pub const TRANSACTION_TIMEOUT_MS: i64 = 60_000;
/// A call that nobody answers returns after this.
pub const CALL_MS: i64 = 10_000;

/// How a topic answers; one that is not named is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    Missing,
    Forbidden,
}

/// How one call goes wrong by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// It never came through.
    Unheard,
    /// It was done, and the answer got lost.
    AnswerLost,
    /// The records were appended, and their answers got lost.
    AppendedAnswerLost,
    /// Refused in a way that only an abort mends.
    Refused,
    /// The producer is of no more use; it may have been done.
    Fatal,
    FatalDone,
}

pub struct Cluster {
    pub id: u64,
    /// What a `read_committed` reader sees, in order.
    pub committed: Vec<Outgoing>,
    pub checkpoint: Option<Checkpoint>,
    pub topics: BTreeMap<String, Topic>,
    /// Nobody is reached before this time.
    pub away_until_ms: i64,
    epoch: u64,
    open: Option<Open>,
}

/// A transaction as its coordinator knows it.
struct Open {
    began_ms: i64,
    records: Vec<Outgoing>,
    checkpoint: Option<Checkpoint>,
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
        Cluster { id, committed: Vec::new(), checkpoint: None, topics: BTreeMap::new(), away_until_ms: 0, epoch: 0, open: None }
    }

    pub fn holds_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// The markers of a prepared commit are written.
    pub fn complete(&mut self) -> bool {
        let is_prepared = self.open.as_ref().is_some_and(|open| open.end == End::Prepared);
        if is_prepared {
            self.apply();
        }
        is_prepared
    }

    /// The coordinator aborts what has been open for too long, and fences its producer.
    pub fn time_out(&mut self, now_ms: i64) -> bool {
        let is_old = |open: &Open| open.end == End::Undecided && now_ms - open.began_ms > TRANSACTION_TIMEOUT_MS;
        let times_out = self.open.as_ref().is_some_and(is_old);
        if times_out {
            self.fence();
        }
        times_out
    }

    /// Aborts what is open, under a new epoch.
    pub fn fence(&mut self) {
        self.open = None;
        self.epoch += 1;
    }

    fn apply(&mut self) {
        let Some(open) = self.open.take() else { return };
        self.committed.extend(open.records);
        self.checkpoint = open.checkpoint.or(self.checkpoint.take());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Began,
    /// After a refusal.
    MustAbort,
    /// A commit has no answer yet; only another commit tells. `Done`: the coordinator says so when it is asked.
    InDoubt(Done),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Yes,
    No,
}

/// One producer.
pub struct Producer {
    epoch: u64,
    state: State,
    broken: Option<Class>,
    /// After a refusal for size the next transaction aborts once too.
    echoes: bool,
}

pub fn fault(class: Class, cause: Cause) -> Fault {
    Fault { class, cause, topic: None, detail: "by the model".to_owned() }
}

fn of_topic(class: Class, cause: Cause, topic: &str) -> Fault {
    Fault { topic: Some(topic.to_owned()), ..fault(class, cause) }
}

fn misused() -> Fault {
    fault(Class::Fatal, Cause::State)
}

impl Producer {
    pub fn new() -> Producer {
        Producer { epoch: 0, state: State::Idle, broken: None, echoes: false }
    }

    /// As if the one before had come to an end.
    pub fn taking_over(cluster: &mut Cluster) -> Producer {
        cluster.complete();
        cluster.fence();
        Producer { epoch: cluster.epoch, ..Producer::new() }
    }

    pub fn init(&mut self, cluster: &mut Cluster, mishap: Option<Mishap>) -> Result<(), Fault> {
        self.usable()?;
        match mishap {
            Some(Mishap::Unheard) => return Err(fault(Class::Retriable, Cause::TimedOut)),
            Some(Mishap::Fatal | Mishap::FatalDone | Mishap::Refused) => return Err(self.broken(Class::Fatal, Cause::Other)),
            Some(Mishap::AnswerLost | Mishap::AppendedAnswerLost) | None => {}
        }
        cluster.complete();
        cluster.fence();
        if mishap.is_some() {
            return Err(fault(Class::Retriable, Cause::TimedOut));
        }
        (self.epoch, self.state) = (cluster.epoch, State::Idle);
        Ok(())
    }

    /// It asks nobody, so that a fenced producer does not learn of it here.
    pub fn begin(&mut self) -> Result<(), Fault> {
        self.usable()?;
        assert_ne!(self.state, State::Began, "a transaction is begun inside another");
        if self.state != State::Idle {
            return Err(self.broken(Class::Fatal, Cause::State));
        }
        self.state = State::Began;
        Ok(())
    }

    pub fn publish(&mut self, cluster: &mut Cluster, records: &[Outgoing], now_ms: i64, mishap: Option<Mishap>) -> Result<(), Fault> {
        self.usable()?;
        if self.state != State::Began {
            return Err(misused());
        }
        let until = match mishap {
            Some(Mishap::Unheard) => 0,
            Some(Mishap::Refused) => records.len() / 2,
            _ => records.len(),
        };
        for record in &records[..until] {
            self.send(cluster, record, now_ms)?;
        }
        match mishap {
            None => Ok(()),
            Some(Mishap::Fatal | Mishap::FatalDone) => Err(self.broken(Class::Fatal, Cause::Other)),
            Some(_) => Err(self.refused(Cause::TimedOut, "")),
        }
    }

    fn send(&mut self, cluster: &mut Cluster, record: &Outgoing, now_ms: i64) -> Result<(), Fault> {
        // A fenced producer's records are purged, or the reason is told: as it happens.
        if self.epoch != cluster.epoch && now_ms % 2 == 0 {
            return Err(self.refused(Cause::Other, ""));
        }
        self.not_fenced(cluster)?;
        match cluster.topics.get(&*record.topic) {
            Some(_) if planted::is(Bug::RefusedSendIgnored) => return Ok(()),
            Some(Topic::Missing) => return Err(self.refused(Cause::UnknownTopic, &record.topic)),
            Some(Topic::Forbidden) => return Err(self.refused(Cause::NotAuthorized, &record.topic)),
            None => {}
        }
        if record.key.contains("/huge") {
            self.echoes = true;
            return Err(self.refused(Cause::TooLarge, &record.topic));
        }
        if std::mem::take(&mut self.echoes) {
            return Err(self.refused(Cause::Other, &record.topic));
        }
        let open = Open { began_ms: now_ms, records: Vec::new(), checkpoint: None, end: End::Undecided };
        cluster.open.get_or_insert(open).records.push(record.clone());
        Ok(())
    }

    pub fn send_offsets(
        &mut self,
        cluster: &mut Cluster,
        checkpoint: &Checkpoint,
        now_ms: i64,
        mishap: Option<Mishap>,
    ) -> Result<(), Fault> {
        self.usable()?;
        if self.state != State::Began {
            return Err(misused());
        }
        self.not_fenced(cluster)?;
        match mishap {
            Some(Mishap::Unheard) => return Err(fault(Class::Retriable, Cause::TimedOut)),
            Some(Mishap::Refused) => return Err(self.refused(Cause::Other, "")),
            Some(Mishap::Fatal) => return Err(self.broken(Class::Fatal, Cause::Other)),
            _ => {}
        }
        if let Some(Topic::Missing) = cluster.topics.get(&checkpoint.topic) {
            return Err(self.refused(Cause::UnknownTopic, &checkpoint.topic));
        }
        let open = Open { began_ms: now_ms, records: Vec::new(), checkpoint: None, end: End::Undecided };
        cluster.open.get_or_insert(open).checkpoint = Some(checkpoint.clone());
        match mishap {
            Some(Mishap::FatalDone) => Err(self.broken(Class::Fatal, Cause::Other)),
            Some(_) => Err(fault(Class::Retriable, Cause::TimedOut)),
            None => Ok(()),
        }
    }

    /// `dice` chooses how far a commit came whose answer is lost.
    pub fn commit(&mut self, cluster: &mut Cluster, mishap: Option<Mishap>, dice: &mut Dice) -> Result<(), Fault> {
        self.usable()?;
        if !matches!(self.state, State::Began | State::InDoubt(_)) {
            return Err(misused());
        }
        self.not_fenced(cluster)?;
        if self.state == State::InDoubt(Done::Yes) && mishap.is_none() {
            cluster.complete();
            self.state = State::Idle;
            return Ok(());
        }
        match mishap {
            None => {
                cluster.apply();
                self.state = State::Idle;
                Ok(())
            }
            Some(Mishap::Unheard) => {
                if self.state == State::Began {
                    self.state = State::InDoubt(Done::No);
                }
                Err(fault(Class::Retriable, Cause::TimedOut))
            }
            Some(Mishap::AnswerLost | Mishap::AppendedAnswerLost) => {
                decide(cluster, dice);
                self.state = State::InDoubt(Done::Yes);
                Err(fault(Class::Retriable, Cause::TimedOut))
            }
            Some(Mishap::Refused) if self.state == State::Began => Err(self.refused(Cause::Other, "")),
            Some(Mishap::Refused | Mishap::Fatal) => Err(self.broken(Class::Fatal, Cause::Other)),
            Some(Mishap::FatalDone) => {
                decide(cluster, dice);
                Err(self.broken(Class::Fatal, Cause::Other))
            }
        }
    }

    pub fn abort(&mut self, cluster: &mut Cluster, mishap: Option<Mishap>) -> Result<(), Fault> {
        self.usable()?;
        if matches!(self.state, State::InDoubt(_)) {
            return Err(self.broken(Class::Fatal, Cause::State));
        }
        self.not_fenced(cluster)?;
        match mishap {
            Some(Mishap::Unheard) => return Err(fault(Class::Retriable, Cause::TimedOut)),
            Some(Mishap::Fatal | Mishap::FatalDone | Mishap::Refused) => return Err(self.broken(Class::Fatal, Cause::Other)),
            _ => {}
        }
        cluster.open = None;
        if mishap.is_some() {
            return Err(fault(Class::Retriable, Cause::TimedOut));
        }
        self.state = State::Idle;
        Ok(())
    }

    /// The id was forgotten in a quiet week.
    pub fn forget(&mut self) {
        self.broken = Some(Class::Fatal);
    }

    fn usable(&self) -> Result<(), Fault> {
        match self.broken {
            Some(Class::Fenced) => Err(fault(Class::Fenced, Cause::Fenced)),
            Some(_) => Err(misused()),
            None => Ok(()),
        }
    }

    fn not_fenced(&mut self, cluster: &Cluster) -> Result<(), Fault> {
        if self.epoch == cluster.epoch { Ok(()) } else { Err(self.broken(Class::Fenced, Cause::Fenced)) }
    }

    fn broken(&mut self, class: Class, cause: Cause) -> Fault {
        self.broken = Some(class);
        fault(class, cause)
    }

    fn refused(&mut self, cause: Cause, topic: &str) -> Fault {
        self.state = State::MustAbort;
        of_topic(Class::Abortable, cause, topic)
    }
}

/// The checkpoint as committed; nobody is told while a commit is prepared and not complete.
pub fn committed(cluster: &Cluster, mishap: Option<Mishap>) -> Result<Option<Checkpoint>, Fault> {
    let unstable = cluster.open.as_ref().is_some_and(|open| open.end == End::Prepared && open.checkpoint.is_some());
    if mishap.is_some() || unstable {
        return Err(fault(Class::Retriable, Cause::TimedOut));
    }
    Ok(cluster.checkpoint.clone())
}

/// From here on it will be committed, sooner or later.
fn decide(cluster: &mut Cluster, dice: &mut Dice) {
    match &mut cluster.open {
        Some(open) if dice.one_in(2) => open.end = End::Prepared,
        _ => cluster.apply(),
    }
}
