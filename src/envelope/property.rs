//! Whatever comes in ends as an event whose data has exactly the contract's keys, or with a reason. Never a panic.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::schema::tests::assert_valid;
use super::trial::{Case, EVERYWHERE, WAITLISTPLUS_CASE, WAITWHILE_CASE, case_of, form};
use super::{Form, Mode, Outgoing, bytes_max};
use crate::providers::trial::{Dice, RULES, SAMPLES};
use crate::providers::{Carry, PayloadRule, Rules};
use crate::routing::Ids;

const TOP: &str = "account_id change endpoint entries entries_complete erasure fields location message notes \
    payload payload_omitted person received_at stale status tenant time_basis vendor vendor_type version";
const PERSON: &str = "anonymized birth_date complete email external_id family_id first_name id identity key last_name locale name phone";
const ENTRY: &str = "completed_at created_at duration_seconds estimated_wait_seconds id joined_at kind list party_size position \
    requested_date resources served_at services starts_at starts_local status tags ticket updated_at vendor_status";
const STATUS: &str = "force_closed next_available_at no_wait_reason open party_size_max serving serving_full serving_guests \
    wait_seconds wait_seconds_by_party_size waiting waiting_guests waitlist_full waitlist_open";

/// The keys of what stands under a key, where that is an object or a list of objects.
const PARTS: &[(&str, &str)] = &[
    ("person", PERSON),
    ("location", "id key name"),
    ("entries", ENTRY),
    ("status", STATUS),
    ("message", "body channel direction error id status vendor_status visit_id"),
    ("notes", "edited_at edited_by text"),
    ("erasure", "reason scope"),
    ("services", "id quantity"),
    ("resources", "id quantity"),
];

type Members<'a> = Vec<(String, &'a RawValue)>;

fn members(json: &str) -> Members<'_> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    members.into_iter().collect()
}

/// That `json` has these keys, and its parts theirs. A payload is the vendor's, and fields have the vendor's keys.
fn check_keys(json: &str, keys: &str) {
    let members = members(json);
    let found: Vec<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(found.join(" "), keys, "{json}");
    for (key, value) in members {
        let Some((_, keys)) = PARTS.iter().find(|(part, _)| *part == key) else { continue };
        let value = value.get();
        match value.as_bytes()[0] {
            b'{' => check_keys(value, keys),
            b'[' => serde_json::from_str::<Vec<&RawValue>>(value).unwrap().iter().for_each(|item| check_keys(item.get(), keys)),
            _ => {}
        }
    }
}

fn check(outgoing: &Outgoing, mode: Mode) {
    let value = std::str::from_utf8(outgoing.value.as_ref().unwrap()).expect("UTF-8");
    match mode {
        Mode::Binary => {
            check_keys(value, TOP);
            // A payload may hold numbers that only the vendor's own bytes can.
            serde_json::from_str(value).iter().for_each(assert_valid);
        }
        Mode::Structured => {
            let data = members(value).into_iter().find(|(key, _)| key == "data").expect("data").1;
            check_keys(data.get(), TOP);
        }
    }
    assert!(outgoing.key.is_ascii() && outgoing.key.starts_with("wait"), "{}", outgoing.key);
}

fn cases(dice: &mut Dice, vendor: &'static str) -> (Case<'static>, Form<'static>) {
    let rules = Rules {
        payload: dice.pick(&[PayloadRule::None, PayloadRule::Redacted, PayloadRule::Full]),
        notes: dice.pick(&[Carry::On, Carry::Off]),
        message_bodies: dice.pick(&[Carry::On, Carry::Off]),
        ..RULES
    };
    let mode = dice.pick(&[Mode::Binary, Mode::Structured]);
    (Case { rules, ..case_of(vendor) }, Form { mode, routes: &EVERYWHERE, ids: &Ids::Plain, ..form() })
}

#[test]
fn a_mutated_delivery_ends_as_an_event_or_with_a_reason() {
    let mut dice = Dice::new(11);
    let (mut events, mut reasons) = (0, BTreeMap::<&str, usize>::new());
    for _ in 0..300 {
        for sample in SAMPLES {
            let body = dice.mutated(sample.body.as_bytes());
            let (case, form) = cases(&mut dice, sample.vendor());
            match case.records_in(form, &body) {
                Ok(records) => {
                    assert!(!records.is_empty());
                    records.iter().for_each(|record| check(record, form.mode));
                    let is_bounded = |record: &Outgoing| record.value.as_ref().is_some_and(|value| value.len() <= bytes_max(body.len()));
                    assert!(records.iter().all(is_bounded), "{}", String::from_utf8_lossy(&body));
                    events += 1;
                }
                Err(reason) => *reasons.entry(reason.as_str()).or_default() += 1,
            }
        }
    }
    assert!(events > 500 && reasons.len() >= 4, "the mutations are of every sort: {events} events, {reasons:?}");
}

#[test]
fn random_bytes_end_with_a_reason() {
    let mut dice = Dice::new(13);
    for round in 0..20_000 {
        let length = dice.roll(40);
        // At first any bytes, then only those that JSON is made of.
        let alphabet: &[u8] = if round % 2 == 0 { &[] } else { b"{}[]\",:\\u0d8e+-.1 tfna\n\xc3\xab" };
        let body: Vec<u8> = (0..length).map(|_| if alphabet.is_empty() { dice.roll(256) as u8 } else { dice.pick(alphabet) }).collect();
        for case in [WAITWHILE_CASE, WAITLISTPLUS_CASE] {
            assert!(case.records(&body).is_err(), "{body:?}");
        }
    }
}
