//! What a Waitwhile body says: one visit, one location's status or one message at a time.
//!
//! Of the wrapper only `type` and `data` are required, and of the data only its `id`: keys come and go without a
//! version. Knows no secret and no tenant.

use crate::event::{
    Change, Direction, Entry, EntryKind, EntryStatus, Erasure, ErasureReason, Event, Identity, Kind, Location, Message, MessageStatus,
    Note, Person, Quantity, Reason, Scope, Status, Text,
};
use crate::providers::json::{Object, Value, Wrapper, distinct};
use crate::providers::payload::payload;
use crate::providers::{Carry, Rules};
use crate::timestamp::Timestamp;

const TYPES: &[(&str, Kind, Change)] = &[
    ("visit.created", Kind::Visit, Change::Created),
    ("visit.updated", Kind::Visit, Change::Updated),
    ("visit.removed", Kind::Visit, Change::Removed),
    ("location-status.updated", Kind::Location, Change::Updated),
    ("message.created", Kind::Message, Change::Created),
    ("message.updated", Kind::Message, Change::Updated),
];

/// A version later than this after receipt is a wrong clock's.
const AHEAD_MS_MAX: i64 = 24 * 3_600_000;

pub fn event<'a>(body: &'a str, received: Timestamp, rules: &Rules) -> Result<Event<'a>, Reason> {
    let wrapper = Wrapper::read(body)?;
    let known = TYPES.iter().find(|(vendor_type, ..)| *vendor_type == wrapper.vendor_type);
    let &(vendor_type, kind, change) = known.ok_or(Reason::UnknownType)?;
    let data = &wrapper.data;
    let subject_id = data.id("id").ok_or(Reason::MissingId)?;
    let time = wrapper.members.time("created");
    let bare = Event {
        id: wrapper.members.id("id"),
        account_id: wrapper.members.id("accountId"),
        time,
        version: data.time("updated").or(time).filter(|version| version.ms() <= received.ms() + AHEAD_MS_MAX),
        location: data.id("locationId").map(by_id),
        notes: (rules.notes == Carry::On).then(|| notes(data)),
        payload: payload(data, kind, rules),
        ..Event::new(kind, change, vendor_type, subject_id, data.bytes())
    };
    Ok(match kind {
        Kind::Location => location_status(bare, data),
        Kind::Message => message(bare, data, rules),
        Kind::Visit | Kind::Block | Kind::Person => visit(bare, data),
    })
}

fn by_id(id: Text) -> Location {
    Location { id: Some(id), name: None }
}

fn notes<'a>(data: &Object<'a>) -> Vec<Note<'a>> {
    data.text("notes").map(|text| Note { text, edited_at: None, edited_by: None }).into_iter().collect()
}

fn visit<'a>(bare: Event<'a>, data: &Object<'a>) -> Event<'a> {
    let entry = entry(&bare, data);
    let kind = if entry.kind == EntryKind::Block { Kind::Block } else { Kind::Visit };
    Event {
        kind,
        untold: entry.vendor_status.is_none() && data.text("type").is_none(),
        person: data.id("customerId").map(|id| person(id, data)),
        erasure: erasure(bare.change, data),
        fields: fields(data),
        entries: vec![entry],
        ..bare
    }
}

fn erasure(change: Change, data: &Object) -> Option<Erasure> {
    let reason = match change {
        Change::Removed => ErasureReason::Removed,
        _ if is_anonymized(data) => ErasureReason::Anonymized,
        _ => return None,
    };
    Some(Erasure { scope: Scope::Visit, reason })
}

fn is_anonymized(data: &Object) -> bool {
    data.flag("isAnonymized") == Some(true)
}

fn person<'a>(id: Text<'a>, data: &Object<'a>) -> Person<'a> {
    Person {
        external_id: data.id("externalCustomerId"),
        name: data.text("name"),
        first_name: data.text("firstName"),
        last_name: data.text("lastName"),
        email: data.text("email"),
        phone: data.text("phone"),
        locale: data.text("locale"),
        anonymized: is_anonymized(data),
        complete: data.text("state").is_some(),
        ..Person::new(id, Identity::Contact)
    }
}

fn entry<'a>(event: &Event<'a>, data: &Object<'a>) -> Entry<'a> {
    let tags: Vec<Text> = data.list("tags").into_iter().filter_map(Value::text).collect();
    let state = data.text("state");
    let status = match event.change {
        Change::Removed => EntryStatus::Removed,
        Change::Created | Change::Updated => status(state.as_deref(), &tags),
    };
    Entry {
        id: Some(event.subject_id.clone()),
        kind: entry_kind(state.as_deref(), data),
        vendor_status: state,
        tags,
        position: data.int("position"),
        party_size: data.int("partySize"),
        estimated_wait_seconds: data.int("estWaitDuration"),
        duration_seconds: data.int("duration"),
        ticket: data.text("ticket"),
        joined_at: data.time("waitlistTime"),
        served_at: data.time("serveTime"),
        completed_at: data.time("completedTime"),
        created_at: data.time("created"),
        updated_at: data.time("updated"),
        // Local wall clock, and the visit does not tell the zone: no instant can be made of it.
        starts_local: data.text("date"),
        services: quantities(data, "services", "serviceIds"),
        resources: quantities(data, "resources", "resourceIds"),
        ..Entry::new(EntryKind::Unknown, status)
    }
}

fn entry_kind(state: Option<&str>, data: &Object) -> EntryKind {
    let vendor_kind = data.text("type");
    match vendor_kind.as_deref() {
        _ if data.flag("isBlock") == Some(true) => EntryKind::Block,
        Some("BLOCK") => EntryKind::Block,
        Some("BOOKING") => EntryKind::Booking,
        _ if data.text("date").is_some() => EntryKind::Booking,
        None if state.is_none() => EntryKind::Unknown,
        _ => EntryKind::Waitlist,
    }
}

/// An open enum: what the vendor adds is `unknown`, never an error. Outcomes are tags.
fn status(state: Option<&str>, tags: &[Text]) -> EntryStatus {
    let outcomes = [("CANCELLED", EntryStatus::Cancelled), ("NO-SHOW", EntryStatus::NoShow), ("EXPIRED", EntryStatus::Expired)];
    match state {
        Some("PENDING") => EntryStatus::Held,
        Some("DRAFT") => EntryStatus::Requested,
        Some("BOOKED") => EntryStatus::Booked,
        Some("WAITING") => EntryStatus::Waiting,
        Some("SERVING") => EntryStatus::Serving,
        Some("COMPLETE") => outcomes
            .into_iter()
            .find(|(outcome, _)| tags.iter().any(|tag| tag == outcome))
            .map_or(EntryStatus::Completed, |(_, status)| status),
        _ => EntryStatus::Unknown,
    }
}

/// With quantities if the vendor tells them, else the bare ids.
fn quantities<'a>(data: &Object<'a>, with: &str, ids: &str) -> Vec<Quantity<'a>> {
    match data.object(with).filter(|quantities| !quantities.is_empty()) {
        Some(quantities) => {
            let told = quantities.distinct().into_iter().filter(|(id, _)| !id.is_empty());
            told.map(|(id, quantity)| Quantity { id, quantity: quantity.int().filter(|quantity| *quantity > 0).unwrap_or(1) }).collect()
        }
        None => data.list(ids).into_iter().filter_map(Value::id).map(|id| Quantity { id, quantity: 1 }).collect(),
    }
}

/// Answers to the form's questions, by their ids.
fn fields<'a>(data: &Object<'a>) -> Vec<(Text<'a>, Vec<Text<'a>>)> {
    let answers = data.list("dataFields").into_iter().filter_map(|item| {
        let answer = item.object()?;
        Some((answer.id("id")?, answer.list("values").into_iter().filter_map(Value::string).collect()))
    });
    distinct(answers.collect())
}

fn location_status<'a>(bare: Event<'a>, data: &Object<'a>) -> Event<'a> {
    let status = Status {
        open: data.flag("isOpen"),
        waitlist_open: data.flag("isWaitlistOpen"),
        waitlist_full: data.flag("isWaitlistFull"),
        serving_full: data.flag("isServingFull"),
        force_closed: data.flag("isForceClosed"),
        waiting: data.int("numWaiting"),
        waiting_guests: data.int("numWaitingGuests"),
        serving: data.int("numServing"),
        serving_guests: data.int("numServingGuests"),
        party_size_max: data.int("maxPartySize"),
        wait_seconds: data.get("wait").and_then(wait_seconds),
        wait_seconds_by_party_size: data.object("waitByPartySize").map(waits).unwrap_or_default(),
        no_wait_reason: data.text("naEstWaitReason"),
        next_available_at: data.time("nextAvailableWaitlistTime"),
    };
    Event { location: Some(by_id(bare.subject_id.clone())), status: Some(status), ..bare }
}

fn waits<'a>(by_party_size: Object<'a>) -> Vec<(Text<'a>, i64)> {
    by_party_size.distinct().into_iter().filter_map(|(size, wait)| Some((size, wait_seconds(wait)?))).collect()
}

/// The vendor writes -1 for "not available", here and nowhere else.
fn wait_seconds(value: Value) -> Option<i64> {
    value.int().filter(|seconds| *seconds != -1)
}

/// Of a person, a message tells only the id.
fn message<'a>(bare: Event<'a>, data: &Object<'a>, rules: &Rules) -> Event<'a> {
    let state = data.text("state");
    let carried = |key| (rules.message_bodies == Carry::On).then(|| data.text(key)).flatten();
    let message = Message {
        id: bare.subject_id.clone(),
        visit_id: data.id("visitId"),
        channel: data.text("channel"),
        direction: state.as_deref().map(direction),
        status: message_status(state.as_deref()),
        vendor_status: state,
        error: carried("error"),
        body: carried("body"),
    };
    let person = data.id("customerId").map(|id| Person::new(id, Identity::Contact));
    Event { person, message: Some(message), ..bare }
}

fn direction(state: &str) -> Direction {
    if state == "RECEIVED" { Direction::Inbound } else { Direction::Outbound }
}

fn message_status(state: Option<&str>) -> MessageStatus {
    match state {
        Some("PENDING") => MessageStatus::Pending,
        Some("BLOCKED") => MessageStatus::Blocked,
        Some("FAILED") => MessageStatus::Failed,
        Some("DELIVERED") => MessageStatus::Delivered,
        Some("UNCONFIRMED") => MessageStatus::Unconfirmed,
        Some("RECEIVED") => MessageStatus::Received,
        _ => MessageStatus::Unknown,
    }
}
