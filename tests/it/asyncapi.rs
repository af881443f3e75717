//! `docs/asyncapi.yaml`: the official parser finds nothing to say, and every sample's event is what the document describes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::foreign::{node, output};
use crate::process::new_folder;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What the parser says of each document, and the channels that it found in it.
fn parsed(documents: &[PathBuf]) -> Vec<Value> {
    serde_json::from_str(&output(node("tests/consumers/check_asyncapi.mjs").args(documents), "")).unwrap()
}

fn ours() -> &'static Value {
    static OURS: LazyLock<Value> = LazyLock::new(|| parsed(&[repository("docs/asyncapi.yaml")]).remove(0));
    &OURS
}

/// What an event with these headers must be, by the document.
fn message(topic: &str, event_type: &str) -> &'static Value {
    let mut channels = ours()["channels"].as_array().unwrap().iter();
    let channel = channels.find(|channel| channel["address"] == topic).unwrap_or_else(|| panic!("no channel {topic}"));
    let mut messages = channel["messages"].as_array().unwrap().iter();
    messages.find(|message| message["name"] == event_type).unwrap_or_else(|| panic!("no message {event_type} on {topic}"))
}

fn assert_fits(what: &str, schema: &Value, value: &Value) {
    let validator = jsonschema::draft202012::new(schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
}

#[test]
fn every_sample_is_what_the_document_says() {
    assert_eq!(ours()["said"], json!([]));
    let mut seen = BTreeSet::new();
    for file in fs::read_dir(repository("tests/samples/expected")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap().replace("<received_at>", "2026-03-20T12:00:00.042Z");
        let expected: Value = serde_json::from_str(&text).unwrap();
        let (Some(topic), Some(event_type)) = (expected["topic"].as_str(), expected["headers"]["ce_type"].as_str()) else { continue };
        let message = message(topic, event_type);
        assert_fits(event_type, &message["headers"], &expected["headers"]);
        assert_fits(event_type, &message["payload"], &expected["data"]);
        let described = message["headers"]["allOf"][0]["properties"].as_object().unwrap();
        let unknown: Vec<_> = expected["headers"].as_object().unwrap().keys().filter(|key| !described.contains_key(*key)).collect();
        assert!(unknown.is_empty(), "headers that the document does not describe: {unknown:?}");
        seen.insert(event_type.to_owned());
    }
    let described = ours()["channels"].as_array().unwrap().iter().flat_map(|channel| channel["messages"].as_array().unwrap());
    let described: BTreeSet<String> = described.map(|message| message["name"].as_str().unwrap().to_owned()).collect();
    let missing: Vec<_> = described.difference(&seen).collect();
    assert_eq!(missing, ["deadLetter"], "described, but no sample gives it");
}

#[test]
fn the_topics_are_the_contracts() {
    let found: Vec<Value> = ours()["channels"].as_array().unwrap().iter().map(|channel| channel["binding"].clone()).collect();
    let day_ms = 86_400_000;
    let topic = |name: &str, partitions: u64, days: u64| {
        json!({"topic": name, "partitions": partitions, "replicas": 3, "topicConfiguration":
            {"cleanup.policy": ["delete"], "retention.ms": days * day_ms, "segment.ms": day_ms, "min.insync.replicas": 2,
            "max.message.bytes": 1_048_588}})
    };
    let wanted = [topic("waitlist.person.v1", 12, 7), topic("waitlist.location.v1", 12, 7), topic("waitlist.deadletter.v1", 1, 14)];
    assert_eq!(found, wanted);
}

/// Were the parser to take anything, the tests above would prove nothing.
#[test]
fn the_parser_refuses_a_broken_copy() {
    let text = fs::read_to_string(repository("docs/asyncapi.yaml")).unwrap();
    let folder = new_folder("asyncapi");
    let copy = |number: usize, right: &str, broken: &str| {
        let folder = folder.join(number.to_string());
        fs::create_dir_all(folder.join("docs")).unwrap();
        fs::create_dir_all(folder.join("src/envelope")).unwrap();
        fs::copy(repository("src/envelope/schema.json"), folder.join("src/envelope/schema.json")).unwrap();
        fs::write(folder.join("docs/asyncapi.yaml"), text.replacen(right, broken, 1)).unwrap();
        folder.join("docs/asyncapi.yaml")
    };
    let cases = [
        ("action: send", "action: send"),
        ("action: send", "action: shout"),
        ("'#/components/messages/visitCreated'", "'#/components/messages/nothing'"),
        ("envelope/schema.json", "envelope/nothing.json"),
        ("partitions: 12", "partitions: many"),
    ];
    let copies: Vec<PathBuf> = cases.iter().enumerate().map(|(number, (right, broken))| copy(number, right, broken)).collect();
    for ((right, broken), parsed) in cases.iter().zip(parsed(&copies)) {
        let said = &parsed["said"];
        assert_eq!(*said == json!([]), right == broken, "{broken}: {said}");
    }
}
