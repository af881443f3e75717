//! What a record must be beside those before it: not there already, and not older than them without saying so.

use std::collections::{HashMap, VecDeque};

use super::{Code, Found, Place, Problem, Role};
use crate::cli::tail::view::Event;
use crate::kafka::follow::Followed;
use crate::timestamp::Timestamp;

pub struct Past {
    window_ms: i64,
    accept_ids: HashMap<String, Vec<(Role, Place)>>,
    event_ids: HashMap<(Role, String), (i64, Place)>,
    /// By what is read in order: the subjects of one partition.
    versions: HashMap<(Role, i32, String), Versions>,
    highest: HashMap<String, String>,
    /// Stale ones beside whom no newer one was read yet.
    doubted: Vec<(String, String, Place)>,
}

impl Past {
    pub fn new(window_ms: i64) -> Past {
        Past {
            window_ms,
            accept_ids: HashMap::new(),
            event_ids: HashMap::new(),
            versions: HashMap::new(),
            highest: HashMap::new(),
            doubted: Vec::new(),
        }
    }

    /// A replay is the same again, on purpose.
    pub fn event(&mut self, record: &Followed, event: &Event, role: Role) -> Found {
        if event.has_mark("replayed") {
            return Vec::new();
        }
        let received_ms = Timestamp::parse(event.attribute("receivedtime")).map_or(0, Timestamp::ms);
        let mut found = self.accept_id(record, event.attribute("acceptid"), role);
        found.extend(self.event_id(record, event, role, received_ms));
        found.extend(self.version(record, event, role, received_ms));
        found
    }

    pub fn dead_letter(&mut self, record: &Followed) -> Found {
        self.accept_id(record, record.header("wb_acceptid").unwrap_or_default(), Role::DeadLetter)
    }

    /// Routes may put an event into two topics, once into each; a dead letter is nowhere else.
    fn accept_id(&mut self, record: &Followed, accept_id: &str, role: Role) -> Found {
        if uuid::Uuid::parse_str(accept_id).is_ok_and(|id| id.is_nil()) {
            return Vec::new();
        }
        let known = self.accept_ids.entry(accept_id.to_owned()).or_default();
        let before = known.iter().find(|(other, _)| *other == role || [*other, role].contains(&Role::DeadLetter));
        let found = before.map(|(_, place)| (Code::AcceptIdTwice, format!("accept id {accept_id}, as {}", shown(place))));
        known.push((role, Place::of(record)));
        found.into_iter().collect()
    }

    fn event_id(&mut self, record: &Followed, event: &Event, role: Role, received_ms: i64) -> Found {
        let key = (role, [event.attribute("source"), event.attribute("id")].join(" "));
        // A retry that comes after the window is an event of its own, and what has its accept id is named already.
        let is_twice = |(before_ms, _): &&(i64, Place)| received_ms - *before_ms < self.window_ms;
        let before = self.event_ids.get(&key).filter(is_twice).filter(|_| event.attribute("id") != event.attribute("acceptid"));
        let found = before.map(|(_, place)| (Code::EventIdTwice, format!("id {}, as {}", event.attribute("id"), shown(place))));
        self.event_ids.insert(key, (received_ms, Place::of(record)));
        found.into_iter().collect()
    }

    fn version(&mut self, record: &Followed, event: &Event, role: Role, received_ms: i64) -> Found {
        let subject = [event.attribute("source"), event.attribute("subject")].join(" ");
        let version = event.attribute("sequence");
        let since_ms = received_ms - self.window_ms;
        let versions = self.versions.entry((role, record.partition, subject.clone())).or_default();
        let is_older = versions.newest(since_ms).is_some_and(|newest| newest > version);
        versions.learn(received_ms, version);
        let highest = self.highest.entry(subject.clone()).or_default();
        *highest = std::mem::take(highest).max(version.to_owned());

        let has_versions = event.data["time_basis"] == "vendor";
        match (is_older, event.has_mark("stale")) {
            (true, false) if has_versions => {
                vec![(Code::RegressionUnmarked, format!("{} of version {version}", event.attribute("subject")))]
            }
            (_, true) if !has_versions => vec![(Code::StaleUnfounded, "nothing orders it but its receipt".to_owned())],
            (false, true) => {
                self.doubted.push((subject, version.to_owned(), Place::of(record)));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Those that nothing newer stands beside, anywhere: to be asked when all was read, since a subject may change its key.
    pub fn unfounded(&mut self) -> Vec<Problem> {
        let doubted = std::mem::take(&mut self.doubted).into_iter();
        let unfounded = doubted.filter(|(subject, version, _)| self.highest.get(subject).is_none_or(|highest| highest <= version));
        let problem =
            |(_, version, place)| Problem { code: Code::StaleUnfounded, place, detail: format!("nothing is newer than {version}") };
        unfounded.map(problem).collect()
    }
}

fn shown(place: &Place) -> String {
    format!("at {} {}/{}", place.topic, place.partition, place.offset)
}

/// A subject's versions with their receipts, but for those that a later and newer one outdoes.
#[derive(Default)]
struct Versions(VecDeque<(i64, String)>);

impl Versions {
    /// Of those received after this.
    fn newest(&mut self, since_ms: i64) -> Option<&str> {
        while self.0.front().is_some_and(|(received_ms, _)| *received_ms <= since_ms) {
            self.0.pop_front();
        }
        self.0.front().map(|(_, version)| version.as_str())
    }

    fn learn(&mut self, received_ms: i64, version: &str) {
        while self.0.back().is_some_and(|(_, known)| known.as_str() <= version) {
            self.0.pop_back();
        }
        self.0.push_back((received_ms, version.to_owned()));
    }
}
