//! What each record must hold by itself: its headers, its key, its data.

use jsonschema::Validator;
use serde_json::Value;
use uuid::Uuid;

use super::{Code, Found, Role};
use crate::cli::tail::view::Event;
use crate::event::Reason;
use crate::kafka::follow::Followed;
use crate::routing::{Ids, Keys};
use crate::timestamp::Timestamp;

pub struct Form {
    schema: Validator,
}

/// What an attribute may be.
enum Is {
    Text(&'static str),
    /// What stands in this place of the data.
    Data(&'static str),
    AcceptId,
    Time,
    Any,
}

const ATTRIBUTES: &[(&str, Is)] = &[
    ("specversion", Is::Text("1.0")),
    ("dataschema", Is::Text("urn:waitbridge:event:1")),
    ("id", Is::Any),
    ("type", Is::Any),
    ("subject", Is::Any),
    ("auth", Is::Any),
    ("source", Is::Any),
    ("time", Is::Time),
    ("acceptid", Is::AcceptId),
    ("sequence", Is::Data("/version")),
    ("receivedtime", Is::Data("/received_at")),
    ("vendor", Is::Data("/vendor")),
    ("tenant", Is::Data("/tenant")),
    ("endpoint", Is::Data("/endpoint")),
];

const DEAD_LETTER_HEADERS: &[&str] = &["wb_reason", "wb_vendor", "wb_tenant", "wb_endpoint", "wb_acceptid", "wb_receivedtime"];

impl Form {
    pub fn new(schema: Validator) -> Form {
        Form { schema }
    }

    pub fn event(&self, record: &Followed, event: &Event, role: Role) -> Found {
        let mut found: Found = ATTRIBUTES.iter().filter_map(|(name, is)| attribute(event, name, is)).collect();
        found.extend(marks(event));
        found.extend(twice(record));
        if !key_fits(&record.key, event, role) {
            found.push((Code::KeyWrong, "the key is not what the data says".to_owned()));
        }
        if let Some(error) = self.schema.iter_errors(&event.data).next() {
            // Where, not what: a value may be a person's.
            found.push((Code::DataInvalid, format!("at {} by {}", error.instance_path(), error.schema_path())));
        }
        found
    }

    pub fn dead_letter(&self, record: &Followed) -> Found {
        let mut found: Found = DEAD_LETTER_HEADERS.iter().filter(|name| record.header(name).is_none()).map(|name| missing(name)).collect();
        let more = record.headers.iter().filter(|(name, _)| !DEAD_LETTER_HEADERS.contains(&name.as_str()));
        found.extend(more.map(|(name, _)| wrong(name)));
        found.extend(twice(record));
        let header = |name| record.header(name).unwrap_or_default();
        let is_known = Reason::ALL.iter().any(|reason| reason.as_str() == header("wb_reason"));
        let of_form = [
            ("wb_reason", is_known),
            ("wb_acceptid", is_accept_id(header("wb_acceptid"))),
            ("wb_receivedtime", is_time(header("wb_receivedtime"))),
        ];
        found.extend(of_form.into_iter().filter(|(name, is_so)| !is_so && record.header(name).is_some()).map(|(name, _)| wrong(name)));
        if record.key != [header("wb_vendor"), header("wb_tenant")].join("/") {
            found.push((Code::KeyWrong, "the key is not {vendor}/{tenant}".to_owned()));
        }
        found
    }
}

fn attribute(event: &Event, name: &str, is: &Is) -> Option<(Code, String)> {
    let text = event.attribute(name);
    let is_right = match is {
        _ if text.is_empty() => return Some(missing(name)),
        Is::Text(expected) => text == *expected,
        Is::Data(pointer) => event.data.pointer(pointer).and_then(Value::as_str) == Some(text),
        Is::AcceptId => is_accept_id(text),
        Is::Time => is_time(text),
        Is::Any => name != "source" || text == ["", event.attribute("vendor"), event.attribute("tenant")].join("/"),
    };
    (!is_right).then(|| wrong(name))
}

/// They are there only when so, and as the data says.
fn marks(event: &Event) -> Found {
    let erasure = event.data.pointer("/erasure/scope").and_then(Value::as_str);
    let stale = event.data["stale"].as_bool().filter(|stale| *stale).map(|_| "true");
    let shown = |name: &str| event.attributes.get(name).map(String::as_str);
    let mut found: Found = [("stale", stale), ("erasure", erasure)]
        .into_iter()
        .filter(|(name, said)| shown(name) != *said)
        .map(|(name, _)| wrong(name))
        .collect();
    found.extend(shown("replayed").filter(|text| *text != "true").map(|_| wrong("replayed")));
    found
}

/// A header that stands there more than once.
fn twice(record: &Followed) -> Found {
    let names = || record.headers.iter().map(|(name, _)| name);
    names().enumerate().filter(|(index, name)| names().take(*index).any(|before| before == *name)).map(|(_, name)| wrong(name)).collect()
}

fn missing(name: &str) -> (Code, String) {
    (Code::HeaderMissing, name.to_owned())
}

fn wrong(name: &str) -> (Code, String) {
    (Code::HeaderWrong, name.to_owned())
}

fn is_accept_id(text: &str) -> bool {
    Uuid::parse_str(text).is_ok_and(|id| id.hyphenated().to_string() == text)
}

fn is_time(text: &str) -> bool {
    Timestamp::parse(text).is_some_and(|time| time.shown().as_str() == text)
}

fn key_fits(key: &str, event: &Event, role: Role) -> bool {
    let text = |pointer: &str| event.data.pointer(pointer).and_then(Value::as_str);
    // Ids in the data are shown as they stand in keys: hidden ones are hidden there, too.
    let keys = Keys { vendor: event.attribute("vendor"), tenant: event.attribute("tenant"), ids: &Ids::Plain };
    let of_kind = |kind: &str| key.starts_with(&format!("{}/{kind}/", keys.tenant_key()));
    match role {
        Role::Person => match (text("/person/key"), text("/person/id")) {
            (Some(told), Some(id)) => key == told && key == keys.of_shown_person(id),
            // That of the person of the visit, as the bridge remembers it; else of the visit or the message.
            _ => ["person", "visit", "message"].into_iter().any(of_kind),
        },
        Role::Location => match text("/location/key") {
            // A visit that does not tell its state stays where its last event was.
            Some(told) if !event.attribute("subject").starts_with("visit/") || text("/entries/0/vendor_status").is_some() => key == told,
            _ => key == keys.tenant_key() || of_kind("location"),
        },
        Role::DeadLetter => true,
    }
}
