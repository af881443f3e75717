//! Durations and sizes as people write them: a number and its unit.

const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: &[(&str, u64)] =
    &[("B", 1), ("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

pub fn parse_duration_ms(text: &str) -> Option<u64> {
    with_unit(text, DURATIONS)
}

pub fn parse_bytes(text: &str) -> Option<u64> {
    with_unit(text, SIZES)
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

pub fn show_duration(ms: u64) -> String {
    show_with_unit(ms, DURATIONS)
}

pub fn show_bytes(bytes: u64) -> String {
    show_with_unit(bytes, SIZES)
}

fn show_with_unit(number: u64, units: &[(&str, u64)]) -> String {
    let (name, factor) = units.iter().rev().find(|(_, factor)| number >= *factor && number.is_multiple_of(*factor)).unwrap_or(&units[0]);
    format!("\"{}{name}\"", number / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_need_a_unit() {
        for (text, expected) in
            [("8s", Some(8000)), ("250ms", Some(250)), ("72h", Some(259_200_000)), ("8", None), ("s", None), ("-1s", None)]
        {
            assert_eq!(parse_duration_ms(text), expected, "{text}");
        }
        for (text, expected) in
            [("512KiB", Some(524_288)), ("900KB", Some(900_000)), ("1 MiB", Some(1 << 20)), ("1mb", None), ("99999999999GiB", None)]
        {
            assert_eq!(parse_bytes(text), expected, "{text}");
        }
    }
}
