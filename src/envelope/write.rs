//! JSON as the topics carry it. Keys go out as they stand in our source; only texts need looking at.
//!
//! `serde_json` writes the same, and looks at every key of every record again: of what is written here, half is keys.
//! Knows no event.

use crate::event::{Change, Direction, EntryKind, EntryStatus, ErasureReason, Identity, MessageStatus, Scope, Text};
use crate::providers::json::special;
use crate::timestamp::{Date, Timestamp};

/// What has a JSON form.
pub trait Write {
    fn write(&self, out: &mut Vec<u8>);
}

/// One object, its keys in the order given: `object!(out, id: self.id, quantity: self.quantity)`.
macro_rules! object {
    ($out:expr, $first:ident: $value:expr $(, $key:ident: $next:expr)* $(,)?) => {
        $out.extend_from_slice(concat!("{\"", stringify!($first), "\":").as_bytes());
        $crate::envelope::write::Write::write(&$value, $out);
        $(
            $out.extend_from_slice(concat!(",\"", stringify!($key), "\":").as_bytes());
            $crate::envelope::write::Write::write(&$next, $out);
        )*
        $out.push(b'}');
    };
}
pub(super) use object;

/// JSON already.
pub struct Raw<'a>(pub &'a str);

/// An object whose keys are a vendor's, and distinct.
pub struct Pairs<'a, V>(pub &'a [(Text<'a>, V)]);

impl Write for Raw<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
}

impl<V: Write> Write for Pairs<'_, V> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, (key, value)) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            key.write(out);
            out.push(b':');
            value.write(out);
        }
        out.push(b'}');
    }
}

impl<T: Write> Write for [T] {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, item) in self.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            item.write(out);
        }
        out.push(b']');
    }
}

impl<T: Write> Write for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_slice().write(out);
    }
}

impl<T: Write> Write for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

impl<T: Write + ?Sized> Write for &T {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl Write for str {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        let mut rest = self.as_bytes();
        while let Some(at) = special(rest) {
            out.extend_from_slice(&rest[..at]);
            escape(rest[at], out);
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
        out.push(b'"');
    }
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            let digit = |half: u8| char::from_digit(half.into(), 16).map_or(0, |digit| digit as u8);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

impl Write for Text<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl Write for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_str().write(out);
    }
}

impl Write for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl Write for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        // The longest is that of i64::MIN, without its sign.
        let mut digits = [0; 19];
        let (mut at, mut rest) = (digits.len(), self.unsigned_abs());
        while rest > 0 || at == digits.len() {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        if *self < 0 {
            out.push(b'-');
        }
        out.extend_from_slice(&digits[at..]);
    }
}

/// Of what needs no escaping: times and our own words.
fn plain(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

impl Write for Timestamp {
    fn write(&self, out: &mut Vec<u8>) {
        plain(self.shown().as_bytes(), out);
    }
}

impl Write for Date {
    fn write(&self, out: &mut Vec<u8>) {
        plain(&self.shown(), out);
    }
}

macro_rules! word {
    ($($set:ty),+) => {$(
        impl Write for $set {
            fn write(&self, out: &mut Vec<u8>) {
                plain(self.as_str().as_bytes(), out);
            }
        }
    )+};
}

word!(Change, Direction, EntryKind, EntryStatus, ErasureReason, Identity, MessageStatus, Scope);

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &(impl Write + ?Sized)) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_text_is_read_back_as_it_was() {
        let all: String = (0..=0x7f).map(char::from).chain("ëß€😀\u{2028}\u{fffd}".chars()).collect();
        for text in ["", "a", "\"", "\\", "\n\r\t", "\u{1}", "eight by", "eight by\"te", "ë\"ë", "seven b\u{0}", &all, &all.repeat(3)] {
            let written = written(text);
            assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text, "{written}");
            assert!(written.bytes().all(|byte| byte >= 0x20));
        }
    }

    #[test]
    fn a_number_is_written_as_a_number_is() {
        for number in [0, 1, -1, 9, 10, -10, 99, 100, 1_234_567_890, i64::MAX, i64::MIN] {
            assert_eq!(written(&number), number.to_string());
        }
    }

    #[test]
    fn lists_and_objects_have_their_commas() {
        let none: [i64; 0] = [];
        assert_eq!(written(&none[..]), "[]");
        assert_eq!(written(&[1, 2][..]), "[1,2]");
        assert_eq!(written(&Pairs::<i64>(&[])), "{}");
        assert_eq!(
            written(&Pairs(&[("a\"".into(), vec![Some(true)]), ("".into(), vec![None, Some(false)])])),
            r#"{"a\"":[true],"":[null,false]}"#
        );
        let mut out = Vec::new();
        object!(&mut out, only: "x");
        object!(&mut out, first: Raw("{ }"), second: 2, third: None::<i64>);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"only":"x"}{"first":{ },"second":2,"third":null}"#);
    }
}
