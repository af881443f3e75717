//! What a person sees: deliveries sent to try things, the topics as people read them, and the demo.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use serde_json::{Value, json};

use crate::bridge::{Bridge, Home, TOKEN};
use crate::kafka::{self, client};
use crate::process::{Process, new_folder};
use crate::reader::{Reader, Record};

const WITHIN: Duration = Duration::from_secs(60);

fn waitbridge(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_waitbridge")).args(arguments).output().unwrap()
}

/// What the command says as JSON, a line each; it must end with `code`.
fn told(code: i32, arguments: &[&str]) -> Vec<Value> {
    lines(code, arguments, waitbridge(arguments))
}

fn lines(code: i32, arguments: &[&str], output: Output) -> Vec<Value> {
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

fn send(code: i32, arguments: &[&str]) -> Value {
    let arguments = [&["send", "--json"], arguments].concat();
    told(code, &arguments).remove(0)
}

/// To the listener that the bridge was given, which its settings do not name.
fn send_to(home: &Home, bridge: &Bridge, endpoint: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waitbridge"));
    command.env("WAITBRIDGE__SERVER__LISTEN", bridge.public.to_string());
    let output = command.args(["send", "--json", "--endpoint", endpoint, "--config", &config(home)]).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?} {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn config(home: &Home) -> String {
    home.path("waitbridge.toml").display().to_string()
}

fn wait_until_delivered(bridge: &Bridge) {
    bridge.wait_until("all is delivered", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
}

/// What a process has printed so far; nothing before it has begun.
fn said(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

fn wait_for(text: &str, log: &Path) {
    let deadline = Instant::now() + WITHIN;
    while !said(log).contains(text) {
        assert!(Instant::now() < deadline, "no {text} in\n{}", said(log));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What an audit of all these records tells; it is given longer where the machine needs longer to read them.
fn audited(code: i32, config: &str, records: usize) -> Vec<Value> {
    let is_all = |output: &Output| String::from_utf8_lossy(&output.stdout).contains(&format!("\"records\":{records},"));
    let audit = |time: &str| {
        let arguments = ["tail", "--config", config, "--audit", "--json", "--from-beginning", "--for", time];
        Some(waitbridge(&arguments)).filter(is_all).map(|output| lines(code, &arguments, output))
    };
    ["5s", "20s", "60s"].into_iter().find_map(audit).unwrap_or_else(|| panic!("{records} records are not read within a minute"))
}

fn stale(records: &[Record]) -> Vec<Option<&str>> {
    records.iter().map(|record| record.header("ce_stale")).collect()
}

#[test]
fn what_is_sent_again_is_not_published_again_and_what_is_damaged_is_refused() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(2);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let bridge = home.start();
    let (signed, token) =
        (format!("http://{}/webhooks/waitwhile", bridge.public), format!("http://{}/webhooks/sunshine/{TOKEN}", bridge.public));
    let secret = home.path("secret").display().to_string();
    // The bridge knows its public URL only, so what is signed for the address it listens on proves nothing.
    let wrong_url = send(1, &["--url", &signed, "--secret-file", &secret, "--sample", "waitwhile/visit.created"]);
    assert_eq!(wrong_url["genuine"]["answers"], json!({"401 signature_mismatch": 1}));

    let plus = send(0, &["--url", &token, "--sample", "waitlistplus/AddPerson", "--count", "24", "--repeat", "3", "--damage", "4"]);
    let kind = |sent: u64, expected: &str, label: &str| json!({"sent": sent, "expected": expected, "answers": {label: sent}});
    assert_eq!(plus["damaged"], kind(6, "404", "404 not_found"));
    assert_eq!((&plus["genuine"], &plus["repeated"]), (&kind(12, "200", "200"), &kind(6, "200", "200")));

    let basic = send_to(&home, &bridge, "basic", &["--sample", "waitlistplus/UpdatePerson", "--count", "4", "--damage", "2"]);
    assert_eq!(basic["damaged"], kind(2, "401", "401 credentials_wrong"));
    let many = ["--count", "24", "--repeat", "3", "--damage", "4"];
    let visits = send_to(&home, &bridge, "waitwhile", &[&["--sample", "waitwhile/visit.created"], &many[..]].concat());
    assert_eq!(visits["damaged"], kind(6, "401", "401 signature_mismatch"));

    let published = 12 + 2 + 12;
    wait_until_delivered(&bridge);
    assert_eq!(bridge.metric("waitbridge_events_repeated_total{basis=\"id\",vendor=\"waitwhile\"}"), 6.0);
    assert_eq!(bridge.metric("waitbridge_events_repeated_total{basis=\"body\",vendor=\"waitlistplus\"}"), 6.0);
    assert_eq!(Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end().len(), published);
}

#[test]
fn what_is_sent_late_is_published_as_stale_or_is_too_late() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, "[relay]\nexpired_after = \"72h\"\n");
    let bridge = home.start();
    let send = |arguments: &[&str]| send_to(&home, &bridge, "waitwhile", arguments);
    for late in [&[][..], &["--late", "1h"], &["--late", "100h"]] {
        send(&[&["--sample", "waitwhile/visit.updated", "--id", "V1"], late].concat());
        send(&[&["--sample", "waitwhile/location-status.updated"], late].concat());
    }
    wait_until_delivered(&bridge);
    for topic in [&topics.person, &topics.location] {
        assert_eq!(stale(&Reader::new(kafka.bootstrap(), &[topic]).read_to_end()), [None, Some("true")], "{topic}");
    }
    let dead = Reader::new(kafka.bootstrap(), &[&topics.dead_letter]).read_to_end();
    assert_eq!(dead.iter().map(|record| record.header("wb_reason")).collect::<Vec<_>>(), [Some("expired"); 2]);
}

#[test]
fn send_says_what_it_cannot_do() {
    for (arguments, code, expected) in [
        (&["--url", "http://localhost:1/", "--sample", "waitlistplus/AddPerson", "--late", "1h"][..], 1, "--late has nothing to stamp"),
        (&["--url", "http://localhost:1/", "--sample", "x"], 1, "there is no sample x"),
        (&["--url", "http://localhost:1/", "--sample", "waitwhile/visit.created"], 1, "no answer"),
        (&["--url", "http://localhost:1/", "--sample", "waitwhile/visit.created", "--count", "0"], 2, "--count"),
    ] {
        let output = waitbridge(&[&["send"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {said}");
        assert!(said.contains(expected), "{arguments:?} {said}");
    }
}

/// Puts a record where `record` says, behind what is there, and says at which offset it then stands.
fn plant(bootstrap: &str, record: &Record) -> i64 {
    let producer: ThreadedProducer<DefaultProducerContext> = client(bootstrap).create().unwrap();
    let headers = record.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
    let key = record.key.as_deref().unwrap();
    let planted = BaseRecord::to(&record.topic).partition(record.partition).key(key).headers(headers);
    producer.send(planted.payload(record.value.as_deref().unwrap())).map_err(|(error, _)| error).unwrap();
    producer.flush(WITHIN).unwrap();
    let mut all = Reader::new(bootstrap, &[&record.topic]).read_to_end();
    all.retain(|other| other.partition == record.partition);
    all.last().unwrap().offset
}

/// The record with other headers, and other values in its data.
fn changed(record: &Record, headers: &[(&str, &str)], data: &[(&str, Value)]) -> Record {
    let mut record = record.clone();
    for (name, text) in headers {
        record.headers.iter_mut().filter(|(known, _)| known == name).for_each(|(_, value)| *value = (*text).to_owned());
    }
    let mut value: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
    data.iter().for_each(|(pointer, told)| *value.pointer_mut(pointer).unwrap() = told.clone());
    Record { value: Some(value.to_string().into_bytes()), ..record }
}

#[test]
fn an_audit_finds_nothing_in_what_the_bridge_wrote_and_finds_what_was_planted() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(2);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let bridge = home.start();
    let send = |endpoint: &str, sample: &str, more: &[&str]| send_to(&home, &bridge, endpoint, &[&["--sample", sample], more].concat());
    for sample in ["visit.created", "visit.updated", "visit.removed", "message.created", "location-status.updated"] {
        send("waitwhile", &format!("waitwhile/{sample}"), &["--count", "6", "--repeat", "3"]);
    }
    send("basic", "waitlistplus/AddPerson", &["--count", "6", "--repeat", "3"]);
    send("waitwhile", "waitwhile/visit.updated", &["--id", "V1"]);
    send("waitwhile", "waitwhile/visit.updated", &["--id", "V1", "--late", "2h"]);
    wait_until_delivered(&bridge);

    let config = config(&home);
    let published = 6 * 4 + 2;
    let clean = audited(0, &config, published);
    assert_eq!(clean, [json!({"records": published, "problems": 0, "by_problem": {}, "unread": []})]);

    assert_eq!(told(0, &["tail", "--config", &config, "--json", "--for", "1s"]), [Value::Null; 0], "from now on there is nothing");

    let read = Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end();
    let late = read.iter().find(|record| record.header("ce_stale").is_some()).unwrap();
    let fresh = |id: &str| [("ce_id", id.to_owned()), ("ce_acceptid", uuid::Uuid::now_v7().to_string())];
    let unmarked = {
        let mut unmarked = late.clone();
        unmarked.headers.retain(|(name, _)| name != "ce_stale");
        let own = fresh("unmarked");
        changed(&unmarked, &own.each_ref().map(|(name, text)| (*name, text.as_str())), &[("/stale", false.into())])
    };
    let invalid = {
        let own = fresh("invalid");
        changed(late, &own.each_ref().map(|(name, text)| (*name, text.as_str())), &[("/person/email", 17.into())])
    };
    let [twice, unmarked, invalid] = [late, &unmarked, &invalid].map(|record| plant(kafka.bootstrap(), record));
    let found = audited(3, &config, published + 3);
    let (summary, problems) = found.split_last().unwrap();
    let places: Vec<(&str, i64)> =
        problems.iter().map(|problem| (problem["problem"].as_str().unwrap(), problem["offset"].as_i64().unwrap())).collect();
    let expected = [("accept_id_twice", twice), ("event_id_twice", twice), ("regression_unmarked", unmarked), ("data_invalid", invalid)];
    assert_eq!(places, expected, "{found:#?}");
    assert!(problems.iter().all(|problem| problem["topic"] == topics.person.as_str() && problem["partition"] == late.partition));
    assert_eq!((&summary["problems"], &summary["by_problem"]["data_invalid"]), (&json!(4), &json!(1)));
}

#[test]
fn what_is_followed_is_masked_and_begins_when_its_topics_are_there() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    kafka.delete_topic(&topics.person);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let config = config(&home);
    let follow = |name: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waitbridge"));
        command.args(["tail", "--config", &config]).args(more);
        (Process::start(&command, &home.path(name)), home.path(name))
    };
    let mut followers = [follow("lines", &[]), follow("json", &["--json"]), follow("visits", &["--type", "visit", "--key", "nobody"])];
    followers.iter().for_each(|(_, log)| wait_for(&format!("waiting for {}", topics.person), log));
    kafka.create_topic(&topics.person, 1, &[]);
    let bridge = home.start();
    send_to(&home, &bridge, "waitwhile", &["--sample", "waitwhile/visit.updated"]);
    send_to(&home, &bridge, "waitwhile", &["--sample", "waitwhile/location-status.updated"]);
    send_to(&home, &bridge, "basic", &["--sample", "waitlistplus/AddPerson"]);
    for (_, log) in &followers[..2] {
        ["visit.updated", "location.updated", "person.created"].iter().for_each(|kind| wait_for(kind, log));
    }
    for (process, log) in &mut followers {
        process.signal("INT");
        assert_eq!(process.wait(WITHIN), 0, "{}", said(log));
    }
    let [lines, json, visits] = followers.each_ref().map(|(_, log)| said(log));
    for personal in
        ["Robin", "Vale", "example.com", "0123", "2021", "Sparrow", "Needs to be", "side entrance", "Check-up", "Family of Staff"]
    {
        assert!(!lines.contains(personal) && !json.contains(personal), "{personal} in\n{lines}\n{json}");
    }
    assert!(lines.contains("serving #1, arrived · R… V… · version"), "{lines}");
    assert!(lines.contains("waiting on Infants #4 · J… S…"), "{lines}");
    assert!(!visits.contains("visit.updated"), "{visits}");
}

/// What the demo says, and how it ended.
fn demo(arguments: &[&str]) -> (Option<i32>, String) {
    let output = waitbridge(&[&["demo"], arguments].concat());
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The row of the summary that begins so: sent, answered as expected, ended as expected.
fn row(said: &str, name: &str) -> [u64; 3] {
    let row = said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in\n{said}"));
    let numbers: Vec<u64> = row.split_whitespace().take(3).map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

#[test]
fn a_demo_needs_nothing_and_all_of_its_story_comes_to_what_it_should() {
    let (code, said) = demo(&["--duration", "3s", "--rate", "40", "--seed", "7"]);
    assert_eq!(code, Some(0), "{said}");
    let rows = ["genuine", "sent a second time", "late", "forged"].map(|name| row(&said, name));
    for [sent, answered, ended] in rows {
        assert!(sent > 1 && (sent, sent) == (answered, ended), "{said}");
    }
    assert_eq!(rows.iter().map(|[sent, ..]| sent).sum::<u64>(), 120, "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("  ") && line.contains(" stale · ")).count() as u64, rows[2][0], "{said}");
    assert!(said.contains("All as it should be") && said.contains("/metrics"), "{said}");
    for personal in ["@example", "202555", "202-555"] {
        assert!(!said.contains(personal), "{personal} in\n{said}");
    }
}

#[test]
fn a_demo_that_its_broker_has_no_room_for_is_refused_with_what_to_choose_instead() {
    let (code, said) = demo(&["--rate", "5000", "--duration", "10m"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(["5 MiB", "--duration", "--rate", "waitbridge send"].iter().all(|part| said.contains(part)), "{said}");
}

#[test]
fn an_interrupted_demo_ends_its_story_and_still_tells_how_it_went() {
    let log = new_folder("demo").join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_waitbridge"));
    command.args(["demo", "--duration", "5m", "--rate", "20"]);
    let mut process = Process::start(&command, &log);
    wait_for("visit.created", &log);
    process.signal("INT");
    assert_eq!(process.wait(2 * WITHIN), 0, "{}", process.log_tail());
    assert!(process.log_tail().contains("All as it should be"));
}
