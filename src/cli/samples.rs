//! Deliveries to try things with, and how to make them fresh: new ids, the time of now.
//!
//! Two of them are documented by the vendors; the others are made of what is known, with invented persons.

use std::time::Duration;

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The name after `--sample`, and the body.
pub const SAMPLES: &[(&str, &str)] = &[
    ("waitwhile/visit.created", include_str!("../../tests/samples/waitwhile-visit.created.json")),
    ("waitwhile/visit.updated", include_str!("../../tests/samples/waitwhile-visit.updated.json")),
    ("waitwhile/visit.removed", include_str!("../../tests/samples/waitwhile-visit.removed.json")),
    ("waitwhile/location-status.updated", include_str!("../../tests/samples/waitwhile-location-status.updated.json")),
    ("waitwhile/message.created", include_str!("../../tests/samples/waitwhile-message.created.json")),
    ("waitwhile/message.updated", include_str!("../../tests/samples/waitwhile-message.updated.json")),
    ("waitlistplus/AddPerson", include_str!("../../tests/samples/waitlistplus-AddPerson.json")),
    ("waitlistplus/UpdatePerson", include_str!("../../tests/samples/waitlistplus-UpdatePerson.json")),
    ("waitlistplus/DeletePerson", include_str!("../../tests/samples/waitlistplus-DeletePerson.json")),
];

pub fn sample(name: &str) -> Result<&'static str> {
    let names = || SAMPLES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = SAMPLES.iter().find(|(known, _)| *known == name);
    found.map(|(_, body)| *body).ok_or_else(|| anyhow!("there is no sample {name}; there are {}", names()))
}

/// How a sample is made fresh.
#[derive(Debug, Clone, Default)]
pub struct Stamp {
    /// How far in the past the vendor's own times lie.
    pub late: Duration,
    /// What it is about; without it another visit, message or person each time. A location keeps its own.
    pub id: Option<String>,
}

/// The same delivery as if it happened now. What is no JSON object stays as it is.
pub fn freshen(body: &[u8], stamp: &Stamp) -> Vec<u8> {
    let Ok(mut delivery) = serde_json::from_slice::<Value>(body) else { return body.to_vec() };
    if tells_times(&delivery) {
        freshen_waitwhile(&mut delivery, stamp);
    } else if let Some(person) = delivery.pointer_mut("/data/PersonId") {
        let number = stamp.id.as_ref().map(|id| id.parse::<i64>().map_or_else(|_| json!(id), |number| json!(number)));
        *person = number.unwrap_or_else(|| json!(uuid::Uuid::new_v4().as_u128() as u32));
    }
    serde_json::to_vec(&delivery).unwrap_or_else(|_| body.to_vec())
}

/// Whether the vendor says when it happened: only then can it come late.
pub fn can_be_late(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|delivery| tells_times(&delivery))
}

fn tells_times(delivery: &Value) -> bool {
    delivery.get("created").is_some()
}

fn freshen_waitwhile(delivery: &mut Value, stamp: &Stamp) {
    let is_location = delivery["type"].as_str().is_some_and(|kind| kind.starts_with("location"));
    let then = Timestamp::now().saturating_sub(stamp.late).unwrap_or(Timestamp::UNIX_EPOCH);
    let instant = json!(format!("{then:.3}"));
    delivery["id"] = json!(event_id(then.as_millisecond(), &random_id(12)));
    delivery["created"] = instant.clone();
    let Some(data) = delivery["data"].as_object_mut() else { return };
    if data.contains_key("updated") {
        data.insert("updated".to_owned(), instant);
    }
    let id = stamp.id.clone().or_else(|| (!is_location).then(|| random_id(20)));
    if let Some(id) = id {
        data.insert("id".to_owned(), json!(id));
    }
}

/// As the vendor makes them: the time in milliseconds in base 62, then chance.
pub fn event_id(ms: i64, chance: &str) -> String {
    let mut ms = u64::try_from(ms).unwrap_or(0);
    let mut digits = [0; 8];
    for digit in digits.iter_mut().rev() {
        *digit = BASE_62[(ms % 62) as usize];
        ms /= 62;
    }
    String::from_utf8_lossy(&digits).into_owned() + chance
}

fn random_id(length: usize) -> String {
    let chance = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
    chance.iter().take(length).map(|byte| char::from(BASE_62[usize::from(*byte) % 62])).collect()
}

pub const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(body: &str, stamp: &Stamp) -> Value {
        serde_json::from_slice(&freshen(body.as_bytes(), stamp)).unwrap()
    }

    #[test]
    fn event_ids_begin_with_their_time_as_the_vendors_do() {
        let documented: Timestamp = "2022-05-19T14:06:11.923Z".parse().unwrap();
        assert_eq!(event_id(documented.as_millisecond(), "l73ViyRp"), "0T6HyBrXl73ViyRp");
    }

    #[test]
    fn a_fresh_sample_differs_from_the_one_before() {
        for (name, body) in SAMPLES {
            let fresh = || freshen(body.as_bytes(), &Stamp::default());
            assert_ne!(fresh(), fresh(), "{name}");
        }
    }

    #[test]
    fn a_sample_can_be_about_the_same_thing_again() {
        let stamp = Stamp { id: Some("17".to_owned()), ..Stamp::default() };
        for (name, body) in SAMPLES {
            let (key, expected) = if name.starts_with("waitwhile") { ("id", json!("17")) } else { ("PersonId", json!(17)) };
            assert_eq!(fresh(body, &stamp)["data"][key], expected, "{name}");
        }
    }

    #[test]
    fn a_late_sample_has_its_vendors_times_in_the_past() {
        let stamp = Stamp { late: Duration::from_secs(7200), id: None };
        for (name, body) in SAMPLES.iter().filter(|(_, body)| can_be_late(body.as_bytes())) {
            let late = fresh(body, &stamp);
            let created: Timestamp = late["created"].as_str().unwrap().parse().unwrap();
            let ago = Timestamp::now().as_second() - created.as_second();
            assert!((7200..7260).contains(&ago), "{name}: {ago} s ago");
            assert_eq!(late["data"]["updated"], late["created"], "{name}");
        }
        assert!(!can_be_late(sample("waitlistplus/AddPerson").unwrap().as_bytes()));
    }
}
