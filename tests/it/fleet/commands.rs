//! The operator's commands of a fleet, beside its running replicas: they see all, and no replica notices.

use std::process::Command;

use serde_json::Value;

use super::breaks::{accept, append, delivered, one, send};
use crate::bridge::{Home, SECRET, TOKEN};
use crate::kafka::{Kafka, Topics};
use crate::replicas::{FLOWING, Replicas};

/// Exit code, standard output and error.
fn run(home: &Home, arguments: &[&str]) -> (i32, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_waitbridge")).args(arguments).arg("--config").arg(home.path("waitbridge.toml")).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    for secret in [SECRET, TOKEN] {
        assert!(!out.contains(secret) && !err.contains(secret), "{arguments:?} shows a secret");
    }
    (output.status.code().unwrap(), out, err)
}

pub fn json(home: &Home, arguments: &[&str]) -> Value {
    let (_, out, err) = run(home, &[arguments, &["--json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}:\n{out}\n{err}"))
}

fn lines(home: &Home, arguments: &[&str]) -> Vec<Value> {
    let (code, out, err) = run(home, &[&["journal", "list", "--json"], arguments].concat());
    assert_eq!(code, 0, "{err}");
    assert!(!out.contains("Fields"), "no body is shown");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn accept_ids(listed: &[Value]) -> Vec<&str> {
    listed.iter().map(|line| line["accept_id"].as_str().unwrap()).collect()
}

#[test]
fn the_journal_is_seen_beside_the_replicas_and_none_of_them_notices() {
    let (kafka, mut fleet) = one("");
    fleet.start(0);
    let accepted: Vec<String> = (0..5).map(|person| accept(fleet.get(0), person)).collect();
    delivered(fleet.get(0));
    let home = fleet.home(0);

    let stat = json(home, &["journal", "stat"]);
    let partition = &stat["partitions"][0];
    assert_eq!((stat["kind"].as_str(), stat["undelivered_records"].as_u64()), (Some("kafka"), Some(0)), "{stat}");
    assert_eq!((partition["first"].as_u64(), partition["end"].as_u64()), (Some(0), Some(5)), "{stat}");
    assert_eq!((partition["checkpoint"]["next"].as_u64(), &partition["wrong"]), (Some(5), &Value::Null), "{stat}");
    assert_eq!(partition["checkpoint"]["accept_id"].as_str(), accepted.last().map(String::as_str));
    assert_eq!(stat["members"][0]["partitions"], serde_json::json!([0]), "{stat}");

    assert_eq!(accept_ids(&lines(home, &[])), accepted);
    assert_eq!(lines(home, &["--limit", "2"]).len(), 2);
    assert_eq!((lines(home, &["--partition", "1"]).len(), lines(home, &["--endpoint", "waitwhile"]).len()), (0, 0));
    assert_eq!((lines(home, &["--from", "1h"]).len(), lines(home, &["--to", "1h"]).len()), (5, 0));
    assert_eq!(lines(home, &["--undelivered"]).len(), 0);
    let (code, out, _) = run(home, &["journal", "verify"]);
    assert_eq!((code, out.contains("all whole")), (0, true), "{out}");
    accept(fleet.get(0), 6);
    delivered(fleet.get(0));
    assert_eq!(fleet.get(0).said().matches("the group divides").count(), 1, "nobody else has joined");
    assert_eq!(fleet.terminate(0), 0);

    let kept = append(kafka, &fleet.raw_topic, 7);
    let home = fleet.home(0);
    let stat = json(home, &["journal", "stat"]);
    assert_eq!((stat["undelivered_records"].as_u64(), stat["members"].as_array().map(Vec::len)), (Some(1), Some(0)), "{stat}");
    assert!(stat["partitions"][0]["oldest_undelivered_age_seconds"].is_u64(), "{stat}");
    let listed = lines(home, &["--undelivered"]);
    assert_eq!((accept_ids(&listed), listed[0]["delivered"].as_bool()), (vec![kept.as_str()], Some(false)));
    let (_, page, _) = run(home, &["journal", "stat"]);
    assert!(page.contains("undelivered  1 record; the oldest for "), "{page}");
}

#[test]
fn a_record_that_is_not_ours_and_a_checkpoint_of_another_topic_are_named() {
    let (kafka, mut fleet) = one("");
    fleet.start(0);
    (0..3).for_each(|person| drop(accept(fleet.get(0), person)));
    delivered(fleet.get(0));
    assert_eq!(fleet.terminate(0), 0);
    send(kafka, &fleet.raw_topic, b"nothing of ours");
    let found = json(fleet.home(0), &["journal", "verify"]);
    assert_eq!((found["records"].as_u64(), &found["damages"][0]["kind"]), (Some(4), &serde_json::json!("content")), "{found}");

    kafka.delete_topic(&fleet.raw_topic);
    kafka.create_topic(&fleet.raw_topic, 1, &[]);
    let others: Vec<String> = (0..5).map(|person| append(kafka, &fleet.raw_topic, person)).collect();
    let home = fleet.home(0);
    let stat = json(home, &["journal", "stat"]);
    // A broker forgets the offsets of a topic that it deletes; where it did not yet, the record before the checkpoint tells.
    let is_forgotten = stat["partitions"][0]["checkpoint"].is_null();
    assert_eq!(stat["undelivered_records"].as_u64(), Some(others.len() as u64), "{stat}");
    assert_eq!(run(home, &["journal", "verify"]).0, if is_forgotten { 0 } else { 3 });
}

/// The settings of one broker, and topics that are made by the command.
fn unmade() -> (&'static Kafka, Replicas, Topics) {
    let (kafka, fleet) = one("");
    let topics = fleet.topics.clone();
    fleet.home(0).set("[kafka]\n", "[kafka]\nreplication = 1\n");
    for topic in [&topics.person, &topics.location, &topics.dead_letter, &fleet.raw_topic] {
        kafka.delete_topic(topic);
    }
    (kafka, fleet, topics)
}

#[test]
fn topics_makes_the_raw_topic_and_doctor_looks_at_what_a_fleet_needs_and_fences_nobody() {
    let (_, mut fleet, topics) = unmade();
    let (code, out, _) = run(fleet.home(0), &["doctor"]);
    assert_eq!((code, out.contains(&format!("topic {}: missing", fleet.raw_topic))), (3, true), "{out}");
    let made = json(fleet.home(0), &["topics", "--create"]);
    assert_eq!(made["made"], serde_json::json!([topics.person, topics.location, topics.dead_letter, fleet.raw_topic]));
    let raw = &made["topics"][3];
    assert_eq!((raw["found"]["partitions"].as_i64(), raw["key"].as_str()), (Some(6), Some("tenant")), "{raw}");
    assert_eq!(raw["found"]["settings"]["retention.ms"].as_str(), Some("345600000"), "the window and a day");
    assert_eq!(run(fleet.home(0), &["topics"]).0, 0);

    fleet.start(0);
    accept(fleet.get(0), 1);
    fleet.get(0).wait_until("it is published", FLOWING, |_| json(fleet.home(0), &["journal", "stat"])["undelivered_records"] == 0);
    let (code, out, err) = run(fleet.home(0), &["doctor"]);
    for said in [
        "takes the lock and the control socket",
        &format!("topic {} is as it should be", fleet.raw_topic),
        "has 1 copies, and 3 are needed",
        "journal.unsafe_replication",
        "has 1 member for 6 partitions",
        "all of it is published, up to 1",
        "offsets.retention.minutes",
        "this replica's transactional id is waitbridge-",
        "transactions are given",
        &format!("process {} uses the journal", fleet.get(0).pid()),
    ] {
        assert!(out.contains(said), "{said} in\n{out}{err}");
    }
    assert_eq!(code, 0, "{out}");
    assert!(!out.contains("sync of 4 KiB"), "no disk is asked for:\n{out}");
    accept(fleet.get(0), 2);
    delivered(fleet.get(0));
    assert!(!fleet.get(0).said().contains("fenced"), "{}", fleet.get(0).said());
    fleet.home(0).set("unsafe_replication = true\n", "");
    let (code, out, _) = run(fleet.home(0), &["doctor"]);
    assert_eq!((code, out.contains("nothing is accepted: add copies")), (3, true), "{out}");
}
