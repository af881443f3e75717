//! The common model: a person with entries on lists; a location's status; a message.
//!
//! What both vendors say, in common words, with the vendor's own words kept beside ours. Field names are the
//! contract's (`data` on the topics). Knows no vendor, no tenant and no Kafka: what depends on whom we
//! serve (keys, hidden ids) is added by `routing` and `envelope`. What holds people's data cannot be printed.

use std::borrow::Cow;
use std::fmt;

use crate::timestamp::{Date, Timestamp};

mod words;

pub use words::{Change, Direction, EntryKind, EntryStatus, ErasureReason, Identity, MessageStatus, Reason, Scope};

pub type Text<'a> = Cow<'a, str>;

/// What one delivery says.
#[derive(Clone, PartialEq)]
pub struct Event<'a> {
    pub kind: Kind,
    /// A visit event that tells neither `state` nor `type`: only the window knows where it belongs.
    pub untold: bool,
    pub change: Change,
    pub vendor_type: &'static str,
    /// The vendor's own id of this event, where it gives one.
    pub id: Option<Text<'a>>,
    pub account_id: Option<Text<'a>>,
    /// When the vendor made the event, where it says so.
    pub time: Option<Timestamp>,
    /// What orders the events of one subject, where the vendor says so (not later than a day after receipt).
    pub version: Option<Timestamp>,
    /// The id of the visit, person, location or message that the event is about.
    pub subject_id: Text<'a>,
    pub person: Option<Person<'a>>,
    pub location: Option<Location<'a>>,
    pub entries: Vec<Entry<'a>>,
    pub entries_complete: bool,
    pub status: Option<Status<'a>>,
    pub message: Option<Message<'a>>,
    /// By distinct keys.
    pub fields: Vec<(Text<'a>, Vec<Text<'a>>)>,
    pub notes: Option<Vec<Note<'a>>>,
    pub erasure: Option<Erasure>,
    /// The vendor's `data`, or what the settings leave of it: JSON text.
    pub payload: Option<Text<'a>>,
    /// The vendor's whole `data`, for telling repeats; never shown.
    pub data: &'a str,
}

impl<'a> Event<'a> {
    /// One that tells no more than what it is about.
    pub fn new(kind: Kind, change: Change, vendor_type: &'static str, subject_id: Text<'a>, data: &'a str) -> Event<'a> {
        Event {
            kind,
            untold: false,
            change,
            vendor_type,
            id: None,
            account_id: None,
            time: None,
            version: None,
            subject_id,
            person: None,
            location: None,
            entries: Vec::new(),
            entries_complete: false,
            status: None,
            message: None,
            fields: Vec::new(),
            notes: None,
            erasure: None,
            payload: None,
            data,
        }
    }
}

impl fmt::Debug for Event<'_> {
    /// Never what it says of people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("vendor_type", &self.vendor_type).field("id", &self.id).finish_non_exhaustive()
    }
}

/// What an event is about. A new one is a variant that the compiler then asks every `match` for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Person,
    Visit,
    /// A visit that keeps a slot free, and is nobody's.
    Block,
    Location,
    Message,
}

impl Kind {
    /// The word in `ce_type` and `ce_subject`.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Person => "person",
            Kind::Visit | Kind::Block => "visit",
            Kind::Location => "location",
            Kind::Message => "message",
        }
    }
}

#[derive(Clone, PartialEq)]
pub struct Person<'a> {
    pub id: Text<'a>,
    pub identity: Identity,
    pub external_id: Option<Text<'a>>,
    pub family_id: Option<Text<'a>>,
    pub name: Option<Text<'a>>,
    pub first_name: Option<Text<'a>>,
    pub last_name: Option<Text<'a>>,
    pub email: Option<Text<'a>>,
    pub phone: Option<Text<'a>>,
    pub locale: Option<Text<'a>>,
    pub birth_date: Option<Date>,
    pub anonymized: bool,
    pub complete: bool,
}

impl<'a> Person<'a> {
    /// One of whom nothing but the id is told.
    pub fn new(id: Text<'a>, identity: Identity) -> Person<'a> {
        Person {
            id,
            identity,
            external_id: None,
            family_id: None,
            name: None,
            first_name: None,
            last_name: None,
            email: None,
            phone: None,
            locale: None,
            birth_date: None,
            anonymized: false,
            complete: false,
        }
    }
}

/// At least one of the two is there.
#[derive(Clone, PartialEq)]
pub struct Location<'a> {
    pub id: Option<Text<'a>>,
    pub name: Option<Text<'a>>,
}

#[derive(Clone, PartialEq)]
pub struct Entry<'a> {
    pub id: Option<Text<'a>>,
    pub kind: EntryKind,
    pub list: Option<Text<'a>>,
    pub status: EntryStatus,
    pub vendor_status: Option<Text<'a>>,
    pub tags: Vec<Text<'a>>,
    pub position: Option<i64>,
    pub party_size: Option<i64>,
    pub estimated_wait_seconds: Option<i64>,
    pub duration_seconds: Option<i64>,
    pub ticket: Option<Text<'a>>,
    pub joined_at: Option<Timestamp>,
    pub starts_at: Option<Timestamp>,
    pub served_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub starts_local: Option<Text<'a>>,
    pub requested_date: Option<Date>,
    pub services: Vec<Quantity<'a>>,
    pub resources: Vec<Quantity<'a>>,
}

impl Entry<'_> {
    /// One of which nothing else is told.
    pub fn new(kind: EntryKind, status: EntryStatus) -> Self {
        Entry {
            id: None,
            kind,
            list: None,
            status,
            vendor_status: None,
            tags: Vec::new(),
            position: None,
            party_size: None,
            estimated_wait_seconds: None,
            duration_seconds: None,
            ticket: None,
            joined_at: None,
            starts_at: None,
            served_at: None,
            completed_at: None,
            created_at: None,
            updated_at: None,
            starts_local: None,
            requested_date: None,
            services: Vec::new(),
            resources: Vec::new(),
        }
    }
}

#[derive(Clone, PartialEq)]
pub struct Quantity<'a> {
    pub id: Text<'a>,
    pub quantity: i64,
}

#[derive(Clone, PartialEq)]
pub struct Status<'a> {
    pub open: Option<bool>,
    pub waitlist_open: Option<bool>,
    pub waitlist_full: Option<bool>,
    pub serving_full: Option<bool>,
    pub force_closed: Option<bool>,
    pub waiting: Option<i64>,
    pub waiting_guests: Option<i64>,
    pub serving: Option<i64>,
    pub serving_guests: Option<i64>,
    pub party_size_max: Option<i64>,
    pub wait_seconds: Option<i64>,
    /// By distinct keys.
    pub wait_seconds_by_party_size: Vec<(Text<'a>, i64)>,
    pub no_wait_reason: Option<Text<'a>>,
    pub next_available_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq)]
pub struct Message<'a> {
    pub id: Text<'a>,
    pub visit_id: Option<Text<'a>>,
    pub channel: Option<Text<'a>>,
    pub direction: Option<Direction>,
    pub status: MessageStatus,
    pub vendor_status: Option<Text<'a>>,
    pub error: Option<Text<'a>>,
    pub body: Option<Text<'a>>,
}

#[derive(Clone, PartialEq)]
pub struct Note<'a> {
    pub text: Text<'a>,
    pub edited_at: Option<Timestamp>,
    pub edited_by: Option<Text<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    pub scope: Scope,
    pub reason: ErasureReason,
}
