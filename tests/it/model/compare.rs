//! The model's expectations held against what came out: every record, key, header, field and counter.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::expect::{Accepted, Mode, Omitted, Outcome, Published, Stale, Topic, Window, expect};
use super::json::{self, Json, Node};
use super::run::{Run, accept_id};
use crate::reader::Record;

const SHOWN_MAX: usize = 5;

/// How often each thing happened: by the series of the counter that counts it, or by a name of ours.
pub type Counts = BTreeMap<String, u64>;

/// Fails with the first differences; gives what happened, counted or not.
pub fn compare(run: &Run) -> Counts {
    let mut by_accept_id: HashMap<String, Vec<&Record>> = HashMap::new();
    run.records.iter().for_each(|record| by_accept_id.entry(accept_id(record)).or_default().push(record));
    let (mut window, mut wrong) = (Window::default(), Vec::new());
    let (mut counts, mut uncounted) = (Counts::new(), Counts::new());
    let mut order: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for delivery in run.accepted() {
        let outcome = expect(&run.settings, &mut window, &delivery);
        let records = by_accept_id.remove(delivery.accept_id).unwrap_or_default();
        if let Err(what) = is_as_expected(run, &outcome, &records) {
            wrong.push(explained(run, &delivery, &outcome, &records, &what));
        }
        count(run, &delivery, &outcome, &mut counts);
        uncounted_of(&outcome).for_each(|what| *uncounted.entry(what).or_default() += 1);
        for place in places(run, &outcome) {
            order.entry(place).or_default().push(delivery.accept_id.to_owned());
        }
    }
    wrong.extend(by_accept_id.into_keys().map(|stranger| format!("nobody sent {stranger}")));
    let first: Vec<String> = wrong.iter().take(SHOWN_MAX).cloned().collect();
    assert!(wrong.is_empty(), "seed {}: {} of {} differ\n{}", run.seed, wrong.len(), run.sent.len(), first.join("\n\n"));
    assert_eq!(order_read(run), order, "seed {}: each key in accept order", run.seed);
    // A counter lives as long as its process.
    if run.lives == 1 {
        counters_are(run, &counts);
    }
    counts.extend(uncounted);
    counts
}

/// What no counter tells, and a generator could cease to cover.
fn uncounted_of(outcome: &Outcome) -> impl Iterator<Item = String> {
    let of = |published: &Published| {
        let (data, subject) = (&published.data, published.attributes.iter().find(|(name, _)| name == "ce_subject"));
        let subject = subject.and_then(|(_, subject)| subject.split('/').next()).unwrap_or_default();
        let has = |name: &str| published.attributes.iter().any(|(known, _)| known == name);
        let is_by_id = data["entries"][0]["kind"] == "unknown";
        let key_at = |topic, part: &str| published.places.iter().any(|(at, key)| *at == topic && key.contains(part));
        [
            data["erasure"]["reason"].as_str().map(|reason| format!("erasure {reason}")),
            (published.stale == Stale::Yes).then(|| format!("stale {subject}")),
            (data["vendor"] == "waitwhile").then(|| format!("waitwhile by {}", data["time_basis"])),
            has("traceparent").then(|| "traceparent".to_owned()),
            (data["person"].is_null() && key_at(Topic::Person, "/person/")).then(|| format!("{subject} keyed by the person of its visit")),
            (is_by_id && key_at(Topic::Location, "/location/")).then(|| "by id, placed as its last".to_owned()),
            data["person"]["birth_date"].as_str().map(|_| "birth date".to_owned()),
        ]
    };
    let published = match outcome {
        Outcome::Published(published) => Some(of(published)),
        _ => None,
    };
    published.into_iter().flatten().flatten()
}

fn is_as_expected(run: &Run, outcome: &Outcome, records: &[&Record]) -> Result<(), String> {
    match (outcome, records) {
        (Outcome::Repeat { .. }, []) => Ok(()),
        (Outcome::DeadLetter { key, value, headers, .. }, [record]) => {
            same("topic", &record.topic, &run.topics.dead_letter)?;
            same("key", &record.key.as_deref(), &Some(key.as_str()))?;
            same("headers", &sorted(&record.headers), &sorted(headers))?;
            same("body", &record.value, value)
        }
        (Outcome::Published(published), _) if records.len() == published.places.len() => {
            published.places.iter().try_for_each(|(topic, key)| is_published(run, published, *topic, key, records))
        }
        _ => Err(format!("{} records", records.len())),
    }
}

fn is_published(run: &Run, published: &Published, topic: Topic, key: &str, records: &[&Record]) -> Result<(), String> {
    let record = records.iter().find(|record| record.topic == run.topic_name(topic)).ok_or(format!("none on {topic:?}"))?;
    same("key", &record.key.as_deref(), &Some(key))?;
    let text = String::from_utf8(record.value.clone().unwrap_or_default()).map_err(|error| error.to_string())?;
    if text.len() > run.settings.value_max {
        return Err(format!("{} bytes", text.len()));
    }
    let value = json::parse(&json::without_lone_surrogates(&text)).ok_or("the value is no JSON")?;
    match run.settings.envelope {
        Mode::Binary => {
            let content_type = ("content-type".to_owned(), "application/json".to_owned());
            same("headers", &sorted(&record.headers), &sorted(&[&published.attributes[..], &[content_type]].concat()))?;
            is_data(published, &value)
        }
        Mode::Structured => {
            same("headers", &sorted(&record.headers), &vec![("content-type".into(), "application/cloudevents+json".into())])?;
            let mut attributes: Map<String, Value> = published.attributes.iter().map(structured).collect();
            attributes.insert("datacontenttype".to_owned(), Value::from("application/json"));
            same("attributes", &without(&value, "data")?, &Value::Object(attributes))?;
            is_data(published, value.get("data").ok_or("no data")?)
        }
    }
}

/// "The same attributes without `ce_`, … all as text."
fn structured((name, value): &(String, String)) -> (String, Value) {
    (name.trim_start_matches("ce_").to_owned(), Value::from(value.as_str()))
}

fn is_data(published: &Published, data: &Node) -> Result<(), String> {
    let mut expected = published.data.clone();
    expected.as_object_mut().ok_or("the model's data is an object")?.remove("payload");
    same_data("data", &without(data, "payload")?, &expected)?;
    let payload = data.get("payload").ok_or("no key payload")?;
    let members = payload.members().iter().map(|member| (member.key_bytes.clone(), member.value.bytes.clone()));
    same("payload", &(payload.json != Json::Null).then(|| members.collect::<Vec<_>>()), &published.payload)
}

/// All members but one; no key may come twice.
fn without(object: &Node, key: &str) -> Result<Value, String> {
    let mut all = Map::new();
    for member in object.members().iter().filter(|member| member.key != key) {
        let value = has_unique_keys(&member.value).then(|| serde_json::from_str(&member.value.bytes).ok()).flatten();
        let value = value.ok_or(format!("{} is no JSON, or has equal keys", member.key))?;
        if all.insert(member.key.clone(), value).is_some() {
            return Err(format!("{} comes twice", member.key));
        }
    }
    Ok(Value::Object(all))
}

fn has_unique_keys(node: &Node) -> bool {
    node.last_members().count() == node.members().len()
        && node.members().iter().map(|member| &member.value).chain(node.items()).all(has_unique_keys)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}\n   found    {found:?}\n   expected {expected:?}")) }
}

/// Names the field that differs.
fn same_data(path: &str, found: &Value, expected: &Value) -> Result<(), String> {
    match (found, expected) {
        (Value::Object(ours), Value::Object(theirs)) if ours.keys().eq(theirs.keys()) => {
            ours.iter().try_for_each(|(key, value)| same_data(&format!("{path}.{key}"), value, &theirs[key]))
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            ours.iter().zip(theirs).try_for_each(|(ours, theirs)| same_data(&format!("{path}[]"), ours, theirs))
        }
        _ => same(path, found, expected),
    }
}

fn sorted(headers: &[(String, String)]) -> Vec<(String, String)> {
    let mut headers = headers.to_vec();
    headers.sort();
    headers
}

fn explained(run: &Run, delivery: &Accepted, outcome: &Outcome, records: &[&Record], what: &str) -> String {
    let kind = match outcome {
        Outcome::Published(_) => "published".to_owned(),
        Outcome::DeadLetter { reason, .. } => format!("dead letter {reason}"),
        Outcome::Repeat { basis } => format!("repeat {basis}"),
    };
    let at = run.sent.iter().position(|sent| sent.accept_id == delivery.accept_id).unwrap_or_default();
    let body: String = String::from_utf8_lossy(delivery.body).chars().take(2500).collect();
    let found: Vec<&str> = records.iter().map(|record| record.header("wb_reason").unwrap_or("published")).collect();
    format!("delivery {at} through {}, expected {kind}, found {found:?}: {what}\n{body}", delivery.endpoint.name)
}

fn places(run: &Run, outcome: &Outcome) -> Vec<(String, String)> {
    match outcome {
        Outcome::Published(published) => {
            published.places.iter().map(|(topic, key)| (run.topic_name(*topic).to_owned(), key.clone())).collect()
        }
        Outcome::DeadLetter { key, .. } => vec![(run.topics.dead_letter.clone(), key.clone())],
        Outcome::Repeat { .. } => vec![],
    }
}

/// A key has one partition, in which the reader keeps the order.
fn order_read(run: &Run) -> BTreeMap<(String, String), Vec<String>> {
    let mut order: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for record in &run.records {
        let place = (record.topic.clone(), record.key.clone().unwrap_or_default());
        order.entry(place).or_default().push(accept_id(record));
    }
    order
}

fn count(run: &Run, delivery: &Accepted, outcome: &Outcome, counts: &mut Counts) {
    let vendor = delivery.endpoint.vendor.name();
    let mut add = |series: String| *counts.entry(format!("waitbridge_{series}")).or_default() += 1;
    match outcome {
        Outcome::Repeat { basis } => add(format!("events_repeated_total{{basis=\"{basis}\",vendor=\"{vendor}\"}}")),
        Outcome::DeadLetter { reason, .. } => add(format!("dead_letters_total{{reason=\"{reason}\",vendor=\"{vendor}\"}}")),
        Outcome::Published(published) => {
            for (topic, _) in &published.places {
                let topic = run.topic_name(*topic);
                add(format!("events_published_total{{topic=\"{topic}\",type=\"{}\"}}", published.event_type));
            }
            if published.stale == Stale::Yes {
                add(format!("events_stale_total{{vendor=\"{vendor}\"}}"));
            }
            if published.omitted == Omitted::Yes {
                add(format!("payloads_omitted_total{{vendor=\"{vendor}\"}}"));
            }
        }
    }
}

/// The five counters tell the model's counts, and nothing else.
fn counters_are(run: &Run, counts: &Counts) {
    const COUNTERS: [&str; 5] =
        ["events_published_total", "events_repeated_total", "events_stale_total", "dead_letters_total", "payloads_omitted_total"];
    let page = String::from_utf8(run.page("/metrics")).expect("text");
    let is_counted = |line: &&str| COUNTERS.iter().any(|name| line.starts_with(&format!("waitbridge_{name}{{")));
    let told: Counts = page
        .lines()
        .filter(is_counted)
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, value)| (series.to_owned(), value.parse().expect("a count")))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(&told, counts, "seed {}", run.seed);
}
