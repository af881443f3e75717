//! Waitwhile's side: visits that are made, called, served and removed; bookings, blocks, messages, and the status of locations.

use super::doc::{Doc, list};
use super::{Generator, OTHER, SECOND, Sent, WAITWHILE, quoted};

#[derive(Clone)]
pub struct Visit {
    endpoint: usize,
    account: &'static str,
    id: String,
    /// The contact's id; a visit may have none.
    contact: Option<String>,
    location: &'static str,
    kind: Kind,
    step: usize,
    updated_ms: i64,
    created_ms: i64,
    is_removed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Waitlist,
    Booking,
    Block,
}

const VISITS_MAX: usize = 300;
const STATES: [&str; 7] = ["PENDING", "DRAFT", "BOOKED", "WAITING", "SERVING", "COMPLETE", "LIMBO"];
const TAGS: [&str; 8] = ["CANCELLED", "NO-SHOW", "EXPIRED", "ARRIVED", "", "cancelled", "VIP, really", "Tag \\u00fc"];
const LOCATIONS: [&str; 4] = ["P3HCgTiw7IjGhxM2qmjt", "hV2nQ8ZkTq0yXb7RwLc5", "a location/ü", ""];
const HOUR_MS: i64 = 3_600_000;

impl Generator {
    pub(super) fn visit_event(&mut self) -> Sent {
        let mut visit = self.a_visit();
        let event_type = match (visit.step, self.random.below(12)) {
            (0, _) => "visit.created",
            (_, 0) => "visit.removed",
            _ => "visit.updated",
        };
        visit.step += 1;
        visit.is_removed = event_type == "visit.removed";
        let updated_ms = self.next_version(&mut visit.updated_ms);
        let mut data = self.visit_doc(&visit, updated_ms);
        // Removed by id, or another event that tells no more.
        if (visit.is_removed && self.random.one_in(2)) || self.random.one_in(30) {
            data.members.retain(|(key, _)| key == "id");
            if self.random.one_in(4) {
                data.set("updated", updated_ms.to_string());
            }
        }
        self.odd(&mut data);
        let endpoint = match (visit.endpoint, self.random.one_in(4)) {
            (WAITWHILE, true) => SECOND,
            (endpoint, _) => endpoint,
        };
        let sent = self.wrapped(endpoint, event_type, visit.account, data);
        self.visits.push(visit);
        sent
    }

    pub(super) fn waitwhile_sent(&mut self, endpoint: usize, event_type: &str, data: Doc) -> Sent {
        self.wrapped(endpoint, event_type, "itiDKblwIsbJsAxO8kFz", data)
    }

    pub(super) fn visit_data(&mut self) -> Doc {
        let mut visit = self.a_visit();
        let updated_ms = self.next_version(&mut visit.updated_ms);
        let data = self.visit_doc(&visit, updated_ms);
        self.visits.push(visit);
        data
    }

    fn wrapped(&mut self, endpoint: usize, event_type: &str, account: &str, data: Doc) -> Sent {
        let (id, data) = (self.event_id(), data.text(&mut self.random));
        let created_ms = self.now_ms - self.random.below(HOUR_MS as u64) as i64;
        let created = self.time(created_ms);
        let mut wrapper =
            Doc::of([("id", id), ("created", created), ("accountId", quoted(account)), ("type", quoted(event_type)), ("data", data)]);
        match self.random.below(25) {
            0 => wrapper.remove("id"),
            1 => wrapper.remove("created"),
            2 => wrapper.remove("accountId"),
            3 => self.odd(&mut wrapper),
            4 => wrapper.set("created", (self.now_ms + 48 * HOUR_MS).to_string()),
            _ => {}
        }
        self.sent(endpoint, wrapper)
    }

    /// One that is under way, taken out of the list, or a new one.
    fn a_visit(&mut self) -> Visit {
        if self.visits.len() > 20 && (self.visits.len() > VISITS_MAX || !self.random.one_in(3)) {
            let at = self.random.below(self.visits.len() as u64) as usize;
            return self.visits.swap_remove(at);
        }
        let serial = self.serial();
        let contact_id = self.contact_id();
        let created_ms = self.now_ms - 10 * HOUR_MS;
        Visit {
            endpoint: *self.random.choose(&[WAITWHILE, WAITWHILE, OTHER]),
            account: self.random.word(&["itiDKblwIsbJsAxO8kFz", "itiDKblwIsbJsAxO8kFz", "accountB"]),
            // Both tenants know some of the same ids.
            id: if self.random.one_in(20) { format!("vi/sit ü {}", serial % 7) } else { format!("visit{serial:015}") },
            contact: (!self.random.one_in(8)).then_some(contact_id),
            location: self.random.word(&LOCATIONS),
            kind: *self.random.choose(&[Kind::Waitlist, Kind::Waitlist, Kind::Booking, Kind::Block]),
            step: 0,
            updated_ms: created_ms,
            created_ms,
            is_removed: false,
        }
    }

    fn contact_id(&mut self) -> String {
        let serial = self.serial();
        match self.random.below(20) {
            0 => self.person_id(format!("contact/ü {serial:08}")),
            1 => self.person_id(format!("77{serial:012}")),
            2..8 if !self.private.person_ids.is_empty() => self.random.choose(&self.private.person_ids).clone(),
            _ => self.person_id(format!("uGMb0MmhdWsa{serial:010}")),
        }
    }

    /// Mostly later than the one before; sometimes equal, late, or far in the future.
    fn next_version(&mut self, updated_ms: &mut i64) -> i64 {
        match self.random.below(12) {
            0 => *updated_ms,
            1 => *updated_ms - 1 - self.random.below(60_000) as i64,
            2 if self.random.one_in(4) => {
                *updated_ms = self.now_ms + HOUR_MS;
                self.now_ms + 48 * HOUR_MS
            }
            3 if self.random.one_in(20) => self.now_ms + 23 * HOUR_MS,
            _ => {
                *updated_ms += 1 + self.random.below(60_000) as i64;
                *updated_ms
            }
        }
    }

    fn visit_doc(&mut self, visit: &Visit, updated_ms: i64) -> Doc {
        let is_anonymized = visit.kind != Kind::Block && self.random.one_in(12);
        let (updated, created) = (self.time(updated_ms), self.time(visit.created_ms));
        let tags: Vec<String> = (0..self.random.below(4)).map(|_| format!("\"{}\"", self.random.word(&TAGS))).collect();
        let state = if self.random.one_in(3) { "COMPLETE" } else { STATES[visit.step.min(self.random.below(7) as usize)] };
        let contact = visit.contact.as_ref().map_or("null".to_owned(), |id| if id.starts_with("77") { id.clone() } else { quoted(id) });
        let mut doc = Doc::of([
            ("id", quoted(&visit.id)),
            ("locationId", quoted(visit.location)),
            ("state", quoted(state)),
            ("customerId", contact),
            ("notes", quoted(&self.free_text())),
            ("publicId", quoted(&self.capability())),
            ("isAnonymized", is_anonymized.to_string()),
            ("created", created),
            ("updated", updated),
            ("remoteIp", quoted(&self.address())),
            ("city", quoted(&self.street())),
            ("isBlock", (visit.kind == Kind::Block).to_string()),
            ("locale", self.random.word(&["null", "\"en-US\"", "\"de\""]).to_owned()),
            ("partySize", self.random.below(9).to_string()),
            ("tags", list(&tags)),
            ("ngrams", list(&[quoted(&self.name())])),
            ("position", self.random.below(30).to_string()),
            ("estWaitDuration", (self.random.below(90) * 60).to_string()),
            ("ticket", quoted(&format!("A{:03}", self.random.below(1000)))),
            ("waitlistTime", self.random.word(&["null", "\"2026-03-10T15:02:11.040Z\"", "1773156060500"]).to_owned()),
        ]);
        if !is_anonymized {
            self.contact_fields(&mut doc);
        }
        self.quantities(&mut doc);
        self.data_fields(&mut doc);
        match visit.kind {
            Kind::Waitlist => {}
            Kind::Booking => doc.members.extend([("type".into(), quoted("BOOKING")), ("date".into(), quoted("2026-03-16T12:00"))]),
            Kind::Block => doc.set("type", quoted("BLOCK")),
        }
        if visit.kind == Kind::Block && self.random.one_in(2) {
            doc.set("customerId", "null".to_owned());
        }
        doc
    }

    fn contact_fields(&mut self, doc: &mut Doc) {
        let values = [self.name(), self.name(), self.name(), self.email(), self.phone(), self.email()];
        for (key, value) in ["name", "firstName", "lastName", "email", "phone", "externalCustomerId"].into_iter().zip(values) {
            doc.set(key, if self.random.one_in(6) { "\"\"".to_owned() } else { quoted(&value) });
        }
    }

    fn quantities(&mut self, doc: &mut Doc) {
        const OBJECTS: [&str; 8] = [
            "{\"s1\": 2, \"s2\": 1, \"s1\": 3}",
            "{\"\": 4, \" \": 5}",
            "{}",
            "null",
            "{\"s1\": 2}",
            "{\"s2\": 0, \"s1\": 1.5, \"s3\": 7}",
            "{\"s1\": \"2\", \"\\u0073 4\": -1}",
            "{\"s9\": null}",
        ];
        const IDS: [&str; 5] = ["[]", "null", "[\"s1\", \"s2\"]", "[7, \"\", null, \"s3\"]", "\"s1\""];
        for (object, ids) in [("services", "serviceIds"), ("resources", "resourceIds")] {
            if self.random.one_in(2) {
                doc.set(object, self.random.word(&OBJECTS).to_owned());
            }
            doc.set(ids, self.random.word(&IDS).to_owned());
        }
    }

    fn data_fields(&mut self, doc: &mut Doc) {
        let answers = [quoted(&self.free_text()), quoted(&self.street()), "7".to_owned(), "null".to_owned(), "{}".to_owned()];
        let field = |id: &str, values: String| format!("{{\"id\": {id}, \"values\": {values}}}");
        let all = [
            field("\"q1\"", list(&answers)),
            field("\"q2\"", list(&answers[..2])),
            field("\"q1\"", list(&answers[1..3])),
            field("7", "[]".to_owned()),
            "{\"id\": \"q9\"}".to_owned(),
            field("\"q8\"", quoted("no list")),
            field("\"q7\"", list(&["\"\"".to_owned(), quoted(&self.street()), "\" \"".to_owned()])),
            field("\"\"", list(&answers)),
            "\"q3\"".to_owned(),
        ];
        let count = self.random.below(4);
        let fields: Vec<String> = (0..count).map(|_| self.random.choose(&all).clone()).collect();
        doc.set("dataFields", list(&fields));
    }

    pub(super) fn message_event(&mut self) -> Sent {
        let visit = self.a_visit();
        let serial = self.serial();
        let states = ["PENDING", "BLOCKED", "FAILED", "DELIVERED", "UNCONFIRMED", "RECEIVED", "QUEUED"];
        let mut updated_ms = self.now_ms - HOUR_MS;
        let updated_ms = self.next_version(&mut updated_ms);
        // Few ids, so that some messages come again, later and earlier.
        let mut doc = Doc::of([
            ("id", quoted(&format!("message{}", serial % 997))),
            ("channel", self.random.word(&["\"SMS\"", "\"EMAIL\""]).to_owned()),
            ("state", quoted(self.random.word(&states))),
            ("recipient", quoted(&self.phone())),
            ("body", quoted(&self.free_text())),
            ("error", quoted(&self.email())),
            ("updated", self.time(updated_ms)),
        ]);
        if !self.random.one_in(4) {
            doc.set("visitId", quoted(&visit.id));
        }
        if let Some(contact) = visit.contact.as_ref().filter(|_| self.random.one_in(3)) {
            doc.set("customerId", quoted(contact));
        }
        if self.random.one_in(3) {
            doc.set("locationId", quoted(visit.location));
        }
        self.odd(&mut doc);
        let event_type = self.random.word(&["message.created", "message.updated"]);
        let sent = self.wrapped(visit.endpoint, event_type, visit.account, doc);
        self.visits.push(visit);
        sent
    }

    pub(super) fn location_event(&mut self) -> Sent {
        let updated_ms = self.now_ms - self.random.below(HOUR_MS as u64) as i64;
        let mut doc =
            Doc::of([("id", quoted(self.random.word(&["L1", "L2", "P3HCgTiw7IjGhxM2qmjt", "ü b"]))), ("updated", self.time(updated_ms))]);
        for key in ["isOpen", "isForceClosed", "isWaitlistOpen", "isWaitlistFull", "isServingFull"] {
            doc.set(key, self.random.one_in(2).to_string());
        }
        for key in ["numWaiting", "numWaitingGuests", "numServing", "numServingGuests", "maxPartySize", "wait"] {
            doc.set(key, (self.random.below(40) as i64 - 2).to_string());
        }
        doc.set(
            "waitByPartySize",
            self.random
                .word(&[
                    "null",
                    "{\"1\": 600, \"2\": -1, \"5\": 1.5, \"1\": 700}",
                    "{\"3\": -2}",
                    "[]",
                    "{\"\": 5, \" \": 6, \"1\": null, \"2\": 9, \"2\": -1}",
                ])
                .to_owned(),
        );
        doc.set("naEstWaitReason", self.random.word(&["null", "\"SERVING_FULL\""]).to_owned());
        doc.set("nextAvailableWaitlistTime", self.time(updated_ms));
        self.odd(&mut doc);
        let endpoint = *self.random.choose(&[WAITWHILE, SECOND, OTHER]);
        self.wrapped(endpoint, "location-status.updated", "itiDKblwIsbJsAxO8kFz", doc)
    }

    /// As the vendor writes them, or as a number.
    fn time(&mut self, ms: i64) -> String {
        if self.random.one_in(5) { ms.to_string() } else { quoted(&crate::model::expect::values::written(ms)) }
    }
}
