//! W3C Trace Context, level 1: whether a `traceparent` may be carried on. Knows nothing of traces.

/// Longer ones are of a future version; the journal has no room for them.
const LENGTH_MAX: usize = 255;
const LENGTH: usize = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".len();

/// Version 00 must be exact; of a later one only the beginning is known, and behind it a dash.
pub fn valid_traceparent(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((known, rest)) = bytes.split_at_checked(LENGTH) else { return false };
    let [version, trace_id, parent_id, flags] = [&known[0..2], &known[3..35], &known[36..52], &known[53..55]];
    let has_dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
    let is_hex = [version, trace_id, parent_id, flags].iter().all(|part| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    let is_set = |id: &[u8]| id.iter().any(|byte| *byte != b'0');
    let ends_well = rest.is_empty() || version != b"00" && rest[0] == b'-' && rest.iter().all(u8::is_ascii_graphic);
    bytes.len() <= LENGTH_MAX && has_dashes && is_hex && version != b"ff" && is_set(trace_id) && is_set(parent_id) && ends_well
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_w3c_calls_valid_is_carried_on() {
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let (no_trace, no_parent) = ("0".repeat(32), "0".repeat(16));
        let later = format!("cc-{trace}-{parent}-01-what-the-future-brings");
        for (text, expected) in [
            (format!("00-{trace}-{parent}-01"), true),
            (format!("00-{trace}-{parent}-ff"), true),
            (format!("01-{trace}-{parent}-00"), true),
            (later.clone(), true),
            (format!("cc-{trace}-{parent}-01-"), true),
            (format!("{later:-<255}"), true),
            (format!("{later:-<256}"), false),
            (format!("cc-{trace}-{parent}-01.more"), false),
            (format!("cc-{trace}-{parent}-01-mor\u{e9}"), false),
            (format!("cc-{trace}-{parent}-01-more more"), false),
            (format!("00-{trace}-{parent}-01-more"), false),
            (format!("00-{trace}-{parent}-01-"), false),
            (format!("ff-{trace}-{parent}-01"), false),
            (format!("0-{trace}-{parent}-01"), false),
            (format!("00-{}-{parent}-01", trace.to_uppercase()), false),
            (format!("0A-{trace}-{parent}-01"), false),
            (format!("00-{no_trace}-{parent}-01"), false),
            (format!("00-{trace}-{no_parent}-01"), false),
            (format!("00-{trace}-{parent}-0"), false),
            (format!("00-{trace}-{parent}-0g"), false),
            (format!("00-{trace}-{parent}"), false),
            (format!("00_{trace}_{parent}_01"), false),
            (format!(" 00-{trace}-{parent}-01"), false),
            (format!("00-{trace}-{parent}-01 "), false),
            ("é".repeat(28), false),
            (String::new(), false),
        ] {
            assert_eq!(valid_traceparent(&text), expected, "{text}");
        }
    }
}
