//! What can be proved about the topics by reading them: nothing twice, nothing back in time without saying so, and every
//! record of the form that was promised.
//!
//! Judges only what it has read: what is not provable from that is no problem. Problems hold ids, names of headers and
//! places in the data, never a value of a person.

use std::collections::BTreeMap;

use jsonschema::Validator;

use super::view::View;
use crate::kafka::follow::Followed;
use crate::routing::Topics;

mod form;
mod past;

use form::Form;
use past::Past;

/// What is wrong. Closed: a script may wait for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    AcceptIdTwice,
    EventIdTwice,
    RegressionUnmarked,
    StaleUnfounded,
    KeyWrong,
    DataInvalid,
    HeaderMissing,
    HeaderWrong,
    Foreign,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Code::AcceptIdTwice => "accept_id_twice",
            Code::EventIdTwice => "event_id_twice",
            Code::RegressionUnmarked => "regression_unmarked",
            Code::StaleUnfounded => "stale_unfounded",
            Code::KeyWrong => "key_wrong",
            Code::DataInvalid => "data_invalid",
            Code::HeaderMissing => "header_missing",
            Code::HeaderWrong => "header_wrong",
            Code::Foreign => "foreign",
        }
    }
}

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl Place {
    fn of(record: &Followed) -> Place {
        Place { topic: record.topic.clone(), partition: record.partition, offset: record.offset }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: Code,
    pub place: Place,
    pub detail: String,
}

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Role {
    Person,
    Location,
    DeadLetter,
}

pub struct Audit {
    topics: Topics,
    form: Form,
    past: Past,
    pub records: u64,
    pub problems: BTreeMap<Code, u64>,
}

impl Audit {
    /// `window_ms`: how far back the bridge promises to recognise what comes again or late.
    pub fn new(topics: Topics, schema: Validator, window_ms: i64) -> Audit {
        Audit { topics, form: Form::new(schema), past: Past::new(window_ms), records: 0, problems: BTreeMap::new() }
    }

    /// What is wrong with the next record.
    pub fn look(&mut self, record: &Followed) -> Vec<Problem> {
        let role = self.role(&record.topic);
        self.records += 1;
        let found = match (View::of(record), role) {
            (View::Event(event), Role::Person | Role::Location) => {
                let mut found = self.form.event(record, &event, role);
                found.extend(self.past.event(record, &event, role));
                found
            }
            (View::DeadLetter, Role::DeadLetter) => {
                let mut found = self.form.dead_letter(record);
                found.extend(self.past.dead_letter(record));
                found
            }
            _ => vec![(Code::Foreign, "nothing that waitbridge writes to this topic".to_owned())],
        };
        let place = Place::of(record);
        let problems = found.into_iter().map(|(code, detail)| Problem { code, place: place.clone(), detail }).collect();
        self.counted(problems)
    }

    /// What only the end shows; whether all that ever stood in the topics was read.
    pub fn finish(&mut self, read: Read) -> Vec<Problem> {
        let problems = match read {
            Read::All => self.past.unfounded(),
            Read::Part => Vec::new(),
        };
        self.counted(problems)
    }

    fn counted(&mut self, problems: Vec<Problem>) -> Vec<Problem> {
        problems.iter().for_each(|problem| *self.problems.entry(problem.code).or_default() += 1);
        problems
    }

    fn role(&self, topic: &str) -> Role {
        match topic {
            _ if topic == &*self.topics.person => Role::Person,
            _ if topic == &*self.topics.location => Role::Location,
            _ => Role::DeadLetter,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    All,
    Part,
}

/// The code and what it is about.
type Found = Vec<(Code, String)>;

#[cfg(test)]
mod tests;
