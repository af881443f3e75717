//! Every sample gives the event that stands under `tests/samples/expected`: topic, key, headers, data.
//!
//! What only the run knows is filled in here: the receipt, the accept id, and what the window said.

use serde_json::{Value, json};

use super::trial::{RECEIVED, WAITWHILE_CASE, case_of, record};
use super::{Outgoing, Verdict};
use crate::event::Kind;
use crate::providers::trial::{SAMPLES, Sample};
use crate::routing::{Known, LastVisit};

/// What the window says of a visit after `waitwhile-visit.updated`, which the samples name under `after`.
const AFTER_UPDATED: Known = Known {
    person_key: Some("waitwhile/acme/person/a8kRaDS5asLKQ8iTcasNjo"),
    last: Some(LastVisit { kind: Kind::Visit, location_key: "waitwhile/acme/location/P3HCgTiw7IjGhxM2qmjt" }),
};

fn expected(sample: &Sample) -> Value {
    let accept_id = record("waitwhile", b"").accept_id.to_string();
    let filled = sample.expected.replace("<received_at>", RECEIVED).replace("<accept_id>", &accept_id);
    serde_json::from_str(&filled).unwrap()
}

/// In the form of the expected files.
fn shown(outgoing: &Outgoing) -> Value {
    let headers: serde_json::Map<String, Value> =
        outgoing.headers.iter().map(|(name, text)| ((*name).to_owned(), text.as_ref().into())).collect();
    assert_eq!(headers.len(), outgoing.headers.len(), "no header comes twice");
    let data: Value = serde_json::from_slice(outgoing.value.as_ref().unwrap()).unwrap();
    json!({ "topic": &*outgoing.topic, "key": outgoing.key, "headers": headers, "data": data })
}

#[test]
fn every_sample_gives_the_expected_event() {
    for sample in SAMPLES {
        let mut expected = expected(sample);
        let known = if expected["after"].is_array() { AFTER_UPDATED } else { Known::default() };
        let verdict = Verdict { stale: expected["data"]["stale"] == true, known, ..Verdict::default() };
        let records = case_of(sample.vendor()).with(verdict).records(sample.body.as_bytes());
        let actual = match records.as_deref() {
            Ok([outgoing]) => shown(outgoing),
            Ok(_) => panic!("one topic each"),
            Err(reason) => json!({ "dead_letter": reason.as_str() }),
        };
        expected.as_object_mut().unwrap().retain(|key, _| key != "settings" && key != "after");
        assert_eq!(actual, expected, "{}", sample.name);
    }
}

#[test]
fn without_the_window_a_visit_that_names_nobody_has_its_own_key() {
    let removed = SAMPLES.iter().find(|sample| sample.name == "waitwhile-visit.removed-id-only").unwrap();
    let records = WAITWHILE_CASE.records(removed.body.as_bytes()).unwrap();
    assert_eq!(records[0].key, "waitwhile/acme/visit/PGg36SmMTBBZJmhwPGBY");
}
