//! The vendors' samples, delivered to the real program, read from a real Kafka: by us, by kcat, and by the
//! CloudEvents SDK. What each must give stands beside the samples in `expected/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};
use waitbridge::providers::waitwhile::{SIGNATURE_HEADER, signature};

use crate::bridge::{Bridge, Home, PUBLIC_URL, SECRET, TOKEN};
use crate::foreign::{cloudevents, kcat, kcat_records};
use crate::http::Connection;
use crate::kafka::{self, Topics};
use crate::reader::{Reader, Record};

const READABLE_WITHIN: Duration = Duration::from_secs(60);

struct Sample {
    name: String,
    body: Vec<u8>,
    expected: Value,
}

#[test]
fn every_sample_comes_out_of_kafka_as_expected() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(3);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let bridge = home.start();
    let samples = samples();
    let sent: Vec<(&Sample, String)> = samples.iter().map(|sample| (sample, deliver(&bridge, sample))).collect();

    let mut reader = Reader::new(kafka.bootstrap(), &[&topics.person, &topics.location, &topics.dead_letter]);
    let records = reader.read_until(samples.len(), READABLE_WITHIN);
    for (sample, accept_id) in &sent {
        let carries = |record: &&Record| [record.header("ce_acceptid"), record.header("wb_acceptid")].contains(&Some(accept_id));
        let record = records.iter().find(carries).unwrap_or_else(|| panic!("{} did not come out", sample.name));
        check(sample, record, &topics);
    }
    assert_eq!(reader.read_to_end(), [], "each once");
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn other_peoples_code_reads_the_topic() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let bridge = Home::new(kafka.bootstrap(), &topics, "").start();
    let samples: Vec<Sample> = samples().into_iter().filter(|sample| sample.expected["topic"] == "waitlist.person.v1").collect();
    for sample in &samples {
        deliver(&bridge, sample);
    }
    bridge.wait_until("everything is committed", READABLE_WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);

    let lines = kcat(kafka.bootstrap(), &topics.person);
    assert_eq!(kcat_records(kafka.bootstrap(), &topics.person).len(), samples.len());
    let events = cloudevents(&lines);
    for (sample, event) in samples.iter().zip(&events) {
        let headers = &sample.expected["headers"];
        for attribute in ["type", "source", "subject", "specversion", "dataschema", "tenant"] {
            assert_eq!(event[attribute], headers[format!("ce_{attribute}")], "{}: {attribute}", sample.name);
        }
        assert_eq!(event["partitionkey"], sample.expected["key"], "{}", sample.name);
        assert_eq!(event["data"]["payload"], sample.expected["data"]["payload"], "{}", sample.name);
    }
}

/// In the order in which they can go: each behind those that must have gone before.
fn samples() -> Vec<Sample> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder().join("expected")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let all = files.iter().map(|file| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let expected: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        Sample { body: fs::read(folder().join(format!("{name}.json"))).unwrap(), name, expected }
    });
    let mut waiting: Vec<Sample> = all.collect();
    let mut samples: Vec<Sample> = Vec::new();
    while !waiting.is_empty() {
        let (ready, rest): (Vec<Sample>, Vec<Sample>) = waiting.into_iter().partition(|sample| has_all_before(sample, &samples));
        assert!(!ready.is_empty(), "a circle of samples that wait for each other");
        samples.extend(ready);
        waiting = rest;
    }
    assert!(samples.len() >= 18, "the samples are there");
    samples
}

fn has_all_before(sample: &Sample, samples: &[Sample]) -> bool {
    let names = sample.expected["after"].as_array().into_iter().flatten();
    names.into_iter().all(|name| samples.iter().any(|before| before.name == *name))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples")
}

fn deliver(bridge: &Bridge, sample: &Sample) -> String {
    let mut connection = Connection::open(bridge.public).unwrap();
    let answer = if sample.name.starts_with("waitwhile") {
        let signature = signature(SECRET.as_bytes(), PUBLIC_URL, &sample.body);
        connection.post("/webhooks/waitwhile", &[(SIGNATURE_HEADER, &signature)], &sample.body)
    } else {
        connection.post(&format!("/webhooks/sunshine/{TOKEN}"), &[], &sample.body)
    };
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200, "{}", sample.name);
    answer.accept_id()
}

fn check(sample: &Sample, record: &Record, topics: &Topics) {
    let name = &sample.name;
    if let Some(reason) = sample.expected["dead_letter"].as_str() {
        assert_eq!(record.topic, topics.dead_letter, "{name}");
        assert_eq!(record.header("wb_reason"), Some(reason), "{name}");
        assert_eq!(record.value.as_deref(), Some(sample.body.as_slice()), "{name}: the body as received");
        return;
    }
    let topic = if sample.expected["topic"] == "waitlist.person.v1" { &topics.person } else { &topics.location };
    assert_eq!(&record.topic, topic, "{name}");
    assert_eq!(record.key.as_deref(), sample.expected["key"].as_str(), "{name}");
    let headers: Map<String, Value> = record.headers.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    assert_eq!(headers.len(), record.headers.len(), "{name}: each header once");
    let run = [("<received_at>", record.header("ce_receivedtime")), ("<accept_id>", record.header("ce_acceptid"))];
    assert_eq!(Value::Object(headers), filled(&sample.expected["headers"], &run), "{name}");
    let data: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
    assert_eq!(data, filled(&sample.expected["data"], &run), "{name}");
}

/// The expectation with what only the run knows.
fn filled(expected: &Value, run: &[(&str, Option<&str>)]) -> Value {
    let text = run.iter().fold(expected.to_string(), |text, (placeholder, value)| text.replace(placeholder, value.unwrap_or_default()));
    serde_json::from_str(&text).unwrap()
}
