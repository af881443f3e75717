//! What a `read_committed` consumer sees: all partitions from the beginning, without a group to wait for.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::{client, unique};

const ASK: Duration = Duration::from_secs(60);
const QUIET_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    pub headers: Vec<(String, String)>,
    pub value: Option<Vec<u8>>,
}

impl Record {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads one topic or several, and goes on where it stopped.
pub struct Reader {
    topics: Vec<TopicReader>,
}

/// One consumer a topic: librdkafka's event "end of partition" names no topic in rdkafka.
struct TopicReader {
    consumer: BaseConsumer,
    bootstrap: String,
    topic: String,
    /// The next offset of each partition, by its number.
    next: Vec<Offset>,
}

impl Reader {
    pub fn new(bootstrap: &str, topics: &[&str]) -> Reader {
        Reader { topics: topics.iter().map(|topic| TopicReader::new(bootstrap, topic)).collect() }
    }

    /// The next `count` records, as they become readable; fails when they are not there in time.
    pub fn read_until(&mut self, count: usize, within: Duration) -> Vec<Record> {
        let deadline = Instant::now() + within;
        let poll = if self.topics.len() == 1 { Duration::from_millis(200) } else { Duration::from_millis(5) };
        let mut records = Vec::new();
        while records.len() < count {
            assert!(Instant::now() < deadline, "{} of {count} records after {within:?}: {records:#?}", records.len());
            for topic in &mut self.topics {
                if let Some(Polled::Record(record)) = topic.poll(poll).filter(|_| records.len() < count) {
                    records.push(record);
                }
            }
        }
        records
    }

    /// Everything that is committed now and was not read yet.
    pub fn read_to_end(&mut self) -> Vec<Record> {
        self.topics.iter_mut().flat_map(TopicReader::read_to_end).collect()
    }
}

enum Polled {
    Record(Record),
    End(i32),
}

impl TopicReader {
    fn new(bootstrap: &str, topic: &str) -> TopicReader {
        let consumer: BaseConsumer = client(bootstrap).create().expect("a client");
        let metadata = consumer.fetch_metadata(Some(topic), ASK).expect("metadata");
        let partitions = metadata.topics()[0].partitions().len();
        assert!(partitions > 0, "no topic {topic}");
        let next = vec![Offset::Beginning; partitions];
        TopicReader { consumer: consume(bootstrap, topic, &next), bootstrap: bootstrap.to_owned(), topic: topic.to_owned(), next }
    }

    /// Positions cannot tell the end: they do not count the control records behind the last one. The event can, if it comes
    /// to a new consumer: one that waits in an old consumer's queue tells of an earlier end.
    fn read_to_end(&mut self) -> Vec<Record> {
        self.consumer = consume(&self.bootstrap, &self.topic, &self.next);
        let mut came = Instant::now();
        let mut open: Vec<i32> = (0..self.next.len() as i32).collect();
        let mut records = Vec::new();
        while !open.is_empty() {
            assert!(came.elapsed() < QUIET_MAX, "{}: no end of partitions {open:?} and nothing more for {QUIET_MAX:?}", self.topic);
            match self.poll(Duration::from_millis(200)) {
                Some(Polled::Record(record)) => {
                    came = Instant::now();
                    records.push(record);
                }
                Some(Polled::End(partition)) => open.retain(|other| *other != partition),
                None => {}
            }
        }
        records
    }

    /// An outage is no error here: librdkafka goes on by itself, and the caller has a deadline.
    fn poll(&mut self, wait: Duration) -> Option<Polled> {
        match self.consumer.poll(wait)? {
            Ok(message) => {
                self.next[message.partition() as usize] = Offset::Offset(message.offset() + 1);
                Some(Polled::Record(record(&message)))
            }
            Err(KafkaError::PartitionEOF(partition)) => Some(Polled::End(partition)),
            Err(KafkaError::MessageConsumption(code)) if is_outage(code) => None,
            Err(error) => panic!("{}: {error}", self.topic),
        }
    }
}

/// A consumer of all partitions, from the offset that stands at each one's number.
fn consume(bootstrap: &str, topic: &str, from: &[Offset]) -> BaseConsumer {
    let mut config = client(bootstrap);
    config.set("group.id", unique("reader")).set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "error").set("fetch.wait.max.ms", "50");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut partitions = TopicPartitionList::new();
    for (partition, offset) in from.iter().enumerate() {
        partitions.add_partition_offset(topic, partition as i32, *offset).expect("an offset");
    }
    consumer.assign(&partitions).expect("assign");
    consumer
}

fn is_outage(code: rdkafka::types::RDKafkaErrorCode) -> bool {
    use rdkafka::types::RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
    matches!(code, AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve)
}

fn record(message: &BorrowedMessage) -> Record {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Record {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(text),
        headers: headers.map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default()))).collect(),
        value: message.payload().map(<[u8]>::to_vec),
    }
}
