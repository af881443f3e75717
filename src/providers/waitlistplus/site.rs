//! What a WaitlistPlus customer named and chose: field names are free, dates have no zone, and only the settings know.

use jiff::tz::TimeZone;

use crate::table::Table;
use crate::timestamp::Date;

/// One site's names and conventions.
pub struct Site {
    pub names: Names,
    pub added_date_key: String,
    pub requested_date_key: String,
    pub time_zone: Option<TimeZone>,
    pub birth_date_format: Option<BirthDateFormat>,
}

/// How the site calls what we know; an empty name is no field's.
pub struct Names {
    pub first_name: String,
    pub last_name: String,
    pub name: String,
    pub birth_date: String,
    pub email: String,
    pub phone: String,
    pub location: String,
}

impl Site {
    pub fn read(table: &mut Table) -> Site {
        let formats = [
            ("", None),
            ("M/D/YYYY", Some(BirthDateFormat::MonthDayYear)),
            ("D/M/YYYY", Some(BirthDateFormat::DayMonthYear)),
            ("YYYY-MM-DD", Some(BirthDateFormat::YearMonthDay)),
        ];
        Site {
            time_zone: time_zone(table),
            birth_date_format: table.choice("birth_date_format", &formats, None),
            added_date_key: table.text("added_date_key", "AddedDate"),
            requested_date_key: table.text("requested_date_key", "RequestedDate"),
            names: Names::read(table.table("fields")),
        }
    }
}

fn time_zone(table: &mut Table) -> Option<TimeZone> {
    let name = table.optional_text("time_zone").filter(|name| !name.is_empty())?;
    let zone = TimeZone::get(&name).ok();
    if zone.is_none() {
        table.mistake("time_zone", "must be an IANA name such as \"America/Chicago\", or \"\"");
    }
    zone
}

impl Names {
    fn read(mut table: Table) -> Names {
        let names = Names {
            first_name: table.text("first_name", "First Name"),
            last_name: table.text("last_name", "Last Name"),
            name: table.text("name", ""),
            birth_date: table.text("birth_date", "Birthdate"),
            email: table.text("email", "Email"),
            phone: table.text("phone", "Phone #"),
            location: table.text("location", "Location"),
        };
        table.finish();
        names
    }
}

/// The order of a birth date's parts, leading zeros or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BirthDateFormat {
    MonthDayYear,
    DayMonthYear,
    YearMonthDay,
}

impl BirthDateFormat {
    pub fn parse(self, text: &str) -> Option<Date> {
        let mark = if self == BirthDateFormat::YearMonthDay { '-' } else { '/' };
        let mut parts = text.split(mark);
        let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        match self {
            BirthDateFormat::MonthDayYear => Date::new(year(third)?, one_or_two(first)?, one_or_two(second)?),
            BirthDateFormat::DayMonthYear => Date::new(year(third)?, one_or_two(second)?, one_or_two(first)?),
            BirthDateFormat::YearMonthDay => Date::new(year(first)?, one_or_two(second)?, one_or_two(third)?),
        }
    }
}

fn year(text: &str) -> Option<i64> {
    digits(text).filter(|_| text.len() == 4)
}

fn one_or_two(text: &str) -> Option<i64> {
    digits(text).filter(|_| text.len() <= 2)
}

fn digits(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
