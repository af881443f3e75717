//! What the audit finds, and what it leaves alone: records as the product writes them, then with one thing changed.

use serde_json::Value;

use super::*;
use crate::cli::tail::view::View;
use crate::envelope::trial::{TOPICS, case_of, form};
use crate::envelope::{Form as Envelope, Mode, Outgoing, SCHEMA, Verdict};
use crate::providers::trial::SAMPLES;

const HOUR_MS: i64 = 3_600_000;
const VISIT: &str = "waitwhile-visit.updated";

fn audit() -> Audit {
    let schema = jsonschema::options().should_validate_formats(true).build(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    Audit::new(TOPICS.clone(), schema, 72 * HOUR_MS)
}

fn followed(record: Outgoing) -> Followed {
    Followed {
        topic: record.topic.to_string(),
        partition: 0,
        offset: 0,
        key: record.key,
        headers: record.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect(),
        value: record.value,
    }
}

fn written(name: &str, mode: Mode, verdict: Verdict<'static>) -> Option<Followed> {
    let sample = SAMPLES.iter().find(|sample| sample.name == name).unwrap();
    let case = case_of(sample.vendor()).with(verdict);
    let records = case.records_in(Envelope { mode, ..form() }, sample.body.as_bytes()).ok()?;
    Some(followed(records.into_iter().next().unwrap()))
}

/// With headers and data set to something else; an empty text takes the header away.
fn changed(mut record: Followed, headers: &[(&str, &str)], data: &[(&str, Value)]) -> Followed {
    for (name, text) in headers {
        record.headers.retain(|(known, _)| known != name);
        if !text.is_empty() {
            record.headers.push(((*name).to_owned(), (*text).to_owned()));
        }
    }
    let mut value: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
    for (pointer, told) in data {
        *value.pointer_mut(pointer).unwrap() = told.clone();
    }
    record.value = Some(value.to_string().into_bytes());
    record
}

fn visit(headers: &[(&str, &str)], data: &[(&str, Value)]) -> Followed {
    changed(written(VISIT, Mode::Binary, Verdict::NONE).unwrap(), headers, data)
}

/// The visit as another delivery tells it: its event id, its version, and when it was received (minutes after noon).
fn told(number: u8, version: &str, minute: u32, marks: &[(&str, &str)]) -> Followed {
    let (id, accept_id) = (format!("E{number}"), format!("0195b3f0-0000-7000-8000-0000000000{number:02}"));
    let version = format!("2026-03-20T{version}:00.000Z");
    let received = format!("2026-03-{}T12:{:02}:00.000Z", 20 + minute / 60 / 24, minute % 60);
    let stale = marks.iter().any(|(name, _)| *name == "ce_stale");
    let own = [("ce_id", id.as_str()), ("ce_acceptid", &accept_id), ("ce_sequence", &version), ("ce_receivedtime", &received)];
    let data = [("/version", version.clone().into()), ("/received_at", received.clone().into()), ("/stale", stale.into())];
    visit(&[&own, marks].concat(), &data)
}

fn codes(audit: &mut Audit, records: impl IntoIterator<Item = Followed>) -> Vec<&'static str> {
    records.into_iter().flat_map(|record| audit.look(&record)).map(|problem| problem.code.as_str()).collect()
}

#[track_caller]
fn check(records: impl IntoIterator<Item = Followed>, expected: &[&str]) {
    let mut audit = audit();
    let mut found = codes(&mut audit, records);
    found.extend(audit.finish(Read::All).iter().map(|problem| problem.code.as_str()));
    assert_eq!(found, expected);
}

#[test]
fn what_the_product_writes_is_right() {
    for sample in SAMPLES {
        for mode in [Mode::Binary, Mode::Structured] {
            if let Some(record) = written(sample.name, mode, Verdict::NONE) {
                assert!(matches!(View::of(&record), View::Event(_)), "{}", sample.name);
                assert_eq!(audit().look(&record), [], "{}", sample.name);
            }
        }
    }
}

#[test]
fn headers_are_all_there_once_and_as_the_data_says() {
    const STALE: &[(&str, &str)] = &[("ce_stale", "true")];
    for name in ["specversion", "dataschema", "id", "subject", "auth", "time", "acceptid", "sequence", "receivedtime", "endpoint"] {
        check([visit(&[(&format!("ce_{name}"), "")], &[])], &["header_missing"]);
    }
    for (name, wrong) in [
        ("ce_specversion", "0.3"),
        ("ce_dataschema", "urn:waitbridge:event:2"),
        ("ce_acceptid", "0195B3F0-0000-7000-8000-00000000002A"),
        ("ce_time", "2026-03-10T15:20:31Z"),
        ("ce_sequence", "2026-03-10T15:20:31.213Z"),
        ("ce_receivedtime", "2026-03-20T12:00:00.043Z"),
        ("ce_endpoint", "another"),
        ("ce_erasure", "visit"),
        ("ce_replayed", "false"),
    ] {
        check([visit(&[(name, wrong)], &[])], &["header_wrong"]);
    }
    let twice = visit(&[], &[]);
    let twice = Followed { headers: [twice.headers.clone(), vec![("ce_id".to_owned(), "again".to_owned())]].concat(), ..twice };
    check([twice], &["header_wrong"]);
    assert_eq!(codes(&mut audit(), [visit(STALE, &[])]), ["header_wrong"], "the data does not say so");
    check([visit(&[("ce_source", "/waitwhile/other")], &[])], &["header_wrong"]);
}

#[test]
fn a_key_is_what_the_data_says() {
    let person = |key: &str| Followed { key: key.to_owned(), ..visit(&[], &[]) };
    check([person("waitwhile/acme/person/a8kRaDS5asLKQ8iTcasNjo")], &[]);
    check([person("waitwhile/acme/person/another")], &["key_wrong"]);
    let unnamed = |key: &str| Followed { key: key.to_owned(), ..visit(&[], &[("/person", Value::Null)]) };
    for (key, expected) in [
        ("waitwhile/acme/visit/PGg36SmMTBBZJmhwPGBY", &[][..]),
        ("waitwhile/acme/person/remembered", &[]),
        ("waitwhile/other/person/remembered", &["key_wrong"]),
        ("", &["key_wrong"]),
    ] {
        check([unnamed(key)], expected);
    }
    let location = written("waitwhile-location-status.updated", Mode::Binary, Verdict::NONE).unwrap();
    check([Followed { key: "waitwhile/acme/location/another".to_owned(), ..location }], &["key_wrong"]);
    let on_location = |state: Value| {
        let visit = visit(&[], &[("/entries/0/vendor_status", state)]);
        Followed { topic: TOPICS.location.to_string(), key: "waitwhile/acme/location/another".to_owned(), ..visit }
    };
    check([on_location("SERVING".into())], &["key_wrong"]);
    check([on_location(Value::Null)], &[]);
}

#[test]
fn data_that_the_schema_refuses_is_named_by_its_place_and_not_by_its_value() {
    let record = visit(&[], &[("/person/name", Value::from(4711)), ("/person/email", Value::from(4712))]);
    let [problem] = audit().look(&record).try_into().unwrap();
    assert_eq!(problem.code, Code::DataInvalid);
    assert!(problem.detail.contains("/person/") && !problem.detail.contains("471"), "{}", problem.detail);
}

#[test]
fn nothing_is_there_twice_but_what_is_replayed() {
    let (first, second) = (|| told(1, "11:00", 0, &[]), || told(2, "11:00", 1, &[]));
    check([first(), second()], &[]);
    check([first(), first()], &["accept_id_twice", "event_id_twice"]);
    check([first(), told(1, "11:00", 0, &[("ce_replayed", "true")]), second()], &[]);
    let same_id = |minute| changed(told(2, "11:00", minute, &[]), &[("ce_id", "E1")], &[]);
    check([first(), same_id(1)], &["event_id_twice"]);
    check([first(), same_id(4 * 24 * 60)], &[]);
}

#[test]
fn an_event_stands_in_both_topics_if_routes_say_so_and_a_dead_letter_in_none() {
    let both = || {
        let location = told(1, "11:00", 0, &[]);
        let key = "waitwhile/acme/location/P3HCgTiw7IjGhxM2qmjt".to_owned();
        Followed { topic: TOPICS.location.to_string(), key, ..location }
    };
    check([told(1, "11:00", 0, &[]), both()], &[]);
    check([told(1, "11:00", 0, &[]), dead_letter(&[("wb_acceptid", "0195b3f0-0000-7000-8000-000000000001")])], &["accept_id_twice"]);
}

#[test]
fn an_older_version_says_so_and_only_an_older_one_does() {
    const STALE: &[(&str, &str)] = &[("ce_stale", "true")];
    let newer = || told(1, "11:00", 0, &[]);
    check([newer(), told(2, "10:59", 1, STALE)], &[]);
    check([newer(), told(2, "10:59", 1, &[])], &["regression_unmarked"]);
    check([newer(), told(2, "11:00", 1, &[])], &[]);
    check([newer(), told(2, "11:00", 1, STALE)], &["stale_unfounded"]);
    check([told(2, "10:59", 1, STALE), newer()], &[]);
    check([told(2, "10:59", 1, &[]), newer(), told(3, "10:58", 2, STALE), told(4, "10:57", 3, &[])], &["regression_unmarked"]);
    check([newer(), told(2, "10:59", 4 * 24 * 60, &[])], &[]);
    // What another partition holds was read in an order that says nothing.
    let elsewhere = Followed { partition: 1, ..told(2, "10:59", 1, &[]) };
    check([newer(), elsewhere], &[]);
    let elsewhere = Followed { partition: 1, ..told(2, "10:59", 1, STALE) };
    check([elsewhere, newer()], &[]);
}

#[test]
fn a_stale_mark_is_doubted_only_if_all_was_read() {
    let mut audit = audit();
    assert_eq!(codes(&mut audit, [told(1, "11:00", 0, &[("ce_stale", "true")])]), [""; 0]);
    assert_eq!(audit.finish(Read::Part), []);
    assert!(audit.problems.is_empty());
}

fn dead_letter(headers: &[(&str, &str)]) -> Followed {
    let right = [
        ("wb_reason", "not_json"),
        ("wb_vendor", "waitwhile"),
        ("wb_tenant", "acme"),
        ("wb_endpoint", "waitwhile"),
        ("wb_acceptid", "0195b3f0-0000-7000-8000-00000000002a"),
        ("wb_receivedtime", "2026-03-20T12:00:00.042Z"),
    ];
    let headers_of = |all: &[(&str, &str)]| all.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let record = Followed {
        topic: TOPICS.dead_letter.to_string(),
        key: "waitwhile/acme".to_owned(),
        headers: headers_of(&right),
        value: Some(b"{}".to_vec()),
        ..Followed::default()
    };
    changed(record, headers, &[])
}

#[test]
fn a_dead_letter_has_its_headers_and_no_other() {
    check([dead_letter(&[])], &[]);
    check([dead_letter(&[("wb_endpoint", "")])], &["header_missing"]);
    check([dead_letter(&[("wb_reason", "because")])], &["header_wrong"]);
    check([dead_letter(&[("ce_id", "1")])], &["header_wrong"]);
    check([dead_letter(&[("wb_tenant", "other")])], &["key_wrong"]);
    check([dead_letter(&[]), dead_letter(&[])], &["accept_id_twice"]);
}

#[test]
fn what_stands_in_the_wrong_topic_or_is_no_event_is_foreign() {
    check([Followed { topic: TOPICS.person.to_string(), ..dead_letter(&[]) }], &["foreign"]);
    check([Followed { topic: TOPICS.dead_letter.to_string(), ..visit(&[], &[]) }], &["foreign"]);
    check([Followed { topic: TOPICS.person.to_string(), value: Some(b"{".to_vec()), ..Followed::default() }], &["foreign"]);
}
