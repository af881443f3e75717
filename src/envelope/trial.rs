//! For tests: from a body to its records, with the contract's settings or others.

use std::sync::LazyLock;

use serde_json::Value;
use uuid::Uuid;

use super::{Form, Mode, Origin, Outgoing, Payload, Verdict};
use crate::delivery::{Auth, Record};
use crate::event::Reason;
use crate::providers::trial::{RULES, WAITLISTPLUS, WAITWHILE, provider};
use crate::providers::{Rules, json};
use crate::routing::{Ids, Routes, Target, Topics};
use crate::timestamp::Timestamp;

pub const RECEIVED: &str = "2026-03-20T12:00:00.042Z";

pub static TOPICS: LazyLock<Topics> = LazyLock::new(|| Topics {
    person: "waitlist.person.v1".into(),
    location: "waitlist.location.v1".into(),
    dead_letter: "waitlist.deadletter.v1".into(),
});
pub static ROUTES: LazyLock<Routes> = LazyLock::new(|| Routes {
    person: vec![Target::Person],
    visit: vec![Target::Person],
    message: vec![Target::Person],
    block: vec![Target::Location],
    location: vec![Target::Location],
});
pub static EVERYWHERE: LazyLock<Routes> = LazyLock::new(|| Routes {
    person: vec![Target::Person, Target::Location],
    visit: vec![Target::Location, Target::Person],
    message: vec![Target::Location],
    ..ROUTES.clone()
});

pub fn form() -> Form<'static> {
    Form { topics: &TOPICS, routes: &ROUTES, ids: &Ids::Plain, mode: Mode::Binary }
}

pub fn record<'a>(vendor: &'a str, body: &'a [u8]) -> Record<'a> {
    let (tenant, endpoint, auth) =
        if vendor == "waitwhile" { ("acme", "waitwhile", Auth::Hmac) } else { ("sunshine", "sunshine", Auth::Token) };
    let accept_id = Uuid::from_u128(0x0195_b3f0_0000_7000_8000_0000_0000_002a);
    Record { accept_id, auth, vendor, tenant, endpoint, traceparent: None, body }
}

pub fn origin<'a>(record: &'a Record<'a>) -> Origin<'a> {
    Origin { record, received: Timestamp::parse(RECEIVED).unwrap() }
}

/// How a body is to be read.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub vendor: &'a str,
    pub settings: &'a str,
    pub rules: Rules,
    pub verdict: Verdict<'a>,
}

/// With the contract's settings.
pub const WAITWHILE_CASE: Case = Case { vendor: "waitwhile", settings: WAITWHILE, rules: RULES, verdict: Verdict::NONE };
pub const WAITLISTPLUS_CASE: Case = Case { vendor: "waitlistplus", settings: WAITLISTPLUS, ..WAITWHILE_CASE };

pub fn case_of(vendor: &str) -> Case<'static> {
    if vendor == "waitwhile" { WAITWHILE_CASE } else { WAITLISTPLUS_CASE }
}

impl<'a> Case<'a> {
    pub fn with(self, verdict: Verdict<'a>) -> Case<'a> {
        Case { verdict, ..self }
    }

    pub fn records(&self, body: &[u8]) -> Result<Vec<Outgoing>, Reason> {
        self.records_in(form(), body)
    }

    pub fn records_in(&self, form: Form, body: &[u8]) -> Result<Vec<Outgoing>, Reason> {
        let record = record(self.vendor, body);
        let text = json::prepare(body, self.rules.json_depth_max)?;
        let event = provider(self.vendor, self.settings).normalize(&text, origin(&record).received, &self.rules)?;
        Ok(form.records(origin(&record), &event, &self.verdict, Payload::Carried))
    }

    /// The data of the only record.
    pub fn data(&self, body: &str) -> Value {
        let records = self.records(body.as_bytes()).unwrap_or_else(|reason| panic!("{body}: {}", reason.as_str()));
        serde_json::from_slice(records[0].value.as_ref().unwrap()).unwrap()
    }

    /// What stands in the data of `body` at each JSON pointer.
    pub fn check(&self, body: &str, expected: &[(&str, &str)]) {
        let data = self.data(body);
        for (pointer, expected) in expected {
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(data.pointer(pointer), Some(&expected), "{pointer} of {body}");
        }
    }
}
