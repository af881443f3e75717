//! The story holds together: what is told could have happened, whatever the seed.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::*;

const BEGIN_MS: i64 = 1_900_000_000_000;
const SEEDS: std::ops::Range<u64> = 0..8;

/// All things happen within few milliseconds, as at a high rate.
fn story(seed: u64, count: i64) -> Vec<Delivery> {
    let mut story = Story::new(seed);
    (0..count).map(|turn| story.next(BEGIN_MS + turn / 10)).collect()
}

fn json(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.body).unwrap()
}

fn of(stories: &[Delivery], nature: Nature) -> usize {
    stories.iter().filter(|delivery| delivery.nature == nature).count()
}

/// A visit's state with the tag that tells its outcome.
fn stage(data: &Value) -> String {
    let tag = data["tags"].as_array().unwrap().first().and_then(Value::as_str).unwrap_or_default();
    format!("{} {tag}", data["state"].as_str().unwrap()).trim().to_owned()
}

const NEXT: &[(&str, &[&str])] = &[
    ("", &["WAITING", "BOOKED"]),
    ("BOOKED", &["WAITING", "removed"]),
    ("WAITING", &["WAITING ALERTED", "SERVING ALERTED", "COMPLETE CANCELLED"]),
    ("WAITING ALERTED", &["SERVING ALERTED", "COMPLETE NO-SHOW"]),
    ("SERVING ALERTED", &["COMPLETE"]),
];

#[test]
fn the_same_seed_tells_the_same_story_and_another_another() {
    assert_eq!(story(7, 500), story(7, 500));
    assert_ne!(story(7, 500), story(8, 500));
}

#[test]
fn visits_live_as_they_can() {
    for seed in SEEDS {
        let mut visits: HashMap<String, String> = HashMap::new();
        let mut stages = HashSet::new();
        for delivery in story(seed, 2000).iter().filter(|delivery| delivery.nature == Nature::Genuine) {
            let told = json(delivery);
            let kind = told["type"].as_str().unwrap();
            if !kind.starts_with("visit") {
                continue;
            }
            let now = if kind == "visit.removed" { "removed".to_owned() } else { stage(&told["data"]) };
            let before = visits.insert(delivery.subject.clone(), now.clone()).unwrap_or_default();
            assert_eq!(before.is_empty(), kind == "visit.created", "seed {seed}");
            let next = NEXT.iter().find(|(known, _)| *known == before).map_or(&[][..], |(_, next)| next);
            assert!(next.contains(&now.as_str()), "seed {seed}: {now} after {before}");
            stages.insert(now);
        }
        let all: HashSet<String> = NEXT.iter().flat_map(|(_, next)| next.iter().map(|stage| (*stage).to_owned())).collect();
        assert_eq!(stages, all, "seed {seed}");
    }
}

#[test]
fn persons_of_the_centre_are_added_then_updated_then_deleted() {
    for seed in SEEDS {
        let mut last: HashMap<String, (String, Vec<u8>)> = HashMap::new();
        for delivery in story(seed, 2000).into_iter().filter(|delivery| delivery.vendor == Vendor::WaitlistPlus) {
            if delivery.nature != Nature::Genuine {
                continue;
            }
            let kind = json(&delivery)["type"].as_str().unwrap().to_owned();
            let before = last.insert(delivery.subject.clone(), (kind.clone(), delivery.body.clone()));
            let before_kind = before.as_ref().map_or("", |(kind, _)| kind.as_str());
            let allowed = match kind.as_str() {
                "AddPerson" => before_kind.is_empty(),
                _ => ["AddPerson", "UpdatePerson"].contains(&before_kind),
            };
            assert!(allowed, "seed {seed}: {kind} after {before_kind:?}");
            assert!(before.is_none_or(|(_, body)| body != delivery.body), "seed {seed}: equal bodies would be a repeat");
        }
    }
}

#[test]
fn versions_of_a_subject_rise_but_for_a_late_one_that_is_older_than_the_one_before() {
    for seed in SEEDS {
        let mut newest: HashMap<(String, String), String> = HashMap::new();
        for delivery in story(seed, 2000).iter().filter(|delivery| delivery.vendor == Vendor::Waitwhile) {
            let data = &json(delivery)["data"];
            let (key, version) = ((delivery.subject.clone(), data["id"].to_string()), data["updated"].as_str().unwrap().to_owned());
            let before = newest.get(&key).cloned().unwrap_or_default();
            match delivery.nature {
                Nature::Genuine => assert!(version > before, "seed {seed}: {version} after {before}"),
                Nature::Late => assert!(version < before, "seed {seed}: {version} after {before}"),
                Nature::Repeat | Nature::Forged => continue,
            }
            newest.insert(key, version.max(before));
        }
    }
}

#[test]
fn a_short_story_has_something_of_everything() {
    for seed in SEEDS {
        let story = story(seed, 60);
        for nature in [Nature::Repeat, Nature::Late, Nature::Forged] {
            assert!(of(&story, nature) > 0, "seed {seed}: no {nature:?} among 60");
        }
        for vendor in [Vendor::Waitwhile, Vendor::WaitlistPlus] {
            assert!(story.iter().any(|delivery| delivery.vendor == vendor), "seed {seed}");
        }
        let repeats = story.iter().enumerate().filter(|(_, delivery)| delivery.nature == Nature::Repeat);
        for (at, repeat) in repeats {
            assert!(story[..at].iter().any(|before| before.nature == Nature::Genuine && before.body == repeat.body), "seed {seed}");
        }
    }
}
