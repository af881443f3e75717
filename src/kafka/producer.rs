//! The real [`Broker`]: a transactional producer, and the group whose offsets are the checkpoint.
//!
//! Measured on real brokers: the consumer must be `read_committed`, or its answer is not the stable one; it
//! never subscribes; offsets are sent after the drain, or they meet a back-off of 100 ms; the drain is ours,
//! since librdkafka's own flush waits in steps of 100 ms.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::bounded::Bounded;
use super::client::client_config;
use super::context::Context;
use super::fault::{abortable, fatal, fault_of, named, refused, text_of};
use super::group::Group;
use super::partitions::Partitions;
use super::properties::Made;
use super::{Broker, CALL_TIMEOUT, Cause, Checkpoint, Class, Fault, Options, topics};
use crate::envelope::Outgoing;
use crate::metrics::Metrics;
use crate::shutdown::Stop;

/// What a call may take beyond its time-out before it is left behind.
const OVERTIME: Duration = Duration::from_secs(2);

pub struct KafkaBroker {
    options: Options,
    /// Shared with a call that did not return.
    producer: Option<Made<Arc<ThreadedProducer<Context>>>>,
    group: Arc<Group>,
    bounded: Bounded,
    context: Context,
    /// Why the open transaction has failed.
    failed: Option<Fault>,
}

impl KafkaBroker {
    /// With a group of its own, that nobody joins. Fails only on properties that librdkafka refuses; no broker is asked yet.
    pub fn new(options: Options, metrics: Arc<Metrics>, stop: Arc<Stop>) -> Result<KafkaBroker, String> {
        check(&options)?;
        let context = Context::new(metrics, stop, Partitions::of(&options.topics));
        let group = Group::apart(&options, context.clone()).map_err(|fault| fault.detail)?;
        Ok(KafkaBroker::with(options, context, Arc::new(group)))
    }

    pub(super) fn with(options: Options, context: Context, group: Arc<Group>) -> KafkaBroker {
        KafkaBroker { options, producer: None, group, bounded: Bounded::default(), context, failed: None }
    }

    fn producer(&self) -> Result<&Arc<ThreadedProducer<Context>>, Fault> {
        self.producer.as_ref().map(|made| &made.client).ok_or_else(|| fatal(Cause::State, "there is no producer yet"))
    }

    fn is_old(&self) -> bool {
        self.producer.as_ref().is_some_and(|made| made.is_old(&self.options.properties.now()))
    }

    /// Why a call failed, as far as anybody heard. What waits for a producer of old properties would wait for ever.
    fn told(&self, fault: Fault) -> Fault {
        let fault = self.context.explained(named(fault, &self.options));
        let is_in_vain = fault.class == Class::Retriable && self.is_old();
        if is_in_vain { Fault { class: Class::Fatal, ..fault } } else { fault }
    }

    /// A transaction that has failed throws its records away, and only it knows why: another one cannot begin inside it, for that reason.
    fn reason(&self, fault: Fault) -> Fault {
        let asked = self.producer.as_ref().filter(|_| fault.cause == Cause::Other).map(|made| made.client.begin_transaction());
        match asked.and_then(Result::err).map(|error| fault_of(&error)) {
            Some(why) if why.cause != Cause::State => {
                Fault { class: fault.class, topic: self.context.not_added(), ..named(why, &self.options) }
            }
            _ => fault,
        }
    }

    /// What failed is kept, with its reason, for the abort.
    fn published(&mut self, ended: Result<(), Fault>) -> Result<(), Fault> {
        let ended = ended.map_err(|fault| self.told(self.reason(fault)));
        self.failed = ended.clone().err();
        ended
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

    fn enqueue(&self, producer: &ThreadedProducer<Context>, record: &Outgoing) -> Result<(), Fault> {
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
        let make = || producer_config(&self.options).create_with_context(self.context.clone()).map(Arc::new);
        let make = || make().map_err(|error| Fault { class: Class::Fatal, ..fault_of(&error) });
        self.producer = Some(Made::new(self.options.properties.now(), make)?);
        if self.options.create.is_empty() {
            return Ok(());
        }
        // Asked first by a client that hears why nobody answers; an admin client does not.
        let asked = self.producer()?.client().fetch_metadata(Some(&self.options.create[0].name), CALL_TIMEOUT);
        let made = asked.map_err(|error| fault_of(&error)).and_then(|_| topics::create_missing(&self.options, &self.options.create));
        made.map_err(|fault| self.told(fault))
    }

    fn init(&mut self) -> Result<(), Fault> {
        self.producer()?.init_transactions(CALL_TIMEOUT).map_err(|error| self.told(fault_of(&error)))?;
        self.context.answered();
        Ok(())
    }

    fn cluster_id(&mut self) -> Option<String> {
        self.producer.as_ref()?.client.client().fetch_cluster_id(CALL_TIMEOUT)
    }

    fn committed(&mut self, topic: &str, partition: i32) -> Result<Option<Checkpoint>, Fault> {
        self.group.committed(topic, partition).map_err(|fault| self.told(fault))
    }

    fn begin(&mut self) -> Result<(), Fault> {
        if self.is_old() {
            return Err(fatal(Cause::Properties, "the properties are others: a new producer takes them"));
        }
        self.failed = None;
        self.context.outstanding.begin();
        self.producer()?.begin_transaction().map_err(|error| fault_of(&error))
    }

    fn send(&mut self, records: &[Outgoing]) -> Result<(), Fault> {
        let producer = self.producer()?;
        let sent = records.iter().try_for_each(|record| self.enqueue(producer, record));
        self.published(sent)
    }

    fn drain(&mut self) -> Result<(), Fault> {
        let drained = self.wait_until_drained(self.producer()?);
        self.published(drained)
    }

    fn send_offsets(&mut self, checkpoints: &[Checkpoint]) -> Result<(), Fault> {
        let group = self.group.metadata()?;
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
            let fault = self.told(fault_of(&error));
            let topic = checkpoints.first().map(|checkpoint| checkpoint.topic.clone());
            Fault { topic: topic.filter(|_| matches!(fault.cause, Cause::UnknownTopic | Cause::NotAuthorized)), ..fault }
        })
    }

    fn commit(&mut self) -> Result<(), Fault> {
        self.producer()?.commit_transaction(CALL_TIMEOUT).map_err(|error| self.told(fault_of(&error)))?;
        self.context.answered();
        Ok(())
    }

    fn abort(&mut self) -> Result<(), Fault> {
        let aborted = self.producer()?.abort_transaction(CALL_TIMEOUT).map_err(|error| self.told(fault_of(&error)));
        // Of a transaction of which the coordinator has heard nothing it says that there is none.
        aborted.map_err(|fault| match self.failed.take() {
            Some(first) if fault.cause == Cause::State => Fault { class: fault.class, ..first },
            _ => fault,
        })
    }
}

/// Whether librdkafka takes the settings' properties. Its own words would show the value, which may be a secret.
pub fn check(options: &Options) -> Result<(), String> {
    let config = producer_config(options);
    // Certificates and mechanisms are looked at when a client is made, and not before.
    let is_secured = options.properties.now().iter().any(|(key, _)| ["security.", "sasl.", "ssl."].iter().any(|of| key.starts_with(of)));
    let made = if is_secured { config.create::<BaseProducer>().map(drop) } else { config.create_native_config().map(drop) };
    made.map_err(|error| text_of(&error))
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

/// Half the transaction's time: time to abort before the coordinator does.
fn message_timeout_ms(options: &Options) -> u64 {
    options.transaction_timeout_ms / 2
}
