//! What a person sees: deliveries sent to try things, the topics as people read them, and the demo.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bridge::{Home, TOKEN};
use crate::kafka;
use crate::reader::{Reader, Record};

const WITHIN: Duration = Duration::from_secs(60);

fn waitbridge(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_waitbridge")).args(arguments).output().unwrap()
}

/// What the command says as JSON, a line each; it must end with `code`.
fn told(code: i32, arguments: &[&str]) -> Vec<Value> {
    let output = waitbridge(arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

fn send(code: i32, arguments: &[&str]) -> Value {
    let arguments = [&["send", "--json"], arguments].concat();
    told(code, &arguments).remove(0)
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

    let config = home.path("waitbridge.toml").display().to_string();
    let listen = format!("{}", bridge.public);
    let to_endpoint = |code, arguments: &[&str]| {
        let common = ["send", "--json", "--config", &config];
        let output =
            Command::new(env!("CARGO_BIN_EXE_waitbridge")).env("WAITBRIDGE__SERVER__LISTEN", &listen).args(common).args(arguments).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let basic = to_endpoint(0, &["--endpoint", "basic", "--sample", "waitlistplus/UpdatePerson", "--count", "4", "--damage", "2"]);
    assert_eq!(basic["damaged"], kind(2, "401", "401 credentials_wrong"));
    let many = ["--count", "24", "--repeat", "3", "--damage", "4"];
    let visits = to_endpoint(0, &[&["--endpoint", "waitwhile", "--sample", "waitwhile/visit.created"], &many[..]].concat());
    assert_eq!(visits["damaged"], kind(6, "401", "401 signature_mismatch"));

    let published = 12 + 2 + 12;
    bridge.wait_until("all is delivered", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
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
    let config = home.path("waitbridge.toml").display().to_string();
    let listen = format!("{}", bridge.public);
    let send = |arguments: &[&str]| {
        let common = ["send", "--config", &config, "--endpoint", "waitwhile"];
        let output =
            Command::new(env!("CARGO_BIN_EXE_waitbridge")).env("WAITBRIDGE__SERVER__LISTEN", &listen).args(common).args(arguments).output();
        assert_eq!(output.unwrap().status.code(), Some(0), "{arguments:?}");
    };
    for late in [&[][..], &["--late", "1h"], &["--late", "100h"]] {
        send(&[&["--sample", "waitwhile/visit.updated", "--id", "V1"], late].concat());
        send(&[&["--sample", "waitwhile/location-status.updated"], late].concat());
    }
    bridge.wait_until("all is delivered", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
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
