//! Three replicas on a Kafka of three brokers, both killed at random under load, restarted one after the other, stopped for longer
//! than their session: what was answered 200 is in its topic once, and in order for its key.
//!
//! `WAITBRIDGE_FLEET_SECONDS=600 tests/run --test it proofs::fleet -- --nocapture`; without the variable it is left out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::{Rounds, asked, count, holds, tell};
use crate::cluster::Cluster;
use crate::kafka::client;
use crate::kills::{SMALL_BATCHES, scatter};
use crate::load::{Load, Verdict};
use crate::replicas::{FLOWING, Replicas, SITES, sites};

const REPLICAS: u64 = 3;
const PARTITIONS: i32 = 6;
const SENDERS: u64 = 20;
/// So that what piles up while a broker is away is delivered before the next one goes.
const CALM: Duration = Duration::from_millis(60);
const REPLICA_EVERY: Duration = Duration::from_secs(3);
const BROKER_EVERY: Duration = Duration::from_secs(20);
/// At most; it is found out after two.
const BROKER_AWAY_MS: u64 = 6_000;
/// Longer than a session's six and a transaction's ten.
const FROZEN: Duration = Duration::from_secs(12);
const DRAIN: Duration = Duration::from_secs(300);

/// Every so many turns something else than a kill.
const RESTARTS_EVERY: u64 = 8;
const FREEZE_EVERY: u64 = 5;

#[test]
fn replicas_and_brokers_killed_for_as_long_as_asked_lose_nothing_and_double_nothing() {
    let Some(time) = asked("WAITBRIDGE_FLEET_SECONDS").map(Duration::from_secs) else { return };
    let rounds = Rounds::or(1);
    let mut cluster = Cluster::start();
    let bootstrap = cluster.kafka().bootstrap().to_owned();
    let extra = SMALL_BATCHES.to_owned() + &sites(SITES);
    let mut fleet = Replicas::new(cluster.kafka(), &cluster.brokers(), REPLICAS as usize, PARTITIONS, &extra);
    fleet.start_all();
    let load = Load::start_at(SITES, 0, SENDERS, CALM);
    load.aim(Some(fleet.balancer.address));
    let (began, over) = (Instant::now(), AtomicBool::new(false));
    let brokers = thread::scope(|scope| {
        let brokers = scope.spawn(|| kill_brokers(&mut cluster, &over, rounds.seed));
        let told = harass(&mut fleet, time, rounds.seed, &load);
        over.store(true, Ordering::Relaxed);
        eprintln!("{told}");
        brokers.join().expect("the brokers are back")
    });
    let refused = load.refused();
    let accepted = load.finish();
    fleet.get(0).wait_until("everything is delivered", DRAIN, |_| fleet.undelivered() == 0.0);
    let (verdict, _) = count(&bootstrap, &fleet.topics.person, &accepted, DRAIN);
    eprintln!("{:.0} s, {brokers} brokers killed; refused or cut off, the first few: {refused:?}", began.elapsed().as_secs_f32());
    tell("a fleet killed", &rounds, &verdict);
    assert_eq!(used_partitions(&bootstrap, &fleet.raw_topic), PARTITIONS as usize, "each had something to do");
    // What got no 200 may be taken when its replica goes on: of that no order is promised.
    holds(&Verdict { overtaken: 0, ..verdict });
    (0..REPLICAS as usize).for_each(|replica| assert_eq!(fleet.terminate(replica), 0));
}

/// Until the time is up; all run then. What was done.
fn harass(fleet: &mut Replicas, time: Duration, seed: u64, load: &Load) -> String {
    let began = Instant::now();
    let (mut kills, mut restarts, mut freezes) = (0, 0, 0);
    for turn in 1.. {
        if began.elapsed() >= time {
            break;
        }
        let (at, before) = (Instant::now(), load.accepted_count());
        let victim = (scatter(seed ^ turn) % REPLICAS) as usize;
        if turn.is_multiple_of(RESTARTS_EVERY) {
            restarts += 1;
            (0..REPLICAS as usize).for_each(|replica| {
                assert_eq!(fleet.terminate(replica), 0);
                fleet.start(replica);
            });
        } else if turn.is_multiple_of(FREEZE_EVERY) {
            freezes += 1;
            fleet.freeze(victim);
            thread::sleep(FROZEN);
            fleet.thaw(victim);
        } else {
            kills += 1;
            fleet.kill(victim);
            fleet.start_unready(victim);
        }
        thread::sleep(REPLICA_EVERY.saturating_sub(at.elapsed()));
        eprintln!("{:4.0} s: {} more accepted", began.elapsed().as_secs_f32(), load.accepted_count() - before);
    }
    format!("{kills} replicas killed, {restarts} rolling restarts, {freezes} replicas stopped for {FROZEN:?}")
}

/// One after the other, each once the one before has all that it missed. How many.
fn kill_brokers(cluster: &mut Cluster, over: &AtomicBool, seed: u64) -> u64 {
    for round in 0.. {
        let next = Instant::now() + BROKER_EVERY;
        while Instant::now() < next {
            if over.load(Ordering::Relaxed) {
                return round;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let chance = scatter(!seed ^ round);
        let node = (chance % 3) as usize;
        cluster.kill(node);
        thread::sleep(Duration::from_millis(1_000 + chance / 3 % BROKER_AWAY_MS));
        cluster.start_again(node);
        cluster.wait_until_in_sync();
        eprintln!("broker {node} was killed and is back in sync");
    }
    unreachable!("it ends when it is over")
}

fn used_partitions(bootstrap: &str, topic: &str) -> usize {
    let consumer: BaseConsumer = client(bootstrap).create().expect("a client");
    let end = |partition: &i32| consumer.fetch_watermarks(topic, *partition, FLOWING).expect("its end").1;
    (0..PARTITIONS).filter(|partition| end(partition) > 0).count()
}
