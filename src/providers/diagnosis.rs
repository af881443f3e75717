//! Why a signature does not match, as far as it can be known: the usual causes are tried, one after the other.
//!
//! Nothing here accepts anything: it runs after the refusal, and what it finds is told to a person. A host or path of the
//! request is told only if a signature was made with it, which takes the secret. Pure: no clock, no log.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::signing::{Key, Misread, Signing, decoded, hex};
use crate::delivery::Head;

mod bodies;
#[cfg(test)]
mod tests;
mod urls;

/// The usual causes. Closed: a label's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    UrlSlash,
    UrlScheme,
    UrlPort,
    UrlPath,
    UrlHost,
    /// It was made with another endpoint's.
    OtherSecret,
    SecretWhitespace,
    SecretEncoding,
    SignatureEncoding,
    BodyOnly,
    BodyReserialized,
    Unknown,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::UrlSlash => "url_slash",
            Cause::UrlScheme => "url_scheme",
            Cause::UrlPort => "url_port",
            Cause::UrlPath => "url_path",
            Cause::UrlHost => "url_host",
            Cause::OtherSecret => "other_secret",
            Cause::SecretWhitespace => "secret_whitespace",
            Cause::SecretEncoding => "secret_encoding",
            Cause::SignatureEncoding => "signature_encoding",
            Cause::BodyOnly => "body_only",
            Cause::BodyReserialized => "body_reserialized",
            Cause::Unknown => "unknown",
        }
    }
}

/// A cause, and what to do about it. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    pub cause: Cause,
    pub advice: String,
}

/// What a refused delivery showed. Untrusted.
pub struct Evidence {
    signature: Vec<u8>,
    /// What the request called our host.
    hosts: Vec<String>,
    /// Path and query as requested.
    target: String,
    /// Further URLs for which it may have been signed.
    urls: Vec<String>,
    body: Vec<u8>,
}

const HOSTS_MAX: usize = 4;

impl Evidence {
    /// `None` if there is not exactly one signature.
    pub fn new(signing: &Signing, head: &Head, body: Vec<u8>) -> Option<Evidence> {
        let signatures = head.headers.values(signing.header);
        let [signature] = signatures.as_slice() else { return None };
        let hosts = ["host", "x-forwarded-host"].into_iter().flat_map(|name| head.headers.values(name));
        let hosts = hosts.filter_map(|value| std::str::from_utf8(value).ok()).flat_map(|value| value.split(','));
        let hosts = hosts.map(|host| host.trim().to_owned()).take(HOSTS_MAX).collect();
        Some(Evidence { signature: signature.to_vec(), hosts, target: head.target.to_owned(), urls: Vec::new(), body })
    }

    /// The same for a saved delivery: no request is left of it.
    pub fn saved(signature: &str, url: Option<&str>, body: &[u8]) -> Evidence {
        let urls = url.map(str::to_owned).into_iter().collect();
        Evidence { signature: signature.into(), hosts: Vec::new(), target: String::new(), urls, body: body.to_vec() }
    }
}

/// `others`: what the settings say of the other endpoints, by their names.
pub fn diagnose(signing: &Signing, others: &[(&str, &Signing)], evidence: &Evidence) -> Diagnosis {
    let Some(mac) = shown(&evidence.signature) else {
        return told(Cause::Unknown, "what stands in the header is no signature: standard base64, with padding, of 32 bytes");
    };
    let mut trials = Trials { mac, body: &evidence.body, left_bytes: HASHED_BYTES_MAX };
    let found = as_configured(&mut trials, signing)
        .or_else(|| misread(&mut trials, signing))
        .or_else(|| body_only(&mut trials, signing))
        .or_else(|| reserialized(&mut trials, signing))
        .or_else(|| other_url(&mut trials, signing, others, evidence))
        .or_else(|| other_secret(&mut trials, signing, others));
    let unknown = "neither another URL, secret nor form of the body makes it match; \
        check that the secret is the one that the vendor shows for this webhook";
    found.unwrap_or_else(|| told(Cause::Unknown, unknown))
}

/// Only with a MAC that was not written as it should be: else it had been accepted.
fn as_configured(trials: &mut Trials, signing: &Signing) -> Option<Diagnosis> {
    let matches = pairs(signing).any(|(key, url)| trials.matches(key, url));
    let advice = "the signature is right, but not written in standard base64 with padding; something on the way rewrote the header";
    matches.then(|| told(Cause::SignatureEncoding, advice))
}

fn misread(trials: &mut Trials, signing: &Signing) -> Option<Diagnosis> {
    let mut pairs = signing.misread.iter().flat_map(|one| signing.urls.iter().map(move |url| (one, url)));
    let ((index, how, _), _) = pairs.find(|((_, _, key), url)| trials.matches(key, url))?;
    let (cause, what) = match how {
        Misread::Padded => (Cause::SecretWhitespace, "without the white space, quotes or byte order mark around the secret"),
        Misread::Encoded => (Cause::SecretEncoding, "with the decoded secret, which is now in base64 or hexadecimal"),
    };
    Some(told(cause, format!("would match if file {} of secret_files were written {what}", index + 1)))
}

fn body_only(trials: &mut Trials, signing: &Signing) -> Option<Diagnosis> {
    let matches = signing.keys.iter().any(|key| trials.matches(key, ""));
    matches.then(|| told(Cause::BodyOnly, "is over the body alone; the vendor signs the URL and the body"))
}

fn reserialized(trials: &mut Trials, signing: &Signing) -> Option<Diagnosis> {
    let bodies = bodies::before_a_proxy(trials.body);
    let matches = bodies.iter().any(|body| {
        let mut trials = Trials { body, ..*trials };
        pairs(signing).any(|(key, url)| trials.matches(key, url))
    });
    let advice =
        "would match if the body had come as the vendor wrote it; something on the way reads and rewrites JSON: let it pass the bytes";
    matches.then(|| told(Cause::BodyReserialized, advice))
}

fn other_url(trials: &mut Trials, signing: &Signing, others: &[(&str, &Signing)], evidence: &Evidence) -> Option<Diagnosis> {
    let theirs = others.iter().flat_map(|(_, other)| &other.urls);
    let whole: Vec<&str> = evidence.urls.iter().chain(theirs).map(String::as_str).collect();
    let candidates = urls::candidates(&signing.urls, &whole, &evidence.hosts, &evidence.target);
    let found = candidates.into_iter().find(|(_, url)| signing.keys.iter().any(|key| trials.matches(key, url)))?;
    let (cause, url) = found;
    Some(told(cause, format!("would match if public_urls had \"{url}\"")))
}

fn other_secret(trials: &mut Trials, signing: &Signing, others: &[(&str, &Signing)]) -> Option<Diagnosis> {
    let matches = |(_, other): &&(&str, &Signing)| {
        let mut urls = signing.urls.iter().chain(&other.urls);
        urls.any(|url| other.keys.iter().any(|key| trials.matches(key, url)))
    };
    let (name, _) = others.iter().find(matches)?;
    let advice = format!("was made with the secret of the endpoint \"{name}\"; are the secrets or the webhooks' URLs of the two swapped?");
    Some(told(Cause::OtherSecret, advice))
}

fn told(cause: Cause, advice: impl Into<String>) -> Diagnosis {
    Diagnosis { cause, advice: advice.into() }
}

/// Every secret with every URL.
fn pairs(signing: &Signing) -> impl Iterator<Item = (&Key, &String)> {
    signing.keys.iter().flat_map(|key| signing.urls.iter().map(move |url| (key, url)))
}

/// A MAC however it was written: base64 with and without padding, also for URLs, hexadecimal, behind a scheme's name.
fn shown(signature: &[u8]) -> Option<[u8; 32]> {
    let text = signature.trim_ascii();
    let bare = text.strip_prefix(b"sha256=").unwrap_or(text);
    let unpadded = &bare[..bare.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1)];
    let lenient = || STANDARD_NO_PAD.decode(unpadded).or_else(|_| URL_SAFE_NO_PAD.decode(unpadded)).ok();
    decoded(bare).or_else(|| hex(bare)?.try_into().ok()).or_else(|| lenient()?.try_into().ok())
}

/// What all trials of one diagnosis may hash together: a fraction of a second.
const HASHED_BYTES_MAX: usize = 32 << 20;
/// What a trial costs beside its bytes.
const TRIAL_BYTES: usize = 256;

struct Trials<'b> {
    mac: [u8; 32],
    body: &'b [u8],
    left_bytes: usize,
}

impl Trials<'_> {
    /// Never, once the bound is reached.
    fn matches(&mut self, key: &Key, url: &str) -> bool {
        let Some(left_bytes) = self.left_bytes.checked_sub(self.body.len() + TRIAL_BYTES) else { return false };
        self.left_bytes = left_bytes;
        key.over(url).matches(self.body, &self.mac)
    }
}
