//! The real [`Broker`]: a transactional producer, and a consumer that only reads the checkpoint.
//!
//! Measured on real brokers: the consumer must be `read_committed`, or its answer is not the stable one; it
//! never subscribes; offsets are sent after the drain, or they meet a back-off of 100 ms; the drain is ours,
//! since librdkafka's own flush waits in steps of 100 ms.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::{debug, warn};

use super::bounded::Bounded;
use super::client::client_config;
use super::fault::{abortable, fatal, fault_of, refused, text_of};
use super::partitions::Partitions;
use super::{Broker, CALL_TIMEOUT, Cause, Checkpoint, Class, Fault, Options, topics};
use crate::envelope::Outgoing;
use crate::metrics::Metrics;
use crate::shutdown::Stop;

/// While records are on their way: how often to look whether the time to stop is up.
const STOP_LOOK: Duration = Duration::from_millis(200);
/// What a call may take beyond its time-out before it is left behind.
const OVERTIME: Duration = Duration::from_secs(2);
/// Events of the checkpoint's consumer that one call takes away.
const EVENTS_MAX: usize = 100;

pub struct KafkaBroker {
    options: Options,
    /// Shared with a call that did not return.
    producer: Option<Arc<ThreadedProducer<Context>>>,
    consumer: Option<BaseConsumer<Context>>,
    bounded: Bounded,
    context: Context,
}

impl KafkaBroker {
    /// Fails only on properties that librdkafka refuses; no broker is asked yet.
    pub fn new(options: Options, metrics: Arc<Metrics>, stop: Arc<Stop>) -> Result<KafkaBroker, String> {
        let context = Context::new(metrics, stop, Partitions::of(&options.topics));
        check(&options)?;
        Ok(KafkaBroker { options, producer: None, consumer: None, bounded: Bounded::default(), context })
    }

    fn producer(&self) -> Result<&Arc<ThreadedProducer<Context>>, Fault> {
        self.producer.as_ref().ok_or_else(|| fatal(Cause::State, "there is no producer yet"))
    }

    /// Made once: it outlives the producers, so that a read of the checkpoint is 0.3 ms, not 56.
    fn consumer(&mut self) -> Result<&BaseConsumer<Context>, Fault> {
        if self.consumer.is_none() {
            let made = consumer_config(&self.options).create_with_context(self.context.clone());
            self.consumer = Some(made.map_err(|error| fault_of(&error))?);
        }
        let consumer = self.consumer.as_ref().expect("made above");
        // It reads nothing, but its errors and statistics queue up until somebody takes them.
        for _ in (0..EVENTS_MAX).take_while(|_| consumer.poll(Duration::ZERO).is_some()) {}
        Ok(consumer)
    }

    fn wait_until_drained(&self, producer: &ThreadedProducer<Context>) -> Result<(), Fault> {
        let deadline = Instant::now() + Duration::from_millis(message_timeout_ms(&self.options)) + CALL_TIMEOUT;
        self.context.outstanding.wait_for_none(deadline, &self.context.stop)?;
        // A record's memory is freed just after its callback; offsets sent before that meet a back-off.
        while producer.in_flight_count() > 0 {
            if Instant::now() > deadline {
                return Err(abortable(Cause::TimedOut, "records stayed in flight after their delivery"));
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        self.context.outstanding.wait_for_none(deadline, &self.context.stop)
    }

    fn send(&self, producer: &ThreadedProducer<Context>, record: &Outgoing) -> Result<(), Fault> {
        loop {
            let transaction = self.context.outstanding.add();
            match producer.send(base_record(record, transaction)) {
                Ok(()) => return Ok(()),
                Err((error, _)) => {
                    self.context.outstanding.delivered(transaction, None);
                    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(Fault { topic: Some(record.topic.to_string()), ..refused(&error) });
                    }
                }
            }
            self.wait_until_drained(producer)?;
        }
    }
}

impl Broker for KafkaBroker {
    fn build(&mut self) -> Result<(), Fault> {
        self.producer = None;
        topics::create_missing(&self.options, &self.options.create)?;
        let made = producer_config(&self.options).create_with_context(self.context.clone());
        self.producer = Some(Arc::new(made.map_err(|error| Fault { class: Class::Fatal, ..fault_of(&error) })?));
        Ok(())
    }

    fn init(&mut self) -> Result<(), Fault> {
        self.producer()?.init_transactions(CALL_TIMEOUT).map_err(|error| fault_of(&error))
    }

    fn cluster_id(&mut self) -> Option<String> {
        self.producer.as_ref()?.client().fetch_cluster_id(CALL_TIMEOUT)
    }

    fn committed(&mut self, topic: &str, partition: i32) -> Result<Option<Checkpoint>, Fault> {
        committed(self.consumer()?, topic, partition, CALL_TIMEOUT)
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.context.outstanding.begin();
        self.producer()?.begin_transaction().map_err(|error| fault_of(&error))
    }

    fn publish(&mut self, records: &[Outgoing]) -> Result<(), Fault> {
        let producer = self.producer()?;
        for record in records {
            self.send(producer, record)?;
        }
        self.wait_until_drained(producer)
    }

    fn send_offsets(&mut self, checkpoints: &[Checkpoint]) -> Result<(), Fault> {
        let group = self.consumer()?.group_metadata().ok_or_else(|| fatal(Cause::State, "the consumer has no group metadata"))?;
        let mut offsets = TopicPartitionList::new();
        for checkpoint in checkpoints {
            let next = Offset::Offset(i64::try_from(checkpoint.next).expect("positions fit i64 for 292,000 years"));
            offsets.add_partition_offset(&checkpoint.topic, checkpoint.partition, next).map_err(|error| fault_of(&error))?;
            let mut added = offsets.find_partition(&checkpoint.topic, checkpoint.partition).expect("added above");
            added.set_metadata(&checkpoint.metadata);
        }
        let producer = self.producer()?.clone();
        let send = move || producer.send_offsets_to_transaction(&offsets, &group, CALL_TIMEOUT);
        let sent = self.bounded.within(CALL_TIMEOUT + OVERTIME, send);
        let sent = sent.ok_or_else(|| fatal(Cause::TimedOut, "the group's coordinator is gone and the call did not return"))?;
        sent.map_err(|error| {
            let fault = fault_of(&error);
            let topic = checkpoints.first().map(|checkpoint| checkpoint.topic.clone());
            Fault { topic: topic.filter(|_| matches!(fault.cause, Cause::UnknownTopic | Cause::NotAuthorized)), ..fault }
        })
    }

    fn commit(&mut self) -> Result<(), Fault> {
        self.producer()?.commit_transaction(CALL_TIMEOUT).map_err(|error| fault_of(&error))
    }

    fn abort(&mut self) -> Result<(), Fault> {
        self.producer()?.abort_transaction(CALL_TIMEOUT).map_err(|error| fault_of(&error))
    }
}

/// Whether librdkafka takes the settings' properties. Its own words would show the value, which may be a secret.
pub fn check(options: &Options) -> Result<(), String> {
    match producer_config(options).create_native_config() {
        Ok(_) => Ok(()),
        Err(error) => Err(text_of(&error)),
    }
}

/// The checkpoint of this consumer's group.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    within: Duration,
) -> Result<Option<Checkpoint>, Fault> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, partition);
    let answer = consumer.committed_offsets(asked, within).map_err(|error| fault_of(&error))?;
    let Some(found) = answer.find_partition(topic, partition) else {
        return Err(abortable(Cause::Other, "the checkpoint's partition was not in the answer"));
    };
    found.error().map_err(|error| fault_of(&error))?;
    Ok(match found.offset() {
        Offset::Offset(next) => Some(Checkpoint {
            topic: topic.to_owned(),
            partition,
            next: u64::try_from(next).unwrap_or(0),
            metadata: found.metadata().to_owned(),
        }),
        _ => None,
    })
}

fn base_record(record: &Outgoing, transaction: usize) -> BaseRecord<'_, str, [u8], usize> {
    let headers = record.headers.iter().fold(OwnedHeaders::new_with_capacity(record.headers.len()), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value.as_bytes()) })
    });
    let base = BaseRecord::with_opaque_to(&record.topic, transaction).key(record.key.as_str()).headers(headers);
    match &record.value {
        Some(value) => base.payload(value.as_slice()),
        None => base,
    }
}

pub(super) fn producer_config(options: &Options) -> ClientConfig {
    let mut config = client_config(options);
    config
        .set("transactional.id", &options.transactional_id)
        .set("transaction.timeout.ms", options.transaction_timeout_ms.to_string())
        .set("message.timeout.ms", message_timeout_ms(options).to_string())
        .set("message.max.bytes", options.message_bytes_max.to_string())
        .set("topic.metadata.propagation.max.ms", "5000")
        .set("queue.buffering.max.kbytes", "65536")
        .set("linger.ms", "0")
        .set("partitioner", "murmur2_random")
        .set("statistics.interval.ms", "10000");
    config
}

pub(super) fn consumer_config(options: &Options) -> ClientConfig {
    let mut config = client_config(options);
    config
        .set("group.id", &options.group)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error");
    config
}

/// Half the transaction's time: time to abort before the coordinator does.
fn message_timeout_ms(options: &Options) -> u64 {
    options.transaction_timeout_ms / 2
}

/// Shared by our clients: the drain's count, and where librdkafka's words go.
#[derive(Clone)]
pub(super) struct Context {
    metrics: Arc<Metrics>,
    outstanding: Arc<Outstanding>,
    stop: Arc<Stop>,
    last_error: Arc<Mutex<Option<Instant>>>,
    partitions: Arc<Mutex<Partitions>>,
}

impl Context {
    fn new(metrics: Arc<Metrics>, stop: Arc<Stop>, partitions: Partitions) -> Context {
        partitions.show(&metrics);
        let partitions = Arc::new(Mutex::new(partitions));
        Context { metrics, stop, partitions, outstanding: Arc::default(), last_error: Arc::default() }
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
struct Outstanding {
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
    fn begin(&self) {
        let mut state = lock(&self.state);
        *state = Unanswered { transaction: state.transaction.wrapping_add(1), ..Unanswered::default() };
    }

    /// Counts one more record, and says of which transaction it is.
    fn add(&self) -> usize {
        let mut state = lock(&self.state);
        state.records += 1;
        state.transaction
    }

    fn delivered(&self, transaction: usize, failure: Option<Fault>) {
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

    fn wait_for_none(&self, deadline: Instant, stop: &Stop) -> Result<(), Fault> {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
