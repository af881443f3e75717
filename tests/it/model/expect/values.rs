//! The contract's values: text, integer, id, flag, time, date. "A known field of another JSON type is null."

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::json::{Json, Node};

const DAY_MS: i64 = 86_400_000;
/// "1970 to 9999."
const LAST_MS: i64 = 253_402_300_799_999;

/// "`""` → null."
pub fn text(node: Option<&Node>) -> Option<String> {
    match &node?.json {
        Json::Text(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// "Integers are JSON integers that fit i64."
pub fn integer(node: Option<&Node>) -> Option<i64> {
    let node = node.filter(|node| node.json == Json::Number)?;
    if node.bytes.contains(['.', 'e', 'E']) { None } else { node.bytes.parse().ok() }
}

/// "An id is a non-empty string, or an integer that fits i64 taken as its text; else it is missing."
pub fn id(node: Option<&Node>) -> Option<String> {
    text(node).or_else(|| integer(node).and(node).map(|number| number.bytes.clone()))
}

pub fn flag(node: Option<&Node>) -> Option<bool> {
    match node?.json {
        Json::Bool(flag) => Some(flag),
        _ => None,
    }
}

/// "RFC 3339 with a zone (`t`, `z` too; a space or second 60: null), or integer epoch milliseconds, 1970 to 9999; else null."
pub fn time(node: Option<&Node>) -> Option<i64> {
    let ms = match text(node) {
        Some(text) => instant(&text, Zone::Required),
        None => integer(node),
    };
    ms.filter(|ms| is_known(*ms))
}

/// "AddedDate without a zone is UTC, any number of fraction digits is truncated, a bare date is null."
pub fn added_date(node: Option<&Node>) -> Option<i64> {
    let ms = match text(node) {
        Some(text) => instant(&text, Zone::MayBeAbsent),
        None => integer(node),
    };
    ms.filter(|ms| is_known(*ms))
}

/// "RequestedDate: a bare date, or one with a zone, is the date as written; without a zone it needs `time_zone`." What it says must
/// lie between 1970 and 9999, as all times must; a number names no zone either.
pub fn requested_date(node: Option<&Node>, time_zone: &str) -> Option<String> {
    let Some(text) = text(node) else { return local_date(integer(node)?, time_zone) };
    if let Some(days) = bare_date(&text) {
        return is_known(days * DAY_MS).then_some(text);
    }
    if let Some(ms) = instant(&text, Zone::Required) {
        return is_known(ms).then(|| text[..10].to_owned());
    }
    local_date(instant(&text, Zone::MayBeAbsent)?, time_zone)
}

fn local_date(ms: i64, time_zone: &str) -> Option<String> {
    let zone = TimeZone::get(time_zone).ok().filter(|_| is_known(ms))?;
    // The library's own time ends two days before the contract's.
    let offset = zone.to_offset(Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX));
    Some(ms + i64::from(offset.seconds()) * 1000).filter(|local| is_known(*local)).map(|local| written(local)[..10].to_owned())
}

fn is_known(ms: i64) -> bool {
    (0..=LAST_MS).contains(&ms)
}

/// "birth_date_format", here `M/D/YYYY` or `D/M/YYYY`, "leading zeros or not".
pub fn birth_date(text: &str, format: &str) -> Option<String> {
    let mut parts = text.split('/');
    let (first, second, year) = (parts.next()?, parts.next()?, parts.next()?);
    let is_short = |part: &str| (1..=2).contains(&part.len()) && is_digits(part);
    if parts.next().is_some() || !is_short(first) || !is_short(second) || year.len() != 4 {
        return None;
    }
    let (month, day) = match format {
        "M/D/YYYY" => (first, second),
        "D/M/YYYY" => (second, first),
        _ => return None,
    };
    let date = format!("{year}-{month:0>2}-{day:0>2}");
    bare_date(&date).map(|_| date)
}

/// "All times `YYYY-MM-DDThh:mm:ss.sssZ`."
pub fn written(ms: i64) -> String {
    let (mut days, of_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let mut year = 1970 + days / 366;
    while days_before(year + 1) <= days {
        year += 1;
    }
    days -= days_before(year);
    let mut month = 1;
    while days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    let (seconds, fraction) = (of_day / 1000, of_day % 1000);
    let time = format!("{:02}:{:02}:{:02}.{fraction:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{:02}T{time}", days + 1)
}

/// The milliseconds of what [`written`] has written.
pub fn read(text: &str) -> Option<i64> {
    instant(text, Zone::Required).filter(|ms| written(*ms) == text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    Required,
    MayBeAbsent,
}

/// `YYYY-MM-DDThh:mm:ss`, a fraction or none, a zone or (where it may be absent) none; truncated to milliseconds.
fn instant(text: &str, zone: Zone) -> Option<i64> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let days = bare_date(date)?;
    let rest = rest.strip_prefix(['T', 't'])?;
    let (clock, rest) = (rest.get(..8)?, rest.get(8..)?);
    let seconds = clock_seconds(clock)?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("0", rest),
    };
    if fraction.is_empty() {
        return None;
    }
    let ms: i64 = format!("{fraction}000")[..3].parse().ok()?;
    let offset_minutes = match rest {
        "Z" | "z" => 0,
        "" if zone == Zone::MayBeAbsent => 0,
        _ => offset(rest)?,
    };
    Some(days * DAY_MS + seconds * 1000 + ms - offset_minutes * 60_000)
}

fn offset(text: &str) -> Option<i64> {
    let sign = if text.starts_with('+') { 1 } else { -1 };
    let (hours, minutes) = text.strip_prefix(['+', '-'])?.split_once(':')?;
    let (hours, minutes) = (two_digits(hours, 23)?, two_digits(minutes, 59)?);
    Some(sign * (hours * 60 + minutes))
}

fn clock_seconds(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    Some(two_digits(hours, 23)? * 3600 + two_digits(minutes, 59)? * 60 + two_digits(seconds, 59)?)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn two_digits(text: &str, max: i64) -> Option<i64> {
    (text.len() == 2 && is_digits(text)).then(|| text.parse().ok()).flatten().filter(|number| *number <= max)
}

/// The days since 1970 of a `YYYY-MM-DD` that exists.
fn bare_date(date: &str) -> Option<i64> {
    let (year, month_day) = date.split_once('-')?;
    let (month, day) = month_day.split_once('-')?;
    let year: i64 = (year.len() == 4 && is_digits(year)).then(|| year.parse().ok())??;
    let month = two_digits(month, 12).filter(|month| *month > 0)?;
    let day = two_digits(day, 31).filter(|day| (1..=days_in(year, month)).contains(day))?;
    Some(days_before(year) + (1..month).map(|month| days_in(year, month)).sum::<i64>() + day - 1)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// From 1970 to the first day of a year.
fn days_before(year: i64) -> i64 {
    let leaps = |year: i64| (year - 1).div_euclid(4) - (year - 1).div_euclid(100) + (year - 1).div_euclid(400);
    365 * (year - 1970) + leaps(year) - leaps(1970)
}

#[test]
fn the_models_times_are_those_of_the_contract() {
    let node = |text: &str| super::super::json::parse(text);
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(time(node(text).as_ref()).map(written).as_deref(), expected, "{text}");
    };
    check(r#""2026-03-10T15:20:31.2129Z""#, Some("2026-03-10T15:20:31.212Z"));
    check(r#""2024-02-29t23:59:59z""#, Some("2024-02-29T23:59:59.000Z"));
    check(r#""2026-01-01T00:30:00+01:00""#, Some("2025-12-31T23:30:00.000Z"));
    check("1773156060500", Some("2026-03-10T15:21:00.500Z"));
    check("253402300799999", Some("9999-12-31T23:59:59.999Z"));
    for wrong in [r#""2026-03-10 15:20:31Z""#, r#""2026-03-10T15:20:60Z""#, r#""2026-02-29T00:00:00Z""#, r#""1969-12-31T23:59:59Z""#, "-1"]
    {
        check(wrong, None);
    }
}
