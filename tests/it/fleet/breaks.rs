//! What breaks a fleet, on real parts: a raw topic made anew or with too few copies, an endpoint that one replica does not know
//! yet, relays that stand still until retention would delete, wrong credentials, Kafka away. The answer stands in each name.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use uuid::Uuid;
use waitbridge::delivery::{Auth, Record};

use crate::bridge::{Bridge, TOKEN, server};
use crate::http::{Answer, Connection, once, request};
use crate::kafka::{self, Kafka, client};
use crate::reader::Reader;
use crate::replicas::{FLOWING, Replicas};

const LATE: &str = "[[endpoint]]\nname = \"late\"\nvendor = \"waitlistplus\"\ntenant = \"sunshine\"\ntoken_sha256 = \
    [\"28151a8c44694a7d7260bde2973509a5dc1f99579e9f817184d5af8a9b340b23\"]\n";

fn update(person: u64, value: &str) -> String {
    format!(r#"{{"type":"UpdatePerson","data":{{"PersonId":{person},"Fields":{{"a":"{value}"}},"Waitlists":[]}}}}"#)
}

fn post_to(endpoint: &str, body: &str) -> Vec<u8> {
    request("POST", &format!("/webhooks/{endpoint}/{TOKEN}"), &[], body.as_bytes())
}

fn post(bridge: &Bridge, endpoint: &str, person: u64) -> Answer {
    once(bridge.public, &post_to(endpoint, &update(person, "b")))
}

pub(super) fn accept(bridge: &Bridge, person: u64) -> String {
    let answer = post(bridge, "sunshine", person);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.accept_id()
}

/// As a replica would that died before it was published.
pub(super) fn append(kafka: &Kafka, raw_topic: &str, person: u64) -> String {
    let (accept_id, auth, body) = (Uuid::now_v7(), Auth::Token, update(person, "b"));
    let (vendor, tenant, endpoint) = ("waitlistplus", "sunshine", "sunshine");
    let record = Record { accept_id, auth, vendor, tenant, endpoint, traceparent: None, body: body.as_bytes() }.encode();
    send(kafka, raw_topic, &record);
    accept_id.to_string()
}

pub(super) fn send(kafka: &Kafka, raw_topic: &str, record: &[u8]) {
    let producer: BaseProducer = client(kafka.bootstrap()).create().unwrap();
    producer.send(BaseRecord::to(raw_topic).key("sunshine").payload(record)).map_err(|(error, _)| error).unwrap();
    producer.flush(FLOWING).unwrap();
}

fn ready(bridge: &Bridge) -> u16 {
    once(bridge.admin, &request("GET", "/readyz", &[], b"")).status
}

pub(super) fn delivered(bridge: &Bridge) {
    bridge.wait_until("everything is delivered", FLOWING, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
}

pub(super) fn one(extra: &str) -> (&'static Kafka, Replicas) {
    let kafka = kafka::shared();
    (kafka, Replicas::new(kafka, kafka.bootstrap(), 1, 1, extra))
}

fn accept_ids(kafka: &Kafka, topic: &str, count: usize) -> Vec<String> {
    let mut reader = Reader::new(kafka.bootstrap(), &[topic]);
    let mut read = reader.read_until(count, FLOWING);
    read.extend(reader.read_to_end());
    read.iter().filter_map(|record| record.header("ce_acceptid").map(str::to_owned)).collect()
}

#[test]
fn a_raw_topic_that_was_made_anew_is_published_from_its_start_also_beyond_the_checkpoint() {
    let (kafka, mut fleet) = one("");
    fleet.start(0);
    let mut accepted: Vec<String> = (0..5).map(|person| accept(fleet.get(0), person)).collect();
    delivered(fleet.get(0));
    assert_eq!(fleet.terminate(0), 0);
    kafka.delete_topic(&fleet.raw_topic);
    kafka.create_topic(&fleet.raw_topic, 1, &[]);
    accepted.extend((10..18).map(|person| append(kafka, &fleet.raw_topic, person)));
    fleet.start(0);
    let read = accept_ids(kafka, &fleet.topics.person, 13);
    assert_eq!((read.len(), BTreeSet::from_iter(read)), (13, BTreeSet::from_iter(accepted)));
    // A broker forgets the offsets of a topic that it deletes; where it did not yet, the record before the checkpoint tells.
    let told = ["waitbridge_journal_rollbacks_total", "waitbridge_checkpoint_missing_total"].map(|series| fleet.get(0).metric(series));
    assert_eq!(told.iter().sum::<f64>(), 1.0, "{told:?}");
    assert_eq!(fleet.terminate(0), 0);
}

#[test]
fn a_raw_topic_with_too_few_copies_is_never_answered_200() {
    let (_, mut fleet) = one("");
    fleet.home(0).set("unsafe_replication = true\n", "");
    fleet.start_unready(0);
    let bridge = fleet.get(0);
    bridge.wait_until("it says why", FLOWING, |bridge| bridge.said().contains("the raw topic is not safe"));
    let answer = post(bridge, "sunshine", 1);
    assert_eq!((answer.status, answer.code().as_str(), ready(bridge)), (503, "journal_unavailable", 503));
}

#[test]
fn an_event_of_an_endpoint_that_this_replica_does_not_know_yet_waits_for_its_settings() {
    let kafka = kafka::shared();
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), 2, 1, "");
    let late = fleet.home(1).path("waitbridge.toml");
    fs::write(&late, fs::read_to_string(&late).unwrap() + LATE).unwrap();
    // The one that starts first has the only partition.
    fleet.start(0);
    accept(fleet.get(0), 1);
    delivered(fleet.get(0));
    fleet.start(1);
    let answer = post(fleet.get(1), "late", 2);
    assert_eq!(answer.status, 200);
    fleet.get(0).wait_until("it waits", FLOWING, |bridge| bridge.said().contains("waits for its endpoint"));
    let settings = fleet.home(0).path("waitbridge.toml");
    fs::write(&settings, fs::read_to_string(&settings).unwrap() + LATE).unwrap();
    fleet.signal(0, "HUP");
    assert_eq!(accept_ids(kafka, &fleet.topics.person, 2)[1], answer.accept_id());
}

#[test]
fn an_event_of_an_endpoint_that_nobody_comes_to_know_is_a_dead_letter_in_the_end() {
    let kafka = kafka::shared();
    let relay = "[relay]\nexpired_after = \"0s\"\nendpoint_unknown_wait = \"2s\"\n";
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), 2, 1, relay);
    let late = fleet.home(1).path("waitbridge.toml");
    fs::write(&late, fs::read_to_string(&late).unwrap() + LATE).unwrap();
    fleet.start(0);
    accept(fleet.get(0), 1);
    delivered(fleet.get(0));
    fleet.start(1);
    assert_eq!(post(fleet.get(1), "late", 2).status, 200);
    let letters = Reader::new(kafka.bootstrap(), &[&fleet.topics.dead_letter]).read_until(1, FLOWING);
    assert_eq!(letters[0].header("wb_reason"), Some("endpoint_unknown"));
}

/// Retention would delete what was answered 200: nothing more is taken before that, and it heals by itself.
#[test]
fn relays_that_stand_still_until_retention_comes_near_refuse_what_they_could_lose() {
    let (kafka, mut fleet) = one("");
    kafka.delete_topic(&fleet.raw_topic);
    kafka.create_topic(&fleet.raw_topic, 1, &[("retention.ms", "20000")]);
    fleet.start(0);
    let first = accept(fleet.get(0), 1);
    delivered(fleet.get(0));
    kafka.delete_topic(&fleet.topics.person);
    let second = accept(fleet.get(0), 2);
    let bridge = fleet.get(0);
    bridge.wait_until("it is full", FLOWING, |bridge| bridge.metric("waitbridge_journal_writable") == 0.0);
    assert_eq!(post(bridge, "sunshine", 3).code(), "journal_full");
    assert_eq!(bridge.metric("waitbridge_journal_retention_used_ratio"), 1.0);
    kafka.create_topic(&fleet.topics.person, 1, &[]);
    bridge.wait_until("it takes again", FLOWING, |bridge| bridge.metric("waitbridge_journal_writable") == 1.0);
    let third = accept(bridge, 4);
    let read = accept_ids(kafka, &fleet.topics.person, 2);
    assert!(read == [second, third], "{read:?}, and {first} went with its topic");
}

/// Its sender no longer waits, and sent the next one elsewhere.
#[test]
fn a_delivery_given_up_while_its_replica_stood_still_is_taken_once_and_behind_what_came_later() {
    let kafka = kafka::shared();
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), 2, 1, "");
    fleet.start_all();
    let update = |value| post_to("sunshine", &update(1, value));
    let mut held = Connection::open(fleet.get(0).public).unwrap();
    held.send(&update("first")).unwrap();
    let first = held.answer().unwrap().accept_id();
    fleet.freeze(0);
    held.send(&update("given up")).unwrap();
    drop(held);
    let later = once(fleet.get(1).public, &update("later")).accept_id();
    fleet.thaw(0);
    let read = accept_ids(kafka, &fleet.topics.person, 3);
    assert_eq!((read.len(), &read[..2]), (3, &[first, later][..]));
}

#[test]
fn a_replica_that_never_reached_kafka_is_never_ready() {
    let security = "[kafka.properties]\n\"security.protocol\" = \"sasl_plaintext\"\n\"sasl.mechanism\" = \"PLAIN\"\n\
        \"sasl.username\" = \"u\"\n[kafka.property_files]\n\"sasl.password\" = \"PASSWORD\"\n";
    let (_, mut fleet) = one(security);
    let password = fleet.home(0).path("secret").display().to_string();
    fleet.home(0).set("PASSWORD", &password);
    fleet.start_unready(0);
    let bridge = fleet.get(0);
    bridge.wait_until("it says what it waits for", FLOWING, |bridge| bridge.said().contains("the journal waits for kafka"));
    assert_eq!((ready(bridge), post(bridge, "sunshine", 1).code().as_str()), (503, "journal_unavailable"));
}

#[test]
fn kafka_away_is_answered_503_and_the_replica_stays_ready_and_heals() {
    let mut kafka = Kafka::start(&[]);
    let bootstrap = kafka.bootstrap().to_owned();
    let mut fleet = Replicas::new(&kafka, &bootstrap, 1, 2, &server("accept_deadline = \"2s\"\n"));
    fleet.start(0);
    let mut accepted = vec![accept(fleet.get(0), 1)];
    delivered(fleet.get(0));
    kafka.stop();
    assert_eq!((post(fleet.get(0), "sunshine", 2).code().as_str(), ready(fleet.get(0))), ("deadline", 200));
    kafka.start_again();
    fleet.get(0).wait_until("it takes again", FLOWING, |bridge| {
        let answer = post(bridge, "sunshine", 3);
        if answer.status == 200 {
            accepted.push(answer.accept_id());
        }
        answer.status == 200
    });
    fleet
        .get(0)
        .wait_until("it is delivered", Duration::from_secs(120), |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
    let read = accept_ids(&kafka, &fleet.topics.person, accepted.len());
    assert!(accepted.iter().all(|accept_id| read.iter().filter(|read| *read == accept_id).count() == 1), "{accepted:?} {read:?}");
}
