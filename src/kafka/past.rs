//! A bounded part of a topic, read once, `read_committed`: from an offset to another, or to what is committed now.
//!
//! Joins no group and commits nothing. Knows no form of what it reads.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::client_config;
use super::fault::{abortable, fault_of};
use super::follow::{Followed, followed};
use super::{Cause, Fault, Options};

#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub from: u64,
    pub until: u64,
}

const POLL: Duration = Duration::from_millis(200);

/// Of each partition the offset behind its last record.
pub fn ends(options: &Options, topic: &str, within: Duration) -> Result<Vec<(i32, u64)>, Fault> {
    let consumer = consumer(options)?;
    let metadata = consumer.fetch_metadata(Some(topic), within).map_err(|error| fault_of(&error))?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id());
    let end = |partition| {
        let (_, high) = consumer.fetch_watermarks(topic, partition, within)?;
        Ok((partition, u64::try_from(high).unwrap_or(0)))
    };
    let ends: Result<Vec<_>, KafkaError> = partitions.map(end).collect();
    let ends = ends.map_err(|error| fault_of(&error))?;
    if ends.is_empty() {
        return Err(Fault { topic: Some(topic.to_owned()), ..abortable(Cause::UnknownTopic, "there is no such topic") });
    }
    Ok(ends)
}

/// `silence_max`: how long nothing may come before the end.
pub fn read(
    options: &Options,
    place: Place,
    silence_max: Duration,
    tell: &mut dyn FnMut(&Followed) -> ControlFlow<()>,
) -> Result<(), Fault> {
    if place.from >= place.until {
        return Ok(());
    }
    let consumer = consumer(options)?;
    assign(&consumer, place).map_err(|error| fault_of(&error))?;
    let mut heard = Instant::now();
    loop {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let record = followed(&message);
                let offset = u64::try_from(record.offset).unwrap_or(0);
                if offset >= place.until || tell(&record).is_break() || offset + 1 >= place.until {
                    return Ok(());
                }
            }
            // What lies behind is not committed, or no record.
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) if heard.elapsed() > silence_max => return Err(fault_of(&error)),
            None if heard.elapsed() > silence_max => return Err(abortable(Cause::TimedOut, "nothing more came")),
            Some(Err(_)) | None => {}
        }
    }
}

fn consumer(options: &Options) -> Result<BaseConsumer, Fault> {
    let mut config = client_config(options);
    config
        .set("group.id", format!("{}-past", options.prefix))
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "50");
    config.create().map_err(|error| fault_of(&error))
}

fn assign(consumer: &BaseConsumer, place: Place) -> Result<(), KafkaError> {
    let mut assigned = TopicPartitionList::new();
    let from = if place.from == 0 { Offset::Beginning } else { Offset::Offset(i64::try_from(place.from).unwrap_or(i64::MAX)) };
    assigned.add_partition_offset(place.topic, place.partition, from)?;
    consumer.assign(&assigned)
}
