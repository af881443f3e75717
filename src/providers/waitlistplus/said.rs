//! What a WaitlistPlus body says: a person, with all lists that the person is on.
//!
//! There is no event id, no time and no version: the relay's receipt time has to do. Knows no secret and no tenant.

use super::site::Site;
use crate::event::{
    Change, Entry, EntryKind, EntryStatus, Erasure, ErasureReason, Event, Identity, Kind, Location, Note, Person, Reason, Scope, Text,
};
use crate::providers::json::{Object, Value, Wrapper};
use crate::providers::payload::payload;
use crate::providers::{Carry, Rules};
use crate::timestamp::{Date, Timestamp, Written};

const TYPES: &[(&str, Change)] = &[("AddPerson", Change::Created), ("UpdatePerson", Change::Updated), ("DeletePerson", Change::Removed)];

pub fn event<'a>(body: &'a str, site: &Site, rules: &Rules) -> Result<Event<'a>, Reason> {
    let wrapper = Wrapper::read(body)?;
    let known = TYPES.iter().find(|(vendor_type, _)| *vendor_type == wrapper.vendor_type);
    let &(vendor_type, change) = known.ok_or(Reason::UnknownType)?;
    let data = &wrapper.data;
    let id = data.id("PersonId").ok_or(Reason::MissingId)?;
    let lists = data.get("Waitlists").and_then(Value::list);
    let bare = Event {
        entries_complete: change == Change::Removed || lists.is_some(),
        entries: entries(lists.unwrap_or_default(), change, site),
        notes: (rules.notes == Carry::On).then(|| notes(data)),
        erasure: (change == Change::Removed).then_some(Erasure { scope: Scope::Person, reason: ErasureReason::Deleted }),
        payload: payload(data, Kind::Person, rules),
        ..Event::new(Kind::Person, change, vendor_type, id.clone(), data.bytes())
    };
    let person = Person { family_id: data.id("FamilyPersonId"), ..Person::new(id, Identity::Record) };
    Ok(match data.object("Fields") {
        Some(fields) => with_fields(bare, person, fields, site),
        None => Event { person: Some(person), ..bare },
    })
}

/// Takes what the site's names tell out of the fields; what is left stays a field.
fn with_fields<'a>(bare: Event<'a>, person: Person<'a>, fields: Object<'a>, site: &Site) -> Event<'a> {
    let names = &site.names;
    let mut fields = Fields { all: fields.distinct(), taken: Vec::new() };
    let first_name = fields.take(&names.first_name, Value::text);
    let last_name = fields.take(&names.last_name, Value::text);
    let name = fields.take(&names.name, Value::text).or_else(|| joined(first_name.as_deref(), last_name.as_deref()));
    let person = Person {
        name,
        first_name,
        last_name,
        email: fields.take(&names.email, Value::text),
        phone: fields.take(&names.phone, Value::text),
        birth_date: fields.take(&names.birth_date, |value| site.birth_date_format?.parse(&value.text()?)),
        complete: true,
        ..person
    };
    let name = fields.take(&names.location, |value| value.text().filter(|name| !name.trim().is_empty()));
    let location = name.map(|name| Location { id: None, name: Some(name) });
    Event { person: Some(person), location, fields: fields.rest(), ..bare }
}

fn joined<'a>(first: Option<&str>, last: Option<&str>) -> Option<Text<'a>> {
    match (first, last) {
        (Some(first), Some(last)) => Some(Text::Owned(format!("{first} {last}"))),
        (one, other) => one.or(other).map(|name| Text::Owned(name.to_owned())),
    }
}

/// The site's fields, some of which have been taken to their places in the common model.
struct Fields<'a> {
    all: Vec<(Text<'a>, Value<'a>)>,
    /// Of `all`, the indices.
    taken: Vec<usize>,
}

impl<'a> Fields<'a> {
    /// What `read` makes of the field of this name. One that it cannot read stays, unless there is nothing in it.
    fn take<T>(&mut self, name: &str, read: impl Fn(Value<'a>) -> Option<T>) -> Option<T> {
        let index = self.all.iter().position(|(key, _)| !name.is_empty() && key == name)?;
        let value = self.all[index].1;
        let result = read(value);
        if result.is_some() || is_nothing(value) {
            self.taken.push(index);
        }
        result
    }

    fn rest(self) -> Vec<(Text<'a>, Vec<Text<'a>>)> {
        let Fields { all, taken } = self;
        let left = all.into_iter().enumerate().filter(|(index, _)| !taken.contains(index));
        left.map(|(_, (key, value))| (key, shown(value))).collect()
    }
}

fn is_nothing(value: Value) -> bool {
    value.is_null() || value.string().is_some_and(|text| text.is_empty())
}

/// A string as it is, its commas unsplit; anything else as its own bytes.
fn shown(value: Value) -> Vec<Text> {
    if is_nothing(value) { Vec::new() } else { vec![value.string().unwrap_or(Text::Borrowed(value.bytes()))] }
}

fn entries<'a>(lists: Vec<Value<'a>>, change: Change, site: &Site) -> Vec<Entry<'a>> {
    let status = if change == Change::Removed { EntryStatus::Removed } else { EntryStatus::Waiting };
    let entry = |list: Object<'a>| Entry {
        list: list.text("Name"),
        position: list.int("Position"),
        joined_at: list.get(&site.added_date_key).and_then(utc),
        requested_date: list.get(&site.requested_date_key).and_then(|value| date(value, site)),
        ..Entry::new(EntryKind::Waitlist, status)
    };
    lists.into_iter().filter_map(Value::object).map(entry).collect()
}

fn notes<'a>(data: &Object<'a>) -> Vec<Note<'a>> {
    let note = |note: Object<'a>| {
        Some(Note { text: note.text("Text")?, edited_at: note.get("LastEditDate").and_then(utc), edited_by: note.text("LastEditBy") })
    };
    data.list("Notes").into_iter().filter_map(Value::object).filter_map(note).collect()
}

/// The vendor writes UTC and leaves out the zone.
fn utc(value: Value) -> Option<Timestamp> {
    value.time().or_else(|| unzoned(value))
}

fn unzoned(value: Value) -> Option<Timestamp> {
    let written = Written::parse(&value.string()?).filter(|written| written.offset_ms.is_none())?;
    written.instant(0)
}

/// A day as written; of a time without a zone the day that it is at the site.
fn date(value: Value, site: &Site) -> Option<Date> {
    let text = value.string();
    let written = text.as_deref().and_then(Written::parse);
    let date = match (text.as_deref().and_then(Date::parse), written) {
        (Some(day), _) => Some(day),
        (None, Some(Written { date, offset_ms: Some(_), .. })) => value.time().map(|_| date),
        _ => utc(value)?.date_in(site.time_zone.as_ref()?),
    };
    date.filter(|date| date.year() >= 1970)
}
