//! The raw topic as its readers need it: which partitions are ours, what stands in them, from where on to read.
//!
//! [`RawTopic`] is the seam: the journal decides, this says what Kafka has. Knows no record's meaning.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::debug;

use super::client::client_config;
use super::context::Context;
use super::fault::fault_of;
use super::group::{Change, Group};
use super::properties::{Made, end_aside};
use super::{CALL_TIMEOUT, Cause, Class, Fault, Options};

/// One record of the raw topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    pub partition: i32,
    pub offset: u64,
    /// When it was written, in milliseconds since 1970, by the clock of the replica that wrote it.
    pub written_ms: i64,
    pub value: Vec<u8>,
}

pub trait RawTopic: Send {
    /// Which partitions came and which left since the last call.
    fn changes(&mut self) -> Vec<Change>;

    /// From the first record that is there to behind the last one.
    fn bounds(&mut self, partition: i32) -> Result<Range<u64>, Fault>;

    /// The first record that was not written before this time.
    fn since(&mut self, partition: i32, written_ms: i64) -> Result<Option<u64>, Fault>;

    /// From now on `next` gives this partition's records, from here.
    fn follow(&mut self, partition: i32, offset: u64) -> Result<(), Fault>;

    fn leave(&mut self, partition: i32);

    /// The next record of any partition that is followed, waiting up to `wait` for it.
    fn next(&mut self, wait: Duration) -> Result<Option<Raw>, Fault>;

    /// Tells of these records in order, until it is enough. `next` goes on where it was.
    fn walk(&mut self, partition: i32, range: Range<u64>, tell: &mut dyn FnMut(Raw) -> ControlFlow<()>) -> Result<(), Fault>;
}

/// What the library may have fetched ahead, for all partitions together.
const FETCHED_KBYTES_MAX: &str = "16384";

/// How long a broker may hold back its answer when there is nothing new: all else on that connection waits behind it, such as
/// a partition that comes.
const LIVE_WAIT_MS: &str = "100";
const PAST_WAIT_MS: &str = "5";

/// The real one.
pub struct KafkaRawTopic {
    options: Options,
    context: Context,
    topic: String,
    group: Arc<Group>,
    readers: Made<Readers>,
    followed: BTreeSet<i32>,
}

struct Readers {
    live: BaseConsumer<Context>,
    /// Also asked for all that is no record: nothing is ever held back on its connections.
    past: BaseConsumer<Context>,
}

impl KafkaRawTopic {
    /// Asks nobody yet.
    pub(super) fn new(options: &Options, topic: &str, group: Arc<Group>, context: &Context) -> Result<KafkaRawTopic, Fault> {
        let readers = Made::new(group.edition(), || Readers::new(options, context))?;
        let (options, context, topic) = (options.clone(), context.clone(), topic.to_owned());
        Ok(KafkaRawTopic { options, context, topic, group, readers, followed: BTreeSet::new() })
    }

    fn live(&self) -> &BaseConsumer<Context> {
        &self.readers.client.live
    }

    fn past(&self) -> &BaseConsumer<Context> {
        &self.readers.client.past
    }

    fn at(&self, partition: i32, offset: Offset) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, offset).expect("offsets of Kafka are offsets");
        list
    }
}

impl Readers {
    fn new(options: &Options, context: &Context) -> Result<Readers, Fault> {
        Ok(Readers { live: reader(options, context, LIVE_WAIT_MS)?, past: reader(options, context, PAST_WAIT_MS)? })
    }
}

/// Reads what it is told to, and is no member of the group.
fn reader(options: &Options, context: &Context, wait_ms: &str) -> Result<BaseConsumer<Context>, Fault> {
    let mut config = client_config(options);
    config
        .set("group.id", &options.group)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("queued.max.messages.kbytes", FETCHED_KBYTES_MAX)
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.wait.max.ms", wait_ms);
    config.create_with_context(context.clone()).map_err(|error| fault_of(&error))
}

impl RawTopic for KafkaRawTopic {
    fn changes(&mut self) -> Vec<Change> {
        let changes = self.group.changes();
        // Together with the group's: then nothing is followed, since all partitions have left.
        if let Some(old) = self.readers.renew(self.group.edition(), || Readers::new(&self.options, &self.context)) {
            self.followed.clear();
            end_aside(old);
        }
        changes
    }

    fn bounds(&mut self, partition: i32) -> Result<Range<u64>, Fault> {
        let (first, end) = self.past().fetch_watermarks(&self.topic, partition, CALL_TIMEOUT).map_err(|error| fault_of(&error))?;
        Ok(offset(first)..offset(end))
    }

    fn since(&mut self, partition: i32, written_ms: i64) -> Result<Option<u64>, Fault> {
        let asked = self.at(partition, Offset::Offset(written_ms.max(0)));
        let answer = self.past().offsets_for_times(asked, CALL_TIMEOUT).map_err(|error| fault_of(&error))?;
        Ok(answer.find_partition(&self.topic, partition).and_then(|found| match found.offset() {
            Offset::Offset(first) => Some(offset(first)),
            _ => None,
        }))
    }

    fn follow(&mut self, partition: i32, offset: u64) -> Result<(), Fault> {
        self.leave(partition);
        let from = self.at(partition, Offset::Offset(offset as i64));
        self.live().incremental_assign(&from).map_err(|error| fault_of(&error))?;
        self.followed.insert(partition);
        Ok(())
    }

    fn leave(&mut self, partition: i32) {
        if self.followed.remove(&partition)
            && let Err(error) = self.live().incremental_unassign(&self.at(partition, Offset::Invalid))
        {
            debug!(%error, partition, "it was not followed");
        }
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Raw>, Fault> {
        match self.live().poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(raw(&message))),
            Some(Err(error)) => lasting(&error).map_or(Ok(None), |fault| Err(about(&self.topic, fault))),
        }
    }

    fn walk(&mut self, partition: i32, range: Range<u64>, tell: &mut dyn FnMut(Raw) -> ControlFlow<()>) -> Result<(), Fault> {
        if range.is_empty() {
            return Ok(());
        }
        let from = self.at(partition, Offset::Offset(range.start as i64));
        self.past().assign(&from).map_err(|error| fault_of(&error))?;
        let walked = walk(self.past(), &range, tell);
        // Nothing more is fetched until the next walk.
        let rested = self.past().unassign().map_err(|error| fault_of(&error));
        walked.and(rested).map_err(|fault| about(&self.topic, fault))
    }
}

fn walk(past: &BaseConsumer<Context>, range: &Range<u64>, tell: &mut dyn FnMut(Raw) -> ControlFlow<()>) -> Result<(), Fault> {
    let mut heard = Instant::now();
    loop {
        match past.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let raw = raw(&message);
                let is_last = raw.offset + 1 >= range.end;
                if raw.offset >= range.end || tell(raw).is_break() || is_last {
                    return Ok(());
                }
            }
            Some(Err(error)) => lasting(&error).map_or(Ok(()), Err)?,
            None if heard.elapsed() > CALL_TIMEOUT => {
                let detail = "the raw topic gave no record in its time".to_owned();
                return Err(Fault { class: Class::Retriable, cause: Cause::TimedOut, topic: None, detail });
            }
            None => {}
        }
    }
}

/// What does not go away by itself; the library goes on after everything else.
fn lasting(error: &KafkaError) -> Option<Fault> {
    let fault = fault_of(error);
    let is_gone = matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange));
    let lasts = is_gone || matches!(fault.cause, Cause::UnknownTopic | Cause::NotAuthorized | Cause::Credentials | Cause::Tls);
    debug!(%error, lasts, "reading the raw topic");
    lasts.then_some(fault)
}

fn about(topic: &str, fault: Fault) -> Fault {
    let is_about_it = matches!(fault.cause, Cause::UnknownTopic | Cause::NotAuthorized);
    Fault { topic: is_about_it.then(|| topic.to_owned()), ..fault }
}

fn raw(message: &BorrowedMessage) -> Raw {
    Raw {
        partition: message.partition(),
        offset: offset(message.offset()),
        written_ms: message.timestamp().to_millis().unwrap_or(0),
        value: message.payload().unwrap_or_default().to_vec(),
    }
}

fn offset(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or(0)
}
