//! A small reader of JSON for the model: it keeps equal keys, the spelling of numbers, and the bytes of every value.
//!
//! It shares nothing with the product's own reader; it is slow and plain on purpose.

pub const REPLACEMENT: char = '\u{FFFD}';

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    Number,
    Text(String),
    List(Vec<Node>),
    /// In the sender's order, with all of equal keys.
    Object(Vec<Member>),
}

/// A value and its own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub json: Json,
    pub bytes: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub key: String,
    /// As it was spelled, with its quotes.
    pub key_bytes: String,
    pub value: Node,
}

impl Node {
    pub fn members(&self) -> &[Member] {
        match &self.json {
            Json::Object(members) => members,
            _ => &[],
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.json {
            Json::List(items) => items,
            _ => &[],
        }
    }

    /// "Of equal keys the last counts."
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.members().iter().rev().find(|member| member.key == key).map(|member| &member.value)
    }

    /// The members that count: of equal keys the last one, where the first stands.
    pub fn last_members(&self) -> impl Iterator<Item = (&str, &Node)> {
        let members = self.members();
        let is_first = |at: usize, key: &str| !members[..at].iter().any(|before| before.key == key);
        let first = members.iter().enumerate().filter(move |(at, member)| is_first(*at, &member.key));
        first.filter_map(|(_, member)| Some((member.key.as_str(), self.get(&member.key)?)))
    }
}

/// The deepest nesting of brackets outside of texts.
pub fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// "A lone surrogate escape counts as U+FFFD": here it becomes that, and so does the escape `\ufffd`.
pub fn without_lone_surrogates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let kept = match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF | 0xFFFD), _) => 0,
            (Some(_), _) => 6,
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..kept]);
        if kept == 0 {
            out.push(REPLACEMENT);
        }
        rest = &rest[if kept == 0 { 6 } else { kept }..];
    }
    out + rest
}

/// The number of an escape `\uXXXX` that a text begins with.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

/// The value of a whole text, which holds no lone surrogate any more; nothing if it is no JSON.
pub fn parse(text: &str) -> Option<Node> {
    let mut reader = Reader { text, at: 0 };
    let node = reader.value()?;
    reader.space();
    (reader.at == text.len()).then_some(node)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, what: &str) -> Option<()> {
        self.text[self.at..].starts_with(what).then(|| self.at += what.len())
    }

    fn value(&mut self) -> Option<Node> {
        self.space();
        let from = self.at;
        let json = match self.peek()? {
            b'{' => self.object()?,
            b'[' => self.list()?,
            b'"' => Json::Text(self.string()?),
            b'n' => self.take("null").map(|()| Json::Null)?,
            b't' => self.take("true").map(|()| Json::Bool(true))?,
            b'f' => self.take("false").map(|()| Json::Bool(false))?,
            _ => self.number()?,
        };
        Some(Node { json, bytes: self.text[from..self.at].to_owned() })
    }

    fn object(&mut self) -> Option<Json> {
        self.take("{")?;
        let mut members = Vec::new();
        self.space();
        if self.take("}").is_some() {
            return Some(Json::Object(members));
        }
        loop {
            self.space();
            let from = self.at;
            let key = self.string()?;
            let key_bytes = self.text[from..self.at].to_owned();
            self.space();
            self.take(":")?;
            members.push(Member { key, key_bytes, value: self.value()? });
            self.space();
            if self.take("}").is_some() {
                return Some(Json::Object(members));
            }
            self.take(",")?;
        }
    }

    fn list(&mut self) -> Option<Json> {
        self.take("[")?;
        let mut items = Vec::new();
        self.space();
        if self.take("]").is_some() {
            return Some(Json::List(items));
        }
        loop {
            items.push(self.value()?);
            self.space();
            if self.take("]").is_some() {
                return Some(Json::List(items));
            }
            self.take(",")?;
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take("\"")?;
        let mut text = String::new();
        loop {
            let rest = &self.text[self.at..];
            let quote = rest.find('"')?;
            let plain = &rest[..rest[..quote].find('\\').unwrap_or(quote)];
            if plain.bytes().any(|byte| byte < 0x20) {
                return None;
            }
            text.push_str(plain);
            self.at += plain.len() + 1;
            if plain.len() == quote {
                return Some(text);
            }
            text.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Option<char> {
        let from = self.at - 1;
        self.at += 1;
        match self.text.as_bytes().get(self.at - 1)? {
            b'b' => Some('\u{8}'),
            b'f' => Some('\u{c}'),
            b'n' => Some('\n'),
            b'r' => Some('\r'),
            b't' => Some('\t'),
            plain @ (b'"' | b'\\' | b'/') => Some(char::from(*plain)),
            b'u' => {
                let first = unit(&self.text[from..])?;
                self.at = from + 6;
                let Some(second) = self.text.get(self.at..).and_then(unit).filter(|_| (0xD800..0xDC00).contains(&first)) else {
                    return char::from_u32(first);
                };
                self.at += 6;
                char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second.checked_sub(0xDC00)?))
            }
            _ => None,
        }
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    fn number(&mut self) -> Option<Json> {
        let _ = self.take("-");
        if self.take("0").is_none() {
            self.digits()?;
        }
        if self.take(".").is_some() {
            self.digits()?;
        }
        if self.take("e").or_else(|| self.take("E")).is_some() {
            let _ = self.take("+").or_else(|| self.take("-"));
            self.digits()?;
        }
        Some(Json::Number)
    }
}

#[test]
fn the_models_own_reader_keeps_what_the_sender_wrote() {
    let text = without_lone_surrogates(r#" {"a" : 1e2, "\u0061":"\ud83d\ude00\ud800x\\ud800", "b":[ -0, {"c":null}]} "#);
    let node = parse(&text).expect("JSON");
    assert_eq!(node.get("a").map(|a| &a.json), Some(&Json::Text("\u{1F600}\u{FFFD}x\\ud800".to_owned())));
    assert_eq!(node.members()[0].value.bytes, "1e2");
    assert_eq!(node.members()[1].key_bytes, r#""\u0061""#);
    assert_eq!(node.get("b").map(|b| b.bytes.as_str()), Some(r#"[ -0, {"c":null}]"#));
    assert_eq!(depth(&text), 3);
    for wrong in ["", "{", "01", "1.", "[1,]", "{\"a\":1,}", "\"\u{1}\"", "nul", "1 2", "+1", r#""\x""#, "\u{feff}1", "[1}", ".5", "1e"] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
}
