//! The CloudEvents form of what was said: topics, keys, attributes, and the size that a value may have.

use serde_json::json;

use super::said::{Route, Said, Subject, encoded, key, person_key, shown_person_id, tenant_key};
use super::values::written;
use super::{Accepted, Mode, Omitted, Payload, Published, Settings, Stale, Topic, Window};

const DAY_MS: i64 = 86_400_000;

/// Nothing if it is too large even without its payload.
pub fn wrap(settings: &Settings, window: &Window, delivery: &Accepted, said: &Said) -> Option<Published> {
    let (version_ms, stale) = version(window, delivery, said);

    let mut data = said.data.clone();
    data["time_basis"] = json!(if of_vendor(delivery, said).is_some() { "vendor" } else { "receipt" });
    data["received_at"] = json!(written(delivery.received_ms));
    data["version"] = json!(written(version_ms));
    data["stale"] = json!(stale == Stale::Yes);
    let attributes = attributes(settings, delivery, said, version_ms, stale);
    let mut published = Published {
        places: places(settings, window, delivery, said),
        attributes,
        data,
        payload: said.payload.clone(),
        event_type: said.event_type,
        version_ms,
        omitted: Omitted::No,
        stale,
    };
    if settings.payload == Payload::None {
        published.data["payload_omitted"] = json!("setting");
    }
    // "Larger: first without payload, then dead letter too_large."
    if size(settings, &published) > settings.value_max && published.payload.take().is_some() {
        published.data["payload_omitted"] = json!("size");
        published.omitted = Omitted::Yes;
    }
    (size(settings, &published) <= settings.value_max).then_some(published)
}

/// "Equal is not stale, nor is anything whose `time_basis` is `receipt`."
pub fn version(window: &Window, delivery: &Accepted, said: &Said) -> (i64, Stale) {
    match of_vendor(delivery, said) {
        Some(version_ms) if window.has_newer(delivery, said, version_ms) => (version_ms, Stale::Yes),
        version_ms => (version_ms.unwrap_or(delivery.received_ms), Stale::No),
    }
}

/// "More than 24 h after receipt counts as receipt, not as `created`." "`time_basis` says which of both kinds it is."
fn of_vendor(delivery: &Accepted, said: &Said) -> Option<i64> {
    said.vendor_version_ms.filter(|version| *version <= delivery.received_ms + DAY_MS)
}

/// Of the record's value, give or take a few bytes: the tests stay away from the limit.
fn size(settings: &Settings, published: &Published) -> usize {
    let attributes: usize = published.attributes.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    let payload: usize = published.payload.iter().flatten().map(|(key, value)| key.len() + value.len() + 2).sum();
    let around = if settings.envelope == Mode::Structured { attributes } else { 0 };
    published.data.to_string().len() + payload + around
}

/// Contract 3, keys.
fn places(settings: &Settings, window: &Window, delivery: &Accepted, said: &Said) -> Vec<(Topic, String)> {
    let (route, location_key) = window.place_of(delivery, said);
    let topics = match route {
        Route::Person => &settings.routes.person[..],
        Route::Visit => &settings.routes.visit[..],
        Route::Message => &settings.routes.message[..],
        Route::Block | Route::Location => &[Topic::Location][..],
    };
    let key = |topic: &Topic| match topic {
        Topic::Person => record_person_key(settings, window, delivery, said),
        Topic::Location => location_key.clone(),
    };
    topics.iter().map(|topic| (*topic, key(topic))).collect()
}

/// "person `{vendor}/{tenant}/person/{id}`; without a person `…/visit/{id}` (a message: of its visit), then `…/message/{id}`";
/// "the key of a visit or message that names no person: that of the person last named" by its visit.
fn record_person_key(settings: &Settings, window: &Window, delivery: &Accepted, said: &Said) -> String {
    if let Some(person) = &said.person_id {
        return person_key(settings, delivery, person);
    }
    match &said.subject {
        Subject::Visit(visit) | Subject::Message { visit: Some(visit), .. } => {
            window.person_of(delivery, visit).unwrap_or_else(|| key(delivery, "visit", visit))
        }
        Subject::Message { id, visit: None } => key(delivery, "message", id),
        Subject::Person(_) | Subject::Location(_) => tenant_key(delivery),
    }
}

/// Contract 4, in the contract's order. `traceparent` is a header, no attribute: "structured mode: … no other header".
fn attributes(settings: &Settings, delivery: &Accepted, said: &Said, version_ms: i64, stale: Stale) -> Vec<(String, String)> {
    let subject = match &said.subject {
        Subject::Visit(id) => format!("visit/{}", encoded(id)),
        Subject::Person(id) => format!("person/{}", encoded(&shown_person_id(settings, delivery, id))),
        Subject::Location(id) => format!("location/{}", encoded(id)),
        Subject::Message { id, .. } => format!("message/{}", encoded(id)),
    };
    let all = [
        ("ce_specversion", Some("1.0".to_owned())),
        // "Waitwhile: the event's id; else the accept id."
        ("ce_id", Some(said.event_id.clone().unwrap_or_else(|| delivery.accept_id.to_owned()))),
        ("ce_source", Some(format!("/{}", tenant_key(delivery)))),
        ("ce_type", Some(said.event_type.to_owned())),
        ("ce_subject", Some(subject)),
        // "Wrapper `created`; else receipt."
        ("ce_time", Some(written(said.wrapper_created_ms.unwrap_or(delivery.received_ms)))),
        ("ce_dataschema", Some("urn:waitbridge:event:1".to_owned())),
        ("ce_sequence", Some(written(version_ms))),
        ("ce_receivedtime", Some(written(delivery.received_ms))),
        ("ce_acceptid", Some(delivery.accept_id.to_owned())),
        ("ce_vendor", Some(delivery.endpoint.vendor.name().to_owned())),
        ("ce_tenant", Some(delivery.endpoint.tenant.to_owned())),
        ("ce_endpoint", Some(delivery.endpoint.name.to_owned())),
        ("ce_auth", Some(delivery.endpoint.auth.to_owned())),
        ("ce_stale", (stale == Stale::Yes).then(|| "true".to_owned())),
        ("ce_erasure", said.erasure.map(str::to_owned)),
        ("traceparent", traceparent(delivery.traceparents).filter(|_| settings.envelope == Mode::Binary)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// "Only if the request carried exactly one, valid by W3C": `version-trace-parent-flags`, lower-case hex, version not ff, ids not
/// all zeros; a later version may have more behind another dash.
fn traceparent(sent: &[String]) -> Option<String> {
    let [only] = sent else { return None };
    let mut parts = only.splitn(5, '-');
    let mut hex = |length: usize| {
        let part = parts.next()?;
        let is_hex = part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then_some(part)
    };
    let (version, trace, parent, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let is_valid = version != "ff" && !is_zero(trace) && !is_zero(parent) && (version != "00" || parts.next().is_none());
    is_valid.then(|| only.clone())
}
