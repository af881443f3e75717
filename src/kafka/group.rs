//! The consumer group whose offsets are the checkpoint, and our part in it.
//!
//! A disk journal's group has one process and nobody joins it. A fleet's group hands the partitions of the raw topic to its
//! members. A member here fetches nothing: reading is `raw`'s, so that partitions come and go only when somebody asks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::info;

use super::client::consumer_config;
use super::context::{Context, lock};
use super::fault::{abortable, fault_of};
use super::properties::{Edition, Made, end_aside};
use super::{CALL_TIMEOUT, Cause, Checkpoint, Fault, Options};

/// The least that brokers take by default: so long the partitions of a member that was killed stand still.
const SESSION_TIMEOUT_MS: &str = "6000";
const HEARTBEAT_MS: &str = "2000";
/// A member asks this long for a checkpoint: other partitions flow meanwhile, and it asks again.
const MEMBER_PATIENCE: Duration = Duration::from_millis(500);
/// Events of the client that one call takes away.
const EVENTS_MAX: usize = 100;

pub struct Group {
    options: Options,
    context: Context,
    part: Part,
    consumer: Mutex<Made<Arc<GroupConsumer>>>,
    /// What a member was given and has not lost since.
    ours: Mutex<BTreeSet<i32>>,
}

type GroupConsumer = BaseConsumer<GroupContext>;

enum Part {
    Apart,
    /// Of those among whom the partitions of this topic are divided.
    Member(String),
}

/// A partition came to this member, or left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Came(i32),
    Left(i32),
}

impl Group {
    /// Reads and commits offsets, and never joins.
    pub(super) fn apart(options: &Options, context: Context) -> Result<Group, Fault> {
        Group::new(options, context, Part::Apart)
    }

    /// One of those among whom the partitions of this topic are divided. Asks nobody yet.
    pub(super) fn join(options: &Options, context: Context, topic: &str) -> Result<Group, Fault> {
        Group::new(options, context, Part::Member(topic.to_owned()))
    }

    fn new(options: &Options, context: Context, part: Part) -> Result<Group, Fault> {
        let consumer = Made::new(options.properties.now(), || part.consumer(options, &context))?;
        Ok(Group { options: options.clone(), context, part, consumer: Mutex::new(consumer), ours: Mutex::default() })
    }

    /// What came and left since the last call. Only here does the group take anything away: never inside a transaction.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = self.renew();
        let consumer = self.now();
        take_events(&consumer);
        changes.append(&mut lock(&consumer.context().changes));
        let mut ours = lock(&self.ours);
        for change in &changes {
            match change {
                Change::Came(partition) => ours.insert(*partition),
                Change::Left(partition) => ours.remove(partition),
            };
        }
        changes
    }

    /// With other properties it is another member: what the old one had is given anew.
    fn renew(&self) -> Vec<Change> {
        let renewed = lock(&self.consumer).renew(self.options.properties.now(), || self.part.consumer(&self.options, &self.context));
        let Some(old) = renewed else { return Vec::new() };
        end_aside(old);
        lock(&self.ours).iter().map(|partition| Change::Left(*partition)).collect()
    }

    /// Of which properties it is now.
    pub(super) fn edition(&self) -> Edition {
        lock(&self.consumer).with().clone()
    }

    fn now(&self) -> Arc<GroupConsumer> {
        lock(&self.consumer).client.clone()
    }

    pub(super) fn committed(&self, topic: &str, partition: i32) -> Result<Option<Checkpoint>, Fault> {
        match self.part {
            Part::Apart => {
                self.renew();
                let consumer = self.now();
                take_events(&consumer);
                committed(&consumer, topic, partition, CALL_TIMEOUT).map_err(|fault| forbidden(&consumer).unwrap_or(fault))
            }
            Part::Member(_) => committed(&self.now(), topic, partition, MEMBER_PATIENCE),
        }
    }

    /// What fences the commit of offsets, as of now. Of a member that lost its place it would fence nothing: the library then
    /// hands out that of a client that never joined, and the broker takes any offset from such a one.
    pub(super) fn metadata(&self) -> Result<ConsumerGroupMetadata, Fault> {
        let consumer = self.now();
        let metadata = consumer.group_metadata().ok_or_else(|| super::fault::fatal(Cause::State, "there is no group metadata"))?;
        // In this order: what is lost after it was taken is fenced by its generation.
        if matches!(self.part, Part::Member(_)) && consumer.assignment_lost() {
            return Err(abortable(Cause::Fenced, "the group took this member for dead"));
        }
        Ok(metadata)
    }
}

impl Part {
    fn consumer(&self, options: &Options, context: &Context) -> Result<Arc<GroupConsumer>, Fault> {
        let context = GroupContext { context: context.clone(), changes: Arc::default() };
        let mut config = consumer_config(options);
        let Part::Member(topic) = self else {
            return Ok(Arc::new(config.create_with_context(context).map_err(|error| fault_of(&error))?));
        };
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_TIMEOUT_MS)
            .set("heartbeat.interval.ms", HEARTBEAT_MS)
            .set("topic.metadata.refresh.interval.ms", "10000");
        let consumer: GroupConsumer = config.create_with_context(context).map_err(|error| fault_of(&error))?;
        consumer.subscribe(&[topic]).map_err(|error| fault_of(&error))?;
        Ok(Arc::new(consumer))
    }
}

/// It reads nothing, but its errors and statistics queue up until somebody takes them.
fn take_events(consumer: &GroupConsumer) {
    for _ in (0..EVENTS_MAX).take_while(|_| consumer.poll(Duration::ZERO).is_some()) {}
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
    found.error().map_err(|error| {
        let fault = fault_of(&error);
        Fault { topic: (fault.cause == Cause::NotAuthorized).then(|| topic.to_owned()), ..fault }
    })?;
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

/// Of a group that it may not see the library asks for the coordinator again and again, and tells why among its events only. For those
/// who are no members: a member's events are more than that.
pub(super) fn forbidden<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Fault> {
    let events = (0..EVENTS_MAX).map_while(|_| consumer.poll(Duration::ZERO));
    events.filter_map(Result::err).map(|error| fault_of(&error)).find(|fault| fault.cause == Cause::NotAuthorized)
}

struct GroupContext {
    context: Context,
    changes: Arc<Mutex<Vec<Change>>>,
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    /// A member that reads nothing has no offset to begin at, and wants none.
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AutoOffsetReset) {
            self.context.error(error, reason);
        }
    }
}

impl ConsumerContext for GroupContext {
    /// What came is paused at once: this client never fetches.
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let (list, change): (_, fn(i32) -> Change) = match rebalance {
            Rebalance::Assign(list) => (list, Change::Came),
            Rebalance::Revoke(list) => (list, Change::Left),
            Rebalance::Error(_) => return,
        };
        if matches!(rebalance, Rebalance::Assign(_))
            && let Err(error) = consumer.pause(list)
        {
            self.context.error(error, "a partition could not be paused");
        }
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        if !partitions.is_empty() {
            info!(?partitions, came = matches!(rebalance, Rebalance::Assign(_)), "the group divides its partitions");
        }
        lock(&self.changes).extend(partitions.into_iter().map(change));
    }
}
