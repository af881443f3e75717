//! SIGTERM at random moments under load, with idle connections, slow bodies, and Kafka away every second time.

use std::time::{Duration, Instant};

use super::{NOWHERE, Rounds, count, holds, set_brokers, tell};
use crate::bridge::{Bridge, Home, TOKEN, server};
use crate::http::{Connection, request};
use crate::kafka;
use crate::kills::{DRAIN_WITHIN, PAUSE, SENDERS, scatter, undelivered_is_zero, wait_for_more};
use crate::load::Load;

const ROUNDS: u64 = 4;
const DEADLINE: Duration = Duration::from_secs(3);
/// What a process takes to end beside its drain, on a machine with much else to do.
const MARGIN: Duration = Duration::from_secs(5);

#[test]
fn a_process_told_to_end_drains_within_its_deadline_and_cuts_off_no_accepted_delivery() {
    let rounds = Rounds::or(ROUNDS);
    let kafka = kafka::shared();
    let topics = kafka.new_topics(3);
    let home = Home::new(kafka.bootstrap(), &topics, &server("drain_deadline = \"3s\""));
    let load = Load::start(SENDERS, PAUSE);
    let mut longest = Duration::ZERO;
    for round in 0..rounds.count {
        let chance = scatter(rounds.seed ^ round);
        set_brokers(&home, if round.is_multiple_of(2) { NOWHERE } else { kafka.bootstrap() });
        let bridge = home.start();
        load.aim(Some(bridge.public));
        let (_idle, _slow) = (Connection::open(bridge.public).unwrap(), slow_bodies(&bridge));
        std::thread::sleep(Duration::from_millis(chance % 1500));
        longest = longest.max(terminate(bridge));
    }
    set_brokers(&home, kafka.bootstrap());
    let bridge = home.start();
    load.aim(Some(bridge.public));
    wait_for_more(&load, 100);
    let accepted = load.finish();
    undelivered_is_zero(&bridge);
    let (verdict, read) = count(kafka.bootstrap(), &topics.person, &accepted, DRAIN_WITHIN);
    tell(&format!("SIGTERM, the longest end took {:.1} s", longest.as_secs_f32()), &rounds, &verdict);
    holds(&verdict);
    // An event whose accept id nobody was told would be a delivery that was accepted and then cut off.
    assert_eq!(read.len(), verdict.accepted, "each event that is there was answered");
    assert_eq!(bridge.terminate(), 0);
}

/// Half of a request each: nothing of it is accepted.
fn slow_bodies(bridge: &Bridge) -> Vec<Connection> {
    let whole = request("POST", &format!("/webhooks/sunshine/{TOKEN}"), &[], br#"{"type":"AddPerson","data":{"PersonId":1}}"#);
    let mut connections: Vec<Connection> = (0..3).map(|_| Connection::open(bridge.public).unwrap()).collect();
    connections.iter_mut().for_each(|connection| connection.send(&whole[..whole.len() - 10]).unwrap());
    connections
}

fn terminate(bridge: Bridge) -> Duration {
    let from = Instant::now();
    assert_eq!(bridge.terminate(), 0);
    let took = from.elapsed();
    assert!(took < DEADLINE + MARGIN, "{took:?}");
    took
}
