//! A signature and a body: accepted exactly if an HMAC of our own over URL and body says so; refused by its right name.
#![no_main]

use std::sync::LazyLock;

use waitbridge::delivery::{Head, Headers};
use waitbridge::providers::endpoints::Endpoint;
use waitbridge::providers::waitwhile::SIGNATURE_HEADER;
use waitbridge::providers::{Admission, Refusal};
use waitbridge_fuzz::second::{base64, hmac_sha256, is_base64_of_32_bytes};
use waitbridge_fuzz::{BASIC, SECRETS, URLS, settings};

static ENDPOINTS: LazyLock<Vec<Endpoint>> = LazyLock::new(|| settings("").endpoints);

/// The signature headers that are sent, and what else there is.
struct Sent<'a> {
    name: &'static str,
    values: Vec<&'a [u8]>,
}

impl Headers for Sent<'_> {
    fn values<'a>(&'a self, name: &str) -> Vec<&'a [u8]> {
        if name.eq_ignore_ascii_case(self.name) { self.values.clone() } else { Vec::new() }
    }
}

// How many headers, what they hold, where a right one is damaged and how, and the body.
libfuzzer_sys::fuzz_target!(|input: (u8, &[u8], u8, u8, &[u8])| {
    let (choice, text, at, flip, body) = input;
    signature(choice, text, at, flip, body);
    basic(choice, text, at, flip);
});

fn signature(choice: u8, text: &[u8], at: u8, flip: u8, body: &[u8]) {
    let right = |which: usize| base64(&hmac_sha256(SECRETS[which / 2].as_bytes(), &[URLS[which % 2].as_bytes(), body])).into_bytes();
    let mut damaged = right(usize::from(choice >> 6));
    let at = usize::from(at) % damaged.len();
    damaged[at] ^= flip;
    let values = some(choice, &damaged, text);
    let is_right = values.len() == 1 && (0..4).any(|which| values[0] == right(which));
    let provider = &ENDPOINTS[0].provider;
    let headers = Sent { name: SIGNATURE_HEADER, values: values.clone() };
    let head = Head { token: None, target: "/webhooks/waitwhile", headers: &headers };
    assert!(matches!(provider.admit(&head), Ok(Admission::NeedsBody)));
    let verified = provider.verify(&head, body).map(|_| ());
    let expected = match values.as_slice() {
        [] | [b""] => Err(Refusal::SignatureMissing),
        [_] if is_right => Ok(()),
        [text] if is_base64_of_32_bytes(text) => Err(Refusal::SignatureMismatch),
        _ => Err(Refusal::SignatureMalformed),
    };
    assert_eq!(verified, expected);
}

/// The other credentials that come in a header.
fn basic(choice: u8, text: &[u8], at: u8, flip: u8) {
    let right = format!("Basic {}", base64(BASIC.as_bytes())).into_bytes();
    let mut damaged = right.clone();
    let at = usize::from(at) % damaged.len();
    damaged[at] ^= flip;
    let headers = Sent { name: "authorization", values: some(choice, &damaged, text) };
    let head = Head { token: None, target: "/webhooks/sunshine", headers: &headers };
    let is_right = |value: &[u8]| {
        value.split_at_checked(5).is_some_and(|(scheme, rest)| scheme.eq_ignore_ascii_case(b"basic") && rest.trim_ascii() == &right[6..])
    };
    let is_admitted = ENDPOINTS[1].provider.admit(&head).is_ok();
    assert!(!is_admitted || headers.values.len() == 1 && is_right(headers.values[0]), "{:?}", headers.values);
    assert!(is_admitted || headers.values != [right.as_slice()]);
}

fn some<'a>(choice: u8, damaged: &'a [u8], text: &'a [u8]) -> Vec<&'a [u8]> {
    match choice % 8 {
        0 => vec![],
        1 => vec![text],
        2 => vec![text, damaged],
        3 => vec![damaged, damaged],
        _ => vec![damaged],
    }
}
