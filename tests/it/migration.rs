//! From one disk to a fleet and back, as docs/migration.md tells it, on the real program and a real Kafka: what was answered 200 by
//! either is published once.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::bridge::{Bridge, Home, PUBLIC_URL, SECRET, TOKEN};
use crate::fleet::commands::json;
use crate::http::{once, request};
use crate::kafka::{self, Kafka};
use crate::kills::{PAUSE, SENDERS, SMALL_BATCHES, read_all, wait_for_more};
use crate::load::{Load, Verdict, judge};
use crate::reader::Reader;
use crate::replicas::{FLOWING, Replicas};

const UNDELIVERED: &str = "waitbridge_journal_undelivered_records";

fn run(home: &Home, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waitbridge"));
    let output = command.args(arguments).arg("--config").arg(home.path("waitbridge.toml")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

/// Empties the folder of `disk` by the settings of `home`.
fn drain(home: &Home, disk: &Home) -> (i32, String) {
    run(home, &["journal", "drain", "--dir", disk.path("journal").to_str().unwrap()])
}

fn accept(bridge: &Bridge, person: u64) -> String {
    let body = format!(r#"{{"type":"UpdatePerson","data":{{"PersonId":{person},"Fields":{{"a":"b"}},"Waitlists":[]}}}}"#);
    let answer = once(bridge.public, &request("POST", &format!("/webhooks/sunshine/{TOKEN}"), &[], body.as_bytes()));
    assert_eq!(answer.status, 200);
    answer.accept_id()
}

/// What is published once. Order over the switch is kept only where the first had no backlog: not judged here.
fn check(kafka: &Kafka, topic: &str, load: Load) {
    let accepted = load.finish();
    let verdict = judge(&accepted, &read_all(kafka, topic, &accepted, || true));
    eprintln!("migration: {verdict:?}");
    assert_eq!((verdict.lost, verdict.doubled), (0, 0), "{verdict:?}");
    assert_ne!(verdict, Verdict::default());
}

#[test]
fn under_load_from_a_disk_to_a_fleet_and_back_all_that_was_answered_comes_out_once() {
    let kafka = kafka::shared();
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), 2, 4, SMALL_BATCHES);
    let old = Home::new(kafka.bootstrap(), &fleet.topics, SMALL_BATCHES);
    let disk = old.start();
    let load = Load::start(SENDERS, 4 * PAUSE);
    load.aim(Some(disk.public));
    wait_for_more(&load, 100);

    fleet.start_all();
    load.aim(Some(fleet.balancer.address));
    // Killed, so that connections end without an answer and some of what it answered is not published.
    disk.kill();
    let (code, said) = drain(fleet.home(0), &old);
    assert_eq!(code, 0, "{said}");
    wait_for_more(&load, 200);

    let new = Home::new(kafka.bootstrap(), &fleet.topics, SMALL_BATCHES);
    let disk = new.start();
    load.aim(Some(disk.public));
    for replica in [0, 1] {
        assert_eq!(fleet.terminate(replica), 0);
    }
    wait_for_more(&load, 100);
    // Nobody delivers to it any more: what the two have left in the raw topic, it publishes.
    fleet.start(1);
    let emptied = |_: &Bridge| json(fleet.home(1), &["journal", "stat"])["undelivered_records"] == 0;
    fleet.get(1).wait_until("the fleet has published all of it", FLOWING, emptied);
    assert_eq!(fleet.terminate(1), 0);
    wait_for_more(&load, 100);
    let topic = fleet.topics.person.clone();
    check(kafka, &topic, load);
    assert_eq!(disk.terminate(), 0);
}

#[test]
fn a_fleet_does_not_start_on_a_folder_with_undelivered_records_and_says_what_empties_it() {
    let mut kafka = Kafka::start(&[]);
    let bootstrap = kafka.bootstrap().to_owned();
    let mut fleet = Replicas::new(&kafka, &bootstrap, 1, 1, "");
    let topics = fleet.topics.clone();
    let disk = Home::new(&bootstrap, &topics, "");
    let bridge = disk.start();
    let mut accepted = vec![accept(&bridge, 1)];
    bridge.wait_until("the first is published", FLOWING, |bridge| bridge.metric(UNDELIVERED) == 0.0);
    assert_eq!(drain(&disk, &disk).0, 4, "while a process uses it");
    kafka.stop();
    accepted.extend((2..5).map(|person| accept(&bridge, person)));
    bridge.kill();
    kafka.start_again();

    // The fleet's settings, on the folder that the disk journal had.
    let (own, folder) = (fleet.home(0).path("journal"), disk.path("journal"));
    fleet.home(0).set(own.to_str().unwrap(), folder.to_str().unwrap());
    let (code, said) = fleet.home(0).try_start().err().expect("it is refused");
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("holds 3 deliveries that Kafka does not have") && said.contains("journal drain --dir"), "{said}");
    let (code, said) = run(fleet.home(0), &["doctor"]);
    assert_eq!((code, said.contains("holds 3 records that Kafka does not have")), (3, true), "{said}");
    // The checkpoint counts, also where the local mark is lost.
    fs::remove_file(folder.join("mark")).unwrap();
    for records in ["3 records", "0 records"] {
        let (code, said) = drain(fleet.home(0), &disk);
        assert_eq!((code, said.contains(records)), (0, true), "{said}");
    }
    fleet.start(0);
    accepted.push(accept(fleet.get(0), 5));
    let mut reader = Reader::new(&bootstrap, &[&topics.person]);
    let mut read = reader.read_until(accepted.len(), Duration::from_secs(60));
    read.extend(reader.read_to_end());
    let mut read: Vec<String> = read.iter().filter_map(|record| record.header("ce_acceptid").map(str::to_owned)).collect();
    // Accept ids sort by time; the persons are on several partitions.
    read.sort();
    assert_eq!(read, accepted);
    assert_eq!(fleet.terminate(0), 0);
}

/// A vendor sends again only what had no answer. Where that falls on the switch, the new journal does not know what the old one has.
#[test]
fn a_vendors_retry_across_the_switch_comes_again_and_is_told_by_its_event_id() {
    let kafka = kafka::shared();
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), 1, 1, "");
    let disk = Home::new(kafka.bootstrap(), &fleet.topics, "").start();
    let body = br#"{"id":"e1","created":"2026-11-24T08:00:00.000Z","type":"visit.updated","accountId":"a",
        "data":{"id":"v1","customerId":"c1","state":"WAITING","updated":"2026-11-24T08:00:00.000Z"}}"#;
    let signature = waitbridge::providers::waitwhile::signature(SECRET.as_bytes(), PUBLIC_URL, body);
    let headers = [(waitbridge::providers::waitwhile::SIGNATURE_HEADER, signature.as_str())];
    let deliver = |bridge: &Bridge| once(bridge.public, &request("POST", "/webhooks/waitwhile", &headers, body)).status;
    assert_eq!([deliver(&disk), deliver(&disk)], [200, 200]);
    let mut reader = Reader::new(kafka.bootstrap(), &[&fleet.topics.person]);
    let mut read = reader.read_until(1, FLOWING);
    assert_eq!(disk.terminate(), 0);
    fleet.start(0);
    assert_eq!([deliver(fleet.get(0)), deliver(fleet.get(0))], [200, 200]);
    accept(fleet.get(0), 1);
    read.extend(reader.read_until(2, FLOWING));
    let mut told: BTreeMap<(Option<&str>, Option<&str>), usize> = BTreeMap::new();
    for record in read.iter().filter(|record| record.header("ce_vendor") == Some("waitwhile")) {
        *told.entry((record.header("ce_id"), record.header("ce_sequence"))).or_default() += 1;
    }
    assert_eq!(told.into_values().collect::<Vec<_>>(), [2], "once by each journal, with one id and one version");
    assert_eq!(fleet.terminate(0), 0);
}
