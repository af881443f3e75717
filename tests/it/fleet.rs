//! The Kafka journal: replicas without a disk, on a real Kafka. What breaks it stands in `breaks`.

mod again;
mod breaks;
pub mod commands;

use std::time::{Duration, Instant};

use crate::bridge::TOKEN;
use crate::http::{Connection, once, request};
use crate::kafka::{self, Kafka};
use crate::kills::{self, COMMITTED, PAUSE, SENDERS, SMALL_BATCHES, scatter, seed, wait_for_more};
use crate::load::{Accepted, Load, ReadEvent, Verdict, judge};
use crate::reader::Reader;
use crate::replicas::{FLOWING, Replicas};

/// Kills of the bounded share that the gate runs; more by `WAITBRIDGE_KILL_ROUNDS`.
const ROUNDS: u64 = 6;
const REPLICAS: usize = 3;

#[test]
fn one_replica_delivers_what_it_answered_and_stops_in_good_order() {
    let kafka = kafka::shared();
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), 1, 6, "");
    fleet.start(0);
    let mut reader = Reader::new(kafka.bootstrap(), &[&fleet.topics.person]);
    let mut connection = Connection::open(fleet.get(0).public).unwrap();
    let body = br#"{"type":"AddPerson","data":{"PersonId":7,"Fields":{"First Name":"Ada"},"Waitlists":[]}}"#;
    let answer = connection.post(&format!("/webhooks/sunshine/{TOKEN}"), &[], body).unwrap();
    assert_eq!(answer.status, 200);
    let read = reader.read_until(1, FLOWING);
    assert_eq!(read[0].header("ce_acceptid"), Some(answer.accept_id().as_str()));
    fleet.get(0).wait_until("nothing is left", FLOWING, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
    let status = once(fleet.get(0).admin, &request("GET", "/status", &[], b""));
    let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
    assert_eq!((status["ready"].as_bool(), status["journal"]["kind"].as_str()), (Some(true), Some("kafka")), "{status}");
    assert_eq!(fleet.terminate(0), 0);
}

#[test]
fn replicas_killed_at_any_moment_lose_nothing_double_nothing_and_keep_the_order() {
    let kafka = kafka::shared();
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), REPLICAS, 6, SMALL_BATCHES);
    fleet.start_all();
    let (load, seed) = (Load::start(SENDERS, 4 * PAUSE), seed());
    load.aim(Some(fleet.balancer.address));
    for round in 0..rounds() {
        wait_for_more(&load, 50);
        let chance = scatter(seed ^ round);
        std::thread::sleep(Duration::from_millis(chance / 4 % 2000));
        let victim = (chance % REPLICAS as u64) as usize;
        fleet.kill(victim);
        fleet.start(victim);
    }
    wait_for_more(&load, 100);
    let accepted = load.finish();
    let verdict = judge(&accepted, &read_all(kafka, &fleet, &accepted));
    eprintln!("replicas killed: seed {seed}, {} kills: {verdict:?}", rounds());
    assert_eq!(verdict, Verdict { accepted: verdict.accepted, read: verdict.read, ..Verdict::default() });
    (0..REPLICAS).for_each(|replica| assert_eq!(fleet.terminate(replica), 0));
}

/// One after the other, each told to the balancer first: as a rollout does it.
#[test]
fn a_rolling_restart_under_load_refuses_nothing() {
    let kafka = kafka::shared();
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), REPLICAS, 6, "");
    (0..REPLICAS).for_each(|replica| fleet.home(replica).set("drain_settle = \"0s\"", "drain_settle = \"5s\""));
    fleet.start_all();
    let load = Load::start(SENDERS, 4 * PAUSE);
    load.aim(Some(fleet.balancer.address));
    for replica in 0..REPLICAS {
        wait_for_more(&load, 50);
        assert_eq!(fleet.terminate(replica), 0);
        fleet.start(replica);
    }
    wait_for_more(&load, 50);
    let refused = load.refused();
    let accepted = load.finish();
    let verdict = judge(&accepted, &read_all(kafka, &fleet, &accepted));
    eprintln!("rolling restart: {verdict:?}");
    assert_eq!(refused, Vec::<String>::new());
    assert_eq!(verdict, Verdict { accepted: verdict.accepted, read: verdict.read, ..Verdict::default() });
}

/// Taken for dead while it lives: what it then tries to commit is refused, and it comes back as a member.
#[test]
fn a_replica_that_stands_still_longer_than_its_session_doubles_nothing() {
    let kafka = kafka::shared();
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), 2, 4, SMALL_BATCHES);
    fleet.start_all();
    let load = Load::start(SENDERS, 4 * PAUSE);
    load.aim(Some(fleet.balancer.address));
    for replica in [0, 1] {
        wait_for_more(&load, 200);
        fleet.freeze(replica);
        let other = fleet.get(1 - replica);
        // Longer than the session's six seconds and the transaction's ten.
        let (frozen, before) = (Instant::now(), other.metric(COMMITTED));
        other.wait_until("the other one has its partitions", FLOWING, |bridge| {
            frozen.elapsed() > Duration::from_secs(20) && bridge.metric(COMMITTED) > before
        });
        fleet.thaw(replica);
    }
    wait_for_more(&load, 100);
    let accepted = load.finish();
    let verdict = judge(&accepted, &read_all(kafka, &fleet, &accepted));
    eprintln!("replicas standing still: {verdict:?}");
    // What got no 200 may be taken when its replica goes on: of that no order is promised.
    let Verdict { accepted, read, overtaken, .. } = verdict;
    assert_eq!(verdict, Verdict { accepted, read, overtaken, ..Verdict::default() });
}

fn read_all(kafka: &Kafka, fleet: &Replicas, accepted: &Accepted) -> Vec<ReadEvent> {
    kills::read_all(kafka, &fleet.topics.person, accepted, || fleet.undelivered() == 0.0)
}

fn rounds() -> u64 {
    std::env::var("WAITBRIDGE_KILL_ROUNDS").ok().map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}
