//! What may be shown of an event's data, and what stands for the rest.
//!
//! A list of what is shown: a key that is not in it, of this version or a later one, is hidden until somebody decides.

use serde_json::{Map, Value};

const HIDDEN: &str = "…";

/// The keys shown as they are, by the part of the data that they stand in.
const SHOWN: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "vendor",
            "tenant",
            "endpoint",
            "vendor_type",
            "account_id",
            "change",
            "time_basis",
            "received_at",
            "version",
            "stale",
            "person",
            "location",
            "entries",
            "entries_complete",
            "status",
            "message",
            "erasure",
            "payload_omitted",
        ],
    ),
    ("person", &["key", "id", "identity", "family_id", "locale", "anonymized", "complete"]),
    ("location", &["key", "id", "name"]),
    (
        "entries",
        &[
            "id",
            "kind",
            "list",
            "status",
            "vendor_status",
            "position",
            "party_size",
            "estimated_wait_seconds",
            "duration_seconds",
            "ticket",
            "joined_at",
            "starts_at",
            "served_at",
            "completed_at",
            "created_at",
            "updated_at",
            "starts_local",
            "requested_date",
            "services",
            "resources",
        ],
    ),
    ("services", &["id", "quantity"]),
    ("resources", &["id", "quantity"]),
    (
        "status",
        &[
            "open",
            "waitlist_open",
            "waitlist_full",
            "serving_full",
            "force_closed",
            "waiting",
            "waiting_guests",
            "serving",
            "serving_guests",
            "party_size_max",
            "wait_seconds",
            "no_wait_reason",
            "next_available_at",
        ],
    ),
    ("message", &["id", "visit_id", "channel", "direction", "status", "vendor_status"]),
    ("erasure", &["scope", "reason"]),
];

/// The keys of which something is shown, or which are shown with all that is in them.
const PARTLY: &[(&str, &str, Mask)] = &[
    ("", "fields", names_only),
    ("person", "name", initials),
    ("person", "first_name", initials),
    ("person", "last_name", initials),
    ("person", "email", email),
    ("person", "phone", phone),
    ("entries", "tags", tags),
    ("status", "wait_seconds_by_party_size", Value::clone),
];

type Mask = fn(&Value) -> Value;

/// The vendor's own tags; others are free text.
const TAGS: &[&str] = &["CANCELLED", "NO-SHOW", "EXPIRED", "ARRIVED", "ALERTED", "CONFIRMED"];

pub fn masked(data: &Value) -> Value {
    part("", data)
}

fn part(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), member(name, key, value))).collect::<Map<_, _>>().into(),
        Value::Array(items) => items.iter().map(|item| part(name, item)).collect(),
        other => other.clone(),
    }
}

fn member(name: &str, key: &str, value: &Value) -> Value {
    let is_shown = SHOWN.iter().any(|(part, keys)| *part == name && keys.contains(&key));
    let partly = PARTLY.iter().find(|(part, known, _)| (*part, *known) == (name, key));
    match (value, partly) {
        (Value::Null, _) => Value::Null,
        _ if is_shown => part(key, value),
        (_, Some((_, _, mask))) => mask(value),
        _ => HIDDEN.into(),
    }
}

fn names_only(fields: &Value) -> Value {
    let names = fields.as_object().into_iter().flatten().map(|(name, _)| (name.clone(), HIDDEN.into()));
    names.collect::<Map<_, _>>().into()
}

fn initials(name: &Value) -> Value {
    let words = name.as_str().unwrap_or_default().split_whitespace();
    words.filter_map(|word| word.chars().next()).map(|first| format!("{first}{HIDDEN}")).collect::<Vec<_>>().join(" ").into()
}

fn email(email: &Value) -> Value {
    email.as_str().unwrap_or_default().chars().next().map(|first| format!("{first}{HIDDEN}@{HIDDEN}")).unwrap_or_default().into()
}

fn phone(phone: &Value) -> Value {
    let digits: Vec<char> = phone.as_str().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    let last: String = digits.iter().skip(digits.len().saturating_sub(2).max(1)).collect();
    format!("{HIDDEN}{last}").into()
}

fn tags(tags: &Value) -> Value {
    let shown = |tag: &Value| -> Value { tag.as_str().filter(|tag| TAGS.contains(tag)).unwrap_or(HIDDEN).into() };
    tags.as_array().into_iter().flatten().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn personal_values_are_masked_and_unknown_ones_hidden() {
        for (data, expected) in [
            (json!({"person": {"id": "P", "name": "Robin Élan Vale"}}), json!({"person": {"id": "P", "name": "R… É… V…"}})),
            (json!({"person": {"email": "robin@example.com"}}), json!({"person": {"email": "r…@…"}})),
            (json!({"person": {"phone": "+1 202 555-0123"}}), json!({"person": {"phone": "…23"}})),
            (json!({"person": {"phone": "12"}}), json!({"person": {"phone": "…2"}})),
            (json!({"person": {"phone": "7"}}), json!({"person": {"phone": "…"}})),
            (json!({"person": {"birth_date": "2021-08-09"}}), json!({"person": {"birth_date": "…"}})),
            (json!({"person": {"external_id": "crm-77"}}), json!({"person": {"external_id": "…"}})),
            (json!({"person": null, "notes": null}), json!({"person": null, "notes": null})),
            (json!({"fields": {"Allergies": ["nuts"]}}), json!({"fields": {"Allergies": "…"}})),
            (json!({"notes": [{"text": "x"}], "payload": {"a": 1}}), json!({"notes": "…", "payload": "…"})),
            (json!({"location": {"name": "Springfield"}}), json!({"location": {"name": "Springfield"}})),
            (
                json!({"message": {"body": "b", "error": "e", "status": "failed"}}),
                json!({"message": {"body": "…", "error": "…", "status": "failed"}}),
            ),
            (
                json!({"entries": [{"tags": ["NO-SHOW", "by phone"], "position": 4}]}),
                json!({"entries": [{"tags": ["NO-SHOW", "…"], "position": 4}]}),
            ),
            (json!({"status": {"wait_seconds_by_party_size": {"2": 9}}}), json!({"status": {"wait_seconds_by_party_size": {"2": 9}}})),
            (json!({"vaccinated": true, "person": {"age": 4}}), json!({"vaccinated": "…", "person": {"age": "…"}})),
        ] {
            assert_eq!(masked(&data), expected);
        }
    }
}
