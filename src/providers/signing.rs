//! HMAC-SHA256 over a URL and a body: the scheme, and what an endpoint knows of it. Knows no vendor.
//!
//! A comparison takes the same time whatever was nearly right.

use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A MAC's key, ready for a URL and a body.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    pub fn new(secret: &[u8]) -> Key {
        Key(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    /// Fed with the URL already: each delivery begins with a copy.
    pub fn over(&self, url: &str) -> Key {
        Key(self.0.clone().chain_update(url))
    }

    pub fn matches(&self, body: &[u8], mac: &[u8; 32]) -> bool {
        self.0.clone().chain_update(body).verify_slice(mac).is_ok()
    }

    /// As it stands in the header.
    pub fn signature(&self, body: &[u8]) -> String {
        BASE64_STANDARD.encode(self.0.clone().chain_update(body).finalize().into_bytes())
    }
}

/// Standard base64 with its padding, of as many bytes as the MAC has.
pub fn decoded(text: &[u8]) -> Option<[u8; 32]> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

/// What the settings of one endpoint say of its signatures. Used where one did not match; never to accept one.
pub struct Signing {
    /// Where a delivery carries its signature.
    pub header: &'static str,
    pub urls: Vec<String>,
    pub keys: Vec<Key>,
    /// What the secrets would be if their files held something else than they should: the index, and how.
    pub misread: Vec<(usize, Misread, Key)>,
}

/// How a file may hold a secret that is not the one meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misread {
    /// With white space, quotes or a byte order mark around it.
    Padded,
    /// In base64 or hexadecimal.
    Encoded,
}

impl Signing {
    pub fn new(header: &'static str, urls: Vec<String>, secrets: &[Vec<u8>]) -> Signing {
        let misread = secrets
            .iter()
            .enumerate()
            .flat_map(|(index, secret)| readings(secret).into_iter().map(move |(how, secret)| (index, how, Key::new(&secret))));
        Signing { header, urls, keys: secrets.iter().map(|secret| Key::new(secret)).collect(), misread: misread.collect() }
    }
}

fn readings(secret: &[u8]) -> Vec<(Misread, Vec<u8>)> {
    let bare = bare(secret);
    let encoded = [BASE64_STANDARD.decode(bare).ok(), hex(bare)];
    let encoded = encoded.into_iter().flatten().filter(|decoded| !decoded.is_empty());
    // What was encoded may have been written with a newline: `echo secret | base64`.
    let encoded = encoded.flat_map(|decoded| [self::bare(&decoded).to_vec(), decoded]).map(|decoded| (Misread::Encoded, decoded));
    let padded = (bare != secret && !bare.is_empty()).then(|| (Misread::Padded, bare.to_vec()));
    let mut all: Vec<_> = padded.into_iter().chain(encoded).collect();
    all.dedup();
    all
}

fn bare(secret: &[u8]) -> &[u8] {
    let trimmed = secret.strip_prefix("\u{feff}".as_bytes()).unwrap_or(secret).trim_ascii();
    let quoted = |quote: &[u8]| trimmed.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    quoted(b"\"").or_else(|| quoted(b"'")).unwrap_or(trimmed)
}

pub fn hex(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.chunks(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_a_secret_otherwise_is_read_otherwise() {
        let check = |file: &str, expected: &[(Misread, &str)]| {
            let expected: Vec<_> = expected.iter().map(|(how, text)| (*how, text.as_bytes().to_vec())).collect();
            assert_eq!(readings(file.as_bytes()), expected, "{file:?}");
        };
        check("a-secret", &[]);
        check("a-secret ", &[(Misread::Padded, "a-secret")]);
        check("\u{feff}a-secret\r\n", &[(Misread::Padded, "a-secret")]);
        check("'a-secret'", &[(Misread::Padded, "a-secret")]);
        check("c2VjcmV0Cg==", &[(Misread::Encoded, "secret"), (Misread::Encoded, "secret\n")]);
        check("c2VjcmV0\n", &[(Misread::Padded, "c2VjcmV0"), (Misread::Encoded, "secret")]);
        check("736563", &[(Misread::Encoded, "sec")]);
        check(" ", &[]);
    }
}
