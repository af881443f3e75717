//! What a body becomes: the records that the relay would publish, or the dead letter and what to do about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::show::Personal;
use crate::delivery::{Auth, Record};
use crate::envelope::Outgoing;
use crate::event::Reason;
use crate::journal::{Position, Stored};
use crate::providers::endpoints::{Endpoint, Endpoints};
use crate::relay::memory::{self, Memory, Staged};
use crate::relay::prepare::{Prepare, Settings};
use crate::timestamp::Timestamp;

pub struct Becomes {
    reason: Option<Reason>,
    records: Vec<Outgoing>,
    left_out: Vec<String>,
}

/// As it is told.
#[derive(Serialize)]
pub struct Shown {
    pub becomes: &'static str,
    pub reason: Option<&'static str>,
    pub advice: Option<&'static str>,
    pub records: Vec<ShownRecord>,
    /// Keys of the vendor's data that do not go on.
    pub left_out: Vec<String>,
    pub depends: &'static [&'static str],
}

#[derive(Serialize)]
pub struct ShownRecord {
    pub topic: String,
    pub key: String,
    pub headers: BTreeMap<&'static str, String>,
    /// `None`: not shown here, or empty on the topic too.
    pub value: Option<Value>,
    pub value_bytes: usize,
}

/// What only the deliveries before can tell.
const DEPENDS: &[&str] = &[
    "whether it is a repeat: then it is not published again",
    "whether it is stale: then ce_stale and data.stale are true",
    "the key of a visit or message that names no person: that of the person last named by a visit event of that visit",
];

impl Becomes {
    pub fn of(
        endpoint: &Endpoint,
        auth: Auth,
        settings: Settings,
        memory: memory::Limits,
        endpoints: Arc<Endpoints>,
        body: &[u8],
        received: Timestamp,
    ) -> Result<Becomes> {
        let (tenant, name) = (&endpoint.tenant, &endpoint.name);
        let record = Record { accept_id: Uuid::now_v7(), auth, vendor: endpoint.vendor, tenant, endpoint: name, traceparent: None, body };
        let stored = Stored { position: Position { partition: 0, offset: 1 }, received_ms: received.ms(), bytes: record.encode() };
        let prepare = Prepare::new(settings, endpoints);
        let batch = prepare.batch(&[stored], &Memory::new(memory), &mut Staged::default(), |_| false);
        let outcome = batch.outcomes.first().ok_or_else(|| anyhow!("a record without an outcome"))?;
        let reason = outcome.result().err();
        let left_out = if reason.is_none() { left_out(body, batch.records.first()) } else { Vec::new() };
        Ok(Becomes { reason, records: batch.records, left_out })
    }

    pub fn shown(self, personal: Personal) -> Shown {
        let is_letter = self.reason.is_some();
        let record = |record| ShownRecord::of(record, |value| if is_letter { None } else { Some(personal.shown(value)) });
        Shown {
            becomes: if is_letter { "dead_letter" } else { "event" },
            reason: self.reason.map(Reason::as_str),
            advice: self.reason.map(advice),
            records: self.records.into_iter().map(record).collect(),
            left_out: self.left_out,
            depends: if is_letter { &[] } else { DEPENDS },
        }
    }
}

impl ShownRecord {
    fn of(record: Outgoing, show: impl Fn(Value) -> Option<Value>) -> ShownRecord {
        let value = record.value.as_deref();
        ShownRecord {
            topic: record.topic.to_string(),
            key: record.key,
            headers: record.headers.into_iter().map(|(name, value)| (name, value.into_owned())).collect(),
            value: value.and_then(|value| serde_json::from_slice(value).ok()).and_then(show),
            value_bytes: value.map_or(0, <[u8]>::len),
        }
    }
}

/// The data of an event, in either mode.
pub fn data(value: &Value) -> &Value {
    if value.get("specversion").is_some() { &value["data"] } else { value }
}

fn left_out(body: &[u8], record: Option<&Outgoing>) -> Vec<String> {
    let body: Value = serde_json::from_slice(body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)).unwrap_or_default();
    let value = record.and_then(|record| record.value.as_deref()).and_then(|value| serde_json::from_slice::<Value>(value).ok());
    let payload = value.as_ref().map(|value| data(value)["payload"].clone()).unwrap_or_default();
    let keys = body["data"].as_object().into_iter().flatten().map(|(key, _)| key);
    keys.filter(|key| payload.get(key.as_str()).is_none()).cloned().collect()
}

fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::NotJson => "the body is no JSON in UTF-8: look at what the vendor sent, and at what stands in between",
        Reason::TooDeep => "it nests deeper than relay.json_depth_max",
        Reason::UnknownShape => "the vendor's deliveries are objects with a text `type` and an object `data`",
        Reason::UnknownType => "this version knows no such type; a later one may, and it can be replayed then",
        Reason::MissingId => "data names no id of what it is about",
        Reason::Expired => "it was older at its receipt than relay.expired_after; name the receipt of a saved delivery with --received",
        Reason::TooLarge => "it is larger than relay.value_max even without its payload",
        Reason::EndpointUnknown => "its endpoint is no longer in the settings, or of another vendor",
        Reason::NormalizeFailed => "waitbridge failed on it: that is a mistake of ours, please report it",
    }
}
