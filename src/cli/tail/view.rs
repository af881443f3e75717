//! A record taken apart: the attributes and the data of an event, in binary or structured mode, or a dead letter.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kafka::follow::Followed;

pub enum View {
    Event(Event),
    DeadLetter,
    /// Nothing that waitbridge writes.
    Foreign,
}

pub struct Event {
    /// By their CloudEvents names, without `ce_`.
    pub attributes: BTreeMap<String, String>,
    pub data: Value,
}

impl View {
    pub fn of(record: &Followed) -> View {
        let json = || serde_json::from_slice::<Value>(record.value.as_deref().unwrap_or_default()).ok();
        if record.header("wb_reason").is_some() {
            return View::DeadLetter;
        }
        let event = match record.header("content-type").unwrap_or_default().split(';').next() {
            Some("application/cloudevents+json") => json().and_then(structured),
            _ if record.header("ce_type").is_some() => json().map(|data| Event { attributes: attributes(record), data }),
            _ => None,
        };
        event.map_or(View::Foreign, View::Event)
    }
}

impl Event {
    /// Empty if it is not there.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    pub fn has_mark(&self, name: &str) -> bool {
        self.attribute(name) == "true"
    }
}

fn attributes(record: &Followed) -> BTreeMap<String, String> {
    let named = record.headers.iter().filter_map(|(name, value)| Some((name.strip_prefix("ce_")?.to_owned(), value.clone())));
    named.collect()
}

fn structured(event: Value) -> Option<Event> {
    let Value::Object(mut event) = event else { return None };
    let data = event.remove("data").unwrap_or_default();
    let text = |(name, value): (String, Value)| Some((name, value.as_str()?.to_owned()));
    Some(Event { attributes: event.into_iter().filter_map(text).collect(), data })
}
