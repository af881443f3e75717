//! A reader of topics, `read_committed`, that joins no group and commits nothing: for those who look.
//!
//! Topics and partitions that are not there yet are followed from when they are. Knows no form of what it reads.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::client_config;
use super::fault::fault_of;
use super::{Fault, Options};

/// One record as read.
#[derive(Clone, Default)]
pub struct Followed {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub headers: Vec<(String, String)>,
    pub value: Option<Vec<u8>>,
}

impl Followed {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Where to begin with what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Beginning,
    Now,
}

pub struct Follower {
    consumer: BaseConsumer,
    start: Start,
    topics: Vec<String>,
    followed: BTreeSet<(String, i32)>,
    /// Not there when Kafka was asked: all that comes into them comes after our start.
    missing: BTreeSet<String>,
    /// Some partition no longer has its first records, or has them before our start.
    passed_over: bool,
    looked: Instant,
}

/// Ending must not wait for a broker for longer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// How often to look for topics that are missing.
const LOOK_OFTEN: Duration = Duration::from_secs(1);
/// How often to look for partitions that were added.
const LOOK_SELDOM: Duration = Duration::from_secs(60);

impl Follower {
    /// Fails only on what the client library does not take. A cluster that cannot be reached is one whose topics are missing.
    pub fn start(options: &Options, topics: &[&str], start: Start) -> Result<Follower, Fault> {
        let mut config = client_config(options);
        config
            .set("group.id", format!("{}-follower", options.prefix))
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "50");
        let mut follower = Follower {
            consumer: config.create().map_err(|error| fault_of(&error))?,
            start,
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            followed: BTreeSet::new(),
            missing: BTreeSet::new(),
            passed_over: false,
            looked: Instant::now(),
        };
        // What cannot be had now is looked for again.
        let _ = follower.look();
        Ok(follower)
    }

    /// The topics of which nothing is followed yet.
    pub fn awaited(&self) -> Vec<&str> {
        let is_awaited = |topic: &&str| !self.followed.iter().any(|(followed, _)| followed == topic);
        self.topics.iter().map(String::as_str).filter(is_awaited).collect()
    }

    /// Whether it reads all that ever stood in the topics.
    pub fn reads_all(&self) -> bool {
        !self.passed_over
    }

    /// The next record, waiting up to `wait` for it.
    pub fn next(&mut self, wait: Duration) -> Option<Result<Followed, Fault>> {
        let every = if self.awaited().is_empty() { LOOK_SELDOM } else { LOOK_OFTEN };
        if self.looked.elapsed() >= every
            && let Err(error) = self.look()
        {
            return Some(Err(fault_of(&error)));
        }
        let polled = self.consumer.poll(wait)?;
        Some(polled.map(|message| followed(&message)).map_err(|error| fault_of(&error)))
    }

    /// Takes up what is there and not followed yet.
    fn look(&mut self) -> Result<(), KafkaError> {
        self.looked = Instant::now();
        let looked = self.topics.clone().iter().try_for_each(|topic| self.look_at(topic));
        self.looked = Instant::now();
        looked
    }

    fn look_at(&mut self, topic: &str) -> Result<(), KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), ASK_TIMEOUT)?;
        let partitions: Vec<i32> = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect();
        if partitions.is_empty() {
            self.missing.insert(topic.to_owned());
        }
        let is_known = self.followed.iter().any(|(followed, _)| followed == topic);
        for partition in partitions {
            if !self.followed.contains(&(topic.to_owned(), partition)) {
                let is_new = is_known || self.missing.contains(topic);
                self.follow(topic, partition, if is_new { Start::Beginning } else { self.start })?;
            }
        }
        Ok(())
    }

    fn follow(&mut self, topic: &str, partition: i32, start: Start) -> Result<(), KafkaError> {
        // Asked for now: an end that the library looks up later would be one beyond what comes meanwhile.
        let (low, high) = self.consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT)?;
        let offset = match start {
            Start::Beginning => low,
            Start::Now => high,
        };
        let mut more = TopicPartitionList::new();
        more.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        self.consumer.incremental_assign(&more)?;
        self.passed_over |= offset > 0;
        self.followed.insert((topic.to_owned(), partition));
        Ok(())
    }
}

pub(super) fn followed(message: &BorrowedMessage) -> Followed {
    Followed {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
        headers: message.headers().map(headers_of).unwrap_or_default(),
        value: message.payload().map(<[u8]>::to_vec),
    }
}

fn headers_of(headers: &impl Headers) -> Vec<(String, String)> {
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
}
