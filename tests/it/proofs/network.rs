//! A network between waitbridge and Kafka that delays, cuts and half-closes, under load.

use std::time::{Duration, Instant};

use super::{Rounds, count, holds, publishes, tell};
use crate::bridge::Home;
use crate::kafka::Kafka;
use crate::kills::{DRAIN_WITHIN, PAUSE, SENDERS, SMALL_BATCHES, scatter, undelivered_is_zero, wait_for_more};
use crate::load::Load;
use crate::proxy::{Proxy, Weather};

/// One of each weather.
const ROUNDS: u64 = 3;
const WEATHERS: [Weather; 3] = [Weather::Slow(Duration::from_millis(200)), Weather::Cut, Weather::HalfClosed];

#[test]
fn a_network_that_delays_cuts_and_half_closes_loses_nothing_and_doubles_nothing() {
    let rounds = Rounds::or(ROUNDS);
    let proxy = Proxy::start();
    // Whoever asks the broker for its address is sent through the proxy.
    let kafka = Kafka::start(&[("advertised.listeners", &format!("PLAINTEXT://{}", proxy.address))]);
    proxy.aim(kafka.bootstrap().parse().unwrap());
    let topics = kafka.new_topics(3);
    let home = Home::new(&proxy.address.to_string(), &topics, SMALL_BATCHES);
    let bridge = home.start();
    let load = Load::start(SENDERS, PAUSE);
    load.aim(Some(bridge.public));
    publishes(&bridge);
    for (round, weather) in (0..rounds.count).zip(WEATHERS.into_iter().cycle()) {
        proxy.set(weather);
        wait_for_more(&load, 100 + scatter(rounds.seed ^ round) % 500);
        proxy.set(Weather::Fair);
        let fair = Instant::now();
        publishes(&bridge);
        eprintln!("{round}: {weather:?}, events flow again after {:.1} s", fair.elapsed().as_secs_f32());
    }
    wait_for_more(&load, 100);
    let accepted = load.finish();
    undelivered_is_zero(&bridge);
    let (verdict, _) = count(kafka.bootstrap(), &topics.person, &accepted, DRAIN_WITHIN);
    tell("a bad network", &rounds, &verdict);
    holds(&verdict);
    assert_eq!(bridge.terminate(), 0);
}
