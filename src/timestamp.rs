//! Instants and dates: strict reading, and the one form in which the topics show them,
//! `YYYY-MM-DDThh:mm:ss.sssZ`, truncated to milliseconds.
//!
//! Everything here lies between 1970 and 9999, so that every instant has that form and sorts as text. Knows no
//! clock and no vendor: which text may stand without a zone, and what that means, the vendors' files say.

use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

/// Milliseconds since 1970, not later than the end of 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const MS_MAX: i64 = 253_402_300_799_999;
const DAY_MS: i64 = 86_400_000;

impl Timestamp {
    /// `None` before 1970 and after 9999.
    pub fn from_ms(ms: i64) -> Option<Timestamp> {
        (0..=MS_MAX).contains(&ms).then_some(Timestamp(ms))
    }

    /// The nearest instant that can be shown: for our own clock, which may be wrong but must not stop us.
    pub fn clamped(ms: i64) -> Timestamp {
        Timestamp(ms.clamp(0, MS_MAX))
    }

    pub fn ms(self) -> i64 {
        self.0
    }

    /// RFC 3339, with a zone.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let written = Written::parse(text)?;
        written.instant(written.offset_ms?)
    }

    /// The day that it is then in this zone.
    pub fn date_in(self, zone: &TimeZone) -> Option<Date> {
        // Jiff's instants end a day before ours: by then a zone no longer changes.
        let instant = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        let local_ms = self.0 + i64::from(zone.to_offset(instant).seconds()) * 1000;
        let (year, month, day) = civil(local_ms.div_euclid(DAY_MS));
        Date::new(year, month, day)
    }

    pub fn shown(self) -> Shown {
        let (days, ms) = (self.0.div_euclid(DAY_MS), self.0.rem_euclid(DAY_MS));
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        put_date(&mut text, year, month, day);
        put(&mut text, 11, ms / 3_600_000);
        put(&mut text, 14, ms / 60_000 % 60);
        put(&mut text, 17, ms / 1000 % 60);
        put(&mut text, 21, ms % 100);
        text[20] = b'0' + (ms / 100 % 10) as u8;
        Shown(text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.shown().as_str())
    }
}

/// A timestamp as text, on the stack.
#[derive(Debug, Clone, Copy)]
pub struct Shown([u8; 24]);

impl Shown {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits and marks only")
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A day of the calendar, without a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// `None` if there is no such day, or no such year of four digits.
    pub fn new(year: i64, month: i64, day: i64) -> Option<Date> {
        let exists = (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        exists.then_some(Date { year, month, day })
    }

    /// `YYYY-MM-DD`, nothing before or behind it.
    pub fn parse(text: &str) -> Option<Date> {
        let mut read = Read(text.as_bytes());
        read.date().filter(|_| read.0.is_empty())
    }

    pub fn year(self) -> i64 {
        self.year
    }

    /// `YYYY-MM-DD`, on the stack.
    pub fn shown(self) -> [u8; 10] {
        let mut text = *b"0000-00-00";
        put_date(&mut text, self.year, self.month, self.day);
        text
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(std::str::from_utf8(&self.shown()).expect("digits and marks only"))
    }
}

/// A date and a time of day as written, with the zone if one stands behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub date: Date,
    /// Since midnight; what is finer than a millisecond is cut off.
    time_ms: i64,
    pub offset_ms: Option<i64>,
}

impl Written {
    /// RFC 3339, but that the zone may be absent.
    pub fn parse(text: &str) -> Option<Written> {
        let mut read = Read(text.as_bytes());
        let date = read.date()?;
        read.mark(b"Tt")?;
        let time_ms = read.time()?;
        let offset_ms = if read.0.is_empty() { None } else { Some(read.offset()?) };
        read.0.is_empty().then_some(Written { date, time_ms, offset_ms })
    }

    /// The instant, if the zone is this far ahead of UTC.
    pub fn instant(&self, offset_ms: i64) -> Option<Timestamp> {
        let days = days_since_1970(self.date);
        Timestamp::from_ms(days * DAY_MS + self.time_ms - offset_ms)
    }
}

/// What is still to be read.
struct Read<'a>(&'a [u8]);

impl Read<'_> {
    fn date(&mut self) -> Option<Date> {
        let year = self.number(4)?;
        self.mark(b"-")?;
        let month = self.number(2)?;
        self.mark(b"-")?;
        Date::new(year, month, self.number(2)?)
    }

    fn time(&mut self) -> Option<i64> {
        let hour = self.number(2).filter(|hour| *hour < 24)?;
        self.mark(b":")?;
        let minute = self.number(2).filter(|minute| *minute < 60)?;
        self.mark(b":")?;
        let second = self.number(2).filter(|second| *second < 60)?;
        Some(((hour * 60 + minute) * 60 + second) * 1000 + self.fraction_ms()?)
    }

    /// Any number of digits behind a point, but not none.
    fn fraction_ms(&mut self) -> Option<i64> {
        if self.mark(b".").is_none() {
            return Some(0);
        }
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = self.0.split_at(count);
        self.0 = rest;
        let digit = |at: usize| i64::from(fraction.get(at).map_or(0, |byte| byte - b'0'));
        (count > 0).then(|| digit(0) * 100 + digit(1) * 10 + digit(2))
    }

    fn offset(&mut self) -> Option<i64> {
        let sign = match self.mark(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hour = self.number(2).filter(|hour| *hour < 24)?;
        self.mark(b":")?;
        let minute = self.number(2).filter(|minute| *minute < 60)?;
        Some(sign * (hour * 60 + minute) * 60_000)
    }

    fn mark(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first().filter(|(first, _)| allowed.contains(first))?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self, width: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(width)?;
        self.0 = rest;
        number.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    }
}

fn put_date(text: &mut [u8], year: i64, month: i64, day: i64) {
    put(text, 0, year / 100);
    put(text, 2, year % 100);
    put(text, 5, month);
    put(text, 8, day);
}

/// Two digits.
fn put(text: &mut [u8], at: usize, number: i64) {
    text[at] = b'0' + (number / 10) as u8;
    text[at + 1] = b'0' + (number % 10) as u8;
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month and day of a day counted from 1970: Howard Hinnant's `civil_from_days`, with years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

/// The way back: Howard Hinnant's `days_from_civil`.
fn days_since_1970(Date { year, month, day }: Date) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let shown = Timestamp::parse(text).map(Timestamp::shown);
        assert_eq!(shown.as_ref().map(Shown::as_str), expected, "{text:?}");
    }

    #[test]
    fn an_instant_is_shown_in_utc_truncated_to_milliseconds() {
        check("2026-03-10T15:20:31.212Z", Some("2026-03-10T15:20:31.212Z"));
        check("2026-03-10t15:20:31z", Some("2026-03-10T15:20:31.000Z"));
        check("2026-03-10T15:20:31.9999999999999Z", Some("2026-03-10T15:20:31.999Z"));
        check("2026-03-10T15:20:31.5+02:30", Some("2026-03-10T12:50:31.500Z"));
        check("2026-03-01T00:00:00-00:30", Some("2026-03-01T00:30:00.000Z"));
        check("2026-03-01T00:00:00-00:00", Some("2026-03-01T00:00:00.000Z"));
        check("2024-02-29T23:59:59.001+23:59", Some("2024-02-29T00:00:59.001Z"));
        check("2000-02-29T00:00:00Z", Some("2000-02-29T00:00:00.000Z"));
    }

    #[test]
    fn the_first_and_the_last_instant_are_told_by_utc() {
        check("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00.000Z"));
        check("1969-12-31T23:00:00-01:00", Some("1970-01-01T00:00:00.000Z"));
        check("1970-01-01T00:00:00+00:01", None);
        check("1969-12-31T23:59:59.999Z", None);
        check("9999-12-31T23:59:59.999Z", Some("9999-12-31T23:59:59.999Z"));
        check("9999-12-31T23:59:59-00:01", None);
        check("0000-01-01T00:00:00Z", None);
        assert_eq!(Timestamp::from_ms(-1), None);
        assert_eq!(Timestamp::from_ms(MS_MAX + 1), None);
        assert_eq!(Timestamp::clamped(i64::MAX).shown().as_str(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::clamped(i64::MIN).ms(), 0);
    }

    #[test]
    fn what_is_no_rfc_3339_with_a_zone_is_no_instant() {
        let wrong = [
            "",
            "2026-03-10",
            "2026-03-10T15:20:31",
            "2026-03-10 15:20:31Z",
            "2026-03-10T15:20:60Z",
            "2026-03-10T15:60:00Z",
            "2026-03-10T24:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-03-00T00:00:00Z",
            "2026-03-10T15:20Z",
            "2026-03-10T15:20:31.Z",
            "2026-03-10T15:20:31,5Z",
            "2026-03-10T15:20:31+0100",
            "2026-03-10T15:20:31+01",
            "2026-03-10T15:20:31+24:00",
            "2026-03-10T15:20:31+01:60",
            "2026-03-10T15:20:31ZZ",
            " 2026-03-10T15:20:31Z",
            "2026-03-10T15:20:31Z ",
            "+2026-03-10T15:20:31Z",
            "20260310T152031Z",
            "2026-03-10T15:20:31 Z",
            "2026-3-10T15:20:31Z",
            "2026-03-10T15:20:31.5\u{661}Z",
            "-026-03-10T15:20:31Z",
            "1773156060500",
        ];
        for text in wrong {
            check(text, None);
        }
    }

    #[test]
    fn every_day_goes_there_and_back() {
        let last = MS_MAX / DAY_MS;
        for day in (0..=last).step_by(7).chain([last]) {
            let (year, month, date) = civil(day);
            assert_eq!(Date::new(year, month, date).map(days_since_1970), Some(day));
            let jiff = jiff::civil::date(year as i16, month as i8, date as i8).to_string();
            assert_eq!(Timestamp(day * DAY_MS).shown().as_str()[..10], jiff);
        }
    }

    #[test]
    fn a_date_is_written_with_all_its_digits() {
        for (text, expected) in [
            ("2026-09-01", Some("\"2026-09-01\"")),
            ("0001-01-01", Some("\"0001-01-01\"")),
            ("0000-01-01", None),
            ("2026-9-1", None),
            ("2026-09-31", None),
            ("2026-09-01T", None),
            ("2026-09", None),
            ("", None),
        ] {
            let shown = Date::parse(text).map(|date| serde_json::to_string(&date).unwrap());
            assert_eq!(shown.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_instant_has_its_day_in_each_zone() {
        let chicago = TimeZone::get("America/Chicago").unwrap();
        for (instant, expected) in [
            ("2026-09-01T05:00:00Z", "2026-09-01"),
            ("2026-09-01T04:59:59Z", "2026-08-31"),
            ("2027-01-04T06:00:00Z", "2027-01-04"),
            ("9999-12-31T23:59:59Z", "9999-12-31"),
            ("1970-01-01T00:00:00Z", "1969-12-31"),
        ] {
            assert_eq!(Timestamp::parse(instant).unwrap().date_in(&chicago), Date::parse(expected), "{instant}");
        }
    }
}
