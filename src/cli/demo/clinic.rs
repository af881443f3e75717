//! The Waitwhile part of the story: two locations, with visits that wait or are booked, and messages to guests.

use serde_json::{Value, json};

use super::dice::Dice;
use super::story::{Delivery, FIRST_NAMES, LAST_NAMES, Nature, Vendor};
use crate::cli::samples::event_id;
use crate::timestamp::Timestamp;

pub struct Clinic {
    account: String,
    locations: Vec<Location>,
    /// Which turn's overtaken event was told last.
    overtaken: Option<u64>,
}

struct Location {
    id: String,
    service: String,
    visits: Vec<Visit>,
    tickets: u64,
    updated_ms: i64,
}

struct Visit {
    id: String,
    customer: String,
    first: &'static str,
    last: &'static str,
    phone: String,
    party_size: u64,
    ticket: String,
    /// A booking's, as the vendor writes it: local, without a zone.
    date: Option<String>,
    stage: Stage,
    created_ms: i64,
    updated_ms: i64,
    served_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Booked,
    Waiting,
    Called,
    Serving,
    Served,
    Cancelled,
    NoShow,
}

/// What may happen at a location.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Join,
    Book,
    Call,
    CheckIn,
    Advance,
    Cancel,
    Delete,
}

/// With its own share of chance.
const TURNS: &[Turn] = &[
    Turn::Join,
    Turn::Join,
    Turn::Join,
    Turn::Book,
    Turn::Call,
    Turn::Call,
    Turn::Call,
    Turn::CheckIn,
    Turn::Advance,
    Turn::Advance,
    Turn::Advance,
    Turn::Advance,
    Turn::Cancel,
    Turn::Delete,
];
const VISITS_MAX: usize = 12;

impl Clinic {
    pub fn new(dice: &mut Dice) -> Clinic {
        let mut location = || Location { id: dice.id(20), service: dice.id(20), visits: Vec::new(), tickets: 0, updated_ms: 0 };
        let locations = vec![location(), location()];
        Clinic { account: dice.id(20), locations, overtaken: None }
    }

    /// What happens next, in order; nothing if nobody is there to whom it could.
    pub fn next(&mut self, dice: &mut Dice, at_ms: i64) -> Vec<Delivery> {
        let (turn, index) = (dice.pick(TURNS), dice.below(self.locations.len()));
        let Clinic { account, locations, .. } = self;
        let mut teller = Teller { account, location: &mut locations[index], dice, at_ms, told: Vec::new() };
        teller.turn(turn);
        teller.told
    }

    /// Somebody is called and served at once, and the vendor's delivery of the call is overtaken by the one of the serving. Once a turn.
    pub fn overtaken(&mut self, dice: &mut Dice, at_ms: i64, turn: u64) -> Option<Vec<Delivery>> {
        let Clinic { account, locations, overtaken } = self;
        let location = locations.iter_mut().find(|location| location.at(Stage::Waiting).is_some()).filter(|_| *overtaken != Some(turn))?;
        *overtaken = Some(turn);
        let at = location.at(Stage::Waiting)?;
        let mut teller = Teller { account, location, dice, at_ms, told: Vec::new() };
        teller.visit(at, Stage::Called, "visit.updated");
        teller.visit(at, Stage::Serving, "visit.updated");
        teller.told.swap(0, 1);
        teller.told[1].nature = Nature::Late;
        teller.status();
        Some(teller.told)
    }
}

impl Location {
    /// The first visit at this stage.
    fn at(&self, stage: Stage) -> Option<usize> {
        self.visits.iter().position(|visit| visit.stage == stage)
    }

    fn count(&self, stages: &[Stage]) -> usize {
        self.visits.iter().filter(|visit| stages.contains(&visit.stage)).count()
    }

    fn waiting(&self) -> usize {
        self.count(&[Stage::Waiting, Stage::Called])
    }

    /// Where it stands in the line of those who wait; a booking stands in none.
    fn position(&self, at: usize) -> Option<usize> {
        let waits = |visit: &Visit| matches!(visit.stage, Stage::Waiting | Stage::Called);
        waits(&self.visits[at]).then(|| self.visits[..=at].iter().filter(|visit| waits(visit)).count())
    }
}

/// Lets things happen at one location, and tells of each.
struct Teller<'a> {
    account: &'a str,
    location: &'a mut Location,
    dice: &'a mut Dice,
    at_ms: i64,
    told: Vec<Delivery>,
}

impl Teller<'_> {
    fn turn(&mut self, turn: Turn) {
        let location = &self.location;
        match turn {
            Turn::Join | Turn::Book if location.visits.len() >= VISITS_MAX => {}
            Turn::Join => self.arrive(None),
            Turn::Book => {
                let date = format!("2027-{:02}-{:02}T{:02}:30", 1 + self.dice.below(12), 1 + self.dice.below(28), 8 + self.dice.below(9));
                self.arrive(Some(date));
            }
            Turn::Call => self.change(Stage::Waiting, Stage::Called),
            Turn::CheckIn => self.change(Stage::Booked, Stage::Waiting),
            Turn::Advance if location.at(Stage::Serving).is_some() => self.change(Stage::Serving, Stage::Served),
            Turn::Advance if self.dice.below(5) == 0 => self.change(Stage::Called, Stage::NoShow),
            Turn::Advance => self.change(Stage::Called, Stage::Serving),
            Turn::Cancel => self.change(Stage::Waiting, Stage::Cancelled),
            Turn::Delete => self.delete(),
        }
    }

    fn arrive(&mut self, date: Option<String>) {
        self.location.tickets += 1;
        let visit = Visit {
            id: self.dice.id(20),
            customer: self.dice.id(22),
            first: self.dice.pick(FIRST_NAMES),
            last: self.dice.pick(LAST_NAMES),
            phone: format!("+1202555{}", self.dice.digits(4)),
            party_size: 1 + self.dice.below(4) as u64,
            ticket: format!("A{:03}", self.location.tickets % 1000),
            stage: if date.is_some() { Stage::Booked } else { Stage::Waiting },
            date,
            created_ms: self.at_ms,
            updated_ms: 0,
            served_ms: None,
        };
        let stage = visit.stage;
        self.location.visits.push(visit);
        self.visit(self.location.visits.len() - 1, stage, "visit.created");
        self.status();
    }

    /// The first visit at one stage goes on to another.
    fn change(&mut self, from: Stage, to: Stage) {
        let Some(at) = self.location.at(from) else { return };
        self.visit(at, to, "visit.updated");
        if to == Stage::Called {
            self.message(at);
        }
        if matches!(to, Stage::Served | Stage::Cancelled | Stage::NoShow) {
            self.location.visits.remove(at);
        }
        self.status();
    }

    /// Through the vendor's API: whatever it was, it is no more.
    fn delete(&mut self) {
        let Some(at) = self.location.at(Stage::Booked) else { return };
        self.visit(at, Stage::Booked, "visit.removed");
        self.location.visits.remove(at);
    }

    fn visit(&mut self, at: usize, stage: Stage, kind: &str) {
        let visit = &mut self.location.visits[at];
        visit.stage = stage;
        // Of two changes within a millisecond one must be the newer.
        visit.updated_ms = self.at_ms.max(visit.updated_ms + 1);
        if stage == Stage::Serving {
            visit.served_ms = Some(visit.updated_ms);
        }
        let (subject, updated_ms) = (visit.id.clone(), visit.updated_ms);
        let data = visit_data(self.location, at);
        self.tell(kind, subject, updated_ms, data);
    }

    fn message(&mut self, at: usize) {
        let visit = &self.location.visits[at];
        let (id, subject, updated_ms) = (self.dice.id(20), visit.id.clone(), visit.updated_ms);
        let mut data = json!({
            "id": id, "locationId": self.location.id, "visitId": visit.id, "customerId": visit.customer, "channel": "SMS",
            "state": "PENDING", "recipient": visit.phone, "body": format!("{}, you are next: please come in", visit.first),
            "created": time(updated_ms), "updated": time(updated_ms),
        });
        self.tell("message.created", subject.clone(), updated_ms, data.clone());
        data["state"] = json!("DELIVERED");
        data["updated"] = json!(time(updated_ms + 1));
        self.tell("message.updated", subject, updated_ms + 1, data);
    }

    fn status(&mut self) {
        let location = &mut self.location;
        location.updated_ms = self.at_ms.max(location.updated_ms + 1);
        let (waiting, serving) = (location.waiting(), location.count(&[Stage::Serving]));
        let data = json!({
            "id": location.id, "isOpen": true, "isForceClosed": false, "isWaitlistOpen": true,
            "isWaitlistFull": location.visits.len() >= VISITS_MAX, "isServingFull": serving >= 3, "numWaiting": waiting,
            "numServing": serving, "maxPartySize": 8, "wait": waiting * 300, "updated": time(location.updated_ms),
        });
        let (subject, updated_ms) = (location.id.clone(), location.updated_ms);
        self.tell("location-status.updated", subject, updated_ms, data);
    }

    fn tell(&mut self, kind: &str, subject: String, created_ms: i64, data: Value) {
        let id = event_id(created_ms, &self.dice.id(12));
        let body = json!({ "id": id, "created": time(created_ms), "accountId": self.account, "type": kind, "data": data });
        let body = body.to_string().into_bytes();
        self.told.push(Delivery { vendor: Vendor::Waitwhile, nature: Nature::Genuine, subject, body });
    }
}

fn visit_data(location: &Location, at: usize) -> Value {
    let visit = &location.visits[at];
    let (state, tags) = state(visit.stage);
    let completed_ms = (state == "COMPLETE").then_some(visit.updated_ms);
    let mut data = json!({
        "id": visit.id, "locationId": location.id, "state": state, "customerId": visit.customer, "firstName": visit.first,
        "lastName": visit.last, "name": format!("{} {}", visit.first, visit.last), "phone": visit.phone,
        "email": format!("{}.{}@example.com", visit.first, visit.last).to_lowercase(), "notes": "", "publicId": &visit.id[..6],
        "isAnonymized": false, "created": time(visit.created_ms), "updated": time(visit.updated_ms), "isBlock": false, "source": "WEB-APP",
        "locale": "en-US", "partySize": visit.party_size, "serviceIds": [location.service], "services": {&location.service: 1},
        "dataFields": [], "tags": tags, "serveTime": visit.served_ms.map(time), "completedTime": completed_ms.map(time),
        "ticket": visit.ticket, "numVisits": 1,
    });
    if let Some(date) = &visit.date {
        data["type"] = json!("BOOKING");
        data["date"] = json!(date);
        data["duration"] = json!(1800);
    }
    if let Some(position) = location.position(at) {
        data["position"] = json!(position);
        data["waitlistTime"] = json!(time(visit.created_ms));
        data["estWaitDuration"] = json!(position * 300);
    }
    data
}

/// In the vendor's words.
fn state(stage: Stage) -> (&'static str, &'static [&'static str]) {
    match stage {
        Stage::Booked => ("BOOKED", &[]),
        Stage::Waiting => ("WAITING", &[]),
        Stage::Called => ("WAITING", &["ALERTED"]),
        Stage::Serving => ("SERVING", &["ALERTED"]),
        Stage::Served => ("COMPLETE", &[]),
        Stage::Cancelled => ("COMPLETE", &["CANCELLED"]),
        Stage::NoShow => ("COMPLETE", &["NO-SHOW"]),
    }
}

fn time(ms: i64) -> String {
    Timestamp::clamped(ms).shown().as_str().to_owned()
}
