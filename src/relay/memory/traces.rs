//! What an event leaves behind in the memory, and what it asks of it: its keys, and the facts that go under them.
//!
//! Of a key that is to be written again only the part that differs from event to event is kept.

use uuid::Uuid;

use super::Found;
use super::keys::{self, Key, Seed};
use super::table::Fact;
use crate::envelope::Origin;
use crate::event::{Event, Kind};
use crate::routing::Keys;

/// What stands in a key between its tenant and that part.
const PERSON: &str = "/person/";
const LOCATION: &str = "/location/";

pub struct Lesson {
    pub(super) key: Key,
    pub(super) fact: Fact,
}

impl Lesson {
    pub(super) fn accept_id(seed: &Seed, accept_id: Uuid) -> Lesson {
        Lesson { key: seed.key(keys::Table::AcceptId, &[accept_id.as_bytes()]), fact: Fact::Seen }
    }
}

pub struct Traces<'e> {
    event: &'e Event<'e>,
    keys: Keys<'e>,
    pub(super) event_id: Option<Key>,
    /// Equal data under one key, and the endpoint through which it came.
    pub(super) data: Option<(Key, u64)>,
    /// Of a person's event without an id: under which key, and which body.
    pub(super) body: Option<(Key, u64)>,
    pub(super) subject: Key,
    pub(super) vendor_version_ms: Option<i64>,
    received_ms: i64,
    /// A visit's own, or a message's visit.
    person: Option<Key>,
    pub(super) asked_person: Option<Key>,
    last: Option<Key>,
    pub(super) asked_last: Option<Key>,
}

impl<'e> Traces<'e> {
    pub(super) fn of(seed: &Seed, origin: Origin<'e>, event: &'e Event<'e>, keys: Keys<'e>) -> Traces<'e> {
        let Origin { record, received } = origin;
        let (vendor, tenant) = (record.vendor.as_bytes(), record.tenant.as_bytes());
        let account = event.account_id.as_deref().unwrap_or("").as_bytes();
        let subject_id = event.subject_id.as_bytes();
        let is_visit = matches!(event.kind, Kind::Visit | Kind::Block);
        let visit_id = match &event.message {
            Some(message) => message.visit_id.as_deref().map(str::as_bytes),
            None => is_visit.then_some(subject_id),
        };
        let visit_key = |table, id: &[u8]| seed.key(table, &[vendor, tenant, id]);
        let person = visit_id.map(|id| visit_key(keys::Table::VisitPerson, id));
        let last = is_visit.then(|| visit_key(keys::Table::VisitLast, subject_id));
        let data_key = || seed.key(keys::Table::Data, &[vendor, tenant, account, event.vendor_type.as_bytes(), event.data.as_bytes()]);
        // Where no event has a name or a time of its own, equal data is told from a return to what was before only by
        // what the person's latest body is, through whichever endpoint it came.
        let has_no_name = event.kind == Kind::Person && event.id.is_none();
        Traces {
            event,
            keys,
            event_id: event.id.as_ref().map(|id| seed.key(keys::Table::EventId, &[vendor, tenant, account, id.as_bytes()])),
            data: (!has_no_name).then(|| (data_key(), seed.print(record.endpoint.as_bytes()))),
            body: has_no_name.then(|| (visit_key(keys::Table::Body, subject_id), seed.print(record.body))),
            subject: seed.key(keys::Table::Version, &[vendor, tenant, event.kind.word().as_bytes(), subject_id]),
            vendor_version_ms: event.version.map(|version| version.ms()),
            received_ms: received.ms(),
            person: person.filter(|_| is_visit),
            asked_person: person.filter(|_| event.person.is_none()),
            last: last.filter(|_| !event.untold),
            asked_last: last.filter(|_| event.untold),
        }
    }

    /// What the event leaves behind once it is published.
    pub fn lessons(&self, found: &Found) -> Vec<Lesson> {
        let mut lessons = Vec::with_capacity(8);
        lessons.extend(self.data.map(|(key, endpoint)| Lesson { key, fact: Fact::PublishedBy(endpoint) }));
        lessons.extend(self.body.map(|(key, body)| Lesson { key, fact: Fact::Body(body) }));
        lessons.extend(self.lasting(found));
        lessons
    }

    /// What of it is known for the whole window.
    pub(super) fn lasting(&self, found: &Found) -> impl Iterator<Item = Lesson> {
        let version_ms = self.vendor_version_ms.unwrap_or(self.received_ms);
        let version = Lesson { key: self.subject, fact: Fact::version(version_ms) };
        let event_id = self.event_id.map(|key| Lesson { key, fact: Fact::Seen });
        let person = self.person.zip(self.named_person(found)).map(|(key, fact)| Lesson { key, fact });
        let last = self.last.map(|key| Lesson { key, fact: Fact::Last(self.event.kind, self.location_part()) });
        [event_id, Some(version), person, last].into_iter().flatten()
    }

    pub(super) fn person_key(&self, fact: &Fact) -> Option<String> {
        let Fact::Person(part) = fact else { return None };
        Some([&self.keys.tenant_key(), PERSON, part].concat())
    }

    pub(super) fn last(&self, fact: &Fact) -> Option<(Kind, String)> {
        let Fact::Last(kind, part) = fact else { return None };
        let location_key = match part {
            Some(part) => [&self.keys.tenant_key(), LOCATION, part].concat(),
            None => self.keys.tenant_key(),
        };
        Some((*kind, location_key))
    }

    /// A late event must not give the visit back to whom it belonged before.
    fn named_person(&self, found: &Found) -> Option<Fact> {
        let person = self.event.person.as_ref().filter(|_| !found.stale)?;
        self.part_behind(PERSON, &self.keys.person(&person.id)).map(Fact::Person)
    }

    fn location_part(&self) -> Option<Box<str>> {
        self.part_behind(LOCATION, &self.keys.location(self.event.location.as_ref()))
    }

    /// Of a key, what differs from event to event.
    fn part_behind(&self, word: &str, key: &str) -> Option<Box<str>> {
        let behind_tenant = key.strip_prefix(self.keys.vendor)?.strip_prefix('/')?.strip_prefix(self.keys.tenant)?;
        behind_tenant.strip_prefix(word).map(Box::from)
    }
}
