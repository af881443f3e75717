//! Generated deliveries of both vendors, held against a model that knows only the contract.
//!
//! What comes out of the real program and a real Kafka must be what the model expects: every record, key, header, field and
//! counter. `WAITBRIDGE_TEST_SEED` runs another seed; a failure names its own.

pub mod compare;
pub mod expect;
pub mod generate;
mod json;
pub mod run;

use std::env;
use std::panic::resume_unwind;
use std::thread;

use compare::{Counts, compare};
use expect::{Mode, Payload, Routes, Settings, Shown, Topic};
use run::{Run, settings};

use crate::privacy;

const DELIVERIES: usize = 10_000;
const OTHER_DELIVERIES: usize = 500;
const DEFAULT_SEED: u64 = 20_261_124;

/// What the 10,000 must hit, by parts of its name, and how often at least: a generator that ceases to cover something is seen.
/// A vendor cannot make a repeat of an accept id, nor `endpoint_unknown` or `normalize_failed`.
const COVERED: &[(&[&str], u64)] = &[
    (&["dead_letters", "not_json", "waitwhile"], 30),
    (&["dead_letters", "not_json", "waitlistplus"], 20),
    (&["dead_letters", "too_deep", "waitwhile"], 10),
    (&["dead_letters", "too_deep", "waitlistplus"], 5),
    (&["dead_letters", "unknown_shape", "waitwhile"], 30),
    (&["dead_letters", "unknown_shape", "waitlistplus"], 10),
    (&["dead_letters", "unknown_type", "waitwhile"], 5),
    (&["dead_letters", "unknown_type", "waitlistplus"], 5),
    (&["dead_letters", "missing_id", "waitwhile"], 30),
    (&["dead_letters", "missing_id", "waitlistplus"], 30),
    (&["dead_letters", "too_large", "waitwhile"], 10),
    (&["dead_letters", "too_large", "waitlistplus"], 10),
    (&["dead_letters", "expired", "waitwhile"], 5),
    (&["repeated", "\"id\"", "waitwhile"], 100),
    (&["repeated", "\"endpoint\"", "waitwhile"], 30),
    (&["repeated", "\"body\"", "waitlistplus"], 100),
    (&["omitted", "waitwhile"], 20),
    (&["omitted", "waitlistplus"], 20),
    (&["published", "\"person-", "visit.created"], 100),
    (&["published", "\"person-", "visit.updated"], 1000),
    (&["published", "\"person-", "visit.removed"], 100),
    (&["published", "\"location-", "visit.created"], 20),
    (&["published", "\"location-", "visit.updated"], 200),
    (&["published", "\"location-", "visit.removed"], 20),
    (&["published", "location.updated"], 200),
    (&["published", "message.created"], 100),
    (&["published", "message.updated"], 100),
    (&["published", "person.created"], 100),
    (&["published", "person.updated"], 500),
    (&["published", "person.removed"], 100),
    (&["erasure removed"], 100),
    (&["erasure anonymized"], 100),
    (&["erasure deleted"], 100),
    (&["stale visit"], 200),
    (&["stale message"], 20),
    (&["stale location"], 50),
    (&["waitwhile by \"receipt\""], 50),
    (&["traceparent"], 200),
    (&["visit keyed by the person of its visit"], 50),
    (&["message keyed by the person of its visit"], 50),
    (&["by id, placed as its last"], 20),
    (&["birth date"], 500),
];

pub fn seed() -> u64 {
    env::var("WAITBRIDGE_TEST_SEED").map_or(DEFAULT_SEED, |seed| seed.parse().expect("WAITBRIDGE_TEST_SEED is a number"))
}

#[test]
fn ten_thousand_deliveries_become_what_the_contract_says() {
    let run = Run::new(seed(), DELIVERIES, settings());
    let counts = check(&run);
    let missed: Vec<_> = COVERED.iter().filter(|(parts, at_least)| count(&counts, parts) < *at_least).collect();
    assert!(missed.is_empty(), "seed {}: too few of {missed:?} in\n{counts:#?}", run.seed);
}

#[test]
fn other_settings_show_what_they_say() {
    let both = || vec![Topic::Person, Topic::Location];
    let everything = Settings {
        routes: Routes { person: both(), visit: both(), message: both() },
        envelope: Mode::Structured,
        payload: Payload::Full,
        notes: Shown::Yes,
        message_bodies: Shown::Yes,
        json_depth_max: 5,
        ..settings()
    };
    let elsewhere = Settings {
        routes: Routes { person: vec![Topic::Location], visit: both(), message: vec![Topic::Location] },
        notes: Shown::Yes,
        message_bodies: Shown::Yes,
        dead_letter_bodies: Shown::No,
        ..settings()
    };
    let little = Settings { envelope: Mode::Structured, payload: Payload::None, expired_after_ms: None, ..settings() };
    for settings in [everything, elsewhere, little] {
        check(&Run::new(seed(), OTHER_DELIVERIES, settings));
    }
}

#[test]
fn a_kill_changes_nothing_of_it() {
    compare(&Run::with_lives(4, seed(), 4 * OTHER_DELIVERIES, settings()));
}

/// What came out, and at the same time what was shown on the way.
fn check(run: &Run) -> Counts {
    thread::scope(|scope| {
        let compared = scope.spawn(|| compare(run));
        privacy::nothing_is_shown(run, &[]);
        compared.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn count(counts: &Counts, parts: &[&str]) -> u64 {
    counts.iter().filter(|(name, _)| parts.iter().all(|part| name.contains(part))).map(|(_, count)| count).sum()
}
