//! How the commands show things to people: sizes, ages, moments, color. Color only on a terminal.

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::Serialize;

use crate::table::parse_duration_ms;
use crate::timestamp::Timestamp;

/// A number with its unit, as near as a person wants it.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut shown = (bytes as f64, "B");
    for unit in UNITS {
        if shown.0 >= 1024.0 {
            shown = (shown.0 / 1024.0, unit);
        }
    }
    if shown.1 == "B" { format!("{bytes} B") } else { format!("{:.1} {}", shown.0, shown.1) }
}

/// `1 record`, `2 records`.
pub fn count(number: impl TryInto<u64>, thing: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// The two largest units.
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0 => format!("{} ms", age.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

pub fn moment(ms: i64) -> String {
    Timestamp::clamped(ms).shown().as_str().to_owned()
}

pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

pub fn since_ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms() - ms).unwrap_or(0))
}

/// Reads a moment of the command line: RFC 3339, or so long ago.
pub fn parse_moment(text: &str) -> Result<i64, String> {
    let at = Timestamp::parse(text).map(Timestamp::ms);
    let ago = || Some(now_ms() - i64::try_from(parse_duration_ms(text)?).ok()?);
    at.or_else(ago).ok_or_else(|| "must be a moment such as \"2026-11-24T08:00:00Z\", or how long ago: \"2h\", \"15m\"".to_owned())
}

/// Prints one line; a reader that has seen enough, such as `head`, is no failure.
pub fn line(out: &mut impl Write, line: &str) -> std::io::Result<Reader> {
    match writeln!(out, "{line}") {
        Ok(()) => Ok(Reader::Listens),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Reader::Left),
        Err(error) => Err(error),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Listens,
    Left,
}

/// For scripts: one object on one line.
pub fn json(value: &impl Serialize) -> Result<()> {
    line(&mut stdout().lock(), &serde_json::to_string(value)?)?;
    Ok(())
}

/// For people: a whole page.
pub fn page(text: &str) -> Result<()> {
    line(&mut stdout().lock(), text.trim_end())?;
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    Red,
    Yellow,
    Green,
    Dim,
}

/// What sets off the words that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Color,
}

impl Paint {
    /// Where standard output is a terminal, and nobody asked for none.
    pub fn of_stdout() -> Paint {
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if stdout().is_terminal() && !is_unwanted { Paint::Color } else { Paint::Plain }
    }

    pub fn paint(self, color: Color, text: &str) -> String {
        let code = match color {
            Color::Red => 31,
            Color::Yellow => 33,
            Color::Green => 32,
            Color::Dim => 2,
        };
        match self {
            Paint::Plain => text.to_owned(),
            Paint::Color => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

pub fn paint(color: Color, text: &str) -> String {
    Paint::of_stdout().paint(color, text)
}

/// Exit 3 if there is a problem.
pub fn exit_for(problems: usize) -> ExitCode {
    if problems == 0 { ExitCode::SUCCESS } else { ExitCode::from(super::PROBLEMS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_shown_as_near_as_a_person_wants() {
        for (given, shown) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (64 << 20, "64.0 MiB"), (3 << 40, "3.0 TiB")] {
            assert_eq!(bytes(given), shown);
        }
        for (ms, shown) in [(7, "7 ms"), (59_999, "59 s"), (61_000, "1 min 1 s"), (7_260_000, "2 h 1 min"), (90_000_000, "1 d 1 h")] {
            assert_eq!(age(Duration::from_millis(ms)), shown);
        }
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(parse_moment("1970-01-01T00:00:01Z"), Ok(1000));
        let ago = now_ms() - parse_moment("2h").unwrap();
        assert!((7_200_000..7_210_000).contains(&ago), "{ago}");
        for wrong in ["", "yesterday", "2026-11-24", "2026-11-24T08:00:00", "-2h"] {
            assert!(parse_moment(wrong).is_err(), "{wrong}");
        }
    }
}
