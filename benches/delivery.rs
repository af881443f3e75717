//! What one delivery costs in the two halves that are ours alone, without HTTP, disk or Kafka: `cargo bench --bench delivery`.
//!
//! `verify` is the proof above the durable line; `prepare` is everything below it up to the Kafka records: decode, normalize,
//! recognise, route, envelope, and what the memory learns. The least of many rounds, on one thread, is printed.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;
use waitbridge::delivery::{Auth, Head, Record};
use waitbridge::journal::{Position, Stored};
use waitbridge::providers::endpoints::{Endpoint, Endpoints};
use waitbridge::relay::memory::{Memory, Staged};
use waitbridge::relay::prepare::Prepare;
use waitbridge::settings;

const SETTINGS: &str = r#"
[relay]
expired_after = "0s"
[[endpoint]]
name = "clinic"
vendor = "waitwhile"
tenant = "acme"
public_urls = ["https://hooks.example.com/webhooks/clinic"]
secret_files = ["SECRET"]
[[endpoint]]
name = "sunshine"
vendor = "waitlistplus"
tenant = "sunshine"
token_sha256 = ["28151a8c44694a7d7260bde2973509a5dc1f99579e9f817184d5af8a9b340b23"]
time_zone = "America/Chicago"
birth_date_format = "M/D/YYYY"
"#;

const SAMPLES: [(&str, &str, &str); 4] = [
    ("visit.updated", "clinic", include_str!("../tests/samples/waitwhile-visit.updated.json")),
    ("location-status.updated", "clinic", include_str!("../tests/samples/waitwhile-location-status.updated.json")),
    ("message.created", "clinic", include_str!("../tests/samples/waitwhile-message.created.json")),
    ("UpdatePerson", "sunshine", include_str!("../tests/samples/waitlistplus-UpdatePerson.json")),
];
const TOKEN: &str = "wb_2f1d7c0a9b8e4d53a1c6e0f7b2d4986c";
const ROUNDS: usize = 200;
const BATCH: u64 = 100;

/// The program's allocator, or the figures would be another's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "whsec_test_0123456789").unwrap();
    let text = SETTINGS.replace("SECRET", secret.path().to_str().unwrap());
    let settings = settings::parse(&text, "bench", settings::no_environment()).unwrap_or_else(|invalid| panic!("{invalid}"));
    let endpoints = Arc::new(Endpoints::new(settings.endpoints));
    let prepare = Prepare::new(settings.prepare, endpoints.clone());
    println!("{:26}{:>8}{:>14}{:>14}", "delivery", "bytes", "verify µs", "prepare µs");
    for (name, endpoint, body) in SAMPLES {
        let endpoint = endpoints.find(endpoint).unwrap();
        let signature = endpoint.provider.sign(body.as_bytes());
        let headers: Vec<(&str, &str)> = signature.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let token = signature.is_empty().then_some(TOKEN);
        let verified = least(|| verify(&endpoint, &Head { token, target: "/", headers: &headers.as_slice() }, body.as_bytes()), 1);
        let batch: Vec<Stored> = (0..BATCH).map(|offset| stored(&endpoint, offset, body)).collect();
        let memory = Memory::new(settings.relay.memory);
        let prepared = least(|| drop(black_box(prepare.batch(&batch, &memory, &mut Staged::default(), |_| false))), BATCH);
        println!("{name:26}{:>8}{:>14.1}{:>14.1}", body.len(), micros(verified), micros(prepared));
    }
}

/// What the ingress asks, of a delivery that is genuine.
fn verify(endpoint: &Endpoint, head: &Head, body: &[u8]) {
    black_box(endpoint.provider.admit(head).expect("it is genuine"));
    if head.token.is_none() {
        black_box(endpoint.provider.verify(head, body).expect("it is genuine"));
    }
}

/// One of many that differ: nothing in the batch repeats.
fn stored(endpoint: &Endpoint, offset: u64, body: &str) -> Stored {
    let mut fresh: Value = serde_json::from_str(body).expect("a sample");
    match fresh.get_mut("id") {
        Some(id) => *id = json!(format!("{offset:020}")),
        None => fresh["data"]["PersonId"] = json!(offset),
    }
    let body = fresh.to_string();
    let (vendor, tenant, endpoint) = (endpoint.vendor, endpoint.tenant.as_str(), endpoint.name.as_str());
    let record = Record { accept_id: Uuid::now_v7(), auth: Auth::Hmac, vendor, tenant, endpoint, traceparent: None, body: body.as_bytes() };
    Stored { position: Position { partition: 0, offset }, received_ms: 1_700_000_000_000 + offset as i64, bytes: record.encode() }
}

/// Of one of `each` that a call does.
fn least(mut call: impl FnMut(), each: u64) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        call();
        started.elapsed()
    });
    rounds.min().expect("there are rounds") / each as u32
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}
