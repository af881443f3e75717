//! What all clients of one process share: the count of records that are on their way, and where librdkafka's words go.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;
use tracing::{debug, warn};

use super::fault::{abortable, refusal, refused};
use super::partitions::Partitions;
use super::{Cause, Fault};
use crate::metrics::Metrics;
use crate::shutdown::Stop;

/// While records are on their way: how often to look whether the time to stop is up.
const STOP_LOOK: Duration = Duration::from_millis(200);
/// librdkafka says the same thing of a broker twice a minute at most.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Shared by our clients: the drain's count, and where librdkafka's words go.
#[derive(Clone)]
pub(super) struct Context {
    metrics: Arc<Metrics>,
    pub(super) outstanding: Arc<Outstanding>,
    pub(super) stop: Arc<Stop>,
    last_error: Arc<Mutex<Option<Instant>>>,
    last_complaint: Arc<Mutex<Option<Instant>>>,
    refused: Arc<Mutex<Option<Refused>>>,
    not_added: Arc<Mutex<Option<String>>>,
    partitions: Arc<Mutex<Partitions>>,
}

/// The last connection that came to nothing because one side did not want the other.
struct Refused {
    at: Instant,
    cause: Cause,
    said: String,
}

impl Context {
    pub(super) fn new(metrics: Arc<Metrics>, stop: Arc<Stop>, partitions: Partitions) -> Context {
        partitions.show(&metrics);
        let partitions = Arc::new(Mutex::new(partitions));
        Context {
            metrics,
            stop,
            partitions,
            outstanding: Arc::default(),
            last_error: Arc::default(),
            last_complaint: Arc::default(),
            refused: Arc::default(),
            not_added: Arc::default(),
        }
    }

    pub(super) fn rebuilt(&self, fault: &Fault) {
        self.metrics.producer_rebuilt(fault.cause.as_str());
    }

    /// Kafka takes us.
    pub(super) fn answered(&self) {
        *lock(&self.refused) = None;
    }

    /// A call that came to nothing for want of a connection: why there is none, if that is known.
    pub(super) fn explained(&self, fault: Fault) -> Fault {
        let refused = lock(&self.refused);
        match &*refused {
            Some(Refused { at, cause, said })
                if at.elapsed() < REFUSED_FOR && matches!(fault.cause, Cause::TimedOut | Cause::Unreachable | Cause::Other) =>
            {
                Fault { cause: *cause, detail: said.clone(), ..fault }
            }
            _ => fault,
        }
    }

    /// The topic that the transaction's coordinator did not take into the transaction, since this was asked last.
    pub(super) fn not_added(&self) -> Option<String> {
        lock(&self.not_added).take()
    }

    /// Says it in the log, now and then: who asked for it learns less.
    pub(super) fn complained(&self, topic: &str, fault: Fault) -> Fault {
        let fault = self.explained(fault);
        if is_worth_a_line(&self.last_complaint) {
            warn!(topic, reason = fault.cause.as_str(), detail = fault.detail, "a record is not taken");
        }
        fault
    }
}

/// An outage repeats its errors several times a second; one in ten seconds tells as much.
fn is_worth_a_line(last: &Mutex<Option<Instant>>) -> bool {
    let mut last = lock(last);
    let due = last.is_none_or(|at| at.elapsed() > Duration::from_secs(10));
    if due {
        *last = Some(Instant::now());
    }
    due
}

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, message, "librdkafka");
        // It is told nowhere else: all records of the transaction fail alike, of whatever topic. The others' were not attempted.
        if facility == "ADDPARTS" && !message.contains("not attempted") {
            *lock(&self.not_added) = message.split('"').nth(1).map(str::to_owned);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(cause) = refusal(&error, reason) {
            *lock(&self.refused) = Some(Refused { at: Instant::now(), cause, said: reason.to_owned() });
        }
        if is_worth_a_line(&self.last_error) {
            warn!(%error, reason, "kafka is in trouble");
        }
    }

    fn stats(&self, statistics: Statistics) {
        let up = statistics.brokers.values().filter(|broker| broker.state == "UP" && broker.nodeid >= 0).count();
        self.metrics.brokers_connected(up);
        let mut partitions = lock(&self.partitions);
        for topic in statistics.topics.values() {
            partitions.see(&topic.topic, topic.partitions.values().filter(|one| one.partition >= 0 && !one.unknown).count());
        }
        partitions.show(&self.metrics);
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    /// Which transaction the record belongs to.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, transaction: usize) {
        let failure = result.as_ref().err().map(|(error, message)| Fault { topic: Some(message.topic().to_owned()), ..refused(error) });
        self.outstanding.delivered(transaction, failure);
    }
}

/// The records of this transaction that Kafka has not answered for yet.
#[derive(Default)]
pub(super) struct Outstanding {
    state: Mutex<Unanswered>,
    changed: Condvar,
}

#[derive(Default)]
struct Unanswered {
    /// Answers to records of an earlier one, purged by its abort, do not count.
    transaction: usize,
    records: usize,
    failure: Option<Fault>,
}

impl Outstanding {
    pub(super) fn begin(&self) {
        let mut state = lock(&self.state);
        *state = Unanswered { transaction: state.transaction.wrapping_add(1), ..Unanswered::default() };
    }

    /// Counts one more record, and says of which transaction it is.
    pub(super) fn add(&self) -> usize {
        let mut state = lock(&self.state);
        state.records += 1;
        state.transaction
    }

    pub(super) fn delivered(&self, transaction: usize, failure: Option<Fault>) {
        let mut state = lock(&self.state);
        if transaction != state.transaction {
            return;
        }
        state.records -= 1;
        state.failure = state.failure.take().or(failure);
        if state.records == 0 || state.failure.is_some() {
            self.changed.notify_all();
        }
    }

    pub(super) fn wait_for_none(&self, deadline: Instant, stop: &Stop) -> Result<(), Fault> {
        let mut state = lock(&self.state);
        loop {
            if let Some(failure) = state.failure.take() {
                return Err(failure);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.records == 0 {
                return Ok(());
            }
            if left.is_zero() || stop.is_overdue() {
                return Err(abortable(Cause::TimedOut, "records had no answer in their time"));
            }
            state = self.changed.wait_timeout(state, left.min(STOP_LOOK)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
