//! A reader of topics from their beginning, `read_committed`, that joins no group and commits nothing: for those
//! who look.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::CALL_TIMEOUT;

/// One record as read.
#[derive(Debug, Clone)]
pub struct Followed {
    pub topic: String,
    pub key: String,
    pub headers: Vec<(String, String)>,
    pub value: Vec<u8>,
}

impl Followed {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub struct Follower {
    consumer: BaseConsumer,
}

impl Follower {
    pub fn start(brokers: &str, topics: &[&str]) -> KafkaResult<Follower> {
        let consumer: BaseConsumer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "waitbridge-follower")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "50")
            .create()?;
        let mut all = TopicPartitionList::new();
        for topic in topics {
            let metadata = consumer.fetch_metadata(Some(topic), CALL_TIMEOUT)?;
            let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
            for partition in partitions {
                all.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
            }
        }
        consumer.assign(&all)?;
        Ok(Follower { consumer })
    }

    /// The next record, waiting up to `wait` for it.
    pub fn next(&self, wait: Duration) -> Option<KafkaResult<Followed>> {
        let message = self.consumer.poll(wait)?;
        Some(message.map(|message| Followed {
            topic: message.topic().to_owned(),
            key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
            headers: message.headers().map(headers_of).unwrap_or_default(),
            value: message.payload().unwrap_or_default().to_vec(),
        }))
    }
}

fn headers_of(headers: &impl Headers) -> Vec<(String, String)> {
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
}
