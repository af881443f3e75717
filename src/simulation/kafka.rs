//! A model of Kafka: one cluster, its transactional ids, and what goes wrong with them. What it answers is what a real
//! broker was seen to answer (`situations`).
//!
//! The cluster outlives its clients. A client is a producer with an epoch; it learns of anything only by its own calls.
//! Knows no journal and no oracle.

use crate::envelope::Outgoing;
use crate::journal::disk::driven::Dice;
use crate::kafka::{Cause, Checkpoint, Class, Fault};
use crate::planted::{self, Bug};

mod cluster;

pub use cluster::{Cluster, committed};

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
    id: u64,
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
    pub fn new(id: u64) -> Producer {
        Producer { id, epoch: 0, state: State::Idle, broken: None, echoes: false }
    }

    /// As if the one before had come to an end.
    pub fn taking_over(cluster: &mut Cluster, id: u64) -> Producer {
        cluster.complete();
        cluster.fence(id);
        Producer { epoch: cluster.epoch(id), ..Producer::new(id) }
    }

    pub fn init(&mut self, cluster: &mut Cluster, mishap: Option<Mishap>) -> Result<(), Fault> {
        self.usable()?;
        match mishap {
            Some(Mishap::Unheard) => return Err(fault(Class::Retriable, Cause::TimedOut)),
            Some(Mishap::Fatal | Mishap::FatalDone | Mishap::Refused) => return Err(self.broken(Class::Fatal, Cause::Other)),
            Some(Mishap::AnswerLost | Mishap::AppendedAnswerLost) | None => {}
        }
        cluster.complete();
        cluster.fence(self.id);
        if mishap.is_some() {
            return Err(fault(Class::Retriable, Cause::TimedOut));
        }
        (self.epoch, self.state) = (cluster.epoch(self.id), State::Idle);
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
        if self.epoch != cluster.epoch(self.id) && now_ms % 2 == 0 {
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
        cluster.write(self.id, record, now_ms);
        Ok(())
    }

    pub fn send_offsets(
        &mut self,
        cluster: &mut Cluster,
        checkpoints: &[Checkpoint],
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
        if let Some(missing) = checkpoints.iter().find(|one| cluster.topics.get(&one.topic) == Some(&Topic::Missing)) {
            return Err(self.refused(Cause::UnknownTopic, &missing.topic));
        }
        cluster.move_checkpoints(self.id, checkpoints, now_ms);
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
                cluster.apply(self.id);
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
                cluster.decide(self.id, dice);
                self.state = State::InDoubt(Done::Yes);
                Err(fault(Class::Retriable, Cause::TimedOut))
            }
            Some(Mishap::Refused) if self.state == State::Began => Err(self.refused(Cause::Other, "")),
            Some(Mishap::Refused | Mishap::Fatal) => Err(self.broken(Class::Fatal, Cause::Other)),
            Some(Mishap::FatalDone) => {
                cluster.decide(self.id, dice);
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
        cluster.abort(self.id);
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
        if self.epoch == cluster.epoch(self.id) { Ok(()) } else { Err(self.broken(Class::Fenced, Cause::Fenced)) }
    }

    fn broken(&mut self, class: Class, cause: Cause) -> Fault {
        self.broken = Some(class);
        fault(class, cause)
    }

    /// The transaction can only be aborted.
    pub fn refused(&mut self, cause: Cause, topic: &str) -> Fault {
        self.state = State::MustAbort;
        of_topic(Class::Abortable, cause, topic)
    }
}
