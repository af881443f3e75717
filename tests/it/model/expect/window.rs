//! What the published deliveries before say about the next one: repeats, versions, the person and the place of a visit.
//!
//! A run is far shorter than any window, so nothing here is forgotten.

use std::collections::{HashMap, HashSet};

use super::said::{ById, Route, Said, Subject, location_key, person_key};
use super::{Accepted, Published, Settings, Stale, Vendor};

#[derive(Default)]
pub struct Window {
    /// (tenant, account, event id) of Waitwhile.
    ids: HashSet<(&'static str, Option<String>, String)>,
    /// (tenant, account, type, data) of Waitwhile, and the endpoints that have told it.
    told: HashMap<(&'static str, Option<String>, String, String), HashSet<&'static str>>,
    /// (tenant, person) of WaitlistPlus, and the latest body.
    bodies: HashMap<(&'static str, String), Vec<u8>>,
    /// A subject's own key, and its newest version.
    versions: HashMap<String, i64>,
    /// (tenant, visit), and the key of the person last named.
    people: HashMap<(&'static str, String), String>,
    /// (tenant, visit), and the route and location key of its last event.
    places: HashMap<(&'static str, String), (Route, String)>,
}

impl Window {
    /// "Repeats, among published events only, in this order: accept id; (vendor, tenant, account, event id); another endpoint of the
    /// tenant + account + type + equal `data` bytes; WaitlistPlus: the whole body equal to that person's latest published one."
    /// No vendor can make the first: an accept id is ours.
    pub fn repeats(&self, delivery: &Accepted, said: &Said) -> Option<&'static str> {
        let endpoint = delivery.endpoint;
        if event_id(delivery, said).is_some_and(|id| self.ids.contains(&id)) {
            return Some("id");
        }
        let by_others = |endpoints: &HashSet<&str>| endpoints.iter().any(|other| *other != endpoint.name);
        if endpoint.vendor == Vendor::Waitwhile && self.told.get(&data_told(delivery, said)).is_some_and(by_others) {
            return Some("endpoint");
        }
        let latest = person_told(delivery, said).and_then(|person| self.bodies.get(&person));
        latest.is_some_and(|latest| latest == delivery.body).then_some("body")
    }

    /// "The window holds a newer version of that subject; equal is not stale."
    pub fn has_newer(&self, delivery: &Accepted, said: &Said, version_ms: i64) -> bool {
        self.versions.get(&subject(delivery, said)).is_some_and(|newest| *newest > version_ms)
    }

    /// "That of the person last named, in accept order, by a visit event of that visit in the window that was not stale."
    pub fn person_of(&self, delivery: &Accepted, visit: &str) -> Option<String> {
        self.people.get(&(delivery.endpoint.tenant, visit.to_owned())).cloned()
    }

    /// "A visit event with neither `state` nor `type` takes the route and the location key of that visit's last event."
    pub fn place_of(&self, delivery: &Accepted, said: &Said) -> (Route, String) {
        let own = (said.route, location_key(delivery, said.location.as_deref()));
        match (&said.subject, said.is_told_by_id_only) {
            (Subject::Visit(visit), ById::Yes) => self.places.get(&(delivery.endpoint.tenant, visit.clone())).cloned().unwrap_or(own),
            _ => own,
        }
    }

    /// "The window holds" a repeat too. It matters only if a vendor gives one id to two events: what the second says is not published,
    /// but its version counts, and what nothing else has told of its visit.
    pub fn learn_again(&mut self, settings: &Settings, delivery: &Accepted, said: &Said) {
        let (version_ms, stale) = super::envelope::version(self, delivery, said);
        let place = self.place_of(delivery, said);
        self.learn_version(delivery, said, version_ms);
        if let Subject::Visit(visit) = &said.subject {
            let visit = (delivery.endpoint.tenant, visit.clone());
            if said.is_told_by_id_only == ById::No {
                self.places.entry(visit.clone()).or_insert(place);
            }
            if let Some(person) = said.person_id.as_ref().filter(|_| stale == Stale::No) {
                self.people.entry(visit).or_insert(person_key(settings, delivery, person));
            }
        }
    }

    fn learn_version(&mut self, delivery: &Accepted, said: &Said, version_ms: i64) {
        let newest = self.versions.entry(subject(delivery, said)).or_insert(version_ms);
        *newest = version_ms.max(*newest);
    }

    pub fn learn(&mut self, settings: &Settings, delivery: &Accepted, said: &Said, published: &Published) {
        let (tenant, place) = (delivery.endpoint.tenant, self.place_of(delivery, said));
        self.ids.extend(event_id(delivery, said));
        if delivery.endpoint.vendor == Vendor::Waitwhile {
            self.told.entry(data_told(delivery, said)).or_default().insert(delivery.endpoint.name);
        }
        if let Some(person) = person_told(delivery, said) {
            self.bodies.insert(person, delivery.body.to_vec());
        }
        self.learn_version(delivery, said, published.version_ms);
        if let Subject::Visit(visit) = &said.subject {
            let visit = (tenant, visit.clone());
            self.places.insert(visit.clone(), place);
            if let Some(person) = said.person_id.as_ref().filter(|_| published.stale == Stale::No) {
                self.people.insert(visit, person_key(settings, delivery, person));
            }
        }
    }
}

fn event_id(delivery: &Accepted, said: &Said) -> Option<(&'static str, Option<String>, String)> {
    Some((delivery.endpoint.tenant, said.account_id.clone(), said.event_id.clone()?))
}

fn data_told(delivery: &Accepted, said: &Said) -> (&'static str, Option<String>, String, String) {
    (delivery.endpoint.tenant, said.account_id.clone(), said.vendor_type.clone(), said.data_bytes.clone())
}

/// WaitlistPlus only.
fn person_told(delivery: &Accepted, said: &Said) -> Option<(&'static str, String)> {
    match &said.subject {
        Subject::Person(id) => Some((delivery.endpoint.tenant, id.clone())),
        _ => None,
    }
}

fn subject(delivery: &Accepted, said: &Said) -> String {
    let (kind, id) = match &said.subject {
        Subject::Visit(id) => ("visit", id),
        Subject::Person(id) => ("person", id),
        Subject::Location(id) => ("location", id),
        Subject::Message { id, .. } => ("message", id),
    };
    super::said::key(delivery, kind, id)
}
