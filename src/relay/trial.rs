//! What the tests of the lower half set up alike: endpoints, settings, and a provider that only normalizes.

use std::sync::Arc;

use super::prepare::{Prepare, Settings};
use crate::delivery::Head;
use crate::envelope::Mode;
use crate::event::{Event, Reason};
use crate::providers::endpoints::{Endpoint, Endpoints};
use crate::providers::{Admission, Carry, PayloadRule, Pending, Proof, Provider, Refusal, Rules};
use crate::routing::{Ids, Routes, Target, Topics};
use crate::timestamp::Timestamp;

/// Topics `person`, `location` and `dead`, each kind to its own; nothing carried that need not be.
pub fn settings() -> Settings {
    let person = || vec![Target::Person];
    let location = || vec![Target::Location];
    Settings {
        rules: Rules { payload: PayloadRule::None, notes: Carry::Off, message_bodies: Carry::Off, json_depth_max: 64 },
        ids: Ids::Plain,
        dead_letter_bodies: Carry::On,
        topics: Topics { person: "person".into(), location: "location".into(), dead_letter: "dead".into() },
        routes: Routes { person: person(), visit: person(), message: person(), block: location(), location: location() },
        mode: Mode::Binary,
        value_bytes_max: 100_000,
        expired_after_ms: None,
    }
}

pub fn endpoint(name: &str, vendor: &'static str, tenant: &str, provider: Arc<dyn Provider>) -> Endpoint {
    let (name, tenant) = (name.to_owned(), tenant.to_owned());
    Endpoint { name, vendor, tenant, pending: Pending::No, allow_from: Vec::new(), provider }
}

/// One tenant's endpoints of these names, whose bodies `normalize` reads.
pub fn prepare(names: &[&str], vendor: &'static str, tenant: &str, normalize: Normalize) -> Prepare {
    let endpoints = names.iter().map(|name| endpoint(name, vendor, tenant, Arc::new(Reads(normalize))));
    Prepare::new(settings(), Arc::new(Endpoints::new(endpoints)))
}

type Normalize = for<'a> fn(&'a str) -> Result<Event<'a>, Reason>;

struct Reads(Normalize);

impl Provider for Reads {
    fn admit(&self, _head: &Head) -> Result<Admission, Refusal> {
        Ok(Admission::NeedsBody)
    }

    fn verify(&self, _head: &Head, _body: &[u8]) -> Result<Proof, Refusal> {
        Err(Refusal::SignatureMissing)
    }

    fn sign(&self, _body: &[u8]) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn normalize<'a>(&self, body: &'a str, _received: Timestamp, _rules: &Rules) -> Result<Event<'a>, Reason> {
        (self.0)(body)
    }
}
