//! Where an event belongs: its topics, and its key on each.
//!
//! Order is kept for a key, so the key is the person's where a person is named, or known from the visit. Knows
//! what the memory said only as it is handed over ([`Known`]), and no record's form.

use std::borrow::Cow;
use std::sync::Arc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::event::{Event, Kind, Location, Person};

#[derive(Debug, Clone)]
pub struct Topics {
    pub person: Arc<str>,
    pub location: Arc<str>,
    pub dead_letter: Arc<str>,
}

impl Topics {
    pub fn of(&self, target: Target) -> &Arc<str> {
        match target {
            Target::Person => &self.person,
            Target::Location => &self.location,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Person,
    Location,
}

/// Which topics each kind of event goes to: one or both, each once.
#[derive(Debug, Clone)]
pub struct Routes {
    pub person: Vec<Target>,
    pub visit: Vec<Target>,
    pub message: Vec<Target>,
    pub block: Vec<Target>,
    pub location: Vec<Target>,
}

/// What the window of the journal knows of an event's subject.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'m> {
    /// The key of the person whom this visit, or this message's visit, named last.
    pub person_key: Option<&'m str>,
    /// What the visit's last event was; asked for only where the event itself is [`Event::untold`].
    pub last: Option<LastVisit<'m>>,
}

#[derive(Debug, Clone, Copy)]
pub struct LastVisit<'m> {
    /// `Visit` or `Block`.
    pub kind: Kind,
    pub location_key: &'m str,
}

impl Routes {
    pub fn of(&self, event: &Event, known: &Known) -> &[Target] {
        let kind = known.last.filter(|_| event.untold).map_or(event.kind, |last| last.kind);
        match kind {
            Kind::Person => &self.person,
            Kind::Visit => &self.visit,
            Kind::Block => &self.block,
            Kind::Location => &self.location,
            Kind::Message => &self.message,
        }
    }
}

/// Whether persons' ids are shown as the vendor gave them.
#[derive(Clone)]
pub enum Ids {
    Plain,
    Hmac(Box<Hmac<Sha256>>),
}

/// Of the MAC; enough that no two ids meet.
const HIDDEN_BYTES: usize = 16;

impl Ids {
    pub fn hmac(key: &[u8]) -> Ids {
        Ids::Hmac(Box::new(Hmac::new_from_slice(key).expect("HMAC takes a key of any length")))
    }

    pub fn are_hidden(&self) -> bool {
        matches!(self, Ids::Hmac(_))
    }
}

/// Makes the keys of one tenant's events.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub vendor: &'a str,
    pub tenant: &'a str,
    pub ids: &'a Ids,
}

impl Keys<'_> {
    /// A person's id as it may be shown.
    pub fn person_id<'i>(&self, id: &'i str) -> Cow<'i, str> {
        match self.ids {
            Ids::Plain => Cow::Borrowed(id),
            Ids::Hmac(state) => {
                let mac = state.clone().chain_update(self.key("person", id)).finalize().into_bytes();
                Cow::Owned(BASE64_URL_SAFE_NO_PAD.encode(&mac[..HIDDEN_BYTES]))
            }
        }
    }

    pub fn person(&self, id: &str) -> String {
        self.of_shown_person(&self.person_id(id))
    }

    /// By what [`Keys::person_id`] gave.
    pub fn of_shown_person(&self, shown_id: &str) -> String {
        self.key("person", shown_id)
    }

    /// A location's by its id, else by its name in any case; without either, one for the tenant.
    pub fn location(&self, location: Option<&Location>) -> String {
        let named = |location: &Location| match (&location.id, &location.name) {
            (Some(id), _) => Some(self.key("location", id)),
            (None, Some(name)) => Some(self.key("location", &name.trim().to_lowercase())),
            (None, None) => None,
        };
        location.and_then(named).unwrap_or_else(|| self.tenant_key())
    }

    pub fn tenant_key(&self) -> String {
        [self.vendor, self.tenant].join("/")
    }

    pub fn of(&self, target: Target, event: &Event, known: &Known) -> String {
        match target {
            Target::Person => self.on_person_topic(event, known),
            Target::Location => match known.last.filter(|_| event.untold) {
                Some(last) => last.location_key.to_owned(),
                None => self.location(event.location.as_ref()),
            },
        }
    }

    fn on_person_topic(&self, event: &Event, known: &Known) -> String {
        let visit_id = event.message.as_ref().and_then(|message| message.visit_id.as_deref());
        match (&event.person, known.person_key, visit_id) {
            (Some(Person { id, .. }), _, _) => self.person(id),
            (None, Some(key), _) => key.to_owned(),
            (None, None, Some(visit_id)) => self.key("visit", visit_id),
            (None, None, None) => self.key(event.kind.word(), &event.subject_id),
        }
    }

    fn key(&self, word: &str, id: &str) -> String {
        let mut key = String::with_capacity(self.vendor.len() + self.tenant.len() + word.len() + id.len() + 3);
        for part in [self.vendor, "/", self.tenant, "/", word, "/"] {
            key.push_str(part);
        }
        encode(id, &mut key);
        key
    }
}

/// `visit/{id}` and so on: what an event is about.
pub fn subject(event: &Event, keys: &Keys) -> String {
    let id = match event.kind {
        Kind::Person => keys.person_id(&event.subject_id),
        Kind::Visit | Kind::Block | Kind::Location | Kind::Message => Cow::Borrowed(&*event.subject_id),
    };
    let word = event.kind.word();
    let mut subject = String::with_capacity(word.len() + id.len() + 1);
    subject.push_str(word);
    subject.push('/');
    encode(&id, &mut subject);
    subject
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Percent-encodes what is outside of `[A-Za-z0-9._~-]`.
fn encode(part: &str, out: &mut String) {
    let plain = part.bytes().take_while(|byte| is_plain(*byte)).count();
    out.push_str(&part[..plain]);
    for byte in part.bytes().skip(plain) {
        match byte {
            _ if is_plain(byte) => out.push(byte.into()),
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend(['%', high.into(), low.into()]);
            }
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Change, Identity, Message, MessageStatus};

    const PLAIN: Keys = Keys { vendor: "waitwhile", tenant: "acme", ids: &Ids::Plain };

    fn event(kind: Kind, id: &str) -> Event<'_> {
        Event::new(kind, Change::Updated, "visit.updated", id.into(), "{}")
    }

    fn message<'a>(visit_id: Option<&'a str>) -> Event<'a> {
        let message = Message {
            id: "M".into(),
            visit_id: visit_id.map(Into::into),
            channel: None,
            direction: None,
            status: MessageStatus::Unknown,
            vendor_status: None,
            error: None,
            body: None,
        };
        Event { message: Some(message), ..event(Kind::Message, "M") }
    }

    fn routes() -> Routes {
        let [person, location] = [Target::Person, Target::Location];
        Routes {
            person: vec![person],
            visit: vec![person],
            message: vec![person, location],
            block: vec![location],
            location: vec![location],
        }
    }

    #[test]
    fn each_part_of_a_key_is_percent_encoded() {
        for (id, expected) in [
            ("abcXYZ019._~-", "abcXYZ019._~-"),
            ("a/b", "a%2Fb"),
            ("a b+c", "a%20b%2Bc"),
            ("%41", "%2541"),
            ("é😀", "%C3%A9%F0%9F%98%80"),
            ("\0\n\u{7f}", "%00%0A%7F"),
            ("", ""),
        ] {
            assert_eq!(PLAIN.person(id), format!("waitwhile/acme/person/{expected}"));
            assert_eq!(subject(&event(Kind::Location, id), &PLAIN), format!("location/{expected}"));
        }
    }

    #[test]
    fn the_known_answer_hides_a_persons_id() {
        let ids = Ids::hmac(b"0123456789abcdef0123456789abcdef");
        let keys = Keys { ids: &ids, ..PLAIN };
        assert_eq!(keys.person_id("uGMb0MmhdWsalcmQ9DC06j"), "QZqKns8uLVs2kroGKA8pTA");
        assert_eq!(keys.person("uGMb0MmhdWsalcmQ9DC06j"), "waitwhile/acme/person/QZqKns8uLVs2kroGKA8pTA");
        assert_ne!(keys.person_id("a/b"), keys.person_id("a%2Fb"));
        assert_eq!(keys.location(Some(&Location { id: Some("L".into()), name: None })), "waitwhile/acme/location/L");
    }

    #[test]
    fn the_person_topics_key_is_the_persons_or_the_nearest_to_it() {
        let person = Person::new("P".into(), Identity::Contact);
        let visit = Event { person: Some(person.clone()), ..event(Kind::Visit, "V") };
        let known = Known { person_key: Some("waitwhile/acme/person/Q"), last: None };
        for (event, known, expected) in [
            (visit.clone(), Known::default(), "person/P"),
            (visit, known, "person/P"),
            (event(Kind::Visit, "V"), known, "person/Q"),
            (event(Kind::Visit, "V"), Known::default(), "visit/V"),
            (event(Kind::Block, "V"), Known::default(), "visit/V"),
            (Event { person: Some(person), ..message(Some("V")) }, known, "person/P"),
            (message(Some("V")), known, "person/Q"),
            (message(Some("V/1")), Known::default(), "visit/V%2F1"),
            (message(None), Known::default(), "message/M"),
        ] {
            assert_eq!(PLAIN.of(Target::Person, &event, &known), format!("waitwhile/acme/{expected}"));
        }
    }

    #[test]
    fn the_location_topics_key_is_the_locations_or_the_tenants() {
        let at = |id: Option<&'static str>, name: Option<&'static str>| Event {
            location: Some(Location { id: id.map(Into::into), name: name.map(Into::into) }),
            ..event(Kind::Visit, "V")
        };
        for (event, expected) in [
            (at(Some("L"), Some("Name")), "waitwhile/acme/location/L"),
            (at(None, Some(" The Ärzte ")), "waitwhile/acme/location/the%20%C3%A4rzte"),
            (event(Kind::Visit, "V"), "waitwhile/acme"),
            (message(Some("V")), "waitwhile/acme"),
        ] {
            assert_eq!(PLAIN.of(Target::Location, &event, &Known::default()), expected);
        }
    }

    #[test]
    fn an_untold_visit_belongs_where_its_last_event_did() {
        let location = Some(Location { id: Some("here".into()), name: None });
        let told = Event { location: location.clone(), ..event(Kind::Visit, "V") };
        let untold = Event { untold: true, ..told.clone() };
        let last = |kind| Known { person_key: None, last: Some(LastVisit { kind, location_key: "waitwhile/acme/location/there" }) };
        let untold_block = Event { kind: Kind::Block, ..untold.clone() };
        let (person, block) = (&[Target::Person][..], &[Target::Location][..]);
        for (event, known, expected, key) in [
            (&told, last(Kind::Block), person, "here"),
            (&untold, last(Kind::Block), block, "there"),
            (&untold, last(Kind::Visit), person, "there"),
            (&untold, Known::default(), person, "here"),
            (&untold_block, last(Kind::Visit), person, "there"),
            (&untold_block, Known::default(), block, "here"),
        ] {
            assert_eq!(routes().of(event, &known), expected, "{event:?}");
            assert_eq!(PLAIN.of(Target::Location, event, &known), format!("waitwhile/acme/location/{key}"));
        }
    }

    #[test]
    fn each_kind_of_event_has_its_route() {
        for (kind, expected) in [
            (Kind::Person, &[Target::Person][..]),
            (Kind::Visit, &[Target::Person]),
            (Kind::Message, &[Target::Person, Target::Location]),
            (Kind::Block, &[Target::Location]),
            (Kind::Location, &[Target::Location]),
        ] {
            assert_eq!(routes().of(&event(kind, "I"), &Known::default()), expected, "{kind:?}");
        }
    }
}
