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

use super::fault::{abortable, refused};
use super::partitions::Partitions;
use super::{Cause, Fault};
use crate::metrics::Metrics;
use crate::shutdown::Stop;

/// While records are on their way: how often to look whether the time to stop is up.
const STOP_LOOK: Duration = Duration::from_millis(200);

/// Shared by our clients: the drain's count, and where librdkafka's words go.
#[derive(Clone)]
pub(super) struct Context {
    metrics: Arc<Metrics>,
    pub(super) outstanding: Arc<Outstanding>,
    pub(super) stop: Arc<Stop>,
    last_error: Arc<Mutex<Option<Instant>>>,
    partitions: Arc<Mutex<Partitions>>,
}

impl Context {
    pub(super) fn new(metrics: Arc<Metrics>, stop: Arc<Stop>, partitions: Partitions) -> Context {
        partitions.show(&metrics);
        let partitions = Arc::new(Mutex::new(partitions));
        Context { metrics, stop, partitions, outstanding: Arc::default(), last_error: Arc::default() }
    }

    pub(super) fn rebuilt(&self, fault: &Fault) {
        self.metrics.producer_rebuilt(fault.cause.as_str());
    }

    /// An outage repeats its errors several times a second; one in ten seconds tells as much.
    fn worth_a_line(&self) -> bool {
        let mut last = lock(&self.last_error);
        let due = last.is_none_or(|at| at.elapsed() > Duration::from_secs(10));
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if self.worth_a_line() {
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
