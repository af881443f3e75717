//! Replays of a journal in memory, through the relay itself and a Kafka that fails in every way.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::progress::Phase;
use super::*;
use crate::delivery::{Auth, Record};
use crate::envelope::Outgoing;
use crate::event::{Change, Erasure, ErasureReason, Event, Kind, Reason, Scope};
use crate::kafka::Broker;
use crate::metrics::Metrics;
use crate::relay::prepare::Prepare;
use crate::relay::replay::dry::Nowhere;
use crate::relay::tests::{Chance, Model, Virtual};
use crate::relay::{Ended, Limits, Relay, memory, trial};
use crate::timestamp::Timestamp;

const ENDPOINT: &str = "e";
const LIMITS: memory::Limits = memory::Limits { window_ms: 60_000, endpoint_repeat_ms: 60_000, body_repeat_ms: 60_000, entries_max: 1000 };

/// One partition, each record received a second after the one before.
struct Written(Vec<Stored>);

impl Written {
    fn new(bodies: &[String]) -> Arc<Written> {
        let stored = |(offset, body): (usize, &String)| {
            let (vendor, tenant, accept_id) = ("waitwhile", "t", Uuid::now_v7());
            let record =
                Record { accept_id, auth: Auth::Hmac, vendor, tenant, endpoint: ENDPOINT, traceparent: None, body: body.as_bytes() };
            Stored { position: Position { partition: 0, offset: offset as u64 }, received_ms: offset as i64 * 1000, bytes: record.encode() }
        };
        Arc::new(Written(bodies.iter().enumerate().map(stored).collect()))
    }
}

impl Window for Written {
    fn delivered(&self) -> Result<Vec<Position>, ReadError> {
        Ok(vec![Position { partition: 0, offset: self.0.len() as u64 }])
    }

    fn checkpoint_at(&self, partition: i32) -> (String, i32) {
        ("checkpoint".to_owned(), partition)
    }

    fn review(&self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError> {
        let latest_ms = self.0.last().map_or(0, |stored| stored.received_ms);
        let is_in = |stored: &&Stored| {
            let offset = stored.position.offset;
            offset >= past.from && offset < past.until.offset && stored.received_ms >= latest_ms.saturating_sub(past.window_ms)
        };
        let all: Vec<Stored> = self.0.iter().filter(is_in).cloned().collect();
        let _ = all.chunks(3).try_for_each(tell);
        Ok(())
    }
}

/// `kind:id:version`: p a person, v a visit, x its removal; anything else is not understood.
fn normalize(body: &str) -> Result<Event<'_>, Reason> {
    let [kind, id, version] = body.split(':').collect::<Vec<_>>()[..] else { return Err(Reason::UnknownType) };
    let (kind, change) = match kind {
        "p" => (Kind::Person, Change::Updated),
        "v" => (Kind::Visit, Change::Updated),
        _ => (Kind::Visit, Change::Removed),
    };
    let erasure = (change == Change::Removed).then_some(Erasure { scope: Scope::Visit, reason: ErasureReason::Removed });
    let version = version.parse().ok().and_then(Timestamp::from_ms).filter(|_| kind == Kind::Visit);
    Ok(Event { version, erasure, ..Event::new(kind, change, "plain", id.into(), body) })
}

fn prepares() -> Prepare {
    trial::prepare(&[ENDPOINT], "waitwhile", "t", normalize)
}

fn order() -> Order {
    Order { what: What::Window, from_ms: None, to_ms: None, endpoints: Vec::new(), rate: None }
}

/// One life of a replay: from its checkpoint, if there is one.
fn live<B: Broker>(window: &Arc<Written>, plan: Plan, extent: Extent, broker: B, stop: Arc<Stop>) -> (Ended, Arc<Progress>) {
    let progress = Arc::new(Progress::default());
    let mut known = Known::new(window.clone(), prepares(), LIMITS);
    known.catch_up(&stop).unwrap();
    let lens = Arc::new(Lens::new(plan.order.clone(), known, progress.clone()));
    let name = plan.encode().unwrap();
    let course = Course { past: window.clone(), plan, name, from: extent.from, lens: lens.clone(), progress: progress.clone() };
    let source = Replayed::new(course, stop.clone());
    let limits = Limits {
        batch_max: 7,
        batch_wait: Duration::ZERO,
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(8),
        endpoint_unknown_wait_ms: 0,
        memory: LIMITS,
    };
    let clock = Box::new(Virtual(Mutex::new(0)));
    let relay = Relay::new(source, broker, prepares().through(lens), limits, clock, stop, Arc::default(), Arc::new(Metrics::new()));
    (relay.run(), progress)
}

fn begin(window: &Written, order: Order, run: &str) -> (Plan, Extent) {
    let extent = order.extent(window, LIMITS.window_ms, &Stop::default()).unwrap();
    (Plan { run: run.to_owned(), order, until: extent.until.clone() }, extent)
}

/// What stands in the log: the ids, and whether each is marked.
fn ids(log: &[Outgoing]) -> Vec<&str> {
    assert!(log.iter().all(|record| record.headers.contains(&("ce_replayed", "true".into()))));
    log.iter().map(|record| record.key.rsplit('/').next().unwrap()).collect()
}

#[test]
fn over_lives_and_whatever_fails_each_is_there_once_in_order_and_counted_once() {
    let bodies: Vec<String> = (0..40).map(|number| format!("p:{number}:0")).collect();
    let expected: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    for seed in 1..=150 {
        let window = Written::new(&bodies);
        let (plan, extent) = begin(&window, order(), "first");
        let stop = Arc::new(Stop::default());
        let mut model = Model::troubled(seed);
        model.stop_after = Some((1 + Chance(seed).below(6), stop.clone()));
        let kafka = Arc::new(Mutex::new(model));
        let (_, first) = live(&window, plan, extent, kafka.clone(), stop);
        let before = std::mem::take(&mut *kafka.lock().unwrap());
        // Fewer where it ended with a commit in doubt.
        assert!(first.now().tally.published <= before.log.len() as u64, "seed {seed}");

        let checkpoint = before.checkpoint.clone().unwrap();
        let plan = Plan { run: "second".to_owned(), ..Plan::decode(&checkpoint.metadata).unwrap() };
        let extent = plan.rest(&*window, BTreeMap::from([(0, checkpoint.next)]), &Stop::default()).unwrap();
        assert_eq!(extent.records + before.log.len() as u64, 40, "seed {seed}");
        let mut model = Model::troubled(seed + 1000);
        (model.log, model.checkpoint) = (before.log, before.checkpoint);
        *kafka.lock().unwrap() = model;
        let left = extent.records;
        let (ended, second) = live(&window, plan, extent, kafka.clone(), Arc::default());
        assert_eq!((ended, second.now().phase), (Ended::Stopped, Phase::Finished), "seed {seed}");
        assert_eq!(second.now().tally.published, left, "seed {seed}");
        assert_eq!(ids(&kafka.lock().unwrap().log), expected, "seed {seed}");
    }
}

fn check(bodies: &[&str], order: Order, published: &[&str], tally: Value) {
    let window = Written::new(&bodies.iter().map(|body| (*body).to_owned()).collect::<Vec<_>>());
    let (plan, extent) = begin(&window, order.clone(), "run");
    let kafka = Arc::new(Mutex::new(Model::default()));
    let (_, progress) = live(&window, plan, extent, kafka.clone(), Arc::default());
    assert_eq!(ids(&kafka.lock().unwrap().log), published, "{bodies:?}");
    let told = serde_json::to_value(progress.now().tally).unwrap();
    let is_there = |value: &Value| *value != json!(0) && *value != json!({});
    let told: serde_json::Map<String, Value> = told.as_object().unwrap().clone().into_iter().filter(|(_, value)| is_there(value)).collect();
    assert_eq!(Value::Object(told), tally, "{bodies:?}");

    let (plan, extent) = begin(&window, order, "dry");
    let (_, dry) = live(&window, plan, extent, Nowhere, Arc::default());
    assert_eq!(dry.now(), progress.now(), "a dry run counts the same: {bodies:?}");
}

#[test]
fn each_delivery_is_published_or_left_out_for_its_reason() {
    check(&[], order(), &[], json!({}));
    check(&["v:1:5", "v:1:4"], order(), &["1", "1"], json!({"published": 2, "stale": 1}));
    check(&["v:1:4", "v:1:5"], order(), &["1", "1"], json!({"published": 2, "stale": 1}));
    check(&["p:1:0", "p:1:0", "p:2:0"], order(), &["1", "2"], json!({"published": 2, "repeated": 1}));
    check(&["odd", "p:1:0"], order(), &["1"], json!({"published": 1, "dead": {"unknown_type": 1}}));
    check(&["v:1:1", "v:2:1", "x:1:2", "v:1:3"], order(), &["2", "1", "1"], json!({"published": 3, "erased": 1, "stale": 1}));
    check(&["x:1:5", "v:1:3"], order(), &["1"], json!({"published": 1, "erased": 1}));
    let other = Order { endpoints: vec!["other".to_owned()], ..order() };
    check(&["p:1:0", "odd"], other, &[], json!({"unwanted": 2}));
    let middle = Order { from_ms: Some(1000), to_ms: Some(3000), ..order() };
    check(&["p:1:0", "p:2:0", "p:1:0", "p:3:0", "p:4:0"], middle, &["2"], json!({"published": 1, "repeated": 1}));
}

#[test]
fn an_order_ends_where_its_time_and_the_window_do() {
    let window = Written::new(&vec!["p:1:0".to_owned(); 100]);
    for (from_ms, to_ms, from, until, records) in [
        (None, None, 39, 100, 61),
        (Some(0), None, 39, 100, 61),
        (Some(90_000), None, 90, 100, 10),
        (Some(89_001), Some(95_000), 90, 95, 5),
        (None, Some(39_000), 100, 100, 0),
        (Some(100_000), None, 100, 100, 0),
    ] {
        let extent = Order { from_ms, to_ms, ..order() }.extent(&*window, LIMITS.window_ms, &Stop::default()).unwrap();
        let expected = Extent { from: BTreeMap::from([(0, from)]), until: BTreeMap::from([(0, until)]), records };
        assert_eq!(extent, expected, "{from_ms:?} {to_ms:?}");
    }
}

#[test]
fn a_plan_comes_back_from_its_checkpoint_if_that_can_hold_it() {
    let what = What::DeadLetters(Some("not_json".to_owned()));
    let order = Order { what, from_ms: Some(1), to_ms: None, endpoints: vec![ENDPOINT.to_owned()], rate: Some(7) };
    let plan = Plan { run: "run".to_owned(), order, until: BTreeMap::from([(0, 5), (11, u64::MAX)]) };
    assert_eq!(Plan::decode(&plan.encode().unwrap()), Some(plan.clone()));
    let endpoints = vec!["e".repeat(63); 70];
    assert_eq!(Plan { order: Order { endpoints, ..plan.order.clone() }, ..plan }.encode(), None);
    assert_eq!(Plan::decode("0198/7"), None, "the relay's own checkpoint is no plan");
}
