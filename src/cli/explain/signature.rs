//! Whether a saved signature verifies, and if it does not, why.

use anyhow::{Result, bail};
use serde::Serialize;

use crate::delivery::{Head, Headers};
use crate::providers::diagnosis::{Evidence, diagnose};
use crate::providers::endpoints::{Endpoint, Endpoints, signings_beside};
use crate::providers::signing::Signing;

#[derive(Serialize)]
pub struct Checked {
    pub verified: bool,
    /// Which file of `secret_files` it was made with, from 1.
    pub secret: Option<usize>,
    pub cause: Option<&'static str>,
    pub advice: Option<String>,
}

impl Checked {
    pub fn of(endpoint: &Endpoint, endpoints: &Endpoints, signature: &str, url: Option<&str>, body: &[u8]) -> Result<Checked> {
        let Some(signing) = endpoint.provider.signing() else {
            bail!("{} does not sign: its token or password proves a delivery to {}; leave --signature out", endpoint.vendor, endpoint.name);
        };
        let headers: &[(&str, &str)] = &[(signing.header, signature)];
        let head = Head { token: None, target: "", headers: &headers as &dyn Headers };
        match endpoint.provider.verify(&head, body) {
            Ok(proof) => Ok(Checked { verified: true, secret: Some(proof.secret() + 1), cause: None, advice: None }),
            Err(_) => Ok(Checked::failed(endpoint, endpoints, signing, &Evidence::saved(signature, url, body))),
        }
    }

    fn failed(endpoint: &Endpoint, endpoints: &Endpoints, signing: &Signing, evidence: &Evidence) -> Checked {
        let found = diagnose(signing, &signings_beside(&endpoints.all(), &endpoint.name), evidence);
        Checked { verified: false, secret: None, cause: Some(found.cause.as_str()), advice: Some(found.advice) }
    }
}
