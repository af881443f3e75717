//! One broker of three is killed under load, waitbridge is, or both at the same moment.

use std::time::{Duration, Instant};

use super::{Rounds, count, holds, publishes, tell};
use crate::bridge::{Bridge, Home};
use crate::cluster::Cluster;
use crate::kills::{DRAIN_WITHIN, SENDERS, SMALL_BATCHES, scatter, undelivered_is_zero, wait_for_more};
use crate::load::Load;

/// So that what piles up while a broker is away is delivered before the next one goes.
const CALM: Duration = Duration::from_millis(40);
/// One of each kind.
const ROUNDS: u64 = 3;
/// Of a round, in records.
const BACKLOG_MAX: f64 = 1000.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    /// That of the group whose offset is the checkpoint.
    Coordinator,
    AnyBroker,
    BrokerAndBridge,
}

const KINDS: [Killed; 3] = [Killed::Coordinator, Killed::AnyBroker, Killed::BrokerAndBridge];

/// What piles up over many rounds would be more than the end waits for. Nothing comes meanwhile: the load may be more than a slow
/// machine delivers.
fn catch_up(bridge: &Bridge, load: &Load) {
    load.aim(None);
    bridge.wait_until("most is delivered", DRAIN_WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") < BACKLOG_MAX);
    load.aim(Some(bridge.public));
}

/// A broker comes back only when events flow without it.
#[test]
fn a_broker_of_three_killed_alone_or_with_waitbridge_loses_nothing_and_doubles_nothing() {
    let rounds = Rounds::or(ROUNDS);
    let mut cluster = Cluster::start();
    let topics = cluster.kafka().new_topics(3);
    let home = Home::new(&cluster.brokers(), &topics, SMALL_BATCHES);
    let mut bridge = home.start();
    let load = Load::start(SENDERS, CALM);
    load.aim(Some(bridge.public));
    for (round, killed) in (0..rounds.count).zip(KINDS.into_iter().cycle()) {
        publishes(&bridge);
        let chance = scatter(rounds.seed ^ round);
        let node = if killed == Killed::Coordinator { cluster.leader("__consumer_offsets") } else { (chance / 1000 % 3) as usize };
        std::thread::sleep(Duration::from_millis(chance % 700));
        cluster.kill(node);
        let away = Instant::now();
        if killed == Killed::BrokerAndBridge {
            bridge.kill();
            bridge = home.start();
            load.aim(Some(bridge.public));
        }
        publishes(&bridge);
        eprintln!("{round}: {killed:?} killed, events flow again after {:.1} s", away.elapsed().as_secs_f32());
        cluster.start_again(node);
        cluster.wait_until_in_sync();
        catch_up(&bridge, &load);
    }
    wait_for_more(&load, 100);
    let accepted = load.finish();
    undelivered_is_zero(&bridge);
    let (verdict, _) = count(cluster.kafka().bootstrap(), &topics.person, &accepted, DRAIN_WITHIN);
    tell("a broker of three killed", &rounds, &verdict);
    holds(&verdict);
    assert_eq!(bridge.terminate(), 0);
}
