//! The upper spine: find the endpoint, verify, append, answer.
//!
//! The branches of the upper floor stand here. Knows no HTTP: `server` reads requests and words the answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tracing::debug;
use uuid::Uuid;

use crate::delivery::{Delivery, Head};
use crate::envelope::valid_traceparent;
use crate::journal::{AppendError, Journal};
use crate::metrics::Metrics;
use crate::providers::endpoints::{Endpoint, Endpoints};
use crate::providers::{self, Admission, Pending, Proof, Refusal, Verified};

mod diagnoses;

use diagnoses::Diagnoses;

pub struct Ingress {
    endpoints: Arc<Endpoints>,
    journal: Arc<dyn Journal>,
    metrics: Arc<Metrics>,
    diagnoses: Arc<Diagnoses>,
    accept_deadline: Duration,
}

/// Why a delivery has no 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    UnknownEndpoint,
    AddressNotAllowed,
    EndpointPending,
    NotGenuine(Refusal),
    JournalFull,
    JournalUnavailable,
    Deadline,
}

/// An endpoint that lets this delivery's head pass; its body may be read.
pub struct Admitted {
    pub endpoint: Arc<Endpoint>,
    admission: Admission,
}

impl Ingress {
    pub fn new(endpoints: Arc<Endpoints>, journal: Arc<dyn Journal>, metrics: Arc<Metrics>, accept_deadline: Duration) -> Ingress {
        let diagnoses = Arc::new(Diagnoses::new(endpoints.clone(), metrics.clone()));
        Ingress { endpoints, journal, metrics, diagnoses, accept_deadline }
    }

    /// An unknown name takes the time of a wrong token: the two cannot be told apart.
    pub fn find(&self, name: &str, head: &Head) -> Result<Arc<Endpoint>, Denied> {
        self.endpoints.find(name).ok_or_else(|| {
            providers::decoy(head);
            Denied::UnknownEndpoint
        })
    }

    /// All checks that need no body, in the order of the contract. `address` is `None` if a trusted proxy named
    /// the sender unreadably.
    pub fn admit(&self, endpoint: Arc<Endpoint>, head: &Head, address: Option<IpAddr>) -> Result<Admitted, Denied> {
        if !address.map_or(endpoint.allow_from.is_empty(), |address| endpoint.allows(address)) {
            return Err(Denied::AddressNotAllowed);
        }
        if endpoint.pending == Pending::Yes {
            return Err(Denied::EndpointPending);
        }
        let admission = endpoint.provider.admit(head).map_err(|refusal| self.refused(&endpoint, refusal))?;
        Ok(Admitted { endpoint, admission })
    }

    /// Verifies, makes durable, and gives the accept id: the answer may be 200.
    pub async fn accept(&self, admitted: Admitted, head: &Head<'_>, body: Vec<u8>) -> Result<Uuid, Denied> {
        let Admitted { endpoint, admission } = admitted;
        let proof = match admission {
            Admission::Proven(proof) => proof,
            Admission::NeedsBody => match endpoint.provider.verify(head, &body) {
                Ok(proof) => proof,
                Err(refusal) => {
                    self.diagnoses.consider(&endpoint, refusal, head, body);
                    return Err(self.refused(&endpoint, refusal));
                }
            },
        };
        let accept_id = Uuid::now_v7();
        let body_bytes = body.len();
        self.append(&endpoint, Verified::new(delivery(&endpoint, accept_id, head, body), proof)).await?;
        self.accepted(&endpoint, accept_id, proof, body_bytes);
        Ok(accept_id)
    }

    async fn append(&self, endpoint: &Endpoint, verified: Verified) -> Result<(), Denied> {
        let appended = self.journal.append(&endpoint.tenant, verified.encode());
        match tokio::time::timeout(self.accept_deadline, appended).await {
            Ok(Ok(Ok(_position))) => Ok(()),
            Ok(Ok(Err(AppendError::Full))) => Err(Denied::JournalFull),
            Ok(Ok(Err(AppendError::Unavailable)) | Err(_)) => Err(Denied::JournalUnavailable),
            Err(_elapsed) => Err(Denied::Deadline),
        }
    }

    fn accepted(&self, endpoint: &Endpoint, accept_id: Uuid, proof: Proof, body_bytes: usize) {
        self.metrics.endpoint_accepted(&endpoint.name, endpoint.vendor, proof.secret(), body_bytes);
        debug!(%accept_id, endpoint = endpoint.name, body_bytes, "accepted");
    }

    fn refused(&self, endpoint: &Endpoint, refusal: Refusal) -> Denied {
        if refusal.carried_credentials() {
            self.metrics.endpoint_failing(&endpoint.name);
        }
        Denied::NotGenuine(refusal)
    }
}

fn delivery(endpoint: &Endpoint, accept_id: Uuid, head: &Head, body: Vec<u8>) -> Delivery {
    Delivery {
        accept_id,
        vendor: endpoint.vendor,
        tenant: endpoint.tenant.clone(),
        endpoint: endpoint.name.clone(),
        traceparent: traceparent(head),
        body,
    }
}

/// Carried on only if there is exactly one, and it is valid.
fn traceparent(head: &Head) -> Option<String> {
    let values = head.headers.values("traceparent");
    let [value] = values.as_slice() else { return None };
    std::str::from_utf8(value).ok().filter(|text| valid_traceparent(text)).map(str::to_owned)
}
