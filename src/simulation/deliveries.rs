//! The deliveries of the simulation: few visits and persons of whom much is said, so that repeats, late events and
//! messages without a person come often. Knows no journal and no Kafka.
//!
//! What a body says stands in it as text, `visit E17 V3 120500 P3 - D2`: kind, event id, subject, version, person,
//! visit, data. A dash is nothing.

use uuid::Uuid;

use crate::delivery::{Auth, Record};
use crate::event::{Change, Event, Identity, Kind, Message, MessageStatus, Person, Reason};
use crate::journal::disk::driven::Dice;
use crate::relay::prepare::Prepare;
use crate::relay::trial;
use crate::timestamp::Timestamp;

pub const PERSON: &str = "person";
pub const DEAD: &str = "dead";
pub const VENDOR: &str = "waitwhile";
pub const TENANT: &str = "t";
/// Of the vendor, for one tenant.
const ENDPOINTS: [&str; 2] = ["a", "b"];
/// Visits, persons and so on of which the deliveries of a single tenant tell.
pub const CASTS: u64 = 9;
/// A vendor tries again within this time, or not at all.
const RETRY_MS: i64 = 4_000;

/// One delivery, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub accept_id: Uuid,
    pub tenant: &'static str,
    pub at_ms: i64,
    pub cast: u64,
    pub endpoint: &'static str,
    pub said: Said,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub word: &'static str,
    pub event_id: Option<u64>,
    pub version_ms: Option<i64>,
    pub names_person: bool,
    pub data: u64,
    /// Only for a message, whose subject is its own.
    pub number: u64,
}

impl Said {
    pub fn body(&self, cast: u64) -> String {
        let shown = |prefix: &str, number: Option<u64>| number.map_or("-".to_owned(), |number| format!("{prefix}{number}"));
        let version = self.version_ms.map_or("-".to_owned(), |ms| ms.to_string());
        let person = shown("P", self.names_person.then_some(cast));
        let visit = shown("V", (self.word == "message").then_some(cast));
        let event_id = shown("E", self.event_id);
        format!("{} {event_id} {} {version} {person} {visit} D{}", self.word, self.subject(cast), self.data)
    }

    pub fn subject(&self, cast: u64) -> String {
        match self.word {
            "person" => format!("P{cast}"),
            "message" => format!("M{}", self.number),
            "visit" => format!("V{cast}"),
            // Of a refused size; what panics; what nobody understands: each says it all alone.
            other => format!("{other}{}", self.number),
        }
    }
}

impl Sent {
    pub fn record(&self) -> Vec<u8> {
        let body = self.said.body(self.cast);
        let (vendor, tenant, endpoint) = (VENDOR, self.tenant, self.endpoint);
        Record { accept_id: self.accept_id, auth: Auth::Hmac, vendor, tenant, endpoint, traceparent: None, body: body.as_bytes() }.encode()
    }
}

/// Makes one delivery after the other.
pub struct Vendors {
    tenants: &'static [&'static str],
    /// Of each tenant.
    casts: u64,
    made: u64,
    /// What could come again.
    recent: Vec<Sent>,
}

impl Vendors {
    pub fn new(tenants: &'static [&'static str], casts: u64) -> Vendors {
        Vendors { tenants, casts, made: 0, recent: Vec::new() }
    }

    pub fn next(&mut self, dice: &mut Dice, now_ms: i64) -> Sent {
        self.made += 1;
        self.recent.retain(|sent| now_ms - sent.at_ms < RETRY_MS);
        let number = self.made;
        let accept_id = Uuid::from_u128(u128::from(number) + 1);
        let earlier = match self.recent.len() {
            0 => None,
            len => self.recent.get(dice.below(len as u64) as usize).cloned(),
        };
        let sent = match (dice.below(20), earlier) {
            // The vendor tries again: the same event, and it has been accepted before, or not.
            (0..3, Some(earlier)) => Sent { accept_id, ..earlier },
            // The same change through the other endpoint.
            (3..5, Some(earlier)) if earlier.said.event_id.is_some() => {
                let endpoint = ENDPOINTS[usize::from(earlier.endpoint == ENDPOINTS[0])];
                Sent { accept_id, endpoint, said: Said { event_id: Some(number), ..earlier.said }, ..earlier }
            }
            _ => self.new_one(dice, accept_id, number, now_ms),
        };
        if sent.at_ms == now_ms {
            self.recent.push(sent.clone());
        }
        sent
    }

    fn new_one(&self, dice: &mut Dice, accept_id: Uuid, number: u64, now_ms: i64) -> Sent {
        let word = match dice.below(40) {
            0 => "huge",
            1 => "poison",
            2 => "strange",
            3..12 => "person",
            12..18 => "message",
            _ => "visit",
        };
        let has_id = word != "person";
        // Now and then an event comes late, or bears the time of another.
        let late_ms = if dice.one_in(6) { dice.below(6000) as i64 } else { 0 };
        let said = Said {
            word,
            event_id: has_id.then_some(number),
            version_ms: has_id.then_some((now_ms - late_ms) / 50 * 50),
            names_person: word == "person" || word == "visit" && !dice.one_in(3),
            data: dice.below(if has_id { 1000 } else { 2 }),
            number,
        };
        let tenant = dice.below(self.tenants.len() as u64);
        // Those that say it all alone touch nobody.
        let cast = if matches!(word, "huge" | "poison" | "strange") { self.casts } else { dice.below(self.casts) };
        let (tenant, cast) = (self.tenants[tenant as usize], tenant * (self.casts + 1) + cast);
        Sent { accept_id, tenant, at_ms: now_ms, cast, endpoint: ENDPOINTS[dice.below(2) as usize], said }
    }
}

pub fn prepare() -> Prepare {
    trial::prepare(&ENDPOINTS, VENDOR, TENANT, normalize)
}

/// Reads the text that stands in the body.
fn normalize(body: &str) -> Result<Event<'_>, Reason> {
    let parts: Vec<&str> = body.split(' ').collect();
    let [word, event_id, subject, version, person, visit, _] = parts[..] else { return Err(Reason::UnknownShape) };
    let kind = match word {
        "visit" => Kind::Visit,
        "message" => Kind::Message,
        "person" | "huge" => Kind::Person,
        "poison" => std::panic::resume_unwind(Box::new("as a poison record would")),
        _ => return Err(Reason::UnknownType),
    };
    let there = |part| Some(part).filter(|part: &&str| *part != "-");
    let data = &body[word.len() + event_id.len() + 2..];
    Ok(Event {
        id: there(event_id).map(Into::into),
        version: there(version).and_then(|ms| ms.parse().ok()).map(Timestamp::clamped),
        person: there(person).map(|id| Person::new(id.into(), Identity::Contact)),
        message: (kind == Kind::Message).then(|| message(subject, visit)),
        ..Event::new(kind, Change::Updated, "any", subject.into(), data)
    })
}

fn message<'a>(id: &'a str, visit_id: &'a str) -> Message<'a> {
    let (status, visit_id) = (MessageStatus::Unknown, Some(visit_id.into()));
    Message { id: id.into(), visit_id, channel: None, direction: None, status, vendor_status: None, error: None, body: None }
}
