//! Waitwhile's deliveries by the rules of contract 6.

use serde_json::{Map, Value, json};

use super::super::json::{Json, Node};
use super::said::{ById, Route, Said, Subject, data, entry, key, payload, person, time_or_null};
use super::values::{flag, id, integer, text, time};
use super::{Accepted, Settings, Shown};

pub fn said(settings: &Settings, delivery: &Accepted, wrapper: &Node) -> Result<Said, &'static str> {
    let vendor_type = text(wrapper.get("type")).unwrap_or_default();
    let told = wrapper.get("data").ok_or("unknown_shape")?;
    let (event_type, change) = match vendor_type.as_str() {
        "visit.created" => ("waitlist.visit.created.v1", "created"),
        "visit.updated" => ("waitlist.visit.updated.v1", "updated"),
        "visit.removed" => ("waitlist.visit.removed.v1", "removed"),
        "location-status.updated" => ("waitlist.location.updated.v1", "updated"),
        "message.created" => ("waitlist.message.created.v1", "created"),
        "message.updated" => ("waitlist.message.updated.v1", "updated"),
        _ => return Err("unknown_type"),
    };
    let own_id = id(told.get("id")).ok_or("missing_id")?;
    let wrapper_created_ms = time(wrapper.get("created"));
    let mut said = Said {
        event_id: id(wrapper.get("id")),
        account_id: id(wrapper.get("accountId")),
        event_type,
        subject: Subject::Visit(own_id.clone()),
        wrapper_created_ms,
        vendor_version_ms: time(told.get("updated")).or(wrapper_created_ms),
        person_id: id(told.get("customerId")),
        location: id(told.get("locationId")),
        route: Route::Visit,
        is_told_by_id_only: ById::No,
        erasure: None,
        data: data(delivery, &vendor_type, change),
        payload: None,
        data_bytes: told.bytes.clone(),
        vendor_type,
    };
    said.data["account_id"] = json!(said.account_id);
    said.data["notes"] = notes(settings, told.get("notes"));
    match event_type {
        "waitlist.location.updated.v1" => status(&mut said, told, own_id),
        "waitlist.message.created.v1" | "waitlist.message.updated.v1" => message(settings, &mut said, told, own_id),
        _ => visit(&mut said, told, own_id, change),
    }
    if let Some(id) = &said.location {
        // "Waitwhile names none."
        said.data["location"] = json!({"key": key(delivery, "location", id), "id": id, "name": null});
    }
    if let Some(id) = &said.person_id {
        said.data["person"] = match said.route {
            Route::Message => person(settings, delivery, id, "contact"),
            _ => visitor(settings, delivery, told, id),
        };
    }
    said.payload = payload(settings, told, said.route);
    Ok(said)
}

fn visit(said: &mut Said, told: &Node, own_id: String, change: &str) {
    let (state, kind_told) = (text(told.get("state")), text(told.get("type")));
    let kind = kind(told, state.as_deref(), kind_told.as_deref());
    said.route = if kind == "block" { Route::Block } else { Route::Visit };
    said.is_told_by_id_only = if state.is_none() && kind_told.is_none() { ById::Yes } else { ById::No };
    let tags: Vec<String> = told.get("tags").map_or(vec![], |tags| tags.items().iter().filter_map(|tag| text(Some(tag))).collect());
    let entry = entry_of(told, &own_id, kind, state.as_deref(), &tags);
    said.data["entries"] = json!([entry]);
    if change == "removed" {
        said.data["entries"][0]["status"] = json!("removed");
    }
    said.data["fields"] = fields(told.get("dataFields"));
    // Section 5: "`visit` if isAnonymized"; visit.removed: `visit`.
    let reason = match (change, flag(told.get("isAnonymized"))) {
        ("removed", _) => Some("removed"),
        (_, Some(true)) => Some("anonymized"),
        _ => None,
    };
    if let Some(reason) = reason {
        said.erasure = Some("visit");
        said.data["erasure"] = json!({"scope": "visit", "reason": reason});
    }
}

/// "isBlock or `type` BLOCK → block; `type` BOOKING or `date` present → booking; neither `state` nor `type` there → unknown;
/// else waitlist."
fn kind(told: &Node, state: Option<&str>, kind: Option<&str>) -> &'static str {
    if flag(told.get("isBlock")) == Some(true) || kind == Some("BLOCK") {
        "block"
    } else if kind == Some("BOOKING") || text(told.get("date")).is_some() {
        "booking"
    } else if state.is_none() && kind.is_none() {
        "unknown"
    } else {
        "waitlist"
    }
}

fn entry_of(told: &Node, own_id: &str, kind: &str, state: Option<&str>, tags: &[String]) -> Value {
    let mut entry = entry();
    let mut set = |key: &str, value: Value| entry[key] = value;
    set("id", json!(own_id));
    set("kind", json!(kind));
    set("status", json!(state.map_or("unknown", |state| status_of(state, tags))));
    set("vendor_status", json!(state));
    set("tags", json!(tags));
    for (ours, theirs) in [
        ("position", "position"),
        ("party_size", "partySize"),
        ("estimated_wait_seconds", "estWaitDuration"),
        ("duration_seconds", "duration"),
    ] {
        set(ours, json!(integer(told.get(theirs))));
    }
    for (ours, theirs) in [
        ("joined_at", "waitlistTime"),
        ("served_at", "serveTime"),
        ("completed_at", "completedTime"),
        ("created_at", "created"),
        ("updated_at", "updated"),
    ] {
        set(ours, time_or_null(time(told.get(theirs))));
    }
    set("ticket", json!(text(told.get("ticket"))));
    // "`starts_at` is null for Waitwhile (the zone is unknown); `starts_local` keeps the vendor's text."
    set("starts_local", json!(text(told.get("date"))));
    set("services", quantities(told.get("services"), told.get("serviceIds")));
    set("resources", quantities(told.get("resources"), told.get("resourceIds")));
    entry
}

/// Contract 6, "status", and vendors.md 3. "COMPLETE: tag CANCELLED, then NO-SHOW, then EXPIRED, else completed."
fn status_of(state: &str, tags: &[String]) -> &'static str {
    let has = |tag: &str| tags.iter().any(|one| one == tag);
    match state {
        "PENDING" => "held",
        "DRAFT" => "requested",
        "BOOKED" => "booked",
        "WAITING" => "waiting",
        "SERVING" => "serving",
        "COMPLETE" if has("CANCELLED") => "cancelled",
        "COMPLETE" if has("NO-SHOW") => "no_show",
        "COMPLETE" if has("EXPIRED") => "expired",
        "COMPLETE" => "completed",
        _ => "unknown",
    }
}

/// "The object `services` if it is there and not empty, else the ids with quantity 1; the vendor's order; a quantity that is no
/// positive integer is 1." An id is not empty.
fn quantities(object: Option<&Node>, ids: Option<&Node>) -> Value {
    let members: Vec<_> = object.map_or(vec![], |object| object.last_members().collect());
    if !members.is_empty() {
        let quantity = |node: &Node| integer(Some(node)).filter(|quantity| *quantity > 0).unwrap_or(1);
        return members.iter().filter(|(id, _)| !id.is_empty()).map(|(id, node)| json!({"id": id, "quantity": quantity(node)})).collect();
    }
    let ids = ids.map_or(vec![], |ids| ids.items().iter().filter_map(|one| id(Some(one))).collect());
    ids.iter().map(|id| json!({"id": id, "quantity": 1})).collect()
}

/// As it is, empty ones too.
fn string(node: &Node) -> Option<Value> {
    match &node.json {
        Json::Text(text) => Some(json!(text)),
        _ => None,
    }
}

/// "Waitwhile: `dataFields` by id, strings as they are, others skipped, the last of equal ids."
fn fields(data_fields: Option<&Node>) -> Value {
    let mut fields = Map::new();
    for item in data_fields.map_or(&[][..], |list| list.items()) {
        let Some(id) = id(item.get("id")) else { continue };
        let values = item.get("values").map_or(&[][..], |values| values.items());
        fields.insert(id, values.iter().filter_map(string).collect());
    }
    Value::Object(fields)
}

/// "null when switched off, else a list": of one note or none, whatever it is that has notes.
fn notes(settings: &Settings, notes: Option<&Node>) -> Value {
    match settings.notes {
        Shown::No => Value::Null,
        Shown::Yes => text(notes).iter().map(|text| json!({"text": text, "edited_at": null, "edited_by": null})).collect(),
    }
}

/// "complete: Waitwhile: a visit with `state`"; "name: Waitwhile: as sent".
fn visitor(settings: &Settings, delivery: &Accepted, told: &Node, id_told: &str) -> Value {
    let mut person = person(settings, delivery, id_told, "contact");
    for (ours, theirs) in [
        ("name", "name"),
        ("first_name", "firstName"),
        ("last_name", "lastName"),
        ("email", "email"),
        ("phone", "phone"),
        ("locale", "locale"),
    ] {
        person[ours] = json!(text(told.get(theirs)));
    }
    // "`external_id` is null then": under `privacy.ids = "hmac"`.
    person["external_id"] = json!(id(told.get("externalCustomerId")).filter(|_| settings.id_key.is_none()));
    person["anonymized"] = json!(flag(told.get("isAnonymized")) == Some(true));
    person["complete"] = json!(text(told.get("state")).is_some());
    person
}

/// "For a status the id is `data.id`."
fn status(said: &mut Said, told: &Node, own_id: String) {
    said.route = Route::Location;
    said.location = Some(own_id.clone());
    said.subject = Subject::Location(own_id);
    said.person_id = None;
    // "`wait` −1 → null, and left out of `wait_seconds_by_party_size`; no other field has this rule."
    let wait = |node: Option<&Node>| integer(node).filter(|wait| *wait != -1);
    let by_party_size = told.get("waitByPartySize").map_or(vec![], |sizes| sizes.last_members().collect());
    let by_party_size: Map<String, Value> =
        by_party_size.iter().filter_map(|(size, node)| Some(((*size).to_owned(), json!(wait(Some(node))?)))).collect();
    let next_available_at = time_or_null(time(told.get("nextAvailableWaitlistTime")));
    let mut status = json!({"wait_seconds": wait(told.get("wait")), "wait_seconds_by_party_size": by_party_size,
        "no_wait_reason": text(told.get("naEstWaitReason")), "next_available_at": next_available_at});
    for (ours, theirs) in [
        ("open", "isOpen"),
        ("waitlist_open", "isWaitlistOpen"),
        ("waitlist_full", "isWaitlistFull"),
        ("serving_full", "isServingFull"),
        ("force_closed", "isForceClosed"),
    ] {
        status[ours] = json!(flag(told.get(theirs)));
    }
    for (ours, theirs) in [
        ("waiting", "numWaiting"),
        ("waiting_guests", "numWaitingGuests"),
        ("serving", "numServing"),
        ("serving_guests", "numServingGuests"),
        ("party_size_max", "maxPartySize"),
    ] {
        status[ours] = json!(integer(told.get(theirs)));
    }
    said.data["status"] = status;
}

/// "status: the six in lower case, else `unknown`; direction: RECEIVED inbound, any other state outbound, no state null; channel
/// as sent." Body and error stay unsaid unless `privacy.message_bodies`.
fn message(settings: &Settings, said: &mut Said, told: &Node, own_id: String) {
    let state = text(told.get("state"));
    let status = match state.as_deref() {
        Some("PENDING") => "pending",
        Some("BLOCKED") => "blocked",
        Some("FAILED") => "failed",
        Some("DELIVERED") => "delivered",
        Some("UNCONFIRMED") => "unconfirmed",
        Some("RECEIVED") => "received",
        _ => "unknown",
    };
    let direction = state.as_deref().map(|state| if state == "RECEIVED" { "inbound" } else { "outbound" });
    let visit = id(told.get("visitId"));
    let private = |key: &str| text(told.get(key)).filter(|_| settings.message_bodies == Shown::Yes);
    said.route = Route::Message;
    said.data["message"] = json!({"id": own_id, "visit_id": visit, "channel": text(told.get("channel")), "direction": direction,
        "status": status, "vendor_status": state, "error": private("error"), "body": private("body")});
    said.subject = Subject::Message { id: own_id, visit };
}
