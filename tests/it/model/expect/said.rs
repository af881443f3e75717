//! What one delivery says, taken alone: what both vendors' rules give, before the window is asked.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::super::json::Node;
use super::{Accepted, Payload, Settings, Shown, values};

pub struct Said {
    /// The wrapper's event id; WaitlistPlus has none.
    pub event_id: Option<String>,
    pub account_id: Option<String>,
    pub vendor_type: String,
    pub event_type: &'static str,
    pub subject: Subject,
    pub wrapper_created_ms: Option<i64>,
    /// "`data.updated`, else the wrapper's `created`", before the rule of 24 h.
    pub vendor_version_ms: Option<i64>,
    /// The person's own id, as the vendor has it.
    pub person_id: Option<String>,
    /// The id or the name that a location's key is made of.
    pub location: Option<String>,
    pub route: Route,
    pub is_told_by_id_only: ById,
    /// The scope of an erasure.
    pub erasure: Option<&'static str>,
    /// All of the data but what only the window or the run knows.
    pub data: Value,
    pub payload: Option<Vec<(String, String)>>,
    /// `data` as the vendor wrote it.
    pub data_bytes: String,
}

pub enum Subject {
    Visit(String),
    Person(String),
    Location(String),
    Message { id: String, visit: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Person,
    Visit,
    Message,
    Block,
    Location,
}

/// "A visit event with neither `state` nor `type` (removed by id)."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ById {
    Yes,
    No,
}

/// "Each part percent-encoded (upper-case hex) outside `[A-Za-z0-9._~-]`."
pub fn encoded(part: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'~' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    part.bytes().map(encode).collect()
}

/// `{vendor}/{tenant}`.
pub fn tenant_key(delivery: &Accepted) -> String {
    format!("{}/{}", delivery.endpoint.vendor.name(), delivery.endpoint.tenant)
}

pub fn key(delivery: &Accepted, kind: &str, id: &str) -> String {
    format!("{}/{kind}/{}", tenant_key(delivery), encoded(id))
}

/// "The person's `{id}` becomes base64url (no padding) of the first 16 bytes of HMAC-SHA256(key file, plain record key)."
pub fn shown_person_id(settings: &Settings, delivery: &Accepted, id: &str) -> String {
    use base64::Engine as _;
    let Some(id_key) = &settings.id_key else { return id.to_owned() };
    let mut mac = Hmac::<Sha256>::new_from_slice(id_key).expect("any length");
    mac.update(key(delivery, "person", id).as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..16])
}

pub fn person_key(settings: &Settings, delivery: &Accepted, id: &str) -> String {
    key(delivery, "person", &shown_person_id(settings, delivery, id))
}

/// "location `{vendor}/{tenant}/location/{id, or trimmed lower-case name}`; none: `{vendor}/{tenant}`."
pub fn location_key(delivery: &Accepted, location: Option<&str>) -> String {
    location.map_or_else(|| tenant_key(delivery), |id| key(delivery, "location", id))
}

/// "`redacted` drops the top-level keys `publicId remoteIp ngrams PersonGUID`, `notes`/`Notes` unless switched on, `body error
/// recipient` of messages unless switched on, every one of equal keys, however escaped; what stays is the vendor's own bytes."
pub fn payload(settings: &Settings, data: &Node, route: Route) -> Option<Vec<(String, String)>> {
    let is_dropped = |key: &str| match key {
        "publicId" | "remoteIp" | "ngrams" | "PersonGUID" => true,
        "notes" | "Notes" => settings.notes == Shown::No,
        "body" | "error" | "recipient" => route == Route::Message && settings.message_bodies == Shown::No,
        _ => false,
    };
    let members = data.members().iter().filter(|member| settings.payload == Payload::Full || !is_dropped(&member.key));
    let kept = members.map(|member| (member.key_bytes.clone(), member.value.bytes.clone())).collect();
    (settings.payload != Payload::None).then_some(kept)
}

/// Every key of an entry, with nothing known.
pub fn entry() -> Value {
    json!({"id": null, "kind": "unknown", "list": null, "status": "unknown", "vendor_status": null, "tags": [], "position": null,
        "party_size": null, "estimated_wait_seconds": null, "duration_seconds": null, "ticket": null, "joined_at": null,
        "starts_at": null, "served_at": null, "completed_at": null, "created_at": null, "updated_at": null, "starts_local": null,
        "requested_date": null, "services": [], "resources": []})
}

/// A person of whom only the id is known.
pub fn person(settings: &Settings, delivery: &Accepted, id: &str, identity: &str) -> Value {
    json!({"key": person_key(settings, delivery, id), "id": shown_person_id(settings, delivery, id), "identity": identity,
        "external_id": null, "family_id": null, "name": null, "first_name": null, "last_name": null, "email": null, "phone": null,
        "locale": null, "birth_date": null, "anonymized": false, "complete": false})
}

/// The data with every key there and nothing known but who sent it.
pub fn data(delivery: &Accepted, vendor_type: &str, change: &str) -> Value {
    json!({"vendor": delivery.endpoint.vendor.name(), "tenant": delivery.endpoint.tenant, "endpoint": delivery.endpoint.name,
        "vendor_type": vendor_type, "account_id": null, "change": change, "time_basis": null, "received_at": null, "version": null,
        "stale": null, "person": null, "location": null, "entries": [], "entries_complete": false, "status": null, "message": null,
        "fields": {}, "notes": null, "erasure": null, "payload": null, "payload_omitted": null})
}

pub fn time_or_null(ms: Option<i64>) -> Value {
    ms.map_or(Value::Null, |ms| json!(values::written(ms)))
}
