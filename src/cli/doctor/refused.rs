//! Why a broker's certificate is not taken. librdkafka tells only that it is not; another TLS library, handed the same CA and nothing
//! else of ours, tells why.

use std::fs;
use std::time::Duration;

use ureq::tls::{RootCerts, TlsConfig};

use crate::cli::deliver::certificates;

const WITHIN: Duration = Duration::from_secs(3);
const NOT_TAKEN: &str = "invalid peer certificate: ";

/// Nothing where the certificate is not the reason, or was not shown.
pub(super) fn why_not_taken(address: &str, ca_file: Option<&str>) -> Option<String> {
    let roots = ca_file.map_or(Some(RootCerts::WebPki), roots)?;
    let tls = TlsConfig::builder().root_certs(roots).build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).timeout_global(Some(WITHIN)).build().into();
    // The broker takes what comes behind the handshake for nothing, and hangs up.
    let error = agent.get(format!("https://{address}/")).call().err()?.to_string();
    error.split_once(NOT_TAKEN).map(|(_, why)| why.to_owned())
}

pub(super) fn advice(why: &str) -> &'static str {
    match () {
        () if why.contains("xpired") => "renew the broker's certificate",
        () if why.contains("for name") => "name the broker as its certificate does, or give it one for this name",
        () => "ssl.ca.location must name the certificate of the CA that signed it",
    }
}

fn roots(file: &str) -> Option<RootCerts> {
    let pem = fs::read(file).ok()?;
    Some(RootCerts::new_with_certs(&certificates(&pem).flatten().collect::<Vec<_>>()))
}
