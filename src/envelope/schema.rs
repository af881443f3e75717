//! The JSON Schema of `data`, for `waitbridge schema` and for whoever audits the topics.

/// As `urn:waitbridge:event:1`, the value of `ce_dataschema`.
pub const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
pub mod tests {
    use std::sync::LazyLock;

    use jsonschema::Validator;
    use serde_json::{Map, Value, json};

    use super::SCHEMA;
    use crate::envelope::trial::{RECEIVED, record};
    use crate::event::{Change, Direction, EntryKind, EntryStatus, ErasureReason, Identity, MessageStatus, Scope};
    use crate::providers::VENDORS;
    use crate::providers::trial::SAMPLES;

    static JSON: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(SCHEMA).unwrap());
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| validator(SCHEMA));
    /// What we write ourselves has no key that the schema does not know.
    static CLOSED: LazyLock<Validator> =
        LazyLock::new(|| validator(&SCHEMA.replace(r#""additionalProperties": true"#, r#""additionalProperties": false"#)));

    fn validator(schema: &str) -> Validator {
        jsonschema::options().should_validate_formats(true).build(&serde_json::from_str(schema).unwrap()).expect("a schema")
    }

    /// Section 6 of the contract once more: each part's keys, and what they may hold. `?`: or null; `[]`: a list of; `{}`: an object of.
    const PARTS: &[(&str, &str)] = &[
        (
            "data",
            "vendor str, tenant str, endpoint str, vendor_type str, account_id str?, change str, time_basis str, received_at time, \
            version time, stale bool, person person?, location location?, entries [entry], entries_complete bool, status status?, \
            message message?, fields {[str]}, notes [note]?, erasure erasure?, payload {any}?, payload_omitted str?",
        ),
        (
            "person",
            "key str, id str, identity str, external_id str?, family_id str?, name str?, first_name str?, last_name str?, email str?, \
            phone str?, locale str?, birth_date date?, anonymized bool, complete bool",
        ),
        ("location", "key str, id str?, name str?"),
        (
            "entry",
            "id str?, kind str, list str?, status str, vendor_status str?, tags [str], position int?, party_size int?, \
            estimated_wait_seconds int?, duration_seconds int?, ticket str?, joined_at time?, starts_at time?, served_at time?, \
            completed_at time?, created_at time?, updated_at time?, starts_local str?, requested_date date?, services [quantity], \
            resources [quantity]",
        ),
        ("quantity", "id str, quantity int"),
        (
            "status",
            "open bool?, waitlist_open bool?, waitlist_full bool?, serving_full bool?, force_closed bool?, waiting int?, \
            waiting_guests int?, serving int?, serving_guests int?, party_size_max int?, wait_seconds int?, \
            wait_seconds_by_party_size {int}, no_wait_reason str?, next_available_at time?",
        ),
        ("message", "id str, visit_id str?, channel str?, direction str?, status str, vendor_status str?, error str?, body str?"),
        ("note", "text str, edited_at time?, edited_by str?"),
        ("erasure", "scope str, reason str"),
    ];

    fn parts(name: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
        let (_, keys) = PARTS.iter().find(|(part, _)| *part == name).unwrap_or_else(|| panic!("{name} is no type"));
        keys.split(", ").map(|key| key.split_once(' ').unwrap())
    }

    fn inner(kind: &str, open: char, close: char) -> Option<&str> {
        kind.strip_prefix(open)?.strip_suffix(close)
    }

    /// A value with everything in it.
    fn full(kind: &str) -> Value {
        let kind = kind.trim_end_matches('?');
        match kind {
            "str" => json!("any word"),
            "bool" => json!(true),
            "int" => json!(7),
            "time" => json!("2026-03-10T15:20:31.900Z"),
            "date" => json!("2026-03-10"),
            "any" => json!([1, null]),
            _ => match (inner(kind, '[', ']'), inner(kind, '{', '}')) {
                (Some(kind), _) => json!([full(kind)]),
                (_, Some(kind)) => json!({ "any key": full(kind) }),
                _ => parts(kind).map(|(key, kind)| (key.to_owned(), full(kind))).collect::<Map<_, _>>().into(),
            },
        }
    }

    fn shape(text: &str) -> String {
        text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
    }

    /// What the schema must say of `value`.
    fn admits(kind: &str, value: &Value) -> bool {
        let (kind, nullable) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
        let is_like = |form: &str| value.as_str().is_some_and(|text| form == shape(text) && !text.contains("-02-30"));
        let found = match kind {
            "str" => value.is_string(),
            "bool" => value.is_boolean(),
            "int" => value.is_i64(),
            "time" => is_like("0000-00-00T00:00:00.000Z"),
            "date" => is_like("0000-00-00"),
            "any" => true,
            _ => match (inner(kind, '[', ']'), inner(kind, '{', '}')) {
                (Some(kind), _) => value.as_array().is_some_and(|all| all.iter().all(|one| admits(kind, one))),
                (_, Some(kind)) => value.as_object().is_some_and(|all| all.values().all(|one| admits(kind, one))),
                _ => value.as_object().is_some_and(|all| parts(kind).all(|(key, kind)| all.get(key).is_some_and(|one| admits(kind, one)))),
            },
        };
        found || nullable && value.is_null()
    }

    /// The JSON pointer of everything inside.
    fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
        let inside: Vec<(String, &Value)> = match value {
            Value::Object(all) => all.iter().map(|(key, one)| (format!("{at}/{key}"), one)).collect(),
            Value::Array(all) => all.iter().enumerate().map(|(index, one)| (format!("{at}/{index}"), one)).collect(),
            _ => Vec::new(),
        };
        for (pointer, one) in inside {
            pointers(one, &pointer, found);
            found.push(pointer);
        }
    }

    /// That data which we wrote is what the schema says, and no more.
    pub fn assert_valid(data: &Value) {
        let wrong: Vec<String> = CLOSED.iter_errors(data).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn every_expected_sample_is_valid() {
        let accept_id = record("waitwhile", b"").accept_id.to_string();
        for sample in SAMPLES {
            let expected = sample.expected.replace("<received_at>", RECEIVED).replace("<accept_id>", &accept_id);
            let expected: Value = serde_json::from_str(&expected).unwrap();
            if expected["dead_letter"].is_null() {
                assert_valid(&expected["data"]);
                assert!(admits("data", &expected["data"]), "{}", sample.name);
            }
        }
    }

    #[test]
    fn each_key_takes_what_the_contract_says_and_nothing_else() {
        let data = full("data");
        assert_valid(&data);
        let mut places = Vec::new();
        pointers(&data, "", &mut places);
        let values: Vec<Value> = [
            "null",
            "true",
            "7",
            "1.5",
            "\"\"",
            "\"2026-03-10\"",
            "\"2026-02-30\"",
            "\"2026-03-10T15:20:31.900Z\"",
            "\"2026-02-30T15:20:31.900Z\"",
            "\"2026-03-10T15:20:31Z\"",
            "[]",
            "{}",
            "[7]",
            "[\"\"]",
            "{\"a\":7}",
            "{\"a\":[\"\"]}",
        ]
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
        for place in &places {
            for value in &values {
                let mut changed = data.clone();
                *changed.pointer_mut(place).unwrap() = value.clone();
                assert_eq!(VALIDATOR.is_valid(&changed), admits("data", &changed), "{value} at {place}");
            }
        }
        assert!(places.len() > 100, "{places:?}");
    }

    #[test]
    fn every_key_is_required_and_others_may_be_added() {
        let data = full("data");
        let mut places = vec![String::new()];
        pointers(&data, "", &mut places);
        for place in places {
            let keys = data.pointer(&place).unwrap().as_object().into_iter().flat_map(Map::keys);
            for key in keys.filter(|key| *key != "any key") {
                let mut changed = data.clone();
                changed.pointer_mut(&place).unwrap().as_object_mut().unwrap().remove(key);
                assert!(!VALIDATOR.is_valid(&changed), "{place}/{key} is not required");
                changed.pointer_mut(&place).unwrap()[key] = data.pointer(&place).unwrap()[key].clone();
                let added = if place == "/fields" { json!([]) } else { json!(7) };
                changed.pointer_mut(&place).unwrap()["added later"] = added;
                assert!(VALIDATOR.is_valid(&changed), "{place} takes no more");
            }
        }
    }

    #[test]
    fn the_words_are_those_of_the_model_and_the_id_that_of_the_header() {
        macro_rules! words {
            ($set:ty) => {
                <$set>::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>()
            };
        }
        for (place, words) in [
            ("/properties/vendor", VENDORS.iter().map(|vendor| vendor.name).collect()),
            ("/properties/change", words!(Change)),
            ("/$defs/person/properties/identity", words!(Identity)),
            ("/$defs/entry/properties/kind", words!(EntryKind)),
            ("/$defs/entry/properties/status", words!(EntryStatus)),
            ("/$defs/message/properties/direction", words!(Direction)),
            ("/$defs/message/properties/status", words!(MessageStatus)),
            ("/$defs/erasure/properties/scope", words!(Scope)),
            ("/$defs/erasure/properties/reason", words!(ErasureReason)),
        ] {
            assert_eq!(JSON.pointer(place).unwrap()["anyOf"][0]["enum"], json!(words), "{place}");
        }
        assert_eq!(JSON["$id"], crate::envelope::DATA_SCHEMA);
    }

    #[test]
    fn every_property_is_described() {
        let shapes = JSON["$defs"].as_object().unwrap().values().chain([&*JSON]);
        for (key, property) in shapes.filter_map(|shape| shape["properties"].as_object()).flatten() {
            assert!(property["description"].is_string(), "{key} has no description");
        }
    }
}
