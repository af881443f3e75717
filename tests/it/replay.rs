//! What was published is published again on purpose: whole, in part, after a mended mapping, out of dead letters, and over kills.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use waitbridge::providers::waitwhile::{SIGNATURE_HEADER, signature};

use crate::bridge::{Bridge, Home, PUBLIC_URL, SECRET, TOKEN};
use crate::http::{once, request};
use crate::kafka::{self, Topics, unique};
use crate::process::Process;
use crate::reader::{Reader, Record};

mod kills;
mod socket;

const WITHIN: Duration = Duration::from_secs(60);

/// A person of WaitlistPlus, with more fields; the accept id.
fn person(bridge: &Bridge, id: u32, change: &str, fields: &Value) -> String {
    let body = json!({"type": change, "data": {"PersonId": id, "Fields": fields, "Waitlists": []}}).to_string();
    let answer = once(bridge.public, &request("POST", &format!("/webhooks/sunshine/{TOKEN}"), &[], body.as_bytes()));
    assert_eq!(answer.status, 200);
    answer.accept_id()
}

/// An event of Waitwhile; the accept id.
fn waitwhile(bridge: &Bridge, kind: &str, more: &Value, data: &Value) -> String {
    let mut body = json!({"id": unique("event"), "type": kind, "accountId": "a", "data": data});
    more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
    let body = body.to_string();
    let signature = signature(SECRET.as_bytes(), PUBLIC_URL, body.as_bytes());
    let answer = once(bridge.public, &request("POST", "/webhooks/waitwhile", &[(SIGNATURE_HEADER, &signature)], body.as_bytes()));
    assert_eq!(answer.status, 200);
    answer.accept_id()
}

fn visit(bridge: &Bridge, kind: &str, id: &str, updated: &str) -> String {
    waitwhile(bridge, kind, &json!({}), &json!({"id": id, "state": "WAITING", "customerId": format!("c-{id}"), "updated": updated}))
}

fn settled(bridge: &Bridge) {
    bridge.wait_until("all is delivered", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
}

fn command(home: &Home, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waitbridge"));
    command.arg("replay").args(arguments).arg("--config").arg(home.path("waitbridge.toml"));
    command
}

/// Exit code, standard output, standard error.
fn replay(home: &Home, arguments: &[&str]) -> (i32, String, String) {
    let output = command(home, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// One that goes well: its summary.
fn replayed(home: &Home, arguments: &[&str]) -> Value {
    let (code, out, err) = replay(home, &[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{out}{err}");
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

fn is_replayed(record: &Record) -> bool {
    record.header("ce_replayed") == Some("true")
}

fn accept_ids<'r>(records: impl IntoIterator<Item = &'r Record>) -> Vec<&'r str> {
    records.into_iter().map(|record| record.header("ce_acceptid").unwrap()).collect()
}

fn edit(home: &Home, from: &str, to: &str) {
    let settings = fs::read_to_string(home.path("waitbridge.toml")).unwrap();
    assert!(settings.contains(from), "{from} in {settings}");
    fs::write(home.path("waitbridge.toml"), settings.replace(from, to)).unwrap();
}

fn hang_up(bridge: &mut Bridge) {
    let before = bridge.said().matches("read again").count();
    bridge.signal("HUP");
    bridge.wait_until("it reloads", WITHIN, |bridge| bridge.said().matches("read again").count() > before);
}

#[test]
fn a_window_is_published_again_as_it_was_and_marked() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let bridge = home.start();
    person(&bridge, 1, "AddPerson", &json!({"Serial": "1"}));
    person(&bridge, 1, "AddPerson", &json!({"Serial": "1"}));
    visit(&bridge, "visit.updated", "v", "2026-03-10T15:00:00Z");
    visit(&bridge, "visit.updated", "v", "2026-03-10T14:00:00Z");
    waitwhile(&bridge, "visit.exploded", &json!({}), &json!({"id": "v"}));
    person(&bridge, 1, "UpdatePerson", &json!({"Serial": "2"}));
    settled(&bridge);
    let mut reader = Reader::new(kafka.bootstrap(), &[&topics.person]);
    let before = reader.read_to_end();
    assert_eq!(before.len(), 4);

    let counted = replayed(&home, &["--from", "1h", "--dry-run"]);
    assert_eq!((&counted["published"], &counted["dry_run"]), (&json!(4), &json!(true)));
    assert_eq!(reader.read_to_end(), [], "a dry run publishes nothing");

    let told = replayed(&home, &["--from", "1h"]);
    let after = reader.read_to_end();
    let sum = json!([told["published"], told["stale"], told["repeated"], told["dead"], told["ended"], told["total"]]);
    assert_eq!(sum, json!([4, 1, 1, {"unknown_type": 1}, "whole", 6]));
    for (before, after) in before.iter().zip(&after) {
        let unmarked: Vec<_> = after.headers.iter().filter(|(name, _)| name != "ce_replayed").cloned().collect();
        assert_eq!((&before.key, &before.headers, &before.value), (&after.key, &unmarked, &after.value));
        assert!(is_replayed(after) && !is_replayed(before));
    }
    assert_eq!(after.len(), before.len());
    assert_eq!(Reader::new(kafka.bootstrap(), &[&topics.dead_letter]).read_to_end().len(), 1, "no dead letter again");

    for (arguments, count) in [
        (&["--from", "1h", "--endpoint", "waitwhile"][..], 2),
        (&["--from", "1h", "--endpoint", "waitwhile", "--endpoint", "sunshine"], 4),
        (&["--from", "1h", "--endpoint", "basic"], 0),
        (&["--from", "2h", "--to", "1h"], 0),
        (&["--from", before[1].header("ce_receivedtime").unwrap(), "--rate", "1000"], 3),
    ] {
        assert_eq!(replayed(&home, arguments)["published"], count, "{arguments:?}");
        assert_eq!(reader.read_to_end().len(), count, "{arguments:?}");
    }
    let live = bridge.metric("waitbridge_events_repeated_total{basis=\"body\",vendor=\"waitlistplus\"}");
    assert_eq!(live, 1.0, "it counts nothing of the relay's");
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn a_mended_mapping_shows_in_what_is_published_again_and_late_is_what_is_late_by_now() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let right = "birth_date_format = \"M/D/YYYY\"";
    edit(&home, right, "birth_date_format = \"YYYY-MM-DD\"");
    let mut bridge = home.start();
    person(&bridge, 1, "AddPerson", &json!({"Birthdate": "3/9/2020"}));
    visit(&bridge, "visit.created", "v", "2026-03-10T15:00:00Z");
    visit(&bridge, "visit.updated", "v", "2026-03-10T16:00:00Z");
    settled(&bridge);
    edit(&home, "birth_date_format = \"YYYY-MM-DD\"", right);
    hang_up(&mut bridge);
    assert_eq!(replayed(&home, &["--from", "1h"])["published"], 3);
    let records = Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end();
    let birth = |record: &Record| serde_json::from_slice::<Value>(record.value.as_ref().unwrap()).unwrap()["person"]["birth_date"].clone();
    assert_eq!((birth(&records[0]), birth(&records[3])), (Value::Null, json!("2020-03-09")));
    let stale: Vec<_> = records.iter().map(|record| record.header("ce_stale").is_some()).collect();
    assert_eq!(stale, [false, false, false, false, true, false]);
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn what_was_said_of_somebody_before_an_erasure_is_not_published_again() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let bridge = home.start();
    person(&bridge, 1, "AddPerson", &json!({"First Name": "Ann"}));
    person(&bridge, 2, "AddPerson", &json!({"First Name": "Ben"}));
    visit(&bridge, "visit.created", "gone", "2026-03-10T15:00:00Z");
    visit(&bridge, "visit.created", "here", "2026-03-10T15:00:00Z");
    for visit in ["gone", "here"] {
        waitwhile(&bridge, "message.created", &json!({}), &json!({"id": format!("m-{visit}"), "visitId": visit, "state": "SENT"}));
    }
    person(&bridge, 1, "DeletePerson", &json!({"First Name": "Ann"}));
    visit(&bridge, "visit.removed", "gone", "2026-03-10T16:00:00Z");
    settled(&bridge);
    let told = replayed(&home, &["--from", "1h"]);
    assert_eq!(json!([told["erased"], told["published"]]), json!([3, 5]));
    let records = Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end();
    let subjects: Vec<_> = records.iter().filter(|record| is_replayed(record)).map(|record| record.header("ce_subject").unwrap()).collect();
    assert_eq!(subjects, ["person/2", "visit/here", "message/m-here", "person/1", "visit/gone"]);
    let erasures = records.iter().filter(|record| is_replayed(record) && record.header("ce_erasure").is_some());
    assert_eq!(erasures.count(), 2, "an erasure itself is told again");
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn dead_letters_are_published_once_they_can_be_understood() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let strict = "[relay]\nexpired_after = \"1h\"\njson_depth_max = 6\nretry_max = \"1s\"\n";
    let home = Home::new(kafka.bootstrap(), &topics, strict);
    let bridge = home.start();
    let deep = json!([[[[[[[1]]]]]]]);
    let deep = [1, 2].map(|id| person(&bridge, id, "AddPerson", &json!({ "Deep": deep.clone() })));
    let old = json!({"created": "2026-01-01T00:00:00Z"});
    let expired = waitwhile(&bridge, "visit.updated", &old, &json!({"id": "v", "customerId": "c", "state": "WAITING"}));
    waitwhile(&bridge, "visit.exploded", &json!({}), &json!({"id": "v"}));
    settled(&bridge);
    let told = replayed(&home, &["--dead-letters", "--reason", "too_deep"]);
    assert_eq!(json!([told["published"], told["dead"]]), json!([0, {"too_deep": 2}]));
    assert_eq!(bridge.terminate(), 0);

    edit(&home, "json_depth_max = 6", "json_depth_max = 60");
    let bridge = home.start();
    let mut reader = Reader::new(kafka.bootstrap(), &[&topics.person]);
    let told = replayed(&home, &["--dead-letters", "--reason", "too_deep"]);
    assert_eq!(json!([told["published"], told["total"], told["dead"]]), json!([2, 2, {}]));
    let records = reader.read_to_end();
    assert_eq!(accept_ids(&records), deep);
    assert_eq!((records[0].header("ce_auth"), is_replayed(&records[0])), (Some("token"), true));

    let told = replayed(&home, &["--dead-letters", "--endpoint", "waitwhile"]);
    assert_eq!(json!([told["published"], told["unwanted"], told["dead"]]), json!([1, 2, {"unknown_type": 1}]));
    let records = reader.read_to_end();
    assert_eq!((accept_ids(&records), records[0].header("ce_auth")), (vec![expired.as_str()], Some("hmac")));
    assert_eq!(replayed(&home, &["--dead-letters", "--to", "1h"])["published"], 0);
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn what_an_endpoint_had_accepted_before_it_left_is_published_once_it_is_back() {
    let kafka = kafka::shared();
    let topics = Topics { person: unique("later"), ..kafka.new_topics(1) };
    let home = Home::new(kafka.bootstrap(), &topics, "[privacy]\ndead_letter_bodies = true\n");
    let mut bridge = home.start();
    let accepted = person(&bridge, 1, "AddPerson", &json!({}));
    bridge.wait_until("it waits for the topic", WITHIN, |bridge| bridge.said().contains("unknown_topic"));
    edit(&home, "name = \"sunshine\"", "name = \"moonshine\"");
    hang_up(&mut bridge);
    kafka.create_topic(&topics.person, 1, &[]);
    settled(&bridge);
    edit(&home, "name = \"moonshine\"", "name = \"sunshine\"");
    hang_up(&mut bridge);
    assert_eq!(replayed(&home, &["--dead-letters", "--reason", "endpoint_unknown"])["published"], 1);
    let records = Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end();
    assert_eq!(accept_ids(&records), [accepted]);
    assert_eq!(bridge.terminate(), 0);

    edit(&home, "dead_letter_bodies = true", "dead_letter_bodies = false");
    let bridge = home.start();
    waitwhile(&bridge, "visit.exploded", &json!({}), &json!({"id": "v"}));
    settled(&bridge);
    let told = replayed(&home, &["--dead-letters", "--reason", "unknown_type"]);
    assert_eq!(json!([told["published"], told["without_body"], told["total"]]), json!([0, 1, 1]));
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn what_cannot_be_done_is_said_with_its_exit_code_and_one_is_done_at_a_time() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    for (arguments, expected, text) in [
        (&["--from", "1h"][..], 1, "no service answers"),
        (&[], 2, "--from"),
        (&["--from", "yesterday"], 2, "how long ago"),
        (&["--from", "1h", "--to", "2h"], 2, "--from must be before --to"),
        (&["--from", "1h", "--endpoint", "nobody"], 2, "no such endpoint"),
        (&["--from", "1h", "--reason", "expired"], 2, "--dead-letters"),
        (&["--dead-letters", "--reason", "odd"], 2, "endpoint_unknown"),
        (&["--from", "1h", "--rate", "0"], 2, "--rate"),
        (&["--resume", "0", "--dry-run"], 2, "--resume"),
    ] {
        let (code, out, err) = replay(&home, arguments);
        assert_eq!((code, out.as_str()), (expected, ""), "{arguments:?}: {err}");
        assert!(err.contains(text), "{arguments:?}: {err}");
    }
    let bridge = home.start();
    let socket = home.path("journal").join("control.sock");
    let kind = fs::metadata(&socket).unwrap();
    assert!(kind.file_type().is_socket() && kind.permissions().mode() & 0o777 == 0o600, "{kind:?}");
    bridge.kill();
    let mut bridge = home.start();
    let (code, _, err) = replay(&home, &["--resume", "019aafe2-7a10-7cc3-98c4-dc0c0c07398f"]);
    assert!(code == 1 && err.contains("there is no replay"), "{code} {err}");

    (1..=10).for_each(|id| drop(person(&bridge, id, "AddPerson", &json!({}))));
    settled(&bridge);
    let mut reader = Reader::new(kafka.bootstrap(), &[&topics.person]);
    assert_eq!(reader.read_to_end().len(), 10);
    let log = home.path("replay.log");
    let mut slow = Process::start(&command(&home, &["--from", "1h", "--rate", "1"]), &log);
    let first = reader.read_until(1, WITHIN);
    let (code, _, err) = replay(&home, &["--from", "1h"]);
    let id = begun(&log).unwrap();
    assert!(code == 1 && err.contains(&format!("the replay {id} is at work")), "{code} {err}");
    slow.signal("INT");
    assert_eq!(slow.wait(WITHIN), 1, "{}", slow.log_tail());
    assert!(slow.log_tail().contains(&format!("--resume {id}")), "{}", slow.log_tail());

    let told = replayed(&home, &["--resume", &id, "--rate", "1000"]);
    assert_eq!(told["ended"], "whole");
    let all: Vec<Record> = first.into_iter().chain(reader.read_to_end()).collect();
    assert_eq!(all.iter().map(|record| record.header("ce_subject").unwrap()).collect::<HashSet<_>>().len(), 10);
    assert_eq!(all.len(), 10, "nothing twice");
    assert_eq!(replayed(&home, &["--resume", &id])["published"], 0, "there is nothing left of it");
    bridge.signal("TERM");
    assert_eq!(bridge.wait(WITHIN), 0);
    assert!(!socket.exists(), "the socket goes with its service");
}

/// The id that a command has printed, if it has begun.
fn begun(log: &Path) -> Option<String> {
    let said = fs::read_to_string(log).unwrap_or_default();
    said.lines().find_map(|line| line.strip_prefix("replay ").map(str::to_owned))
}
