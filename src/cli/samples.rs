//! Deliveries to try things with, and how to make them fresh: new ids, the time of now.
//!
//! Two of them are documented by the vendors; the others are made of what is known, with invented persons.

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

/// The same delivery as if it happened now, to another visit, message or person; a location keeps its id.
/// What is no JSON object stays as it is.
pub fn freshen(body: &[u8]) -> Vec<u8> {
    let Ok(mut delivery) = serde_json::from_slice::<Value>(body) else { return body.to_vec() };
    let now = Timestamp::now();
    if delivery.get("created").is_some() {
        freshen_waitwhile(&mut delivery, now);
    } else if let Some(person) = delivery.pointer_mut("/data/PersonId") {
        *person = json!(uuid::Uuid::new_v4().as_u128() as u32);
    }
    serde_json::to_vec(&delivery).unwrap_or_else(|_| body.to_vec())
}

fn freshen_waitwhile(delivery: &mut Value, now: Timestamp) {
    let is_location = delivery["type"].as_str().is_some_and(|kind| kind.starts_with("location"));
    let instant = json!(format!("{now:.3}"));
    delivery["id"] = json!(event_id(now));
    delivery["created"] = instant.clone();
    let Some(data) = delivery["data"].as_object_mut() else { return };
    if data.contains_key("updated") {
        data.insert("updated".to_owned(), instant);
    }
    if !is_location {
        data.insert("id".to_owned(), json!(random_id(20)));
    }
}

/// As the vendor makes them: the time in milliseconds in base 62, then chance.
fn event_id(now: Timestamp) -> String {
    let mut ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let mut digits = [0; 8];
    for digit in digits.iter_mut().rev() {
        *digit = BASE_62[(ms % 62) as usize];
        ms /= 62;
    }
    String::from_utf8_lossy(&digits).into_owned() + &random_id(12)
}

fn random_id(length: usize) -> String {
    let chance = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
    chance.iter().take(length).map(|byte| char::from(BASE_62[usize::from(*byte) % 62])).collect()
}

const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_begin_with_their_time_as_the_vendors_do() {
        let documented = "2022-05-19T14:06:11.923Z".parse().unwrap();
        assert_eq!(&event_id(documented)[..8], "0T6HyBrX");
    }

    #[test]
    fn a_fresh_sample_differs_from_the_one_before() {
        for (name, body) in SAMPLES {
            assert_ne!(freshen(body.as_bytes()), freshen(body.as_bytes()), "{name}");
        }
    }
}
