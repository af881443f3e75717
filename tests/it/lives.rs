//! How a process starts and ends: locks, owners, signals, settings.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::bridge::{Home, TOKEN, server};
use crate::http::{Connection, once, request};
use crate::kafka::{self, Kafka};
use crate::reader::Reader;

const WITHIN: Duration = Duration::from_secs(60);
const BODY: &[u8] = br#"{"type":"AddPerson","data":{"PersonId":1,"Fields":{"Serial":"1"},"Waitlists":[]}}"#;
static SERIAL: AtomicU64 = AtomicU64::new(2);

/// Each time another body: no repeat.
fn accept(address: std::net::SocketAddr) -> String {
    let body = String::from_utf8_lossy(BODY).replace("\"1\"", &format!("\"{}\"", SERIAL.fetch_add(1, Ordering::Relaxed)));
    let answer = once(address, &request("POST", &format!("/webhooks/sunshine/{TOKEN}"), &[], body.as_bytes()));
    assert_eq!(answer.status, 200);
    answer.accept_id()
}

#[test]
fn a_broken_settings_file_ends_with_2_and_lists_every_mistake() {
    let topics = kafka::shared().new_topics(1);
    let home = Home::new("x:1", &topics, &server("lisetn = \"1\"\nbody_timeout = \"10\"\nconnections_max = 0"));
    let (code, said) = home.try_start().err().expect("it does not start");
    assert_eq!(code, 2);
    for wrong in ["server.lisetn", "did you mean listen?", "server.body_timeout", "server.connections_max", "waitbridge.toml"] {
        assert!(said.contains(wrong), "{wrong} in\n{said}");
    }
}

#[test]
fn a_journal_in_use_ends_with_4_and_names_the_process() {
    let kafka = kafka::shared();
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(1), "");
    let first = home.start();
    let (code, said) = home.try_start().err().expect("the second does not start");
    assert_eq!(code, 4, "{said}");
    assert!(said.contains(&first.pid().to_string()), "{said}");
}

#[test]
fn of_two_copies_of_a_journal_one_ends_with_4_and_does_not_start_again() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let original = Home::new(kafka.bootstrap(), &topics, "");
    let first = original.start();
    accept(first.public);
    first.wait_until("delivered", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
    assert_eq!(first.terminate(), 0);

    let copy = Home::new(kafka.bootstrap(), &topics, "");
    copy_folder(&original.path("journal"), &copy.path("journal"));
    let mut first = original.start();
    accept(first.public);
    first.wait_until("the first publishes", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
    let second = copy.start();
    accept(second.public);
    second.wait_until("the second publishes", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
    let kept = accept(first.public);
    assert_eq!(first.wait(WITHIN), 4, "{}", first.said());
    let (code, said) = original.try_start().err().expect("a marked folder is not opened");
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("journal drain"), "{said}");
    let read = Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end();
    assert_eq!(read.len(), 3, "what the two published before: nothing twice");

    for _ in 0..2 {
        let (code, said) = drain(&original, &original.path("journal"));
        assert_eq!(code, 0, "{said}");
        let read = Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end();
        assert_eq!(read.len(), 4, "what only the loser had comes out, once");
        assert_eq!(read.last().unwrap().header("ce_acceptid"), Some(kept.as_str()));
    }
    let (code, said) = drain(&original, &copy.path("journal"));
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("in use by process"), "{said}");
}

fn drain(home: &Home, dir: &Path) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waitbridge"));
    let output = command.args(["journal", "drain", "--dir"]).arg(dir).arg("--config").arg(home.path("waitbridge.toml")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

#[test]
fn sigterm_answers_what_is_in_flight_and_ends_with_0() {
    let kafka = kafka::shared();
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(1), &server("drain_deadline = \"60s\""));
    let mut bridge = home.start();
    let idle = Connection::open(bridge.public).unwrap();
    let mut slow = Connection::open(bridge.public).unwrap();
    let whole = request("POST", &format!("/webhooks/sunshine/{TOKEN}"), &[], BODY);
    let (head, tail) = whole.split_at(whole.len() - 10);
    slow.send(head).unwrap();
    bridge.wait_until("the first bytes are in", WITHIN, |bridge| bridge.metric("waitbridge_deliveries_in_flight") == 1.0);
    bridge.signal("TERM");
    bridge.wait_until("the listener is closed", WITHIN, |bridge| Connection::open(bridge.public).is_err());
    slow.send(tail).unwrap();
    let answer = slow.answer().unwrap();
    assert_eq!(answer.status, 200);
    let ended = Instant::now();
    assert_eq!(bridge.wait(2 * WITHIN), 0);
    assert!(ended.elapsed() < Duration::from_secs(40), "an idle connection does not hold it up");
    drop(idle);
    assert!(bridge.said().contains("undelivered_records"), "what is left is named");
}

#[test]
fn a_kept_alive_connection_is_told_that_the_server_goes_and_a_hangup_ends_nothing() {
    let kafka = kafka::shared();
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(1), &server("drain_deadline = \"30s\""));
    let mut bridge = home.start();
    let mut kept = Connection::open(bridge.public).unwrap();
    let path = format!("/webhooks/sunshine/{TOKEN}");
    assert_eq!(kept.post(&path, &[], BODY).unwrap().status, 200);
    bridge.signal("HUP");
    bridge.wait_until("it reloads", WITHIN, |bridge| bridge.said().contains("read again"));
    assert_eq!(kept.post(&path, &[], BODY).unwrap().status, 200);
    bridge.signal("TERM");
    bridge.wait_until("it drains", WITHIN, |bridge| bridge.metric("waitbridge_draining") == 1.0);
    // What came in before the listener closed still gets its 200. Whichever answer is the last one says so.
    let last = std::iter::repeat_with(|| kept.post(&path, &[], BODY).unwrap()).find(|answer| answer.header("connection") == Some("close"));
    let last = last.unwrap();
    match last.status {
        200 => assert_eq!(last.code(), "accepted"),
        status => assert_eq!((status, last.code().as_str(), last.header("retry-after")), (503, "draining", Some("10"))),
    }
    assert!(kept.is_closed());
    assert_eq!(bridge.wait(2 * WITHIN), 0);
}

#[test]
fn sigterm_with_kafka_away_ends_with_0_within_its_deadline_and_names_what_is_left() {
    let mut kafka = Kafka::start(&[]);
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, &server("drain_deadline = \"3s\""));
    let bridge = home.start();
    accept(bridge.public);
    bridge.wait_until("delivered", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
    kafka.stop();
    let kept = accept(bridge.public);
    let before = Instant::now();
    assert_eq!(bridge.terminate(), 0);
    assert!(before.elapsed() < Duration::from_secs(20), "{:?}", before.elapsed());

    kafka.start_again();
    let again = home.start();
    let read = Reader::new(kafka.bootstrap(), &[&topics.person]).read_until(2, WITHIN);
    assert_eq!(read[1].header("ce_acceptid"), Some(kept.as_str()));
    assert_eq!(again.terminate(), 0);
}

#[test]
fn a_topic_that_is_missing_is_named_and_heals_without_a_restart() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    kafka.delete_topic(&topics.person);
    let bridge = Home::new(kafka.bootstrap(), &topics, "").start();
    accept(bridge.public);
    let series = format!("waitbridge_relay_blocked{{reason=\"unknown_topic\",topic=\"{}\"}}", topics.person);
    bridge.wait_until("it is named", WITHIN, |bridge| {
        let metrics = once(bridge.admin, &request("GET", "/metrics", &[], b""));
        String::from_utf8(metrics.body).unwrap().contains(&series)
    });
    let ready = once(bridge.admin, &request("GET", "/readyz", &[], b""));
    assert_eq!(ready.status, 200, "Kafka's state is not in the status");
    assert!(String::from_utf8(ready.body).unwrap().contains("unknown_topic"));
    kafka.create_topic(&topics.person, 1, &[]);
    let read = Reader::new(kafka.bootstrap(), &[&topics.person]).read_until(1, WITHIN);
    assert_eq!(read.len(), 1);
}

#[test]
fn send_delivers_signed_and_a_wrong_secret_is_refused() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let bridge = home.start();
    fs::write(home.path("wrong"), "wrong").unwrap();
    let url = format!("http://{}/webhooks/waitwhile", bridge.public);
    let token_url = format!("http://{}/webhooks/sunshine/{TOKEN}", bridge.public);
    let send = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_waitbridge")).arg("send").args(arguments).output().unwrap();
    let refused = send(&["--url", &url, "--secret-file", home.path("wrong").to_str().unwrap(), "--sample", "waitwhile/visit.created"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("signature_mismatch"));
    let sent = send(&["--url", &token_url, "--sample", "waitlistplus/AddPerson", "--count", "20", "--rate", "200"]);
    assert_eq!(sent.status.code(), Some(0), "{}", String::from_utf8_lossy(&sent.stderr));
    assert_eq!(Reader::new(kafka.bootstrap(), &[&topics.person]).read_until(20, WITHIN).len(), 20);
}

#[test]
fn a_new_token_comes_with_its_hash_and_its_url() {
    let made = || {
        let output = Command::new(env!("CARGO_BIN_EXE_waitbridge")).args(["token", "--endpoint", "sunshine"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<String>>()
    };
    let said = made();
    let [_, token, _, url, _, hash] = said.as_slice() else { panic!("{said:?}") };
    assert!(url.ends_with(&format!("/webhooks/sunshine/{token}")), "{url}");
    assert_eq!(hash, &Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    assert_ne!(token, &made()[1]);
}

pub fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
