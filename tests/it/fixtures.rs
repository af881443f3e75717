//! Tests of the fixtures themselves: what the other tests lean on.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use serde_json::json;

use crate::foreign::{cloudevents, kcat, kcat_records};
use crate::kafka::{self, Kafka, client, unique};
use crate::process::{Process, new_folder};
use crate::reader::{Reader, Record};

const WAIT: Duration = Duration::from_secs(60);

/// A transactional producer, and what it sent.
struct Transactions {
    producer: ThreadedProducer<DefaultProducerContext>,
}

enum End {
    Commit,
    Abort,
}

impl Transactions {
    fn new(kafka: &Kafka) -> Transactions {
        let producer: ThreadedProducer<_> =
            client(kafka.bootstrap()).set("transactional.id", unique("fixture")).create().expect("a producer");
        producer.init_transactions(WAIT).expect("init");
        Transactions { producer }
    }

    fn send(&self, topic: &str, keys: &[&str], end: End) {
        self.producer.begin_transaction().expect("begin");
        for key in keys {
            let record = BaseRecord::to(topic).key(*key).payload(r#"{"name":"Zoë"}"#).headers(event_headers(key));
            self.producer.send(record).map_err(|(error, _)| error).expect("send");
        }
        match end {
            End::Commit => self.producer.commit_transaction(WAIT).expect("commit"),
            End::Abort => self.producer.abort_transaction(WAIT).expect("abort"),
        }
    }
}

fn event_headers(id: &str) -> OwnedHeaders {
    let headers = [
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", id),
        ("ce_source", "/waitwhile/acme"),
        ("ce_type", "waitlist.visit.created.v1"),
        ("ce_subject", "visit/1"),
        ("ce_time", "2026-11-24T08:09:10.123Z"),
    ];
    headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }))
}

fn keys(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.key.as_deref().expect("a key")).collect()
}

fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[test]
fn committed_records_are_read_and_aborted_ones_are_not() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(3);
    let transactions = Transactions::new(kafka);
    let mut reader = Reader::new(kafka.bootstrap(), &[&topics.dead_letter, &topics.person]);

    transactions.send(&topics.dead_letter, &["1", "2"], End::Commit);
    transactions.send(&topics.dead_letter, &["3"], End::Abort);
    assert_eq!(keys(&reader.read_until(2, WAIT)), ["1", "2"]);
    transactions.send(&topics.dead_letter, &["4"], End::Commit);
    transactions.send(&topics.person, &["5"], End::Commit);
    transactions.send(&topics.person, &["6"], End::Abort);
    assert_eq!(keys(&reader.read_to_end()), ["4", "5"]);
    assert_eq!(reader.read_to_end(), [], "control records alone are an end, too");
    transactions.send(&topics.person, &["7"], End::Commit);
    assert_eq!(keys(&reader.read_until(1, WAIT)), ["7"]);
}

#[test]
fn kcat_and_our_reader_see_the_same_records() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(3);
    let transactions = Transactions::new(kafka);
    transactions.send(&topics.person, &["1", "2", "3", "4", "5"], End::Commit);
    transactions.send(&topics.person, &["6"], End::Abort);

    let mut ours = Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end();
    let mut theirs = kcat_records(kafka.bootstrap(), &topics.person);
    assert_eq!(theirs.len(), 5);
    assert_eq!(theirs[0].header("ce_source"), Some("/waitwhile/acme"));
    for records in [&mut ours, &mut theirs] {
        records.sort_by_key(|record| (record.partition, record.offset));
    }
    assert_eq!(ours, theirs);
}

#[test]
fn the_python_sdk_parses_binary_and_structured_events() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let producer = Transactions::new(kafka).producer;
    let structured = json!({
        "specversion": "1.0", "id": "2", "source": "/waitwhile/acme", "type": "t", "time": "2026-11-24T08:09:10.123Z",
        "datacontenttype": "application/json", "data": {"n": 1},
    });
    let structured = structured.to_string();
    let content_type = Header { key: "content-type", value: Some("application/cloudevents+json; charset=UTF-8") };
    producer.begin_transaction().expect("begin");
    let records = [
        BaseRecord::to(&topics.person).key("k1").payload(r#"{"name":"Zoë"}"#).headers(event_headers("1")),
        BaseRecord::to(&topics.person).key("k2").payload(structured.as_str()).headers(OwnedHeaders::new().insert(content_type)),
    ];
    for record in records {
        producer.send(record).map_err(|(error, _)| error).expect("send");
    }
    producer.commit_transaction(WAIT).expect("commit");

    let events = cloudevents(&kcat(kafka.bootstrap(), &topics.person));
    assert_eq!(
        events,
        [
            json!({"specversion": "1.0", "id": "1", "source": "/waitwhile/acme", "type": "waitlist.visit.created.v1", "subject": "visit/1",
                "time": "2026-11-24T08:09:10.123Z", "datacontenttype": "application/json", "partitionkey": "k1", "data": {"name": "Zoë"}}),
            json!({"specversion": "1.0", "id": "2", "source": "/waitwhile/acme", "type": "t", "time": "2026-11-24T08:09:10.123Z",
                "datacontenttype": "application/json", "partitionkey": "k2", "data": {"n": 1}}),
        ]
    );
}

#[test]
fn a_broker_killed_or_stopped_and_started_again_keeps_its_port_and_its_data() {
    let mut kafka = Kafka::start(&[]);
    let bootstrap = kafka.bootstrap().to_owned();
    let topics = kafka.new_topics(3);
    let transactions = Transactions::new(&kafka);
    let mut reader = Reader::new(&bootstrap, &[&topics.person]);

    transactions.send(&topics.person, &["1"], End::Commit);
    kafka.kill();
    kafka.start_again();
    transactions.send(&topics.person, &["2"], End::Commit);
    kafka.stop();
    kafka.start_again();
    transactions.send(&topics.person, &["3"], End::Commit);

    assert_eq!(kafka.bootstrap(), bootstrap);
    for (which, records) in
        [("there all the time", reader.read_to_end()), ("new", Reader::new(&bootstrap, &[&topics.person]).read_to_end())]
    {
        let mut keys = keys(&records);
        keys.sort_unstable();
        assert_eq!(keys, ["1", "2", "3"], "a reader that is {which}");
    }
}

#[test]
fn a_topic_can_be_made_with_settings_and_deleted() {
    let kafka = kafka::shared();
    let topic = unique("deleted");
    kafka.create_topic(&topic, 12, &[("max.message.bytes", "2000")]);
    kafka.delete_topic(&topic);
    let consumer: BaseConsumer = client(kafka.bootstrap()).create().expect("a client");
    let metadata = consumer.fetch_metadata(None, WAIT).expect("metadata");
    assert!(metadata.topics().iter().all(|known| known.name() != topic));
}

#[test]
fn a_child_ends_by_signal_or_by_itself_or_when_nobody_holds_it() {
    let log = new_folder("child").join("log");
    let mut sleeping = Command::new("sleep");
    sleeping.arg("600");

    let mut child = Process::start(&sleeping, &log);
    assert!(exists(child.pid()) && child.ended().is_none());
    child.signal("STOP");
    child.signal("CONT");
    child.signal("TERM");
    assert_eq!(child.wait(WAIT), 128 + 15);

    let mut child = Process::start(Command::new("sh").args(["-c", "echo $GREETING; exit 7"]).env("GREETING", "hello"), &log);
    assert_eq!((child.wait(WAIT), child.log_tail().trim()), (7, "hello"));

    let child = Process::start(&sleeping, &log);
    let pid = child.pid();
    drop(child);
    let deadline = Instant::now() + WAIT;
    while exists(pid) {
        assert!(Instant::now() < deadline, "the child outlived its owner");
    }
}
