//! The CloudEvents form of an event, and the form of a dead letter: topic, key, headers, value.
//!
//! `data` is written in one pass, and the vendor's payload goes into it as its own bytes. Headers and keys hold ids
//! and settings, never a personal value. Knows no vendor and no Kafka client.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::delivery::Record;
use crate::event::{Change, Event, Kind, Reason};
use crate::providers::Carry;
use crate::routing::{Ids, Keys, Known, Routes, Target, Topics, subject};
use crate::timestamp::Timestamp;

mod data;
#[cfg(test)]
mod property;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod samples;
mod schema;
mod traceparent;
#[cfg(test)]
pub mod trial;
mod write;

pub use data::{bytes_max, bytes_min};
pub use schema::SCHEMA;
pub use traceparent::valid_traceparent;
use write::Write;

/// One Kafka record to be.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub topic: Arc<str>,
    pub key: String,
    pub headers: Vec<Header>,
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for Outgoing {
    /// Never the value: it holds people's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("topic", &self.topic).field("key", &self.key).finish_non_exhaustive()
    }
}

pub type Header = (&'static str, Cow<'static, str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Binary,
    Structured,
}

/// What the relay found out about an event, beyond what it says itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Verdict<'m> {
    /// The window holds a newer version of the subject. Heeded only where the vendor tells versions.
    pub stale: bool,
    pub replayed: bool,
    pub known: Known<'m>,
}

impl Verdict<'_> {
    /// Nothing.
    pub const NONE: Verdict<'static> = Verdict { stale: false, replayed: false, known: Known { person_key: None, last: None } };
}

/// Whether the vendor's payload goes along, as far as the settings let it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    Carried,
    /// The value was too large with it.
    OmittedForSize,
}

/// How events are placed and written.
#[derive(Clone, Copy)]
pub struct Form<'a> {
    pub topics: &'a Topics,
    pub routes: &'a Routes,
    pub ids: &'a Ids,
    pub mode: Mode,
}

/// A durable record, and when it was received.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    pub record: &'a Record<'a>,
    pub received: Timestamp,
}

const JSON: &str = "application/json";
const CLOUDEVENT_JSON: &str = "application/cloudevents+json";
const DATA_SCHEMA: &str = "urn:waitbridge:event:1";

impl Form<'_> {
    /// The records of one event: one for each topic that it goes to.
    pub fn records(&self, origin: Origin, event: &Event, verdict: &Verdict, payload: Payload) -> Vec<Outgoing> {
        let keys = self.keys(origin.record);
        let attributes = attributes(origin, event, verdict, subject(event, &keys));
        let mut value = Vec::new();
        let headers = match self.mode {
            Mode::Binary => {
                data::write(&mut value, origin, event, verdict, &keys, payload);
                binary(attributes, origin.record)
            }
            Mode::Structured => {
                open(&attributes, &mut value);
                data::write(&mut value, origin, event, verdict, &keys, payload);
                value.push(b'}');
                vec![("content-type", CLOUDEVENT_JSON.into())]
            }
        };
        let record = |target: &Target| (self.topics.of(*target).clone(), keys.of(*target, event, &verdict.known));
        let places = self.routes.of(event, &verdict.known).iter().map(record).collect();
        copies(places, headers, value)
    }

    pub fn dead_letter(&self, origin: Origin, reason: Reason, body: Carry) -> Outgoing {
        let Origin { record, received } = origin;
        let owned = |text: &str| Cow::Owned(text.to_owned());
        Outgoing {
            topic: self.topics.dead_letter.clone(),
            key: self.keys(record).tenant_key(),
            headers: vec![
                ("wb_reason", reason.as_str().into()),
                ("wb_vendor", owned(record.vendor)),
                ("wb_tenant", owned(record.tenant)),
                ("wb_endpoint", owned(record.endpoint)),
                ("wb_acceptid", record.accept_id.to_string().into()),
                ("wb_receivedtime", owned(received.shown().as_str())),
            ],
            value: (body == Carry::On).then(|| record.body.to_vec()),
        }
    }

    /// For the memory: the keys of this record's persons and locations.
    pub fn keys<'a>(&'a self, record: &Record<'a>) -> Keys<'a> {
        Keys { vendor: record.vendor, tenant: record.tenant, ids: self.ids }
    }
}

/// What orders the events of one subject: the vendor's version, else the receipt.
fn version(origin: Origin, event: &Event) -> Timestamp {
    event.version.unwrap_or(origin.received)
}

/// Nothing orders receipts against the vendor's own versions.
fn is_stale(event: &Event, verdict: &Verdict) -> bool {
    verdict.stale && event.version.is_some()
}

/// The CloudEvents attributes, named as headers.
fn attributes(origin: Origin, event: &Event, verdict: &Verdict, subject: String) -> Vec<Header> {
    let Origin { record, received } = origin;
    let owned = |text: &str| Cow::Owned(text.to_owned());
    let accept_id = record.accept_id.to_string();
    let mut attributes: Vec<Header> = Vec::with_capacity(20);
    attributes.extend([
        ("ce_specversion", "1.0".into()),
        ("ce_id", owned(event.id.as_deref().unwrap_or(&accept_id))),
        ("ce_source", ["/", record.vendor, "/", record.tenant].concat().into()),
        ("ce_type", event_type(event.kind, event.change).into()),
        ("ce_subject", subject.into()),
        ("ce_time", owned(event.time.unwrap_or(received).shown().as_str())),
        ("ce_dataschema", DATA_SCHEMA.into()),
        ("ce_sequence", owned(version(origin, event).shown().as_str())),
        ("ce_receivedtime", owned(received.shown().as_str())),
        ("ce_acceptid", accept_id.into()),
        ("ce_vendor", owned(record.vendor)),
        ("ce_tenant", owned(record.tenant)),
        ("ce_endpoint", owned(record.endpoint)),
        ("ce_auth", record.auth.as_str().into()),
    ]);
    let marks = [("ce_stale", is_stale(event, verdict)), ("ce_replayed", verdict.replayed)];
    attributes.extend(marks.into_iter().filter(|(_, is_so)| *is_so).map(|(name, _)| (name, "true".into())));
    attributes.extend(event.erasure.map(|erasure| ("ce_erasure", erasure.scope.as_str().into())));
    attributes
}

fn binary(mut attributes: Vec<Header>, record: &Record) -> Vec<Header> {
    attributes.push(("content-type", JSON.into()));
    attributes.extend(record.traceparent.map(|text| ("traceparent", Cow::Owned(text.to_owned()))));
    attributes
}

/// The beginning of a structured event, up to its `data`.
fn open(attributes: &[Header], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"datacontenttype\":\"application/json\"");
    for (name, text) in attributes {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.strip_prefix("ce_").unwrap_or(name).as_bytes());
        out.extend_from_slice(b"\":");
        text.write(out);
    }
    out.extend_from_slice(b",\"data\":");
}

/// The same event at each of its places; nearly always there is one, and nothing is copied.
fn copies(mut places: Vec<(Arc<str>, String)>, headers: Vec<Header>, value: Vec<u8>) -> Vec<Outgoing> {
    let Some((topic, key)) = places.pop() else { return Vec::new() };
    let mut records: Vec<Outgoing> =
        places.into_iter().map(|(topic, key)| Outgoing { topic, key, headers: headers.clone(), value: Some(value.clone()) }).collect();
    records.push(Outgoing { topic, key, headers, value: Some(value) });
    records
}

/// `ce_type`: what happened to what.
pub fn event_type(kind: Kind, change: Change) -> &'static str {
    match (kind, change) {
        (Kind::Person, Change::Created) => "waitlist.person.created.v1",
        (Kind::Person, Change::Updated) => "waitlist.person.updated.v1",
        (Kind::Person, Change::Removed) => "waitlist.person.removed.v1",
        (Kind::Visit | Kind::Block, Change::Created) => "waitlist.visit.created.v1",
        (Kind::Visit | Kind::Block, Change::Updated) => "waitlist.visit.updated.v1",
        (Kind::Visit | Kind::Block, Change::Removed) => "waitlist.visit.removed.v1",
        (Kind::Location, Change::Created) => "waitlist.location.created.v1",
        (Kind::Location, Change::Updated) => "waitlist.location.updated.v1",
        (Kind::Location, Change::Removed) => "waitlist.location.removed.v1",
        (Kind::Message, Change::Created) => "waitlist.message.created.v1",
        (Kind::Message, Change::Updated) => "waitlist.message.updated.v1",
        (Kind::Message, Change::Removed) => "waitlist.message.removed.v1",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::trial::{Case, EVERYWHERE, RECEIVED, WAITLISTPLUS_CASE, WAITWHILE_CASE, form, origin, record};
    use super::*;
    use crate::providers::trial::{SAMPLES, provider};

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn body(name: &str) -> &'static [u8] {
        SAMPLES.iter().find(|sample| sample.name == name).unwrap().body.as_bytes()
    }

    fn header<'r>(record: &'r Outgoing, name: &str) -> Option<&'r str> {
        record.headers.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_ref())
    }

    fn json(record: &Outgoing) -> Value {
        serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()
    }

    #[test]
    fn marks_are_there_only_when_so() {
        let body = body("waitwhile-visit.updated");
        for (stale, replayed) in [(false, false), (true, false), (false, true), (true, true)] {
            let record = &WAITWHILE_CASE.with(Verdict { stale, replayed, ..Verdict::NONE }).records(body).unwrap()[0];
            assert_eq!(header(record, "ce_stale"), stale.then_some("true"));
            assert_eq!(header(record, "ce_replayed"), replayed.then_some("true"));
            assert_eq!(json(record)["stale"], stale);
        }
    }

    #[test]
    fn what_has_a_version_by_receipt_is_never_stale() {
        let record = &WAITLISTPLUS_CASE.with(Verdict { stale: true, ..Verdict::NONE }).records(body("waitlistplus-AddPerson")).unwrap()[0];
        assert_eq!((header(record, "ce_stale"), &json(record)["stale"]), (None, &Value::Bool(false)));
    }

    #[test]
    fn a_delivery_without_id_or_time_has_the_accept_id_and_the_receipt() {
        let record = &WAITWHILE_CASE.records(br#"{"type":"visit.updated","data":{"id":"a b/\u00e9"}}"#).unwrap()[0];
        let accept_id = super::trial::record("waitwhile", b"").accept_id.to_string();
        assert_eq!(header(record, "ce_id"), Some(accept_id.as_str()));
        assert_eq!(header(record, "ce_subject"), Some("visit/a%20b%2F%C3%A9"));
        for name in ["ce_time", "ce_sequence", "ce_receivedtime"] {
            assert_eq!(header(record, name), Some(RECEIVED), "{name}");
        }
        let record = &WAITWHILE_CASE.records(br#"{"id":77,"type":"visit.updated","data":{"id":"V"}}"#).unwrap()[0];
        assert_eq!(header(record, "ce_id"), Some("77"));
    }

    #[test]
    fn a_structured_event_holds_its_attributes_as_text_and_no_other_header() {
        let structured = Form { mode: Mode::Structured, ..form() };
        for name in ["waitwhile-visit.updated-stale", "waitlistplus-DeletePerson"] {
            let case = super::trial::case_of(name.split('-').next().unwrap()).with(Verdict { stale: true, ..Verdict::NONE });
            let binary = &case.records(body(name)).unwrap()[0];
            let record = &case.records_in(structured, body(name)).unwrap()[0];
            assert_eq!(record.headers, [("content-type", Cow::Borrowed("application/cloudevents+json"))]);
            assert_eq!((&record.topic, &record.key), (&binary.topic, &binary.key));
            let mut event = json(record);
            let event = event.as_object_mut().unwrap();
            assert_eq!(event.remove("data"), Some(json(binary)));
            assert_eq!(event.remove("datacontenttype"), Some("application/json".into()));
            let attributes =
                binary.headers.iter().filter_map(|(name, text)| Some((name.strip_prefix("ce_")?.to_owned(), text.as_ref().into())));
            assert_eq!(*event, attributes.collect::<serde_json::Map<String, Value>>());
        }
    }

    #[test]
    fn a_trace_goes_on_as_a_header_of_its_own() {
        let body = body("waitwhile-visit.updated");
        let record = Record { traceparent: Some(TRACE), ..record("waitwhile", body) };
        let text = std::str::from_utf8(body).unwrap();
        let provider = provider("waitwhile", WAITWHILE_CASE.settings);
        let event = provider.normalize(text, origin(&record).received, &WAITWHILE_CASE.rules).unwrap();
        let binary = form().records(origin(&record), &event, &Verdict::NONE, Payload::Carried);
        assert_eq!(header(&binary[0], "traceparent"), Some(TRACE));
        let structured = Form { mode: Mode::Structured, ..form() }.records(origin(&record), &event, &Verdict::NONE, Payload::Carried);
        assert_eq!(structured[0].headers.len(), 1);
    }

    #[test]
    fn a_payload_can_be_left_out_for_its_size() {
        let body = body("waitwhile-visit.updated");
        let record = record("waitwhile", body);
        let text = std::str::from_utf8(body).unwrap();
        for (settings_payload, expected) in
            [(crate::providers::PayloadRule::Redacted, "size"), (crate::providers::PayloadRule::None, "setting")]
        {
            let rules = crate::providers::Rules { payload: settings_payload, ..WAITWHILE_CASE.rules };
            let event = provider("waitwhile", WAITWHILE_CASE.settings).normalize(text, origin(&record).received, &rules).unwrap();
            let records = form().records(origin(&record), &event, &Verdict::NONE, Payload::OmittedForSize);
            let data = json(&records[0]);
            assert_eq!((&data["payload"], &data["payload_omitted"]), (&Value::Null, &Value::String(expected.to_owned())));
        }
    }

    #[test]
    fn the_least_length_of_data_is_known_before_it_is_written() {
        let lists = ["{}"; 1000].join(",");
        let body = format!(r#"{{"type":"AddPerson","data":{{"PersonId":7,"Waitlists":[{lists}]}}}}"#);
        let provider = provider("waitlistplus", WAITLISTPLUS_CASE.settings);
        let record = record("waitlistplus", body.as_bytes());
        let event = provider.normalize(&body, origin(&record).received, &WAITLISTPLUS_CASE.rules).unwrap();
        let written = form().records(origin(&record), &event, &Verdict::NONE, Payload::OmittedForSize)[0].value.as_ref().unwrap().len();
        let least = bytes_min(&event);
        assert!(least <= written && written < least + least / 5, "{least} {written}");
        assert!(written <= bytes_max(body.len()), "and the most");
    }

    #[test]
    fn an_event_of_two_topics_is_two_records() {
        let everywhere = Form { routes: &EVERYWHERE, ..form() };
        let keys = |case: Case, name: &str| -> Vec<(String, String)> {
            let records = case.records_in(everywhere, body(name)).unwrap();
            assert!(records.iter().all(|record| record.value == records[0].value && record.headers == records[0].headers));
            records.into_iter().map(|record| (record.topic.to_string(), record.key)).collect()
        };
        let person = |key: &str| ("waitlist.person.v1".to_owned(), key.to_owned());
        let location = |key: &str| ("waitlist.location.v1".to_owned(), key.to_owned());
        assert_eq!(
            keys(WAITWHILE_CASE, "waitwhile-visit.created"),
            [location("waitwhile/acme/location/P3HCgTiw7IjGhxM2qmjt"), person("waitwhile/acme/person/uGMb0MmhdWsalcmQ9DC06j")]
        );
        assert_eq!(
            keys(WAITLISTPLUS_CASE, "waitlistplus-DeletePerson-id-only"),
            [person("waitlistplus/sunshine/person/590931"), location("waitlistplus/sunshine")]
        );
        assert_eq!(keys(WAITWHILE_CASE, "waitwhile-message.created-visit-only"), [location("waitwhile/acme")]);
        assert_eq!(keys(WAITWHILE_CASE, "waitwhile-visit.created-block"), [location("waitwhile/acme/location/P3HCgTiw7IjGhxM2qmjt")]);
    }

    #[test]
    fn a_dead_letter_is_the_body_as_it_came_under_the_tenants_key() {
        let body = b"\xef\xbb\xbf\xff not json";
        let record = Record { traceparent: Some(TRACE), ..record("waitlistplus", body) };
        for (form, carry) in [(form(), Carry::On), (Form { mode: Mode::Structured, ..form() }, Carry::Off)] {
            let letter = form.dead_letter(origin(&record), Reason::NotJson, carry);
            assert_eq!((&*letter.topic, letter.key.as_str()), ("waitlist.deadletter.v1", "waitlistplus/sunshine"));
            assert_eq!(letter.value.as_deref(), (carry == Carry::On).then_some(&body[..]));
            let accept_id = record.accept_id.to_string();
            let expected = [
                ("wb_reason", "not_json"),
                ("wb_vendor", "waitlistplus"),
                ("wb_tenant", "sunshine"),
                ("wb_endpoint", "sunshine"),
                ("wb_acceptid", accept_id.as_str()),
                ("wb_receivedtime", RECEIVED),
            ];
            assert_eq!(letter.headers, expected.map(|(name, text)| (name, Cow::Owned(text.to_owned()))));
        }
    }

    #[test]
    fn hidden_ids_are_hidden_wherever_a_person_stands() {
        let ids = Ids::hmac(b"0123456789abcdef0123456789abcdef");
        let hidden = Form { ids: &ids, ..form() };
        let record = &WAITWHILE_CASE.records_in(hidden, body("waitwhile-visit.created")).unwrap()[0];
        assert_eq!(record.key, "waitwhile/acme/person/QZqKns8uLVs2kroGKA8pTA");
        assert_eq!(header(record, "ce_subject"), Some("visit/Kk1BeidF0N4p8wzp2J0x"));
        let person = &json(record)["person"];
        assert_eq!((&person["key"], &person["id"]), (&record.key.as_str().into(), &"QZqKns8uLVs2kroGKA8pTA".into()));
        let updated = json(&WAITWHILE_CASE.records_in(hidden, body("waitwhile-visit.updated")).unwrap()[0]);
        assert_eq!(updated["person"]["external_id"], Value::Null);

        let record = &WAITLISTPLUS_CASE.records_in(hidden, body("waitlistplus-AddPerson")).unwrap()[0];
        let data = json(record);
        let id = data["person"]["id"].as_str().unwrap();
        assert_eq!(data["person"]["family_id"], id, "the head of a family has one id, hidden or not");
        assert_eq!(record.key, format!("waitlistplus/sunshine/person/{id}"));
        assert_eq!(header(record, "ce_subject"), Some(format!("person/{id}").as_str()));
        let text = format!("{:?}{}", (&record.key, &record.headers), data["person"]);
        assert!(!text.contains("590879"), "{text}");
    }

    #[test]
    fn no_header_and_no_key_holds_a_personal_value() {
        let personal = [
            "Robin",
            "Vale",
            "robin@example.com",
            "crm-77",
            "side entrance",
            "PGg36S\"",
            "Mia",
            "parent@",
            "555-0142",
            "Campus",
            "Next",
            "lee@",
        ];
        for sample in SAMPLES {
            let Ok(records) = super::trial::case_of(sample.vendor()).records(sample.body.as_bytes()) else { continue };
            for record in records {
                let shown = format!("{:?}{:?}", record.key, record.headers);
                assert!(personal.iter().all(|value| !shown.contains(value)), "{shown}");
            }
        }
    }

    #[test]
    fn the_types_name_follows_kind_and_change() {
        for kind in [Kind::Person, Kind::Visit, Kind::Block, Kind::Location, Kind::Message] {
            for change in Change::ALL {
                assert_eq!(event_type(kind, *change), format!("waitlist.{}.{}.v1", kind.word(), change.as_str()));
            }
        }
    }
}
