//! WaitlistPlus's deliveries by the rules of contract 6, with the default names of the site's fields.

use serde_json::{Map, Value, json};

use super::super::json::{Json, Node};
use super::said::{ById, Route, Said, Subject, data, entry, key, payload, person, shown_person_id, time_or_null};
use super::values::{added_date, birth_date, id, integer, requested_date, text};
use super::{Accepted, Settings, Shown};

/// Contract 2, `[endpoint.fields]`: our name = the site's.
const MAPPED: [(&str, &str); 6] = [
    ("first_name", "First Name"),
    ("last_name", "Last Name"),
    ("birth_date", "Birthdate"),
    ("email", "Email"),
    ("phone", "Phone #"),
    ("location", "Location"),
];

pub fn said(settings: &Settings, delivery: &Accepted, wrapper: &Node) -> Result<Said, &'static str> {
    let vendor_type = text(wrapper.get("type")).unwrap_or_default();
    let told = wrapper.get("data").ok_or("unknown_shape")?;
    let (event_type, change) = match vendor_type.as_str() {
        "AddPerson" => ("waitlist.person.created.v1", "created"),
        "UpdatePerson" => ("waitlist.person.updated.v1", "updated"),
        "DeletePerson" => ("waitlist.person.removed.v1", "removed"),
        _ => return Err("unknown_type"),
    };
    let own_id = id(told.get("PersonId")).ok_or("missing_id")?;
    let fields = told.get("Fields").filter(|fields| matches!(fields.json, Json::Object(_)));
    let location = mapped(fields, "Location").filter(|name| !name.trim().is_empty());
    let mut said = Said {
        event_id: None,
        account_id: None,
        event_type,
        subject: Subject::Person(own_id.clone()),
        // "WaitlistPlus always receipt."
        wrapper_created_ms: None,
        vendor_version_ms: None,
        person_id: Some(own_id.clone()),
        // "A name is kept as sent; its key is trimmed and lower case; only white space is no location."
        location: location.as_ref().map(|name| name.trim().to_lowercase()),
        route: Route::Person,
        is_told_by_id_only: ById::No,
        erasure: (change == "removed").then_some("person"),
        data: data(delivery, &vendor_type, change),
        payload: payload(settings, told, Route::Person),
        data_bytes: told.bytes.clone(),
        vendor_type,
    };
    said.data["person"] = child(settings, delivery, told, fields, &own_id);
    if let (Some(name), Some(lower)) = (&location, &said.location) {
        said.data["location"] = json!({"key": key(delivery, "location", lower), "id": null, "name": name});
    }
    said.data["fields"] = unmapped(delivery, fields);
    said.data["notes"] = notes(settings, told.get("Notes"));
    let lists = told.get("Waitlists");
    let items = lists.map_or(&[][..], |lists| lists.items());
    let items = items.iter().filter(|item| matches!(item.json, Json::Object(_)));
    said.data["entries"] = items.map(|item| entry_of(delivery, item, change)).collect();
    // "True only if `Waitlists` is an array, and for DeletePerson."
    let is_array = lists.is_some_and(|lists| matches!(lists.json, Json::List(_)));
    said.data["entries_complete"] = json!(is_array || change == "removed");
    if said.erasure.is_some() {
        said.data["erasure"] = json!({"scope": "person", "reason": "deleted"});
    }
    Ok(said)
}

fn mapped(fields: Option<&Node>, name: &str) -> Option<String> {
    text(fields?.get(name))
}

fn child(settings: &Settings, delivery: &Accepted, told: &Node, fields: Option<&Node>, own_id: &str) -> Value {
    let mut child = person(settings, delivery, own_id, "record");
    // "family_id alike."
    child["family_id"] = json!(id(told.get("FamilyPersonId")).map(|id| shown_person_id(settings, delivery, &id)));
    for (ours, theirs) in MAPPED.iter().filter(|(ours, _)| *ours != "location") {
        child[ours] = json!(mapped(fields, theirs));
    }
    let born = mapped(fields, "Birthdate").and_then(|born| birth_date(&born, delivery.endpoint.birth_date_format));
    child["birth_date"] = json!(born);
    // "WaitlistPlus without a mapped `name`: first and last joined by a space."
    let names: Vec<String> = ["First Name", "Last Name"].iter().filter_map(|name| mapped(fields, name)).collect();
    child["name"] = if names.is_empty() { Value::Null } else { json!(names.join(" ")) };
    child["complete"] = json!(fields.is_some());
    child
}

/// "WaitlistPlus fields not mapped, as one-element lists, commas unsplit, `""` and null → `[]`, other JSON as its own bytes; a
/// mapped field that could not be parsed or is no string stays here (a mapped null does not)."
fn unmapped(delivery: &Accepted, fields: Option<&Node>) -> Value {
    let mut unmapped = Map::new();
    for (name, node) in fields.into_iter().flat_map(Node::last_members) {
        let value = match &node.json {
            Json::Null => json!([]),
            Json::Text(text) if text.is_empty() => json!([]),
            Json::Text(text) => json!([text]),
            _ => json!([node.bytes]),
        };
        let is_taken = MAPPED.iter().any(|(ours, theirs)| name == *theirs && is_taken(delivery, ours, node));
        if !is_taken {
            unmapped.insert(name.to_owned(), value);
        }
    }
    Value::Object(unmapped)
}

fn is_taken(delivery: &Accepted, ours: &str, value: &Node) -> bool {
    match (&value.json, ours) {
        (Json::Null, _) => true,
        (Json::Text(text), "birth_date") => text.is_empty() || birth_date(text, delivery.endpoint.birth_date_format).is_some(),
        // "Only white space is no location (it stays in `fields`)."
        (Json::Text(text), "location") => text.is_empty() || !text.trim().is_empty(),
        (Json::Text(_), _) => true,
        _ => false,
    }
}

/// "An item without text skipped; dates like AddedDate."
fn notes(settings: &Settings, notes: Option<&Node>) -> Value {
    if settings.notes == Shown::No {
        return Value::Null;
    }
    let note = |item: &Node| {
        let edited_at = time_or_null(added_date(item.get("LastEditDate")));
        Some(json!({"text": text(item.get("Text"))?, "edited_at": edited_at, "edited_by": text(item.get("LastEditBy"))}))
    };
    notes.map_or(&[][..], |notes| notes.items()).iter().filter_map(note).collect()
}

/// "A WaitlistPlus entry is `waiting`; DeletePerson: `removed`."
fn entry_of(delivery: &Accepted, item: &Node, change: &str) -> Value {
    let mut entry = entry();
    entry["kind"] = json!("waitlist");
    entry["status"] = json!(if change == "removed" { "removed" } else { "waiting" });
    entry["list"] = json!(text(item.get("Name")));
    entry["position"] = json!(integer(item.get("Position")));
    entry["joined_at"] = time_or_null(added_date(item.get("AddedDate")));
    entry["requested_date"] = json!(requested_date(item.get("RequestedDate"), delivery.endpoint.time_zone));
    entry
}
