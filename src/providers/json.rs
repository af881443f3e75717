//! Lenient reading of JSON whose fields come and go: an object's members as they are written, and their
//! values by what they are, never by what they ought to be.
//!
//! A value of another type than the one asked for is `None`, as is an empty text; the last of equal keys
//! counts. Everything borrows from the body where it can, and nothing can be printed: it is people's data. Knows no
//! vendor.

use crate::event::Text;
use crate::timestamp::Timestamp;

mod prepare;
mod scan;
mod special;
mod wrapper;

pub use prepare::prepare;
use scan::Scan;
pub use special::special;
pub use wrapper::Wrapper;

/// One JSON value, as its own bytes.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    bytes: &'a str,
    /// Of a string: whether its bytes are not yet its text.
    escaped: bool,
}

impl<'a> Value<'a> {
    pub fn bytes(self) -> &'a str {
        self.bytes
    }

    pub fn is_null(self) -> bool {
        self.bytes == "null"
    }

    /// A string, be it empty.
    pub fn string(self) -> Option<Text<'a>> {
        let inner = self.bytes.strip_prefix('"')?.strip_suffix('"')?;
        if self.escaped { serde_json::from_str(self.bytes).ok().map(Text::Owned) } else { Some(Text::Borrowed(inner)) }
    }

    /// A string that is not empty.
    pub fn text(self) -> Option<Text<'a>> {
        self.string().filter(|text| !text.is_empty())
    }

    /// A text, or an integer as its text.
    pub fn id(self) -> Option<Text<'a>> {
        self.int().map(|_| Text::Borrowed(self.bytes)).or_else(|| self.text())
    }

    /// What is written as an integer and fits; `1.0` and `1e3` are not.
    pub fn int(self) -> Option<i64> {
        self.bytes.parse().ok()
    }

    pub fn flag(self) -> Option<bool> {
        self.bytes.parse().ok()
    }

    /// RFC 3339 with a zone, or milliseconds since 1970.
    pub fn time(self) -> Option<Timestamp> {
        self.int().map_or_else(|| Timestamp::parse(&self.string()?), Timestamp::from_ms)
    }

    pub fn object(self) -> Option<Object<'a>> {
        Object::scan(&mut Scan::new(self.bytes), Vec::new())
    }

    pub fn list(self) -> Option<Vec<Value<'a>>> {
        let mut items = Vec::new();
        Scan::new(self.bytes).list(|scan| scan.value().map(|item| items.push(item)))?;
        Some(items)
    }
}

/// One member of an object: its key as meant and as written, and its value.
#[derive(Clone)]
pub struct Member<'a> {
    pub key: Text<'a>,
    token: &'a str,
    pub value: Value<'a>,
}

impl<'a> Member<'a> {
    fn new(key: Value<'a>, value: Value<'a>) -> Member<'a> {
        Member { key: key.string().unwrap_or(Text::Borrowed(key.bytes)), token: key.bytes, value }
    }
}

/// The members of an object in the vendor's order, those of equal keys too.
#[derive(Clone)]
pub struct Object<'a> {
    raw: &'a str,
    members: Vec<Member<'a>>,
}

impl<'a> Object<'a> {
    /// Into `members`, which is empty.
    fn scan(scan: &mut Scan<'a>, mut members: Vec<Member<'a>>) -> Option<Object<'a>> {
        let raw = scan.object(|scan, key| scan.value().map(|value| members.push(Member::new(key, value))))?.bytes;
        Some(Object { raw, members })
    }

    pub fn bytes(&self) -> &'a str {
        self.raw
    }

    fn value(&self) -> Value<'a> {
        Value { bytes: self.raw, escaped: false }
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.members.iter().rev().find(|member| member.key == key).map(|member| member.value)
    }

    pub fn text(&self, key: &str) -> Option<Text<'a>> {
        self.get(key)?.text()
    }

    pub fn id(&self, key: &str) -> Option<Text<'a>> {
        self.get(key)?.id()
    }

    pub fn int(&self, key: &str) -> Option<i64> {
        self.get(key)?.int()
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.flag()
    }

    pub fn time(&self, key: &str) -> Option<Timestamp> {
        self.get(key)?.time()
    }

    pub fn object(&self, key: &str) -> Option<Object<'a>> {
        self.get(key)?.object()
    }

    /// Its items; none if it is no array.
    pub fn list(&self, key: &str) -> Vec<Value<'a>> {
        self.get(key).and_then(Value::list).unwrap_or_default()
    }

    /// Each key once.
    pub fn distinct(self) -> Vec<(Text<'a>, Value<'a>)> {
        distinct(self.members.into_iter().map(|member| (member.key, member.value)).collect())
    }

    /// The object without the members whose key is `dropped`; what stays is the vendor's own bytes.
    pub fn without(&self, dropped: impl Fn(&str) -> bool) -> Text<'a> {
        let is_dropped: Vec<bool> = self.members.iter().map(|member| dropped(&member.key)).collect();
        if !is_dropped.contains(&true) {
            return Text::Borrowed(self.raw);
        }
        let mut kept = String::with_capacity(self.raw.len());
        let mut at = 0;
        for run in is_dropped.chunk_by(|left, right| left == right) {
            let (first, last) = (&self.members[at], &self.members[at + run.len() - 1]);
            if !run[0] {
                kept.push(if kept.is_empty() { '{' } else { ',' });
                kept.push_str(&self.raw[offset(self.raw, first.token)..offset(self.raw, last.value.bytes) + last.value.bytes.len()]);
            }
            at += run.len();
        }
        kept.push_str(if kept.is_empty() { "{}" } else { "}" });
        Text::Owned(kept)
    }
}

/// Where `part` begins in the text that it was cut from.
fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

/// Each key once: in the place of its first, with the value of its last.
pub fn distinct<'a, V>(pairs: Vec<(Text<'a>, V)>) -> Vec<(Text<'a>, V)> {
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by(|left, right| pairs[*left].0.cmp(&pairs[*right].0));
    if order.windows(2).all(|pair| pairs[pair[0]].0 != pairs[pair[1]].0) {
        return pairs;
    }
    // The sort is stable: in each group of equals the first index is the place, the last one the value.
    let mut value_of: Vec<Option<usize>> = vec![None; pairs.len()];
    for group in order.chunk_by(|left, right| pairs[*left].0 == pairs[*right].0) {
        value_of[group[0]] = group.last().copied();
    }
    let mut pairs: Vec<Option<(Text, V)>> = pairs.into_iter().map(Some).collect();
    value_of.into_iter().flatten().filter_map(|at| pairs[at].take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value<'_> {
        Scan::new(json).value().unwrap()
    }

    fn object(text: &str) -> Object<'_> {
        value(text).object().unwrap()
    }

    #[test]
    fn a_value_is_what_it_is_or_nothing() {
        for (json, text, id, int, flag) in [
            (r#""a""#, Some("a"), Some("a"), None, None),
            (r#""\u00eb\n""#, Some("ë\n"), Some("ë\n"), None, None),
            (r#""""#, None, None, None, None),
            (r#"" ""#, Some(" "), Some(" "), None, None),
            (r#""7""#, Some("7"), Some("7"), None, None),
            ("7", None, Some("7"), Some(7), None),
            ("-7", None, Some("-7"), Some(-7), None),
            ("9223372036854775807", None, Some("9223372036854775807"), Some(i64::MAX), None),
            ("-9223372036854775808", None, Some("-9223372036854775808"), Some(i64::MIN), None),
            ("9223372036854775808", None, None, None, None),
            ("1.0", None, None, None, None),
            ("1e3", None, None, None, None),
            ("true", None, None, None, Some(true)),
            ("false", None, None, None, Some(false)),
            (r#""true""#, Some("true"), Some("true"), None, None),
            ("null", None, None, None, None),
            ("[]", None, None, None, None),
            ("{}", None, None, None, None),
        ] {
            let value = value(json);
            assert_eq!((value.text().as_deref(), value.id().as_deref(), value.int(), value.flag()), (text, id, int, flag), "{json}");
        }
    }

    #[test]
    fn a_time_is_a_text_or_whole_milliseconds() {
        for (json, expected) in [
            (r#""2026-03-10T15:21:00.500Z""#, Some(1_773_156_060_500)),
            (r#""2026-03-10\u005415:21:00.500Z""#, Some(1_773_156_060_500)),
            ("1773156060500", Some(1_773_156_060_500)),
            ("0", Some(0)),
            ("-1", None),
            ("253402300799999", Some(253_402_300_799_999)),
            ("253402300800000", None),
            ("1773156060500.0", None),
            ("1.7e12", None),
            (r#""1773156060500""#, None),
            (r#""""#, None),
            ("null", None),
            ("true", None),
        ] {
            assert_eq!(value(json).time().map(Timestamp::ms), expected, "{json}");
        }
    }

    #[test]
    fn the_last_of_equal_keys_counts_however_it_is_written() {
        let object = object(r#"{"a":1,"b":2,"\u0061":3,"b":null}"#);
        assert_eq!(object.int("a"), Some(3));
        assert_eq!(object.int("b"), None);
        let distinct: Vec<(String, &str)> = object.distinct().into_iter().map(|(key, value)| (key.into_owned(), value.bytes())).collect();
        assert_eq!(distinct, [("a".to_owned(), "3"), ("b".to_owned(), "null")]);
    }

    #[test]
    fn many_equal_keys_take_no_time_that_is_worth_mentioning() {
        let members: Vec<String> = (0..50_000).map(|at| format!("\"{}\":{at}", at % 25_000)).collect();
        let text = format!("{{{}}}", members.join(","));
        let distinct = object(&text).distinct();
        assert_eq!(distinct.len(), 25_000);
        assert_eq!((&*distinct[7].0, distinct[7].1.bytes()), ("7", "25007"));
    }

    #[test]
    fn what_stays_of_an_object_is_its_own_bytes() {
        for (text, expected) in [
            (r#"{"a": 1.50, "b" : 2}"#, r#"{"a": 1.50, "b" : 2}"#),
            (r#"{"x":0, "a": 1.50,  "b" : 1e400 }"#, r#"{"a": 1.50,  "b" : 1e400}"#),
            (r#"{ "a" :[ 1 ] , "x":0,"b":2}"#, r#"{"a" :[ 1 ],"b":2}"#),
            (r#"{"x":0,"a":1,"x":{"a":2},"b":2,"x":1}"#, r#"{"a":1,"b":2}"#),
            (r#"{"\u0078":0,"a":{"x":1}}"#, r#"{"a":{"x":1}}"#),
            (r#"{"x":0}"#, "{}"),
            (r#"{"x":0,"x":0}"#, "{}"),
            ("{ }", "{ }"),
        ] {
            assert_eq!(object(text).without(|key| key == "x"), expected);
        }
    }
}
