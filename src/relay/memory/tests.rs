//! The memory as the relay uses it: deliveries of both vendors through `Prepare`, over lives that end and begin again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::delivery::{Auth, Record};
use crate::envelope::Outgoing;
use crate::providers::endpoints::Endpoints;
use crate::providers::trial::{RULES, WAITLISTPLUS, WAITWHILE, provider};
use crate::relay::prepare::{Prepare, Said, Settings};
use crate::relay::tests::Chance;
use crate::relay::trial;
use crate::routing::Ids;
use crate::timestamp::Timestamp;

const START_MS: i64 = 1_773_158_400_000;
const LIMITS: Limits = Limits { window_ms: 100_000, endpoint_repeat_ms: 10_000, body_repeat_ms: 15_000, entries_max: 1_000_000 };
const EXPIRED_AFTER_MS: i64 = 60_000;
/// Name, vendor and tenant.
const ENDPOINTS: [(&str, &str, &str); 5] = [
    ("w1", "waitwhile", "acme"),
    ("w2", "waitwhile", "acme"),
    ("w3", "waitwhile", "other"),
    ("p1", "waitlistplus", "sunshine"),
    ("p2", "waitlistplus", "sunshine"),
];

fn prepare(ids: Ids) -> Prepare {
    let endpoint = |(name, vendor, tenant): (&str, &'static str, &str)| {
        let settings = if vendor == "waitwhile" { WAITWHILE } else { WAITLISTPLUS };
        trial::endpoint(name, vendor, tenant, provider(vendor, settings))
    };
    let settings = Settings { rules: RULES, ids, expired_after_ms: Some(EXPIRED_AFTER_MS), ..trial::settings() };
    Prepare::new(settings, Arc::new(Endpoints::new(ENDPOINTS.map(endpoint))))
}

/// A journal, and one life after the other that reads it.
struct Lives {
    prepare: Prepare,
    memory: Memory,
    journal: Vec<Stored>,
}

impl Lives {
    fn new() -> Lives {
        Lives::with(LIMITS, Ids::Plain)
    }

    fn with(limits: Limits, ids: Ids) -> Lives {
        Lives { prepare: prepare(ids), memory: Memory::new(limits), journal: Vec::new() }
    }

    fn append(&mut self, at_ms: i64, endpoint: &str, body: &str, accept_id: Uuid) {
        let (_, vendor, tenant) = ENDPOINTS.into_iter().find(|(name, ..)| *name == endpoint).unwrap();
        let auth = Auth::Hmac;
        let bytes = Record { accept_id, auth, vendor, tenant, endpoint, traceparent: None, body: body.as_bytes() }.encode();
        let position = Position { partition: 0, offset: self.journal.len() as u64 };
        self.journal.push(Stored { position, received_ms: START_MS + at_ms, bytes });
    }

    /// What becomes of the records from here on, as one batch; learned.
    fn commit(&mut self, from: u64) -> Vec<String> {
        let mut staged = Staged::default();
        let told = self.decide(from, &mut staged);
        self.memory.merge(staged, &[Position { partition: 0, offset: self.journal.len() as u64 }]);
        told
    }

    fn decide(&self, from: u64, staged: &mut Staged) -> Vec<String> {
        let batch = self.prepare.batch(&self.journal[from as usize..], &self.memory, staged, |_| false);
        let mut records = batch.records.iter();
        let told = batch.outcomes.iter().map(|outcome| match outcome.result() {
            Ok(Said::Published(_)) => described(records.next().unwrap()),
            Ok(Said::Repeated(basis)) => basis.as_str().to_owned(),
            Ok(Said::LeftOut(why)) => format!("{why:?}"),
            Err(reason) => records.next().map(|_| reason.as_str().to_owned()).unwrap(),
        });
        told.collect()
    }

    fn deliver(&mut self, at_ms: i64, endpoint: &str, body: &str) -> String {
        let from = self.journal.len() as u64;
        self.append(at_ms, endpoint, body, Uuid::now_v7());
        self.commit(from).pop().unwrap()
    }

    /// A new life remembers what its window holds, in pieces of this many records.
    fn restart(&mut self, piece_records: usize) {
        let until = self.journal.len() as u64;
        self.memory = Memory::new(*self.memory.limits());
        let Some(latest_ms) = self.journal.last().map(|stored| stored.received_ms) else { return };
        let since_ms = latest_ms - self.memory.limits().review_ms();
        let window: Vec<Stored> = self.journal.iter().filter(|stored| stored.received_ms >= since_ms).cloned().collect();
        for piece in window.chunks(piece_records) {
            self.prepare.again(piece, &mut self.memory);
            self.memory.merge(Staged::default(), &[Position { partition: 0, offset: until }]);
        }
    }
}

/// Topic and key, and `stale` if it is.
fn described(record: &Outgoing) -> String {
    let stale = record.headers.iter().any(|(name, _)| *name == "ce_stale");
    format!("{} {}{}", record.topic, record.key, if stale { " stale" } else { "" })
}

fn time(at_ms: i64) -> String {
    Timestamp::clamped(START_MS + at_ms).shown().as_str().to_owned()
}

/// One delivery: at which second, through which endpoint, what; and what must become of it.
type Row<'r> = (i64, &'r str, String, &'r str);

/// In one life, in a life for each delivery, and as one batch: the same.
fn check(rows: &[Row]) {
    let mut lives = Lives::new();
    for (at, endpoint, body, expected) in rows {
        assert_eq!(lives.deliver(at * 1000, endpoint, body), *expected, "at {at}: {body}");
    }
    let mut lives = Lives::new();
    for (at, endpoint, body, expected) in rows {
        lives.restart(2);
        assert_eq!(lives.deliver(at * 1000, endpoint, body), *expected, "in a new life, at {at}: {body}");
    }
    let mut lives = Lives::new();
    rows.iter().for_each(|(at, endpoint, body, _)| lives.append(at * 1000, endpoint, body, Uuid::now_v7()));
    let expected: Vec<&str> = rows.iter().map(|row| row.3).collect();
    assert_eq!(lives.commit(0), expected, "as one batch");
}

/// A visit event of this id, with more members in its data.
fn visit(id: &str, kind: &str, more: &str) -> String {
    format!(r#"{{"id":"{id}","accountId":"a","type":"visit.{kind}","data":{{"id":"v"{more}}}}}"#)
}

fn person(name: &str) -> String {
    format!(r#"{{"type":"UpdatePerson","data":{{"PersonId":7,"Fields":{{"First Name":"{name}"}}}}}}"#)
}

const WAITING: &str = r#","state":"WAITING","customerId":"c""#;
const C: &str = "person waitwhile/acme/person/c";
const SEVEN: &str = "person waitlistplus/sunshine/person/7";

#[test]
fn an_event_id_that_comes_again_is_a_repeat_for_the_whole_window() {
    let first = || visit("1", "updated", WAITING);
    check(&[
        (0, "w1", first(), C),
        (0, "w1", first(), "id"),
        (0, "w1", visit("1", "created", r#","state":"SERVING""#), "id"),
        (0, "w2", first(), "id"),
        (0, "w1", visit("2", "updated", WAITING), C),
        (0, "w1", first().replace(r#""accountId":"a""#, r#""accountId":"b""#), C),
        (0, "w3", first(), "person waitwhile/other/person/c"),
        (100, "w1", visit("2", "updated", WAITING), "id"),
    ]);
    check(&[(0, "w1", first(), C), (100, "w1", first(), "id")]);
    check(&[(0, "w1", first(), C), (101, "w1", first(), C)]);
    // Seen again, it stays known.
    check(&[(0, "w1", first(), C), (60, "w1", first(), "id"), (160, "w1", first(), "id"), (261, "w1", first(), C)]);
}

#[test]
fn equal_data_through_another_endpoint_is_a_repeat_within_its_window() {
    let event = |id: &str| visit(id, "updated", WAITING);
    check(&[
        (0, "w1", event("1"), C),
        (3, "w2", event("2"), "endpoint"),
        (3, "w1", event("3"), C),
        (13, "w2", event("4"), "endpoint"),
        (14, "w2", event("5"), C),
        (15, "w1", event("6"), "endpoint"),
        (15, "w2", event("7"), C),
        (15, "w1", event("8").replace("updated", "created"), C),
        (15, "w1", event("9").replace("\"v\"", "\"v\" "), C),
        (15, "w3", event("10"), "person waitwhile/other/person/c"),
        (15, "w1", event("11").replace(r#""accountId":"a""#, r#""accountId":"b""#), C),
    ]);
}

#[test]
fn a_repeat_teaches_nothing_but_that_it_came() {
    let event = |id: &str| visit(id, "updated", WAITING);
    check(&[(0, "w1", event("1"), C), (5, "w2", event("2"), "endpoint"), (11, "w2", event("2"), C)]);
    check(&[(0, "p1", person("A"), SEVEN), (10, "p1", person("A"), "body"), (16, "p1", person("A"), SEVEN)]);
}

#[test]
fn a_body_equal_to_the_persons_latest_is_a_repeat_within_its_window_and_one_from_before_never() {
    check(&[
        (0, "p1", person("A"), SEVEN),
        (15, "p1", person("A"), "body"),
        (15, "p2", person("A"), "body"),
        (15, "p1", person("A") + " ", SEVEN),
        (15, "p1", person("A"), SEVEN),
        (16, "p1", person("B"), SEVEN),
        (17, "p1", person("A"), SEVEN),
        (18, "p2", person("B"), SEVEN),
        (18, "p1", person("B").replace('7', "8"), "person waitlistplus/sunshine/person/8"),
        (18, "p1", r#"{"type":"DeletePerson","data":{"PersonId":7}}"#.to_owned(), SEVEN),
        (18, "p1", person("B"), SEVEN),
        (34, "p1", person("B"), SEVEN),
    ]);
}

#[test]
fn an_accept_id_is_published_once_or_is_once_a_dead_letter() {
    let accept_id = Uuid::now_v7();
    let rows: [(i64, &str, &str); 3] = [(0, "{}", "unknown_shape"), (50_000, "{}", "accept_id"), (50_000, &person("A"), "accept_id")];
    let mut lives = Lives::new();
    for (at_ms, body, expected) in rows {
        lives.append(at_ms, "p1", body, accept_id);
        assert_eq!(lives.commit(lives.journal.len() as u64 - 1), [expected]);
    }
    let mut lives = Lives::new();
    lives.append(0, "p1", &person("A"), accept_id);
    lives.append(0, "p1", &person("A"), accept_id);
    lives.append(100_001, "p1", &person("A"), accept_id);
    assert_eq!(lives.commit(0), [SEVEN, "accept_id", SEVEN]);
}

#[test]
fn bytes_of_no_known_form_do_not_repeat_each_other() {
    let mut lives = Lives::new();
    for offset in 0..2 {
        lives.journal.push(Stored { position: Position { partition: 0, offset }, received_ms: START_MS, bytes: b"?".to_vec() });
    }
    assert_eq!(lives.commit(0), ["endpoint_unknown", "endpoint_unknown"]);
}

#[test]
fn what_cannot_be_understood_comes_before_repeats_and_repeats_before_what_is_too_old() {
    let aged = |id: &str, at: i64| {
        json!({"id": id, "created": time(at * 1000), "type": "visit.updated", "data": {"id": "v", "state": "DONE", "customerId": "c"}})
            .to_string()
    };
    check(&[
        (0, "w1", aged("1", 0), C),
        (61, "w1", aged("1", 0), "id"),
        (61, "w1", aged("2", 0), "expired"),
        (61, "w1", aged("2", 0), "expired"),
        (61, "w1", aged("2", 1), C),
        (61, "w1", r#"{"id":"1","type":"visit.moved","data":{"id":"v"}}"#.to_owned(), "unknown_type"),
        (61, "w1", r#"{"id":"1","type":"visit.updated","data":{}}"#.to_owned(), "missing_id"),
    ]);
}

#[test]
fn older_than_what_the_window_holds_is_stale_and_equal_is_not() {
    let at = |id: &str, seconds: i64| {
        visit(id, "updated", &format!(r#","state":"WAITING","customerId":"c","updated":"{}""#, time(seconds * 1000)))
    };
    let stale = &format!("{C} stale");
    check(&[
        (0, "w1", at("1", 0), C),
        (1, "w1", at("2", -5), stale),
        (1, "w1", at("3", 0), C),
        (1, "w1", at("4", -10).replace("\"v\"", "\"u\""), C),
        (1, "w3", at("5", -10), "person waitwhile/other/person/c"),
        (101, "w1", at("6", -10), stale),
        (102, "w1", at("7", -20), stale),
        (202, "w1", at("8", -21), stale),
        (303, "w1", at("9", -30), C),
    ]);
    // The newest has left the window, and the next newest of those behind it counts.
    check(&[
        (0, "w1", at("1", 0), C),
        (10, "w1", at("2", -30), stale),
        (20, "w1", at("3", -20), stale),
        (30, "w1", at("4", -10), stale),
        (101, "w1", at("5", -10), C),
        (102, "w1", at("6", -15), stale),
    ]);
}

#[test]
fn a_receipt_is_a_version_too_and_never_stale_itself() {
    let untimed = |id: &str| visit(id, "updated", WAITING);
    let at = |id: &str, seconds: i64| visit(id, "updated", &format!(r#"{WAITING},"updated":"{}""#, time(seconds * 1000)));
    check(&[
        (0, "w1", at("1", 50), C),
        (1, "w1", untimed("2"), C),
        (51, "w1", untimed("3"), C),
        (51, "w1", at("4", 50), &format!("{C} stale")),
        (51, "w1", at("5", 51), C),
    ]);
}

#[test]
fn a_visit_belongs_to_the_person_whom_it_named_last_unless_that_came_late() {
    let named = |id: &str, person: &str, seconds: i64| {
        visit(id, "updated", &format!(r#","state":"WAITING","customerId":"{person}","updated":"{}""#, time(seconds * 1000)))
    };
    let unnamed = |id: &str| visit(id, "removed", "");
    let message = |id: &str, more: &str| {
        format!(r#"{{"id":"{id}","accountId":"a","type":"message.created","data":{{"id":"m","visitId":"v"{more}}}}}"#)
    };
    let d = "person waitwhile/acme/person/d";
    check(&[
        (0, "w1", unnamed("1"), "person waitwhile/acme/visit/v"),
        (0, "w1", message("2", ""), "person waitwhile/acme/visit/v"),
        (1, "w1", named("3", "c", 0), C),
        (2, "w1", unnamed("4"), C),
        (3, "w1", message("5", ""), C),
        (4, "w1", named("6", "d", 4), d),
        (5, "w1", named("7", "c", 3), &format!("{C} stale")),
        (6, "w1", message("8", ""), d),
        (7, "w1", message("9", r#","customerId":"e""#), "person waitwhile/acme/person/e"),
        (8, "w1", unnamed("10"), d),
        (8, "w3", unnamed("11"), "person waitwhile/other/visit/v"),
        (104, "w1", message("12", ""), d),
        (105, "w1", message("13", ""), "person waitwhile/acme/visit/v"),
    ]);
}

#[test]
fn hidden_ids_are_remembered_as_they_are_shown() {
    let mut lives = Lives::with(LIMITS, Ids::hmac(b"0123456789abcdef0123456789abcdef"));
    let named = lives.deliver(0, "w1", &visit("1", "updated", WAITING));
    lives.restart(1);
    assert_eq!(lives.deliver(1, "w1", &visit("2", "removed", "")), named);
    assert!(!named.ends_with("/c"));
}

#[test]
fn what_tells_neither_state_nor_type_goes_where_the_visits_last_event_went() {
    let told = |id: &str, more: &str| visit(id, "updated", more);
    let untold = |id: &str| visit(id, "removed", "");
    let (nowhere, here) = ("location waitwhile/acme", "location waitwhile/acme/location/L%202");
    check(&[
        (0, "w1", told("1", r#","type":"BLOCK","locationId":"L 2""#), here),
        (1, "w1", untold("2"), here),
        (2, "w1", untold("3"), here),
        (3, "w1", told("4", WAITING), C),
        (4, "w1", untold("5"), C),
        (5, "w1", told("6", r#","state":"WAITING","isBlock":true"#), nowhere),
        (6, "w1", untold("7"), nowhere),
        (105, "w1", untold("8"), nowhere),
        (106, "w1", untold("9"), "person waitwhile/acme/visit/v"),
    ]);
}

#[test]
fn what_a_batch_has_staged_is_seen_by_its_later_records_and_dropped_with_it() {
    let mut lives = Lives::new();
    let event = visit("1", "updated", WAITING);
    lives.append(0, "w1", &event, Uuid::now_v7());
    lives.append(0, "w1", &event, Uuid::now_v7());
    for _ in 0..2 {
        let mut staged = Staged::default();
        assert_eq!(lives.decide(0, &mut staged), [C, "id"]);
        assert_eq!((lives.memory.entries(), lives.memory.until(0)), (0, None));
    }
    assert_eq!(lives.commit(0), [C, "id"]);
    assert_eq!(lives.memory.until(0), Some(2));
}

#[test]
fn memory_is_bounded_and_the_oldest_goes_first() {
    let mut lives = Lives::with(Limits { entries_max: 60, ..LIMITS }, Ids::Plain);
    assert_eq!(lives.memory.coverage_ms(), 0);
    lives.deliver(0, "w1", &visit("0", "updated", WAITING));
    assert_eq!(lives.memory.coverage_ms(), LIMITS.window_ms);
    for number in 1..100 {
        lives.deliver(number * 100, "w1", &visit(&number.to_string(), "updated", WAITING));
        assert!(lives.memory.entries() <= 60);
    }
    let coverage_ms = lives.memory.coverage_ms();
    assert!((1000..5000).contains(&coverage_ms), "{coverage_ms}");
    assert_eq!(lives.deliver(10_000, "w1", &visit("95", "updated", WAITING)), "id");
    assert_eq!(lives.deliver(10_000, "w1", &visit("5", "updated", WAITING)), C);
    lives.deliver(200_000, "w1", &visit("100", "updated", WAITING));
    assert_eq!(lives.memory.entries(), 6, "and what is older than the window is gone");
}

#[test]
fn an_entry_takes_at_most_120_bytes() {
    const EVENTS: u64 = 60_000;
    let mut lives = Lives::with(Limits { window_ms: i64::MAX / 4, ..LIMITS }, Ids::Plain);
    let (mut texts, mut chance) = (0, Chance(1));
    for number in 0..EVENTS {
        let (visit, person) = (chance.below(20_000), chance.below(8000));
        let id = |letter: char, number: u64| format!("{letter}{number:019}");
        let data = json!({"id": id('v', visit), "state": "WAITING", "customerId": id('c', person), "locationId": id('l', number % 40)});
        lives.append(
            number as i64,
            "w1",
            &json!({"id": id('e', number), "type": "visit.updated", "data": data}).to_string(),
            Uuid::now_v7(),
        );
    }
    lives.commit(0);
    for partition in lives.memory.partitions.values() {
        texts += partition.table.text_bytes();
    }
    let entries = lives.memory.entries();
    let bytes = (lives.memory.partitions[&0].table.capacity_bytes() + texts) as f64 / entries as f64;
    println!("{entries} entries of {EVENTS} events take {bytes:.1} bytes each");
    assert!(bytes <= 120.0, "{bytes}");
}

type Sent = (i64, &'static str, String, Uuid);

/// Deliveries of both vendors as they come: now and then again, late, through another endpoint, or spoilt.
fn generated(chance: &mut Chance, deliveries: u64) -> Vec<Sent> {
    let mut all: Vec<Sent> = Vec::new();
    let mut originals: Vec<Sent> = Vec::new();
    let mut at_ms = 0;
    for number in 0..deliveries {
        at_ms += chance.below(1200) as i64;
        let earlier = |back: u64| all.len().checked_sub(1 + back as usize).map(|at| all[at].clone());
        let known = match chance.below(20) {
            0 => earlier(chance.below(5)).map(|(_, endpoint, body, accept_id)| (endpoint, body, accept_id)),
            1..4 => earlier(chance.below(150)).map(|(_, endpoint, body, _)| (endpoint, body, Uuid::now_v7())),
            4 => Some(("w1", r#"{"type":"visit.updated","data":{"name":"x"}}"#.to_owned(), Uuid::now_v7())),
            5..8 => originals.iter().rev().nth(chance.below(8) as usize).and_then(|sent| through_the_other(sent, number)),
            _ => None,
        };
        let is_known = known.is_some();
        let (endpoint, body, accept_id) = known.unwrap_or_else(|| match chance.below(3) {
            0 => (chance.pick(&["p1", "p2"]), body_of_person(chance), Uuid::now_v7()),
            _ => (chance.pick(&["w1", "w2"]), body_of_visit(chance, number, at_ms), Uuid::now_v7()),
        });
        all.push((at_ms, endpoint, body, accept_id));
        originals.extend(all.last().filter(|_| !is_known).cloned());
    }
    all
}

/// The same said by another event through the tenant's other endpoint.
fn through_the_other((_, endpoint, body, _): &Sent, number: u64) -> Option<(&'static str, String, Uuid)> {
    let other = if *endpoint == "w1" { "w2" } else { "w1" };
    let mut body: serde_json::Value = serde_json::from_str(body).ok().filter(|_| endpoint.starts_with('w'))?;
    body["id"] = json!(number.to_string());
    Some((other, body.to_string(), Uuid::now_v7()))
}

fn body_of_person(chance: &mut Chance) -> String {
    person(chance.pick(&["A", "B", "C"])).replace('7', &chance.below(6).to_string())
}

/// Where a visit is, and what kind of visit it is, never changes here.
fn body_of_visit(chance: &mut Chance, number: u64, at_ms: i64) -> String {
    let visit = chance.below(8);
    let time = time(at_ms - (chance.below(5) * chance.below(16_000)) as i64);
    let mut data = json!({"id": visit.to_string()});
    match chance.below(4) {
        0 => {}
        _ if visit == 0 => data["type"] = json!("BLOCK"),
        _ => data["state"] = json!("WAITING"),
    }
    data["locationId"] = json!(format!("L{visit}"));
    if chance.below(3) > 0 {
        data["customerId"] = json!(chance.below(5).to_string());
    }
    if chance.below(4) > 0 {
        data["updated"] = json!(time);
    }
    json!({"id": number.to_string(), "created": time, "accountId": "a", "type": "visit.updated", "data": data}).to_string()
}

#[test]
fn a_life_that_begins_anywhere_decides_as_one_that_has_lived_through() {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 1..=30 {
        let mut chance = Chance(seed);
        let deliveries = generated(&mut chance, 600);
        let (mut through, mut anew) = (Lives::new(), Lives::new());
        let mut rest = deliveries.as_slice();
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(rest.len().min(1 + chance.below(40) as usize));
            let from = through.journal.len() as u64;
            for (at_ms, endpoint, body, accept_id) in batch {
                through.append(*at_ms, endpoint, body, *accept_id);
                anew.append(*at_ms, endpoint, body, *accept_id);
            }
            if chance.below(3) == 0 {
                drop(anew.decide(from, &mut Staged::default()));
            }
            let (expected, found) = (through.commit(from), anew.commit(from));
            assert_eq!(found, expected, "seed {seed}, from {from}");
            for told in expected {
                let kind = told.rsplit(' ').next().filter(|last| !last.contains('/')).unwrap_or("published");
                *kinds.entry(kind.to_owned()).or_default() += 1;
            }
            if chance.below(4) == 0 {
                anew.restart(1 + chance.below(50) as usize);
            }
            rest = after;
        }
    }
    println!("{kinds:?}");
    for kind in ["published", "stale", "accept_id", "id", "endpoint", "body", "expired", "missing_id"] {
        assert!(kinds[kind] > 100, "too few of {kind}: {kinds:?}");
    }
}
