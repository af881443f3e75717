//! One broker of three is killed under load, waitbridge is, or both at the same moment.

use std::time::Duration;

use super::{Rounds, count, holds, tell};
use crate::bridge::{Bridge, Home};
use crate::cluster::Cluster;
use crate::kills::{COMMITTED, DRAIN_WITHIN, PAUSE, SENDERS, SMALL_BATCHES, scatter, undelivered_is_zero, wait_for_more};
use crate::load::Load;

const ROUNDS: u64 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    Broker,
    BrokerAndBridge,
}

#[test]
fn a_broker_of_three_that_is_killed_loses_nothing_and_doubles_nothing() {
    kill_rounds(Killed::Broker);
}

#[test]
fn a_broker_of_three_and_waitbridge_killed_together_lose_nothing_and_double_nothing() {
    kill_rounds(Killed::BrokerAndBridge);
}

fn kill_rounds(killed: Killed) {
    let rounds = Rounds::or(ROUNDS);
    let mut cluster = Cluster::start();
    let topics = cluster.kafka().new_topics(3);
    let home = Home::new(&cluster.brokers(), &topics, SMALL_BATCHES);
    let mut bridge = home.start();
    let load = Load::start(SENDERS, PAUSE);
    load.aim(Some(bridge.public));
    for round in 0..rounds.count {
        let chance = scatter(rounds.seed ^ round);
        publishes(&bridge);
        std::thread::sleep(Duration::from_millis(chance % 700));
        let node = (chance / 1000 % 3) as usize;
        cluster.kill(node);
        if killed == Killed::BrokerAndBridge {
            bridge.kill();
            bridge = home.start();
            load.aim(Some(bridge.public));
        }
        publishes(&bridge);
        cluster.start_again(node);
        cluster.wait_until_in_sync();
    }
    wait_for_more(&load, 100);
    let accepted = load.finish();
    undelivered_is_zero(&bridge);
    let (verdict, _) = count(cluster.kafka().bootstrap(), &topics.person, &accepted, DRAIN_WITHIN);
    tell(&format!("{killed:?} killed"), &rounds, &verdict);
    holds(&verdict);
    assert_eq!(bridge.terminate(), 0);
}

/// More than it had published before.
fn publishes(bridge: &Bridge) {
    let before = bridge.metric(COMMITTED);
    bridge.wait_until("it publishes", DRAIN_WITHIN, |bridge| bridge.metric(COMMITTED) > before + 2.0);
}
