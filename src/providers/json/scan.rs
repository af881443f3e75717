//! Walks JSON text once, checks its syntax (RFC 8259), and says where things stand. Builds nothing.
//!
//! `serde_json` can do this too, but not in one walk that gives the bytes of keys and values: our hot path would read
//! each body three times. A test holds the two to the same verdict on every text.

use super::{Value, special};

/// A place in a text. What is read is `None` where the text is no JSON.
pub struct Scan<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// For callers that did not bound it: a walk goes as deep as the text does.
const DEPTH_MAX: usize = 128;

impl<'a> Scan<'a> {
    /// Before the first value.
    pub fn new(text: &'a str) -> Scan<'a> {
        let mut scan = Scan { text, at: 0, depth: 0 };
        scan.space();
        scan
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Nothing but space is left.
    pub fn end(&mut self) -> Option<()> {
        self.space();
        (self.at == self.text.len()).then_some(())
    }

    pub fn value(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        match self.peek()? {
            b'"' => return self.string(),
            b'{' => drop(self.object(|scan, _| scan.value().map(drop))?),
            b'[' => drop(self.list(|scan| scan.value().map(drop))?),
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        }
        Some(self.since(start))
    }

    /// An object. `each` is given every key, and has to read the value behind it.
    pub fn object(&mut self, mut each: impl FnMut(&mut Self, Value<'a>) -> Option<()>) -> Option<Value<'a>> {
        self.container(b'{', b'}', |scan| {
            let key = scan.string()?;
            scan.space();
            scan.take(b':')?;
            scan.space();
            each(scan, key)
        })
    }

    /// An array. `each` has to read every item.
    pub fn list(&mut self, each: impl FnMut(&mut Self) -> Option<()>) -> Option<Value<'a>> {
        self.container(b'[', b']', each)
    }

    fn container(&mut self, open: u8, close: u8, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<Value<'a>> {
        let start = self.at;
        self.take(open)?;
        self.depth = Some(self.depth + 1).filter(|depth| *depth <= DEPTH_MAX)?;
        self.space();
        if self.take(close).is_none() {
            self.rest(close, &mut each)?;
        }
        self.depth -= 1;
        Some(self.since(start))
    }

    /// At least one element, up to the closing bracket.
    fn rest(&mut self, close: u8, each: &mut impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        loop {
            each(self)?;
            self.space();
            if self.take(close).is_some() {
                return Some(());
            }
            self.take(b',')?;
            self.space();
        }
    }

    fn string(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        self.take(b'"')?;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let step = special(rest)?;
            self.at += step + 1;
            match rest[step] {
                b'"' => return Some(Value { escaped, ..self.since(start) }),
                b'\\' => self.escape()?,
                _ => return None,
            }
            escaped = true;
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Option<()> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += match rest.first()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 1,
            b'u' if rest.get(1..5)?.iter().all(u8::is_ascii_hexdigit) => 5,
            _ => return None,
        };
        Some(())
    }

    fn since(&self, start: usize) -> Value<'a> {
        Value { bytes: &self.text[start..self.at], escaped: false }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if self.take(b'e').or_else(|| self.take(b'E')).is_some() {
            self.take(b'+').or_else(|| self.take(b'-'));
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::providers::json::prepare;
    use crate::providers::trial::{Dice, SAMPLES};

    fn is_json(text: &str) -> bool {
        let mut scan = Scan::new(text);
        scan.value().and_then(|_| scan.end()).is_some()
    }

    fn check(text: &str) {
        assert_eq!(is_json(text), serde_json::from_str::<&RawValue>(text).is_ok(), "{text:?}");
    }

    #[test]
    fn every_mutation_of_a_sample_is_json_to_both_readers_or_to_none() {
        let mut dice = Dice::new(7);
        let mut count = 0;
        for _ in 0..400 {
            for sample in SAMPLES {
                let mutated = dice.mutated(sample.body.as_bytes());
                if let Ok(text) = prepare(&mutated, 100) {
                    check(&text);
                    count += usize::from(is_json(&text));
                }
            }
        }
        assert!(count > 1000, "some mutations leave JSON: {count}");
    }

    #[test]
    fn a_text_that_nests_deeper_than_any_caller_may_ask_for_is_refused_not_walked() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_json(&nested(DEPTH_MAX)));
        assert!(!is_json(&nested(1_000_000)));
    }
}
