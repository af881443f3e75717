//! What must be known of a body before a JSON reader may see it: that it is UTF-8 and nests no deeper than
//! allowed, with lone halves of surrogate pairs mended. Knows no syntax beyond strings and brackets.

use std::borrow::Cow;

use crate::event::Reason;

/// The body as text, without a byte order mark. Copied only if it had to be mended.
pub fn prepare(body: &[u8], depth_max: usize) -> Result<Cow<'_, str>, Reason> {
    let text = std::str::from_utf8(body).map_err(|_| Reason::NotJson)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if is_deeper(text.as_bytes(), depth_max) { Err(Reason::TooDeep) } else { Ok(mended(text)) }
}

/// Counts every bracket first, strings and all: that is fast, and nearly always few enough.
fn is_deeper(text: &[u8], depth_max: usize) -> bool {
    let opening: usize = text.chunks(128).map(|chunk| usize::from(opening(chunk))).sum();
    opening > depth_max && depth(text) > depth_max
}

/// In one byte, so that the processor can count many at once; the two opening brackets differ in one bit.
fn opening(chunk: &[u8]) -> u8 {
    chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum()
}

/// The deepest nesting outside of strings; the outermost container is 1.
fn depth(text: &[u8]) -> usize {
    let (mut now, mut deepest): (usize, usize) = (0, 0);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => now += 1,
            b'}' | b']' => now = now.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
        deepest = deepest.max(now);
    }
    deepest
}

fn skip_string<'a>(bytes: &mut impl Iterator<Item = &'a u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => _ = bytes.next(),
            _ => {}
        }
    }
}

/// A lone half counts as U+FFFD, whose escape is just as long.
fn mended(text: &str) -> Cow<'_, str> {
    let lone = lone_surrogates(text.as_bytes());
    if lone.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut mended = text.as_bytes().to_vec();
    for at in lone {
        mended[at..at + ESCAPE_LEN].copy_from_slice(b"\\ufffd");
    }
    Cow::Owned(String::from_utf8(mended).expect("ASCII was put in the place of ASCII"))
}

const ESCAPE_LEN: usize = "\\uXXXX".len();

/// Where the escapes of lone halves begin.
fn lone_surrogates(text: &[u8]) -> Vec<usize> {
    let mut lone = Vec::new();
    if !text.contains(&b'\\') {
        return lone;
    }
    let mut at = 0;
    while let Some(step) = text.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        let escape = at + step;
        at = escape
            + match (code_unit(text, escape), code_unit(text, escape + ESCAPE_LEN)) {
                (None, _) => 2,
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * ESCAPE_LEN,
                (Some(0xd800..=0xdfff), _) => {
                    lone.push(escape);
                    ESCAPE_LEN
                }
                (Some(_), _) => ESCAPE_LEN,
            };
    }
    lone
}

/// The value of `\uXXXX`, if that is what stands there.
fn code_unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + ESCAPE_LEN)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], expected: Result<&str, Reason>) {
        let prepared = prepare(body, 4);
        assert_eq!(prepared.as_deref(), expected.as_deref(), "{}", String::from_utf8_lossy(body));
    }

    #[test]
    fn one_byte_order_mark_is_skipped() {
        check("\u{feff}{}".as_bytes(), Ok("{}"));
        check("\u{feff}\u{feff}{}".as_bytes(), Ok("\u{feff}{}"));
        check("{}\u{feff}".as_bytes(), Ok("{}\u{feff}"));
    }

    #[test]
    fn a_body_that_is_no_utf_8_is_no_json_however_deep() {
        check(b"{\"a\":\"\xff\"}", Err(Reason::NotJson));
        check(b"[[[[[[\xc3", Err(Reason::NotJson));
        check(b"\xed\xa0\x80", Err(Reason::NotJson));
        check(b"\xff\xfe{\0}\0", Err(Reason::NotJson));
    }

    #[test]
    fn depth_counts_containers_but_not_what_stands_in_strings() {
        check(b"[[[[]]]]", Ok("[[[[]]]]"));
        check(b"[[[[[]]]]]", Err(Reason::TooDeep));
        check(b"[[[{\"a\":[]}]]]", Err(Reason::TooDeep));
        check(b"[[],[],[],[[],[[]]]]", Ok("[[],[],[],[[],[[]]]]"));
        check(
            br#"["[[[[[[[[","\"[[[[[[[","\\",[[["a"]]]]"#,
            Ok(br#"["[[[[[[[[","\"[[[[[[[","\\",[[["a"]]]]"#).map(|b| std::str::from_utf8(b).unwrap()),
        );
        check(br#"["\\",[[[["\""]]]]]"#, Err(Reason::TooDeep));
    }

    #[test]
    fn too_deep_comes_before_the_syntax() {
        check(b"[[[[[", Err(Reason::TooDeep));
        check(b"nonsense [[[[[", Err(Reason::TooDeep));
        check(b"nonsense", Ok("nonsense"));
        check(b"\"[[[[[[[ never closed", Ok("\"[[[[[[[ never closed"));
        check(b"", Ok(""));
        check(&b"[".repeat(500_000), Err(Reason::TooDeep));
    }

    #[test]
    fn a_lone_half_of_a_surrogate_pair_counts_as_the_replacement_character() {
        for (written, expected) in [
            (r"\ud83d\ude00", r"\ud83d\ude00"),
            (r"\uD83D\uDE00", r"\uD83D\uDE00"),
            (r"\ud83d", r"\ufffd"),
            (r"\uDE00", r"\ufffd"),
            (r"\ude00\ud83d", r"\ufffd\ufffd"),
            (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
            (r"\ud83dx\ude00", r"\ufffdx\ufffd"),
            (r"\ud83d\n\u00eb", r"\ufffd\n\u00eb"),
            (r"\\ud83d", r"\\ud83d"),
            (r"\\\ud83d", r"\\\ufffd"),
            (r"\u00eb\/\\", r"\u00eb\/\\"),
            (r"\ud8", r"\ud8"),
            (r"\ud83é", r"\ud83é"),
            (r"\é", r"\é"),
            (r"\", r"\"),
            ("plain", "plain"),
        ] {
            let mended = mended(written);
            assert_eq!(mended, expected);
            assert_eq!(matches!(mended, Cow::Borrowed(_)), written == expected, "{written} is copied only if it had to be mended");
        }
    }
}
