//! What every body must come to, whatever it holds: records that keep the rules of the envelope, or a dead letter, and
//! the same ones each time.

use std::sync::{Arc, LazyLock};

use jsonschema::Validator;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;
use waitbridge::delivery::{Auth, Record};
use waitbridge::envelope::{Outgoing, SCHEMA};
use waitbridge::journal::{Position, Stored};
use waitbridge::providers::endpoints::Endpoints;
use waitbridge::relay::memory::{self, Memory, Staged};
use waitbridge::relay::prepare::Prepare;

use crate::settings;

/// Three ways to carry a body on: all of it, as little as can be, and the contract's own.
const VARIANTS: [&str; 3] = [
    "[privacy]\npayload = \"full\"\nnotes = true\nmessage_bodies = true\n[relay]\nexpired_after = \"0s\"\n\
        [envelope]\nmode = \"structured\"\n",
    "[privacy]\npayload = \"none\"\n[relay]\nexpired_after = \"0s\"\njson_depth_max = 8\nvalue_max = \"10KiB\"\n",
    "",
];
const RECEIVED_MS: i64 = 1_773_156_060_500;
const DEAD_LETTER_TOPIC: &str = "waitlist.deadletter.v1";
const HEADERS: &[&str] = &[
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_subject",
    "ce_time",
    "ce_dataschema",
    "ce_sequence",
    "ce_receivedtime",
    "ce_acceptid",
    "ce_vendor",
    "ce_tenant",
    "ce_endpoint",
    "ce_auth",
    "content-type",
];
const DEAD_LETTER_HEADERS: &[&str] = &["wb_reason", "wb_vendor", "wb_tenant", "wb_endpoint", "wb_acceptid", "wb_receivedtime"];

static ROOMS: LazyLock<Vec<Room>> = LazyLock::new(|| VARIANTS.iter().map(|variant| Room::new(variant)).collect());
/// What we write ourselves has no key that the schema does not know.
static CLOSED: LazyLock<Validator> = LazyLock::new(|| {
    let schema = SCHEMA.replace(r#""additionalProperties": true"#, r#""additionalProperties": false"#);
    jsonschema::options().should_validate_formats(true).build(&serde_json::from_str(&schema).unwrap()).expect("a schema")
});

/// The part of the relay that knows no Kafka, under some settings.
struct Room {
    prepare: Prepare,
    limits: memory::Limits,
}

impl Room {
    fn new(variant: &str) -> Room {
        let settings = settings(variant);
        let endpoints = Arc::new(Endpoints::new(settings.endpoints));
        Room { prepare: Prepare::new(settings.prepare, endpoints), limits: settings.relay.memory }
    }

    fn records(&self, vendor: &str, body: &[u8]) -> Vec<Outgoing> {
        let (tenant, endpoint, auth) = match vendor {
            "waitwhile" => ("acme", "waitwhile", Auth::Hmac),
            _ => ("sunshine", "sunshine", Auth::Token),
        };
        let accept_id = Uuid::from_u128(0x0195_b3f0_0000_7000_8000_0000_0000_002a);
        let record = Record { accept_id, auth, vendor, tenant, endpoint, traceparent: None, body };
        assert_eq!(Record::decode(&record.encode()), Some(record.clone()), "the journal gives back what it was given");
        let stored = Stored { position: Position { partition: 0, offset: 7 }, received_ms: RECEIVED_MS, bytes: record.encode() };
        self.prepare.batch(&[stored], &Memory::new(self.limits), &mut Staged::default(), |_| false).records
    }
}

/// A panic of the product ends the run, although `Prepare` would catch it: libFuzzer's hook comes first.
pub fn check(vendor: &str, body: &[u8]) {
    let room = &ROOMS[body.len() % VARIANTS.len()];
    let records = room.records(vendor, body);
    assert!(!records.is_empty(), "nothing is dropped: it is the first of its kind");
    assert!(records == room.records(vendor, body), "the same again");
    records.iter().for_each(|record| check_record(record, body));
}

fn check_record(record: &Outgoing, body: &[u8]) {
    assert!(
        !record.key.is_empty() && record.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-%/".contains(&byte)),
        "{}",
        record.key
    );
    let names: Vec<&str> = record.headers.iter().map(|(name, _)| *name).collect();
    if &*record.topic == DEAD_LETTER_TOPIC {
        assert_eq!(names, DEAD_LETTER_HEADERS);
        assert!(record.value.as_ref().is_none_or(|value| value == body), "a dead letter holds the body as received");
        return;
    }
    let bytes = record.value.as_ref().expect("a value");
    serde_json::from_slice::<&RawValue>(bytes).expect("UTF-8, JSON");
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        // The payload keeps the vendor's own `5e920`: JSON sets no bound, this reader does.
        Err(error) if error.to_string().starts_with("number out of range") => return,
        Err(error) => panic!("{error}"),
    };
    let data = if names == ["content-type"] { &value["data"] } else { &value };
    match names.as_slice() {
        ["content-type"] => assert!(HEADERS.iter().filter_map(|name| name.strip_prefix("ce_")).all(|name| value[name].is_string())),
        names => assert!(HEADERS.iter().all(|name| names.contains(name)), "{names:?}"),
    }
    if let Some(error) = CLOSED.iter_errors(data).next() {
        panic!("{}: {error}", error.instance_path());
    }
}
