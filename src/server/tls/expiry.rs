//! When a certificate expires: as much of DER as that takes. What it cannot read it does not guess.

use crate::timestamp::Timestamp;

const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// A length of up to four bytes follows.
const LONG: std::ops::RangeInclusive<u8> = 0x81..=0x84;

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    /// What stands behind it.
    rest: &'a [u8],
}

pub fn of(certificate: &[u8]) -> Option<Timestamp> {
    let signed = element(element(certificate)?.content)?.content;
    let first = element(signed)?;
    let serial = if first.tag == VERSION { first.rest } else { signed };
    let algorithm = element(serial)?.rest;
    let issuer = element(algorithm)?.rest;
    let validity = element(element(issuer)?.rest)?.content;
    instant(&element(element(validity)?.rest)?)
}

fn element(der: &[u8]) -> Option<Element<'_>> {
    let [tag, length, rest @ ..] = der else { return None };
    let (bytes, rest) = match length {
        0..0x80 => (std::slice::from_ref(length), rest),
        _ if LONG.contains(length) => rest.split_at_checked(usize::from(length & 0x7f))?,
        _ => return None,
    };
    let length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let (content, rest) = rest.split_at_checked(length)?;
    Some(Element { tag: *tag, content, rest })
}

/// `YYMMDDhhmmssZ`, from 1950 on, or `YYYYMMDDhhmmssZ`.
fn instant(time: &Element) -> Option<Timestamp> {
    let text = std::str::from_utf8(time.content).ok()?;
    let text = match time.tag {
        UTC_TIME if text < "5" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize| text.get(from..from + 2);
    let (year, month, day) = (text.get(..4)?, part(4)?, part(6)?);
    Timestamp::parse(&format!("{year}-{month}-{day}T{}:{}:{}{}", part(8)?, part(10)?, part(12)?, text.get(14..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap();
        [&[tag, 0x82], length.to_be_bytes().as_slice(), content].concat()
    }

    /// A certificate with what stands before and in its validity, and nothing else.
    fn certificate(version: &[u8], tag: u8, not_after: &str) -> Vec<u8> {
        let not_before = der(UTC_TIME, b"250101000000Z");
        let validity = der(0x30, &[not_before, der(tag, not_after.as_bytes())].concat());
        let fields = [version, &der(0x02, &[1]), &der(0x30, &[7; 300]), &der(0x30, b""), &validity].concat();
        der(0x30, &der(0x30, &fields))
    }

    #[test]
    fn both_forms_of_time_are_read_with_and_without_a_version() {
        let version = der(VERSION, &der(0x02, &[2]));
        for (version, tag, not_after, expected) in [
            (version.as_slice(), UTC_TIME, "261231235958Z", Some("2026-12-31T23:59:58.000Z")),
            (&[], UTC_TIME, "491231235959Z", Some("2049-12-31T23:59:59.000Z")),
            (&version, UTC_TIME, "990101000000Z", Some("1999-01-01T00:00:00.000Z")),
            (&version, GENERALIZED_TIME, "20500101000000Z", Some("2050-01-01T00:00:00.000Z")),
            (&version, GENERALIZED_TIME, "99991231235959Z", Some("9999-12-31T23:59:59.000Z")),
            (&version, UTC_TIME, "2612312359Z", None),
            (&version, UTC_TIME, "", None),
            (&version, 0x04, "261231235958Z", None),
        ] {
            let read = of(&certificate(version, tag, not_after));
            assert_eq!(read.map(|at| at.shown().as_str().to_owned()).as_deref(), expected, "{not_after}");
        }
    }

    #[test]
    fn what_is_cut_short_is_not_read() {
        let whole = certificate(&[], UTC_TIME, "261231235958Z");
        assert!(of(&whole).is_some());
        for length in 0..whole.len() {
            assert!(of(&whole[..length]).is_none(), "{length}");
        }
    }
}
