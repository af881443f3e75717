//! What a body may have been before something on the way read it as JSON and wrote it again. Vendors write JSON without
//! spaces; what cannot be undone (the order of keys, the form of numbers) is not tried.

/// The likeliest first; none equals `body`.
pub fn before_a_proxy(body: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(body) else { return Vec::new() };
    let compact = compact(text);
    let unescaped = unescaped(&compact);
    let escaped = escaped(&unescaped);
    let mut all: Vec<Vec<u8>> = Vec::new();
    for candidate in [unescaped, compact, escaped].map(String::into_bytes) {
        if candidate != body && !all.contains(&candidate) {
            all.push(candidate);
        }
    }
    all
}

/// Without the white space between values, and without a byte order mark.
fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut inside, mut escaped) = (false, false);
    for c in text.strip_prefix('\u{feff}').unwrap_or(text).chars() {
        if inside || !matches!(c, ' ' | '\t' | '\r' | '\n') {
            out.push(c);
        }
        inside ^= c == '"' && !escaped;
        escaped = inside && c == '\\' && !escaped;
    }
    out
}

/// Characters where escapes stand that JSON does not need.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (c, length) = escape(&rest[at..]);
        match c {
            Some(c) => out.push(c),
            None => out.push_str(&rest[at..at + length]),
        }
        rest = &rest[at + length..];
    }
    out + rest
}

/// How long the escape is that `text` begins with, and the character it need not be.
fn escape(text: &str) -> (Option<char>, usize) {
    let unit = |at: usize| text.get(at..at + 6)?.strip_prefix("\\u").and_then(|digits| u16::from_str_radix(digits, 16).ok());
    if text.starts_with("\\/") {
        return (Some('/'), 2);
    }
    let needless = |c: &char| !c.is_control() && !matches!(c, '"' | '\\');
    let of = |units: &[u16]| char::decode_utf16(units.iter().copied()).next().and_then(Result::ok).filter(needless);
    match (unit(0), unit(6)) {
        (Some(high @ 0xd800..0xdc00), Some(low)) if of(&[high, low]).is_some() => (of(&[high, low]), 12),
        (Some(one), _) => (of(&[one]), 6),
        // A backslash, and what it escapes.
        _ => (None, text.chars().take(2).map(char::len_utf8).sum()),
    }
}

/// Escapes for all that is not ASCII.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_go_and_escapes_go_both_ways() {
        for (body, expected) in [
            ("{\"a\":1}", &[][..]),
            ("{\n  \"a b\": [1, 2]\n}\n", &["{\"a b\":[1,2]}"]),
            ("\u{feff}[]", &["[]"]),
            (r#"{"a": "\" \\", "b": 1}"#, &[r#"{"a":"\" \\","b":1}"#]),
            (r#"["Zo\u00eb"]"#, &["[\"Zoë\"]"]),
            ("[\"Zoë\"]", &[r#"["Zo\u00eb"]"#]),
            (r#"[ "\ud83d\ude00\/" ]"#, &["[\"😀/\"]", r#"["\ud83d\ude00\/"]"#, r#"["\ud83d\ude00/"]"#]),
            (r#"["\u0022\u005c\u000a\ud83d\\u00eb"]"#, &[]),
            ("\\", &[]),
            (r"\u12", &[]),
            ("\\é", &["\\\\u00e9"]),
        ] {
            let found: Vec<String> = before_a_proxy(body.as_bytes()).into_iter().map(|body| String::from_utf8(body).unwrap()).collect();
            assert_eq!(found, expected, "{body}");
        }
        assert_eq!(before_a_proxy(b"\xff"), Vec::<Vec<u8>>::new());
    }
}
