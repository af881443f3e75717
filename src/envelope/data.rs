//! `data`: every key of the contract, always, in the contract's order, and the payload last as its own bytes.
//!
//! Knows the form, not what the values mean.

use super::write::{Pairs, Raw, Write, object};
use super::{Origin, Payload, Verdict, is_stale, version};
use crate::event::{Entry, Erasure, Event, Location, Message, Note, Person, Quantity, Status};
use crate::routing::Keys;

/// More than the common model takes of a usual event.
const MODEL_BYTES: usize = 2048;

/// What an entry takes that tells nothing.
const ENTRY_BYTES_MIN: usize = 350;

/// What a value holds of its own, and what a byte of a body can become at most: nearly all of an entry that tells nothing.
const VALUE_BYTES_MAX: usize = 16 << 10;
const GROWTH_MAX: usize = 256;

/// At most so long is a record's value, known without reading the body.
pub fn bytes_max(body_bytes: usize) -> usize {
    VALUE_BYTES_MAX + GROWTH_MAX * body_bytes
}

/// At least so long is the data, known without writing it: a small body of empty lists makes a very long one.
pub fn bytes_min(event: &Event) -> usize {
    event.entries.len() * ENTRY_BYTES_MIN
}

/// Appends the data to `out`.
pub fn write(out: &mut Vec<u8>, origin: Origin, event: &Event, verdict: &Verdict, keys: &Keys, payload: Payload) {
    let Origin { record, received } = origin;
    let carried = event.payload.as_deref().filter(|_| payload == Payload::Carried);
    out.reserve(MODEL_BYTES + carried.map_or(0, str::len));
    object!(out,
        vendor: record.vendor,
        tenant: record.tenant,
        endpoint: record.endpoint,
        vendor_type: event.vendor_type,
        account_id: event.account_id,
        change: event.change,
        time_basis: if event.version.is_some() { "vendor" } else { "receipt" },
        received_at: received,
        version: version(origin, event),
        stale: is_stale(event, verdict),
        person: event.person.as_ref().map(|person| Keyed(person, keys)),
        location: event.location.as_ref().map(|location| Keyed(location, keys)),
        entries: event.entries,
        entries_complete: event.entries_complete,
        status: event.status,
        message: event.message,
        fields: Pairs(&event.fields),
        notes: event.notes,
        erasure: event.erasure,
        payload: carried.map(Raw),
        payload_omitted: omitted(event, payload),
    );
}

fn omitted(event: &Event, payload: Payload) -> Option<&'static str> {
    match (&event.payload, payload) {
        (None, _) => Some("setting"),
        (Some(_), Payload::OmittedForSize) => Some("size"),
        (Some(_), Payload::Carried) => None,
    }
}

/// What has a key of its own, which depends on whom we serve.
struct Keyed<'a, T>(&'a T, &'a Keys<'a>);

impl Write for Keyed<'_, Person<'_>> {
    fn write(&self, out: &mut Vec<u8>) {
        let Keyed(person, keys) = self;
        let id = keys.person_id(&person.id);
        object!(out,
            key: keys.of_shown_person(&id),
            id: id,
            identity: person.identity,
            external_id: person.external_id.as_ref().filter(|_| !keys.ids.are_hidden()),
            family_id: person.family_id.as_ref().map(|id| keys.person_id(id)),
            name: person.name,
            first_name: person.first_name,
            last_name: person.last_name,
            email: person.email,
            phone: person.phone,
            locale: person.locale,
            birth_date: person.birth_date,
            anonymized: person.anonymized,
            complete: person.complete,
        );
    }
}

impl Write for Keyed<'_, Location<'_>> {
    fn write(&self, out: &mut Vec<u8>) {
        let Keyed(location, keys) = self;
        object!(out, key: keys.location(Some(location)), id: location.id, name: location.name);
    }
}

impl Write for Entry<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        object!(out,
            id: self.id,
            kind: self.kind,
            list: self.list,
            status: self.status,
            vendor_status: self.vendor_status,
            tags: self.tags,
            position: self.position,
            party_size: self.party_size,
            estimated_wait_seconds: self.estimated_wait_seconds,
            duration_seconds: self.duration_seconds,
            ticket: self.ticket,
            joined_at: self.joined_at,
            starts_at: self.starts_at,
            served_at: self.served_at,
            completed_at: self.completed_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            starts_local: self.starts_local,
            requested_date: self.requested_date,
            services: self.services,
            resources: self.resources,
        );
    }
}

impl Write for Quantity<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        object!(out, id: self.id, quantity: self.quantity);
    }
}

impl Write for Status<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        object!(out,
            open: self.open,
            waitlist_open: self.waitlist_open,
            waitlist_full: self.waitlist_full,
            serving_full: self.serving_full,
            force_closed: self.force_closed,
            waiting: self.waiting,
            waiting_guests: self.waiting_guests,
            serving: self.serving,
            serving_guests: self.serving_guests,
            party_size_max: self.party_size_max,
            wait_seconds: self.wait_seconds,
            wait_seconds_by_party_size: Pairs(&self.wait_seconds_by_party_size),
            no_wait_reason: self.no_wait_reason,
            next_available_at: self.next_available_at,
        );
    }
}

impl Write for Message<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        object!(out,
            id: self.id,
            visit_id: self.visit_id,
            channel: self.channel,
            direction: self.direction,
            status: self.status,
            vendor_status: self.vendor_status,
            error: self.error,
            body: self.body,
        );
    }
}

impl Write for Note<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        object!(out, text: self.text, edited_at: self.edited_at, edited_by: self.edited_by);
    }
}

impl Write for Erasure {
    fn write(&self, out: &mut Vec<u8>) {
        object!(out, scope: self.scope, reason: self.reason);
    }
}
