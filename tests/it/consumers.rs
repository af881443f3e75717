//! The two consumers of `docs/consumers`, run against the real program and a real Kafka: their tables are what happened.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use serde_json::{Map, Value, json};
use waitbridge::providers::waitwhile::{SIGNATURE_HEADER, signature};

use crate::bridge::{Bridge, Home, PUBLIC_URL, SECRET, TOKEN};
use crate::foreign::{node, output, python};
use crate::http::Connection;
use crate::kafka::{self, client, unique};
use crate::process::{Process, new_folder};
use crate::reader::Reader;
use crate::world::{Delivery, Tables, World};

/// Node takes its time to join a group again whose last member was killed, more so on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);
const STEPS: usize = 400;

/// What `persons.py` keeps in SQLite, in the form of what `persons.mjs` keeps as JSON.
const SQLITE_AS_JSON: &str = r#"
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.row_factory = sqlite3.Row
rows = lambda table: {row["key"]: dict(row) for row in db.execute(f"SELECT * FROM {table}")}
offsets = {str(partition): next for _, partition, next in db.execute("SELECT * FROM offsets")}
print(json.dumps({"offsets": offsets, "persons": rows("persons"), "entries": rows("entries")}))
"#;

#[test]
fn the_python_consumer_keeps_its_table_right() {
    let show = |file: &PathBuf| {
        let mut shown = Command::new(python("").get_program());
        file.exists().then(|| serde_json::from_str(&output(shown.args(["-c", SQLITE_AS_JSON]).arg(file), "")).unwrap())
    };
    check(&mut python("docs/consumers/persons.py"), show);
}

#[test]
fn the_node_consumer_keeps_its_table_right() {
    let show = |file: &PathBuf| fs::read(file).ok().map(|json| serde_json::from_slice(&json).unwrap());
    check(&mut node("docs/consumers/persons.mjs"), show);
}

/// `show` gives the table that is kept in a file, if there is one yet.
fn check(command: &mut Command, show: impl Fn(&PathBuf) -> Option<Value>) {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(3);
    let bridge = Home::new(kafka.bootstrap(), &topics, "").start();
    let folder = new_folder("consumer");
    let (file, log) = (folder.join("table"), folder.join("log"));
    command.args([kafka.bootstrap(), &topics.person]).arg(&file);
    let offsets = || show(&file).and_then(|table| table["offsets"].as_object().cloned()).unwrap_or_default();

    let mut consumer = Process::start(command, &log);
    let mut world = World::new(7);
    for step in 0..STEPS {
        world.step().iter().for_each(|delivery| deliver(&bridge, delivery));
        if step == STEPS / 2 {
            wait_until(&mut consumer, "the first rows", || !offsets().is_empty());
            consumer.signal("KILL");
            consumer.wait(WITHIN);
            abort(kafka.bootstrap(), &topics.person);
        }
    }
    world.rest().iter().for_each(|delivery| deliver(&bridge, delivery));
    bridge.wait_until("everything is committed", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
    assert!(bridge.metric("waitbridge_events_stale_total{vendor=\"waitwhile\"}") > 20.0, "some come late");

    let mut ends = Map::new();
    for record in Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end() {
        ends.insert(record.partition.to_string(), json!(record.offset + 1));
    }
    assert!(ends.len() == 3 && !is_past(&offsets(), &ends), "it was stopped in the middle");
    let mut consumer = Process::start(command, &log);
    wait_until(&mut consumer, "the last row", || is_past(&offsets(), &ends));
    assert_eq!(tables(&show(&file).unwrap()), world.tables());
    consumer.signal("TERM");
    assert_eq!(consumer.wait(WITHIN), 0, "{}", consumer.log_tail());
    assert_eq!(tables(&show(&file).unwrap()), world.tables());
    assert_eq!(bridge.terminate(), 0);
}

fn is_past(offsets: &Map<String, Value>, ends: &Map<String, Value>) -> bool {
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap();
    ends.iter().all(|(partition, end)| offsets.get(partition).is_some_and(|offset| number(offset) >= number(end)))
}

fn wait_until(consumer: &mut Process, what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !is_so() {
        let ended = consumer.ended();
        assert!(ended.is_none() && Instant::now() < deadline, "no {what} (exit {ended:?}):\n{}", consumer.log_tail());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn deliver(bridge: &Bridge, Delivery { vendor, body }: &Delivery) {
    let mut connection = Connection::open(bridge.public).unwrap();
    let answer = if *vendor == "waitwhile" {
        connection.post("/webhooks/waitwhile", &[(SIGNATURE_HEADER, &signature(SECRET.as_bytes(), PUBLIC_URL, body))], body)
    } else {
        connection.post(&format!("/webhooks/sunshine/{TOKEN}"), &[], body)
    };
    assert_eq!(answer.unwrap().status, 200);
}

/// An event that was never published.
fn abort(bootstrap: &str, topic: &str) {
    let producer: ThreadedProducer<DefaultProducerContext> =
        client(bootstrap).set("transactional.id", unique("aborted")).create().expect("a producer");
    producer.init_transactions(WITHIN).expect("init");
    producer.begin_transaction().expect("begin");
    let data = json!({"stale": false, "message": null, "erasure": null, "entries": [], "entries_complete": true, "version": "9",
        "person": {"key": "aborted", "identity": "record", "complete": true, "anonymized": false}});
    for partition in 0..3 {
        let data = data.to_string();
        producer.send(BaseRecord::to(topic).key("aborted").partition(partition).payload(&data)).map_err(|(error, _)| error).expect("send");
    }
    producer.flush(WITHIN).expect("flush");
    producer.abort_transaction(WITHIN).expect("abort");
}

/// Without versions, which the world does not know, and without the bare keys of what was removed.
fn tables(shown: &Value) -> Tables {
    let rows = |table: &str| {
        let rows = shown[table].as_object().unwrap().clone().into_iter();
        rows.map(|(key, mut row)| {
            row.as_object_mut().unwrap().retain(|column, _| column != "version" && column != "key");
            (key, row)
        })
    };
    Tables { persons: rows("persons").collect(), entries: rows("entries").filter(|(_, entry)| !entry["kind"].is_null()).collect() }
}

/// What stands in the page between its fences, by language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    page.split(&format!("```{language}\n")).skip(1).map(|rest| rest.split_once("```").expect("a closing fence").0).collect()
}

#[test]
fn the_page_shows_the_consumers_as_they_run() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(path)).unwrap();
    let page = read("consumers.md");
    assert!(page.lines().next().unwrap().contains("`isolation.level=read_committed`"), "what matters most comes first");
    for (language, path) in [("python", "consumers/persons.py"), ("js", "consumers/persons.mjs")] {
        let (program, blocks) = (read(path), blocks(&page, language));
        assert!(!blocks.is_empty());
        blocks.iter().for_each(|block| assert!(program.contains(block), "{path} has no\n{block}"));
    }
}

#[test]
fn the_tests_run_the_versions_that_the_consumers_ask_for() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let dependencies = |path: &str| serde_json::from_str::<Value>(&read(path)).unwrap()["dependencies"]["kafkajs"].clone();
    assert_eq!(dependencies("docs/consumers/package.json"), dependencies("tests/consumers/package.json"));
    let python = read("docs/consumers/requirements.txt").trim().replace("==", "-");
    assert!(read("tests/prepare").contains(&format!("python-cloudevents-2.2.0-{python}\n")), "a new set wants a new folder");
}
