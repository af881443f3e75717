//! The vendors: is a delivery genuine, and what does it say?
//!
//! One file a vendor, each pure: no I/O, no clock, no log. A third vendor is one new file and its row in
//! [`VENDORS`]. Knows nothing of the journal or of Kafka, and no status number.

use std::sync::Arc;

use crate::delivery::{Auth, Delivery, Head, Record};
use crate::event::{Event, Reason};
use crate::table::Table;
use crate::timestamp::Timestamp;

pub mod diagnosis;
pub mod endpoints;
pub mod json;
mod payload;
mod secrets;
pub mod signing;
#[cfg(test)]
pub mod trial;
pub mod waitlistplus;
pub mod waitwhile;

use signing::Signing;

/// One endpoint at one vendor, with its secrets.
pub trait Provider: Send + Sync {
    /// All that can be decided before the body is read.
    fn admit(&self, head: &Head) -> Result<Admission, Refusal>;

    /// Whether the whole delivery is genuine; asked only after [`Admission::NeedsBody`].
    fn verify(&self, head: &Head, body: &[u8]) -> Result<Proof, Refusal>;

    /// The headers with which the vendor would send this body: to try an endpoint. None where only the URL proves it.
    fn sign(&self, body: &[u8]) -> Vec<(&'static str, String)>;

    /// What the settings say of its signatures, of a vendor that signs: to tell why one does not match.
    fn signing(&self) -> Option<&Signing> {
        None
    }

    /// What a body says that [`json::prepare`] let through. Never panics on purpose, never refuses: what it cannot
    /// understand has a reason.
    fn normalize<'a>(&self, body: &'a str, received: Timestamp, rules: &Rules) -> Result<Event<'a>, Reason>;
}

/// What `admit` decided.
#[derive(Debug)]
pub enum Admission {
    /// The head alone proves the delivery.
    Proven(Proof),
    NeedsBody,
}

/// That a delivery is genuine. Only providers can make one.
#[derive(Debug, Clone, Copy)]
pub struct Proof {
    auth: Auth,
    secret: usize,
}

impl Proof {
    /// `secret`: the index of the secret that proved it.
    fn new(auth: Auth, secret: usize) -> Proof {
        Proof { auth, secret }
    }

    pub fn secret(&self) -> usize {
        self.secret
    }
}

/// A delivery with its proof: the only thing that may go into the journal.
pub struct Verified {
    delivery: Delivery,
    proof: Proof,
}

impl Verified {
    pub fn new(delivery: Delivery, proof: Proof) -> Verified {
        Verified { delivery, proof }
    }

    /// Its form in the journal.
    pub fn encode(&self) -> Vec<u8> {
        let Delivery { accept_id, vendor, tenant, endpoint, traceparent, body } = &self.delivery;
        let traceparent = traceparent.as_deref();
        Record { accept_id: *accept_id, auth: self.proof.auth, vendor, tenant, endpoint, traceparent, body }.encode()
    }
}

/// Why a delivery is not genuine. Closed: `server` gives each a status, metrics a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    SignatureMissing,
    SignatureMalformed,
    SignatureMismatch,
    CredentialsMissing,
    CredentialsWrong,
    /// A wrong token, or none where nothing else is configured: as if the URL did not exist.
    TokenWrong,
    TokenMissing,
}

impl Refusal {
    /// Whether the delivery tried to prove itself: a vendor that meant us, and failed.
    pub fn carried_credentials(self) -> bool {
        match self {
            Refusal::SignatureMalformed | Refusal::SignatureMismatch | Refusal::CredentialsWrong | Refusal::TokenWrong => true,
            Refusal::SignatureMissing | Refusal::CredentialsMissing | Refusal::TokenMissing => false,
        }
    }
}

/// What the settings let through from a body, and how deep it may nest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub payload: PayloadRule,
    pub notes: Carry,
    pub message_bodies: Carry,
    pub json_depth_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadRule {
    None,
    Redacted,
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    On,
    Off,
}

/// Whether an endpoint may still be without a secret: the vendor shows it only after the webhook exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    Yes,
    No,
}

/// One vendor: its name in settings and on the topics, and how to build an endpoint from its table.
pub struct Vendor {
    pub name: &'static str,
    /// Reads the vendor's own keys; `None` if a mistake was noted that leaves nothing to build.
    pub build: fn(&mut Table, Pending) -> Option<Arc<dyn Provider>>,
}

/// All of them.
pub const VENDORS: &[Vendor] =
    &[Vendor { name: "waitwhile", build: waitwhile::build }, Vendor { name: "waitlistplus", build: waitlistplus::build }];

pub fn vendor(name: &str) -> Option<&'static Vendor> {
    VENDORS.iter().find(|vendor| vendor.name == name)
}

/// As much work as a wrong token makes: for a URL that does not exist, so that the two look the same in time.
pub fn decoy(head: &Head) {
    if let Some(token) = head.token {
        secrets::decoy(token.as_bytes());
    }
}
