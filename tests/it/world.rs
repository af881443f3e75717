//! Both vendors' customers in small: people join, are called, move, are forgotten; a center's children change lists.
//!
//! Each step gives what the vendors deliver of it, with what spoils naive readers: repeats, late copies, first deliveries that are
//! held up until after newer ones, bodies that tell a part. What a right table shows is the world's own state: nothing here
//! knows how a consumer gets there.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use waitbridge::timestamp::Timestamp;

use crate::model::generate::random::Random;

const BEGIN_MS: i64 = 1_704_067_200_000;
const LISTS: [&str; 3] = ["Infants", "Toddlers", "Preschool"];

#[derive(Debug, Clone)]
pub struct Delivery {
    pub vendor: &'static str,
    pub body: Vec<u8>,
}

#[derive(Default)]
pub struct World {
    random: Random,
    now_ms: i64,
    serial: u64,
    contacts: BTreeMap<u64, Contact>,
    visits: BTreeMap<u64, Visit>,
    children: BTreeMap<u64, Child>,
    held: Vec<Held>,
}

/// Whom a visit names. One with an even number may lose visits to another one; deliveries of one with an odd number may be held
/// up. Both at once can lose a value for ever, and no reader could know it.
struct Contact {
    /// `None` = anonymized.
    name: Option<String>,
    held: usize,
}

#[derive(Default)]
struct Visit {
    contact: Option<u64>,
    state: &'static str,
    tag: Option<&'static str>,
    position: u64,
    joined: String,
    booked_for: Option<&'static str>,
    anonymized: bool,
    removed: bool,
    /// The bodies that were delivered, but for the newest.
    older: Vec<Value>,
    newest: Option<Value>,
}

struct Child {
    name: Option<String>,
    birth_day: u64,
    lists: Vec<(&'static str, u64, i64)>,
    deleted: bool,
}

struct Held {
    visit: u64,
    body: Value,
}

/// What a right table holds: persons by key, and their entries.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tables {
    pub persons: BTreeMap<String, Value>,
    pub entries: BTreeMap<String, Value>,
}

impl World {
    pub fn new(seed: u64) -> World {
        World { random: Random::new(seed), now_ms: BEGIN_MS, ..World::default() }
    }

    /// Something happens.
    pub fn step(&mut self) -> Vec<Delivery> {
        self.now_ms += 1_237;
        let mut deliveries: Vec<Delivery> = match self.roll(22) {
            0..=3 => self.join(),
            4..=8 => self.advance(),
            9..=10 => self.rename(),
            11 => self.move_visit(),
            12 => self.remove(),
            13 => self.anonymize(),
            14..=15 => self.late_copy(),
            16 => self.message(),
            17..=18 => self.add_child(),
            19..=20 => self.change_child(),
            _ => self.delete_child(),
        }
        .into_iter()
        .collect();
        if self.roll(4) == 0 {
            deliveries.extend(self.release());
        }
        if self.roll(10) == 0 {
            deliveries.extend(deliveries.last().cloned());
        }
        deliveries
    }

    /// What is still held up.
    pub fn rest(&mut self) -> Vec<Delivery> {
        std::iter::from_fn(|| self.release()).collect()
    }

    fn join(&mut self) -> Option<Delivery> {
        let contact = match self.roll(6) {
            0 => None,
            1..=2 => self.pick(self.contacts.iter().filter(|(_, contact)| contact.name.is_some()).map(|(id, _)| *id).collect()),
            _ => Some(self.new_contact()),
        };
        let visit = Visit {
            contact,
            state: "WAITING",
            position: self.roll(20),
            joined: self.now(),
            booked_for: (self.roll(3) == 0).then_some("2024-02-01T09:30"),
            ..Visit::default()
        };
        let id = self.next();
        self.visits.insert(id, visit);
        self.tell(id, "visit.created")
    }

    fn new_contact(&mut self) -> u64 {
        let (id, name) = (self.contacts.len() as u64, self.new_name());
        self.contacts.insert(id, Contact { name: Some(name), held: 0 });
        id
    }

    /// Now and then told without the customer.
    fn advance(&mut self) -> Option<Delivery> {
        let id = self.pick_visit(|visit, _| visit.state != "COMPLETE")?;
        let tag = [None, Some("NO-SHOW"), Some("CANCELLED"), Some("EXPIRED")][self.roll(4) as usize];
        let visit = self.visits.get_mut(&id)?;
        (visit.state, visit.tag) = if visit.state == "WAITING" { ("SERVING", None) } else { ("COMPLETE", tag) };
        let may_leave_out = visit.newest.is_some() && self.held_of(id) == 0;
        if may_leave_out && self.roll(4) == 0 {
            let mut body = self.body(id, "visit.updated");
            for key in ["customerId", "name", "firstName", "email", "phone"] {
                body["data"].as_object_mut()?.remove(key);
            }
            return Some(self.deliver(id, body));
        }
        self.tell(id, "visit.updated")
    }

    fn rename(&mut self) -> Option<Delivery> {
        let id = self.pick_visit(|_, contact| contact.is_some_and(|contact| contact.name.is_some()))?;
        let name = self.new_name();
        self.contacts.get_mut(&self.visits[&id].contact?)?.name = Some(name);
        self.tell(id, "visit.updated")
    }

    /// As when the phone number changes: the contact is another one.
    fn move_visit(&mut self) -> Option<Delivery> {
        let id = self.pick_visit(|visit, _| visit.contact.is_some_and(|contact| contact.is_multiple_of(2)) && !visit.anonymized)?;
        let contact = std::iter::repeat_with(|| self.new_contact()).find(|id| id.is_multiple_of(2));
        self.visits.get_mut(&id)?.contact = contact;
        self.tell(id, "visit.updated")
    }

    fn remove(&mut self) -> Option<Delivery> {
        let id = self.pick_visit(|_, contact| contact.is_none_or(|contact| contact.held == 0))?;
        self.visits.get_mut(&id)?.removed = true;
        if self.roll(2) == 0 {
            return self.tell(id, "visit.removed");
        }
        let mut body = self.body(id, "visit.removed");
        body["data"] = json!({ "id": format!("v{id}") });
        Some(self.deliver(id, body))
    }

    fn anonymize(&mut self) -> Option<Delivery> {
        let id = self.pick_visit(|visit, contact| visit.state == "COMPLETE" && contact.is_some_and(|contact| contact.held == 0))?;
        let visit = self.visits.get_mut(&id)?;
        visit.anonymized = true;
        self.contacts.get_mut(&visit.contact?)?.name = None;
        self.tell(id, "visit.updated")
    }

    /// An older body comes once more, as another event.
    fn late_copy(&mut self) -> Option<Delivery> {
        let id = self.pick(self.visits.iter().filter(|(_, visit)| !visit.older.is_empty()).map(|(id, _)| *id).collect())?;
        let which = self.roll(self.visits[&id].older.len() as u64) as usize;
        let mut body = self.visits[&id].older[which].clone();
        body["id"] = json!(format!("e{}", self.next()));
        Some(waitwhile(&body))
    }

    fn message(&mut self) -> Option<Delivery> {
        let id = self.pick_visit(|_, _| true)?;
        let data = json!({"id": format!("m{}", self.next()), "visitId": format!("v{id}"), "state": "DELIVERED", "channel": "SMS"});
        Some(waitwhile(&json!({"id": format!("e{}", self.next()), "created": self.now(), "type": "message.created", "data": data})))
    }

    /// Also one who was deleted before.
    fn add_child(&mut self) -> Option<Delivery> {
        let deleted = self.children.iter().filter(|(_, child)| child.deleted).map(|(id, _)| *id).collect();
        let again = if self.roll(3) == 0 { self.pick(deleted) } else { None };
        let id = again.unwrap_or_else(|| self.next());
        let child = Child { name: Some(self.new_name()), birth_day: 1 + self.roll(28), lists: self.lists(), deleted: false };
        self.children.insert(id, child);
        Some(self.tell_child(id, "AddPerson", &["Fields", "Waitlists"]))
    }

    fn change_child(&mut self) -> Option<Delivery> {
        let id = self.pick_child()?;
        let (name, lists) = (self.new_name(), self.lists());
        let told = self.roll(3) as usize;
        let child = self.children.get_mut(&id)?;
        let parts: &[&str] = [&["Fields"][..], &["Waitlists"], &["Fields", "Waitlists"]][told];
        if parts.contains(&"Fields") {
            child.name = (told != 2 || !lists.is_empty()).then_some(name);
        }
        if parts.contains(&"Waitlists") {
            child.lists = lists;
        }
        Some(self.tell_child(id, "UpdatePerson", parts))
    }

    fn delete_child(&mut self) -> Option<Delivery> {
        let id = self.pick_child()?;
        self.children.get_mut(&id)?.deleted = true;
        let parts: &[&str] = if self.roll(2) == 0 { &[] } else { &["Fields", "Waitlists"] };
        Some(self.tell_child(id, "DeletePerson", parts))
    }

    /// Delivers it, or holds it up.
    fn tell(&mut self, id: u64, kind: &str) -> Option<Delivery> {
        let body = self.body(id, kind);
        let contact = self.visits[&id].contact.filter(|contact| !contact.is_multiple_of(2));
        match contact {
            Some(contact) if self.roll(4) == 0 => {
                self.contacts.get_mut(&contact)?.held += 1;
                self.held.push(Held { visit: id, body });
                None
            }
            _ => Some(self.deliver(id, body)),
        }
    }

    fn deliver(&mut self, id: u64, body: Value) -> Delivery {
        let visit = self.visits.get_mut(&id).expect("a visit");
        let delivery = waitwhile(&body);
        let is_newer = visit.newest.as_ref().is_none_or(|newest| newest["created"].as_str() < body["created"].as_str());
        visit.older.extend(if is_newer { visit.newest.replace(body) } else { Some(body) });
        delivery
    }

    fn release(&mut self) -> Option<Delivery> {
        let which = self.pick((0..self.held.len() as u64).collect())?;
        let Held { visit, body } = self.held.remove(which as usize);
        let contact = self.visits[&visit].contact.and_then(|contact| self.contacts.get_mut(&contact));
        contact.expect("only deliveries that name a contact are held").held -= 1;
        Some(self.deliver(visit, body))
    }

    fn body(&mut self, id: u64, kind: &str) -> Value {
        let (event, now) = (self.next(), self.now());
        let visit = &self.visits[&id];
        let name = visit.contact.and_then(|contact| self.contacts[&contact].name.as_deref());
        json!({"id": format!("e{event}"), "created": now, "accountId": "a", "type": kind, "data": {
            "id": format!("v{id}"), "locationId": "l", "state": visit.state, "tags": visit.tag.as_slice(), "position": visit.position,
            "customerId": visit.contact.map(|contact| format!("c{contact}")), "waitlistTime": visit.joined, "updated": now,
            "date": visit.booked_for, "isAnonymized": visit.anonymized, "name": name, "firstName": name,
            "email": name.map(email), "phone": ""}})
    }

    fn tell_child(&mut self, id: u64, kind: &str, parts: &[&str]) -> Delivery {
        let child = &self.children[&id];
        let fields = json!({"First Name": child.name, "Last Name": "Rivera", "Birthdate": format!("2/{}/2023", child.birth_day),
            "Email": child.name.as_deref().map(email).unwrap_or_default(), "Serial": self.serial.to_string()});
        let lists: Vec<Value> = child
            .lists
            .iter()
            .map(
                |(name, position, added_ms)| json!({"Name": name, "Position": position, "AddedDate": time(*added_ms).replace('Z', "4567")}),
            )
            .collect();
        let mut data = json!({"PersonId": id, "Fields": fields, "Waitlists": lists});
        data.as_object_mut().expect("an object").retain(|key, _| key == "PersonId" || parts.contains(&key.as_str()));
        let body = json!({"type": kind, "data": data});
        Delivery { vendor: "waitlistplus", body: body.to_string().into_bytes() }
    }

    fn lists(&mut self) -> Vec<(&'static str, u64, i64)> {
        let from = self.roll(4) as usize;
        LISTS[from.min(3)..].iter().map(|list| (*list, self.roll(50), self.now_ms)).collect()
    }

    /// The world as a right table shows it now.
    pub fn tables(&self) -> Tables {
        let mut tables = Tables::default();
        for (id, visit) in self.visits.iter().filter(|(_, visit)| !visit.removed) {
            let key = visit.contact.map(|contact| format!("waitwhile/acme/person/c{contact}"));
            if let (Some(key), Some(contact)) = (&key, visit.contact) {
                let name = self.contacts[&contact].name.as_deref();
                let person = json!({"identity": "contact", "name": name, "first_name": name, "last_name": null,
                    "email": name.map(email), "phone": null, "birth_date": null});
                tables.persons.insert(key.clone(), person);
            }
            tables.entries.insert(format!("waitwhile/acme/visit/v{id}"), visit.row(key));
        }
        for (id, child) in self.children.iter().filter(|(_, child)| !child.deleted) {
            let key = format!("waitlistplus/sunshine/person/{id}");
            for (number, (list, position, added_ms)) in child.lists.iter().enumerate() {
                let entry = json!({"person": key, "kind": "waitlist", "list": list, "status": "waiting", "position": position,
                    "joined_at": time(*added_ms), "starts_local": null});
                tables.entries.insert(format!("{key}/{number}"), entry);
            }
            tables.persons.insert(key, child.row());
        }
        tables
    }

    fn held_of(&self, visit: u64) -> usize {
        self.visits[&visit].contact.map_or(0, |contact| self.contacts[&contact].held)
    }

    fn pick_visit(&mut self, may: impl Fn(&Visit, Option<&Contact>) -> bool) -> Option<u64> {
        let contact = |visit: &Visit| visit.contact.map(|contact| &self.contacts[&contact]);
        let fit = self.visits.iter().filter(|(_, visit)| !visit.removed && may(visit, contact(visit)));
        self.pick(fit.map(|(id, _)| *id).collect())
    }

    fn pick_child(&mut self) -> Option<u64> {
        self.pick(self.children.iter().filter(|(_, child)| !child.deleted).map(|(id, _)| *id).collect())
    }

    fn pick(&mut self, of: Vec<u64>) -> Option<u64> {
        if of.is_empty() { None } else { Some(of[self.roll(of.len() as u64) as usize]) }
    }

    fn new_name(&mut self) -> String {
        format!("Zoë {}", self.next())
    }

    fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn now(&self) -> String {
        time(self.now_ms)
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.random.below(below)
    }
}

impl Visit {
    fn row(&self, person: Option<String>) -> Value {
        let kind = if self.booked_for.is_some() { "booking" } else { "waitlist" };
        let status = match (self.state, self.tag) {
            ("WAITING", _) => "waiting",
            ("SERVING", _) => "serving",
            (_, Some("NO-SHOW")) => "no_show",
            (_, Some("CANCELLED")) => "cancelled",
            (_, Some("EXPIRED")) => "expired",
            _ => "completed",
        };
        json!({"person": person, "kind": kind, "list": null, "status": status, "position": self.position, "joined_at": self.joined,
            "starts_local": self.booked_for})
    }
}

impl Child {
    fn row(&self) -> Value {
        let full = self.name.as_ref().map_or("Rivera".to_owned(), |name| format!("{name} Rivera"));
        json!({"identity": "record", "name": full, "first_name": self.name, "last_name": "Rivera",
            "email": self.name.as_deref().map(email), "phone": null, "birth_date": format!("2023-02-{:02}", self.birth_day)})
    }
}

fn waitwhile(body: &Value) -> Delivery {
    Delivery { vendor: "waitwhile", body: body.to_string().into_bytes() }
}

fn email(name: &str) -> String {
    format!("{}@example.com", name.replace(' ', "."))
}

fn time(ms: i64) -> String {
    Timestamp::clamped(ms).shown().as_str().to_owned()
}
