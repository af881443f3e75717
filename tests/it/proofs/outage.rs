//! Kafka away for long at a high rate, then back: what was answered meanwhile comes out, once and in order. The gate has a
//! shorter one (`kills::kafka_away_for_twenty_seconds_under_load_loses_nothing`); this one runs when it is asked for:
//!
//! `WAITBRIDGE_OUTAGE_SECONDS=600 WAITBRIDGE_OUTAGE_RATE=2000 tests/run --test it proofs::outage -- --nocapture`

use std::time::{Duration, Instant};

use super::{Rounds, asked, count, holds, publishes, tell};
use crate::bridge::Home;
use crate::kafka::Kafka;
use crate::kills::wait_for_more;
use crate::load::Load;

const SENDERS: u64 = 40;
/// A sender's own turn takes some of its pause: the rate is an aim, and what came of it is printed.
const ANSWER: Duration = Duration::from_millis(2);

#[test]
fn kafka_away_for_as_long_as_asked_loses_nothing() {
    let Some(away) = asked("WAITBRIDGE_OUTAGE_SECONDS").map(Duration::from_secs) else { return };
    let rate = asked("WAITBRIDGE_OUTAGE_RATE").unwrap_or(2000);
    let mut kafka = Kafka::start(&[]);
    let topics = kafka.new_topics(6);
    let home = Home::new(kafka.bootstrap(), &topics, "[log]\nlevel = \"info\"\n");
    // Room for all of it.
    home.set("size_max = \"1GiB\"", "size_max = \"16GiB\"");
    let bridge = home.start();
    let load = Load::start(SENDERS, Duration::from_micros(SENDERS * 1_000_000 / rate).saturating_sub(ANSWER));
    load.aim(Some(bridge.public));
    publishes(&bridge);

    kafka.stop();
    let (stopped, before) = (Instant::now(), load.accepted_count());
    while stopped.elapsed() < away {
        wait_for_more(&load, 100);
    }
    let during = load.accepted_count() - before;
    kafka.start_again();
    let back = Instant::now();
    let accepted = load.finish();
    bridge.wait_until("everything is delivered", 2 * away + Duration::from_secs(120), |bridge| {
        bridge.metric("waitbridge_journal_undelivered_records") == 0.0
    });
    let rate = during as f32 / away.as_secs_f32();
    eprintln!("{during} accepted while Kafka was away, {rate:.0}/s; drained after {:.1} s", back.elapsed().as_secs_f32());
    let (verdict, _) = count(kafka.bootstrap(), &topics.person, &accepted, Duration::from_secs(600));
    tell("kafka away", &Rounds::or(1), &verdict);
    holds(&verdict);
    assert_eq!(bridge.terminate(), 0);
}
