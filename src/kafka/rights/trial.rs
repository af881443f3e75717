//! Tries rights, each by a call that Kafka judges and that has no effect, whatever it answers.
//!
//! Writing: a record with a number of acknowledgements that no broker takes; it asks for the right first. Reading: an offset in a
//! transaction that is aborted, under an id and a group of their own. Creating: the broker only validates.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Operation, Resource, Right, groups};
use crate::kafka::Options;
use crate::kafka::client::{client_config, consumer_config};
use crate::kafka::context::lock;
use crate::kafka::fault::code_of;
use crate::kafka::group::{committed, forbidden};
use crate::kafka::producer::producer_config;
use crate::kafka::topics::{block_on, create};

/// Brokers take 0, 1 and all.
const ACKS_THAT_NO_BROKER_TAKES: &str = "2";

/// Of a group: what is forbidden is told between two questions.
const ASK: Duration = Duration::from_millis(500);

/// An id, or a group, that nobody else uses.
pub fn own(prefix: &str) -> String {
    format!("{prefix}-doctor")
}

/// What Kafka says of each right, by their order. `within`: the time of all of them together.
pub fn verdicts(options: &Options, rights: &[Right], broker: i32, within: Duration) -> Vec<Verdict> {
    let trial = Trial { options, broker, deadline: Instant::now() + within };
    let verdict = |right: &Right| match trial.of(right) {
        Ok(()) => Verdict::Granted,
        Err(code) if code == refusal(right.resource) => Verdict::Refused,
        Err(_) => Verdict::Untried,
    };
    rights.iter().map(verdict).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Granted,
    Refused,
    /// Kafka did not come to the question: another right was missing, or a topic, or time.
    Untried,
}

/// What Kafka says where it is this right that is missing, and not one without which it could not be tried.
fn refusal(resource: Resource) -> RDKafkaErrorCode {
    match resource {
        Resource::Topic => RDKafkaErrorCode::TopicAuthorizationFailed,
        Resource::Group => RDKafkaErrorCode::GroupAuthorizationFailed,
        Resource::TransactionalId => RDKafkaErrorCode::TransactionalIdAuthorizationFailed,
        Resource::Cluster => RDKafkaErrorCode::ClusterAuthorizationFailed,
    }
}

struct Trial<'a> {
    options: &'a Options,
    /// One of the cluster's.
    broker: i32,
    deadline: Instant,
}

type Tried = Result<(), RDKafkaErrorCode>;

impl Trial<'_> {
    fn of(&self, right: &Right) -> Tried {
        if self.left().is_zero() {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let name = &right.name;
        match (right.operation, right.resource) {
            (Operation::Write, Resource::Topic) => self.write(name),
            (Operation::Read, Resource::Topic) => self.read(name),
            (Operation::Create, _) => self.create(name),
            (_, Resource::TransactionalId) => self.init().map(drop),
            (_, Resource::Group) => self.look_at_group(name),
            (_, Resource::Topic) => self.describe(ResourceSpecifier::Topic(name), Some(name)),
            (_, Resource::Cluster) => self.describe(ResourceSpecifier::Broker(self.broker), None),
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn write(&self, topic: &str) -> Tried {
        let answer = Answer::default();
        let mut config = client_config(self.options);
        config.set("acks", ACKS_THAT_NO_BROKER_TAKES).set("message.timeout.ms", self.left().as_millis().max(1).to_string());
        let producer: BaseProducer<Answer> = config.create_with_context(answer.clone()).map_err(code)?;
        producer.send(BaseRecord::<str, str>::to(topic).payload("")).map_err(|(error, _)| code(error))?;
        producer.flush(self.left()).map_err(code)?;
        let code = *lock(&answer.0);
        code.filter(|code| *code != RDKafkaErrorCode::InvalidRequiredAcks).map_or(Ok(()), Err)
    }

    fn read(&self, topic: &str) -> Tried {
        let producer = self.init()?;
        producer.begin_transaction().map_err(code)?;
        let consumer = self.consumer(&own(groups(self.options)))?;
        let group = consumer.group_metadata().ok_or(RDKafkaErrorCode::Fail)?;
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, 0, Offset::Offset(0)).map_err(code)?;
        let sent = producer.send_offsets_to_transaction(&offsets, &group, self.left());
        let aborted = producer.abort_transaction(self.left());
        sent.and(aborted).map_err(code)
    }

    fn init(&self) -> Result<BaseProducer, RDKafkaErrorCode> {
        let transactional_id = own(&self.options.prefix);
        let options = Options { transactional_id, ..self.options.clone() };
        let producer: BaseProducer = producer_config(&options).create().map_err(code)?;
        producer.init_transactions(self.left()).map_err(code)?;
        Ok(producer)
    }

    fn look_at_group(&self, name: &str) -> Tried {
        let consumer = self.consumer(&name.strip_suffix('-').map_or(name.to_owned(), own))?;
        loop {
            let found = committed(&consumer, &self.options.topics[0].name, 0, self.left().min(ASK));
            match found {
                Ok(_) => return Ok(()),
                Err(_) if forbidden(&consumer).is_some() => return Err(RDKafkaErrorCode::GroupAuthorizationFailed),
                Err(_) if self.left().is_zero() => return Err(RDKafkaErrorCode::OperationTimedOut),
                Err(_) => {}
            }
        }
    }

    fn consumer(&self, group: &str) -> Result<BaseConsumer, RDKafkaErrorCode> {
        consumer_config(&Options { group: group.to_owned(), ..self.options.clone() }).create().map_err(code)
    }

    fn create(&self, name: &str) -> Tried {
        let wanted: Vec<_> = self.options.create.iter().filter(|spec| spec.name == *name).cloned().collect();
        let how = AdminOptions::new().request_timeout(Some(self.left())).validate_only(true);
        let answer = create(self.options, &wanted, &how).map_err(code)?;
        let codes = answer.into_iter().filter_map(|made| made.err().map(|(_, code)| code));
        codes.filter(|code| *code != RDKafkaErrorCode::TopicAlreadyExists).map(Err).next().unwrap_or(Ok(()))
    }

    /// The client library tells no error of a single thing: what may not be seen comes back empty, as does a topic that is not there.
    fn describe(&self, what: ResourceSpecifier, topic: Option<&str>) -> Tried {
        let admin: AdminClient<DefaultClientContext> = client_config(self.options).create().map_err(code)?;
        let answer = block_on(admin.describe_configs(&[what], &AdminOptions::new().request_timeout(Some(self.left()))));
        if answer.map_err(code)?.into_iter().flatten().any(|found| !found.entries.is_empty()) {
            return Ok(());
        }
        let Some(topic) = topic else { return Err(RDKafkaErrorCode::ClusterAuthorizationFailed) };
        let metadata = admin.inner().fetch_metadata(Some(topic), self.left()).map_err(code)?;
        match metadata.topics().iter().find_map(|topic| topic.error()).map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Err(RDKafkaErrorCode::UnknownTopicOrPartition),
            _ => Err(RDKafkaErrorCode::TopicAuthorizationFailed),
        }
    }
}

fn code(error: KafkaError) -> RDKafkaErrorCode {
    code_of(&error).unwrap_or(RDKafkaErrorCode::Fail)
}

/// What Kafka said of the one record.
#[derive(Clone, Default)]
struct Answer(Arc<Mutex<Option<RDKafkaErrorCode>>>);

impl ClientContext for Answer {}

impl ProducerContext for Answer {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        *lock(&self.0) = result.as_ref().err().and_then(|(error, _)| code_of(error));
    }
}
