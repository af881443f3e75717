//! TLS of the public listener: one certificate, which may be replaced while connections come. Knows bytes, and no file.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use thiserror::Error;

use crate::timestamp::Timestamp;

mod expiry;

pub type Chain = Vec<CertificateDer<'static>>;
pub type PrivateKey = PrivateKeyDer<'static>;

/// A certificate with those that vouch for it, and the private key to it.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    /// The first of the chain to expire; `None` where that cannot be read.
    pub expires: Option<Timestamp>,
}

/// What is wrong with a file; never what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Flaw {
    #[error("holds no certificate: it must be PEM, the server's own first, then those that vouch for it")]
    NoCertificate,
    #[error("holds a certificate that cannot be read")]
    CertificateBroken,
    #[error("holds no private key: it must be PEM (PKCS#8, PKCS#1 or SEC1), without a passphrase")]
    NoKey,
    #[error("holds a private key of no supported kind: RSA of at least 2048 bits, ECDSA P-256 or P-384, or Ed25519")]
    KeyUnsupported,
    #[error("holds another private key than that of the certificate")]
    KeyOfAnother,
}

pub fn chain(pem: &[u8]) -> Result<Chain, Flaw> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Chain, _>>().map_err(|_| Flaw::CertificateBroken)?;
    if chain.is_empty() { Err(Flaw::NoCertificate) } else { Ok(chain) }
}

pub fn private_key(pem: &[u8]) -> Result<PrivateKey, Flaw> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| Flaw::NoKey)
}

impl Identity {
    pub fn new(chain: Chain, key: PrivateKey) -> Result<Identity, Flaw> {
        let expires = chain.iter().filter_map(|certificate| expiry::of(certificate)).min();
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Flaw::KeyOfAnother,
            rustls::Error::InvalidCertificate(_) => Flaw::CertificateBroken,
            _ => Flaw::KeyUnsupported,
        })?;
        Ok(Identity { certified: Arc::new(certified), expires })
    }
}

/// What new connections are shown.
pub struct Tls {
    current: RwLock<Identity>,
}

impl Tls {
    pub fn new(identity: Identity) -> Tls {
        Tls { current: RwLock::new(identity) }
    }

    /// From the next handshake on; open connections keep what they have.
    pub fn replace(&self, identity: Identity) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// TLS 1.2 and 1.3. The library offers HTTP/1.1 as the only protocol.
    pub(super) fn config(self: Arc<Tls>) -> ServerConfig {
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .expect("the provider has suites for both");
        versions.with_no_client_auth().with_cert_resolver(self)
    }
}

impl ResolvesServerCert for Tls {
    fn resolve(&self, _hello: ClientHello) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).certified.clone())
    }
}

/// Without the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate that expires at the end of a year, and its key.
    fn made(not_after_year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["hooks.example.com".to_owned()]).unwrap();
        params.not_after = date_time_ymd(not_after_year, 12, 31);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn identity(chain_pem: &str, key_pem: &str) -> Result<Identity, Flaw> {
        Identity::new(chain(chain_pem.as_bytes())?, private_key(key_pem.as_bytes())?)
    }

    #[test]
    fn what_is_wrong_with_the_files_is_told_by_kind() {
        let (certificate, key) = made(2030);
        let (_, another) = made(2030);
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let unfinished = certificate.split("-----END").next().unwrap();
        let unsupported = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (what, chain, key, expected) in [
            ("both right", certificate.as_str(), key.as_str(), None),
            ("without the last newline", certificate.trim_end(), key.trim_end(), None),
            ("a chain of two", &(certificate.clone() + &made(2040).0), &key, None),
            ("no PEM", "certificate", &key, Some(Flaw::NoCertificate)),
            ("the key for the certificate", &key, &key, Some(Flaw::NoCertificate)),
            ("no DER", broken, &key, Some(Flaw::CertificateBroken)),
            ("cut short", unfinished, &key, Some(Flaw::CertificateBroken)),
            ("the certificate for the key", &certificate, &certificate, Some(Flaw::NoKey)),
            ("a passphrase", &certificate, encrypted, Some(Flaw::NoKey)),
            ("no key in it", &certificate, unsupported, Some(Flaw::KeyUnsupported)),
            ("another's key", &certificate, &another, Some(Flaw::KeyOfAnother)),
        ] {
            assert_eq!(identity(chain, key).err(), expected, "{what}");
        }
    }

    #[test]
    fn the_first_of_the_chain_to_expire_counts() {
        let (certificate, key) = made(2030);
        let expires = |chain: &str| identity(chain, &key).unwrap().expires.unwrap().shown().as_str()[..10].to_owned();
        assert_eq!(expires(&certificate), "2030-12-31");
        assert_eq!(expires(&(certificate.clone() + &made(2029).0)), "2029-12-31");
        assert_eq!(expires(&(certificate.clone() + &made(2060).0)), "2030-12-31");
    }
}
