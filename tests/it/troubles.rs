//! What breaks such a design, on real parts: a cluster replaced, a quiet week, a record too large for its topic, a
//! damaged journal. The answer to each stands in the first line of its test.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use crate::bridge::{Bridge, Home, TOKEN};
use crate::http::{once, request};
use crate::kafka::{self, Kafka, Properties};
use crate::reader::{Reader, Record};

const WITHIN: Duration = Duration::from_secs(60);

fn accept(bridge: &Bridge, person: u64, padding: usize) -> String {
    let padding = "x".repeat(padding);
    let body = format!(r#"{{"type":"UpdatePerson","data":{{"PersonId":{person},"Fields":{{"a":"{padding}"}},"Waitlists":[]}}}}"#);
    let answer = once(bridge.public, &request("POST", &format!("/webhooks/sunshine/{TOKEN}"), &[], body.as_bytes()));
    assert_eq!(answer.status, 200);
    answer.accept_id()
}

fn delivered(bridge: &Bridge) {
    bridge.wait_until("everything is delivered", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
}

fn accept_ids(records: &[Record]) -> Vec<&str> {
    records.iter().filter_map(|record| record.header("ce_acceptid").or_else(|| record.header("wb_acceptid"))).collect()
}

/// The local mark says how far the old cluster had it, and the new one is written from there.
#[test]
fn a_cluster_that_was_replaced_gets_what_the_old_one_did_not_have() {
    let first = Kafka::start(&[]);
    let topics = first.new_topics(1);
    let home = Home::new(first.bootstrap(), &topics, "");
    let bridge = home.start();
    accept(&bridge, 1, 10);
    delivered(&bridge);
    assert_eq!(bridge.terminate(), 0);
    let old = first.bootstrap().to_owned();
    drop(first);

    let second = kafka::shared();
    for (topic, partitions) in [(&topics.person, 1), (&topics.location, 1), (&topics.dead_letter, 1), (&topics.checkpoint, 1)] {
        second.create_topic(topic, partitions, &[]);
    }
    let settings = home.path("waitbridge.toml");
    fs::write(&settings, fs::read_to_string(&settings).unwrap().replace(&old, second.bootstrap())).unwrap();
    let bridge = home.start();
    let kept = accept(&bridge, 2, 10);
    delivered(&bridge);
    let read = Reader::new(second.bootstrap(), &[&topics.person]).read_to_end();
    assert_eq!(accept_ids(&read), [kept.as_str()], "what the old cluster has is not sent again");
    assert_eq!(bridge.metric("waitbridge_checkpoint_missing_total"), 1.0);
    assert_eq!(bridge.terminate(), 0);
}

/// Measured before; where the topic takes less than we know, the record that it refuses becomes a dead letter.
#[test]
fn a_record_too_large_for_its_topic_holds_up_nobody() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    kafka.delete_topic(&topics.person);
    kafka.create_topic(&topics.person, 1, &[("max.message.bytes", "20000")]);
    let bridge = Home::new(kafka.bootstrap(), &topics, "").start();
    let before = accept(&bridge, 1, 10);
    let too_large = accept(&bridge, 2, 50_000);
    let after = accept(&bridge, 3, 10);
    delivered(&bridge);
    let events = Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end();
    assert_eq!(accept_ids(&events), [before.as_str(), after.as_str()]);
    let letters = Reader::new(kafka.bootstrap(), &[&topics.dead_letter]).read_to_end();
    assert_eq!(accept_ids(&letters), [too_large.as_str()]);
    assert_eq!((letters[0].header("wb_reason"), &letters[0].value), (Some("too_large"), &None));
    assert_eq!(bridge.metric(r#"waitbridge_dead_letters_total{reason="too_large",vendor="waitlistplus"}"#), 1.0);
    assert_eq!(bridge.terminate(), 0);
}

/// A quiet week within a minute and a half: the least that Kafka can be set to.
pub const EVERYTHING_EXPIRES: Properties = &[
    ("transactional.id.expiration.ms", "1000"),
    ("transaction.remove.expired.transaction.cleanup.interval.ms", "500"),
    ("producer.id.expiration.ms", "1000"),
    ("producer.id.expiration.check.interval.ms", "500"),
    ("offsets.retention.minutes", "1"),
    ("offsets.retention.check.interval.ms", "500"),
];

/// An expiry is a rebuild, and where the checkpoint is gone the mark says how far Kafka has it.
#[test]
fn a_quiet_week_in_which_everything_expires_ends_with_one_event_each() {
    let kafka = Kafka::start(EVERYTHING_EXPIRES);
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let bridge = home.start();
    let before = accept(&bridge, 1, 10);
    delivered(&bridge);
    let group = format!("waitbridge-{}", fs::read_to_string(home.path("journal/id")).unwrap().trim());
    kafka.wait_until_offsets_expire(&topics.checkpoint, &group);
    let after = accept(&bridge, 2, 10);
    let read = Reader::new(kafka.bootstrap(), &[&topics.person]).read_until(2, WITHIN);
    assert_eq!(accept_ids(&read), [before.as_str(), after.as_str()]);
    delivered(&bridge);
    assert_eq!(Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end().len(), 2);
    assert_eq!(bridge.terminate(), 0);
}

/// The record is quarantined, counted and named; the rest goes on.
#[test]
fn a_flipped_bit_in_the_journal_costs_one_record_only() {
    let mut kafka = Kafka::start(&[]);
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    kafka.stop();
    let bridge = home.start();
    let accepted: Vec<String> = (1..=5).map(|person| accept(&bridge, person, 1000)).collect();
    bridge.kill();
    flip_a_bit_of(&home.path("journal"), accepted[2].as_bytes());
    kafka.start_again();
    let bridge = home.start();
    delivered(&bridge);
    let read = Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end();
    assert_eq!(accept_ids(&read), [&accepted[0], &accepted[1], &accepted[3], &accepted[4]].map(String::as_str));
    assert_eq!(bridge.metric("waitbridge_journal_damaged_records_total"), 1.0);
    assert_eq!(bridge.terminate(), 0);
}

/// In the record with this accept id, which stands there as 16 bytes.
pub fn flip_a_bit_of(journal: &Path, accept_id: &[u8]) {
    let accept_id = uuid::Uuid::parse_str(std::str::from_utf8(accept_id).unwrap()).unwrap();
    let segments = fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path());
    for segment in segments.filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
        let mut file = fs::File::options().read(true).write(true).open(&segment).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        if let Some(at) = bytes.windows(16).position(|window| window == accept_id.as_bytes()) {
            file.seek(SeekFrom::Start(at as u64 + 500)).unwrap();
            file.write_all(&[bytes[at + 500] ^ 1]).unwrap();
            return;
        }
    }
    panic!("the record is in no segment");
}
