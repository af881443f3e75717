//! A record as one line for people, or as one line of JSON; masked both.

use serde_json::{Map, Value, json};

use super::mask::masked;
use super::view::{Event, View};
use crate::cli::show::{Color, Paint};
use crate::kafka::follow::Followed;

const DEAD_LETTER: &str = "dead letter";
const FOREIGN: &str = "not waitbridge's";

/// When it was received, what it is, its key, and what it says in a few words.
pub fn line(record: &Followed, paint: Paint) -> String {
    let shown =
        |time: &str, kind: &str, gist: String| format!("{} {kind:18} {}  {gist}", paint.paint(Color::Dim, &clock(time)), record.key);
    match View::of(record) {
        View::Event(event) => shown(event.attribute("receivedtime"), kind(event.attribute("type")), gist(&event, paint)),
        View::DeadLetter => {
            let (reason, bytes) = (record.header("wb_reason").unwrap_or_default(), record.value.as_ref().map_or(0, Vec::len));
            shown(
                record.header("wb_receivedtime").unwrap_or_default(),
                DEAD_LETTER,
                paint.paint(Color::Red, &format!("{reason}, {bytes} bytes")),
            )
        }
        View::Foreign => shown("", FOREIGN, String::new()),
    }
}

/// `2026-03-10T15:20:31.212Z` as `2026-03-10 15:20:31`.
fn clock(time: &str) -> String {
    time.get(..19).unwrap_or("                   ").replace('T', " ")
}

/// `waitlist.visit.created.v1` as `visit.created`.
pub fn kind(event_type: &str) -> &str {
    let inner = event_type.strip_prefix("waitlist.").and_then(|rest| rest.rsplit_once(".v"));
    inner.map_or(event_type, |(kind, _)| kind)
}

/// The same of a record.
pub fn kind_of(record: &Followed) -> String {
    match View::of(record) {
        View::Event(event) => kind(event.attribute("type")).to_owned(),
        View::DeadLetter => DEAD_LETTER.to_owned(),
        View::Foreign => FOREIGN.to_owned(),
    }
}

fn gist(event: &Event, paint: Paint) -> String {
    let data = masked(&event.data);
    let told = [entries(&data), location_status(&data), message(&data), person(&data), version(event)].into_iter().flatten();
    let marks = marks(event).into_iter().map(|mark| paint.paint(Color::Yellow, &mark));
    // First, so that a narrow terminal shows them.
    marks.chain(told).collect::<Vec<_>>().join(" · ")
}

/// What the status does not say by itself.
const TAGS_TOLD: &[&str] = &["ARRIVED", "ALERTED", "CONFIRMED"];

fn entries(data: &Value) -> Option<String> {
    let entries = data["entries"].as_array().filter(|entries| !entries.is_empty())?;
    let words = entries.iter().map(|entry| {
        let status = entry["status"].as_str().unwrap_or_default().to_owned();
        let list = entry["list"].as_str().map(|list| format!(" on {list}"));
        let position = entry["position"].as_i64().map(|position| format!(" #{position}"));
        let told = entry["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|tag| TAGS_TOLD.contains(tag));
        let tags = told.map(|tag| format!(", {}", tag.to_lowercase())).collect();
        let starts = entry["starts_local"].as_str().map(|starts| format!(" for {}", starts.replace('T', " ")));
        [Some(status), list, position, starts, Some(tags)].into_iter().flatten().collect::<String>()
    });
    Some(words.collect::<Vec<_>>().join(", "))
}

fn location_status(data: &Value) -> Option<String> {
    let status = data["status"].as_object()?;
    let open = status["open"].as_bool().map(|open| if open { "open" } else { "closed" }.to_owned());
    let count = |key: &str| status.get(key)?.as_i64().map(|count| format!("{count} {key}"));
    Some([open, count("waiting"), count("serving")].into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn message(data: &Value) -> Option<String> {
    let message = data["message"].as_object()?;
    let text = |key: &str| message.get(key).and_then(Value::as_str);
    Some(["channel", "direction", "status"].into_iter().filter_map(text).collect::<Vec<_>>().join(" "))
}

fn person(data: &Value) -> Option<String> {
    let person = &data["person"];
    let whole = person["name"].as_str().map(str::to_owned);
    let parts = || ["first_name", "last_name"].into_iter().filter_map(|part| person[part].as_str()).collect::<Vec<_>>().join(" ");
    whole.or_else(|| Some(parts())).filter(|name| !name.is_empty())
}

/// Where it is more than the time of receipt.
fn version(event: &Event) -> Option<String> {
    let version = event.data["version"].as_str().filter(|_| event.data["time_basis"] == "vendor")?;
    let is_today = version.get(..10) == event.attribute("receivedtime").get(..10);
    Some(format!("version {}", if is_today { version.get(11..23)? } else { version }))
}

fn marks(event: &Event) -> Vec<String> {
    let simple = ["stale", "replayed"].into_iter().filter(|name| event.has_mark(name)).map(str::to_owned);
    let erasure = event.attributes.get("erasure").map(|scope| format!("erase the {scope}"));
    simple.chain(erasure).collect()
}

/// For scripts: where it stands, what it is, and its data with personal values masked.
pub fn json_line(record: &Followed) -> Value {
    let mut line = json!({
        "topic": record.topic, "partition": record.partition, "offset": record.offset, "key": record.key,
        "value_bytes": record.value.as_ref().map(Vec::len),
    });
    match View::of(record) {
        View::Event(event) => {
            line["attributes"] = json!(event.attributes);
            line["data"] = masked(&event.data);
        }
        View::DeadLetter => {
            line["headers"] = record.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>().into()
        }
        View::Foreign => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(attributes: &[(&str, &str)], data: Value) -> Followed {
        let headers = attributes.iter().map(|(name, value)| (format!("ce_{name}"), (*value).to_owned()));
        let json = ("content-type".to_owned(), "application/json".to_owned());
        Followed {
            key: "K".to_owned(),
            headers: headers.chain([json]).collect(),
            value: Some(data.to_string().into_bytes()),
            ..Followed::default()
        }
    }

    fn check(kind: &str, marks: &[(&str, &str)], data: Value, expected: &str) {
        let common = [("type", kind), ("receivedtime", "2026-03-10T15:20:31.507Z")];
        assert_eq!(line(&event(&[&common, marks].concat(), data), Paint::Plain), format!("2026-03-10 15:20:31 {expected}"));
    }

    #[test]
    fn an_event_is_one_line_without_a_personal_value() {
        check(
            "waitlist.visit.updated.v1",
            &[("stale", "true")],
            json!({"entries": [{"status": "serving", "position": 1, "tags": ["ALERTED", "by phone"]}],
                "person": {"name": "Robin Vale"}, "time_basis": "vendor", "version": "2026-03-10T15:10:31.212Z"}),
            "visit.updated      K  stale · serving #1, alerted · R… V… · version 15:10:31.212",
        );
        check(
            "waitlist.person.removed.v1",
            &[("erasure", "person"), ("replayed", "true")],
            json!({"entries": [{"status": "removed", "list": "Infants"}, {"status": "removed", "list": "Toddlers"}],
                "person": {"first_name": "Jack", "last_name": "Sparrow"}, "time_basis": "receipt", "version": "2026-03-10T15:20:31.507Z"}),
            "person.removed     K  replayed · erase the person · removed on Infants, removed on Toddlers · J… S…",
        );
        check(
            "waitlist.visit.created.v1",
            &[],
            json!({"entries": [{"status": "booked", "starts_local": "2026-03-12T14:30"}], "time_basis": "vendor",
                "version": "2026-03-01T10:00:00.000Z"}),
            "visit.created      K  booked for 2026-03-12 14:30 · version 2026-03-01T10:00:00.000Z",
        );
        check(
            "waitlist.location.updated.v1",
            &[],
            json!({"entries": [], "status": {"open": true, "waiting": 7, "serving": 3, "wait_seconds": null}}),
            "location.updated   K  open, 7 waiting, 3 serving",
        );
        check(
            "waitlist.message.updated.v1",
            &[],
            json!({"message": {"channel": "SMS", "direction": "outbound", "status": "delivered", "body": "You are next"}}),
            "message.updated    K  SMS outbound delivered",
        );
        check("waitlist.visit.updated.v1", &[], json!([1]), "visit.updated      K  ");
    }

    #[test]
    fn a_structured_event_is_shown_like_a_binary_one() {
        let data = json!({"entries": [{"status": "waiting"}], "time_basis": "receipt"});
        let binary = event(&[("type", "waitlist.person.created.v1"), ("receivedtime", "2026-03-10T15:20:31.507Z")], data.clone());
        let whole = json!({"type": "waitlist.person.created.v1", "receivedtime": "2026-03-10T15:20:31.507Z", "data": data});
        let content_type = ("content-type".to_owned(), "application/cloudevents+json".to_owned());
        let structured = Followed { headers: vec![content_type], value: Some(whole.to_string().into_bytes()), ..binary.clone() };
        assert_eq!(line(&structured, Paint::Plain), line(&binary, Paint::Plain));
        assert_eq!(json_line(&structured)["data"], json_line(&binary)["data"]);
    }

    #[test]
    fn of_a_dead_letter_only_reason_and_size_are_shown() {
        let headers = [("wb_reason", "not_json"), ("wb_receivedtime", "2026-03-10T15:20:31.507Z")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let record = Followed { key: "K".to_owned(), headers, value: Some(b"{Robin".to_vec()), ..Followed::default() };
        assert_eq!(line(&record, Paint::Plain), "2026-03-10 15:20:31 dead letter        K  not_json, 6 bytes");
        assert!(!json_line(&record).to_string().contains("Robin"));
    }

    #[test]
    fn what_is_not_ours_is_not_taken_for_an_event() {
        let record = Followed { value: Some(b"Robin".to_vec()), ..Followed::default() };
        assert_eq!(line(&record, Paint::Plain).trim(), "not waitbridge's");
        assert!(!json_line(&record).to_string().contains("Robin"));
    }
}
