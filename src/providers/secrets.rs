//! Comparing what a sender shows with what the settings know, in a time that tells nothing.
//!
//! Digests are compared, never the secrets themselves, and always with all of them: neither the length of a
//! secret nor which one was nearly right can be timed. Knows no header and no URL.

use hmac::digest::{CtOutput, Digest};
use sha2::Sha256;

/// The SHA-256 of a secret. Comparing two of them takes the same time, whatever they hold.
#[derive(Clone)]
pub struct Fingerprint(CtOutput<Sha256>);

impl Fingerprint {
    pub fn of(secret: &[u8]) -> Fingerprint {
        Fingerprint(CtOutput::new(Sha256::digest(secret)))
    }

    /// From 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Fingerprint> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Fingerprint(CtOutput::new(bytes.into())))
    }

    pub fn to_hex(&self) -> String {
        self.0.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// The index of the one that `shown` is, after looking at all of them.
pub fn find(known: &[Fingerprint], shown: &[u8]) -> Option<usize> {
    let shown = Fingerprint::of(shown);
    let mut found = None;
    for (index, fingerprint) in known.iter().enumerate() {
        if fingerprint.0 == shown.0 {
            found = Some(index);
        }
    }
    found
}

/// As much work as looking for `shown`, for where there is nothing to find: a URL that does not exist.
pub fn decoy(shown: &[u8]) {
    std::hint::black_box(find(&[Fingerprint(CtOutput::new([0; 32].into()))], std::hint::black_box(shown)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_hexadecimal_of_full_length_is_a_fingerprint() {
        let hex = "28151a8c44694a7d7260bde2973509a5dc1f99579e9f817184d5af8a9b340b23";
        assert!(Fingerprint::from_hex(hex).is_some());
        for wrong in ["", &hex[1..], &hex.to_uppercase(), &format!("{hex}0"), &hex.replace('2', "g"), &hex.replace("2815", "é15")] {
            assert!(Fingerprint::from_hex(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_found_among_the_known_ones() {
        let known = [Fingerprint::of(b"one"), Fingerprint::of(b"two")];
        for (shown, expected) in [("one", Some(0)), ("two", Some(1)), ("three", None), ("", None), ("on", None), ("onee", None)] {
            assert_eq!(find(&known, shown.as_bytes()), expected, "{shown}");
        }
        assert_eq!(find(&[], b"one"), None);
    }
}
