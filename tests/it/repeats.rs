//! What comes again, comes late or names no person, on the real program and a real Kafka, over lives of the program.

use std::time::Duration;

use serde_json::json;
use waitbridge::providers::waitwhile::{SIGNATURE_HEADER, signature};

use crate::bridge::{Bridge, Home, PUBLIC_URL, SECRET};
use crate::http::{once, request};
use crate::kafka;
use crate::reader::Reader;

const WITHIN: Duration = Duration::from_secs(60);

pub fn deliver(bridge: &Bridge, id: &str, more: &[(&str, &str)]) {
    let mut data = json!({"id": "v"});
    more.iter().for_each(|(name, value)| data[name] = json!(value));
    let body = json!({"id": id, "type": "visit.updated", "accountId": "a", "data": data}).to_string();
    let signature = signature(SECRET.as_bytes(), PUBLIC_URL, body.as_bytes());
    let answer = once(bridge.public, &request("POST", "/webhooks/waitwhile", &[(SIGNATURE_HEADER, &signature)], body.as_bytes()));
    assert_eq!(answer.status, 200, "a repeat too");
}

#[test]
fn a_new_life_knows_what_the_one_before_has_published() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let told = [("state", "WAITING"), ("customerId", "c"), ("updated", "2026-03-10T15:00:00Z")];
    let late = [("state", "WAITING"), ("customerId", "d"), ("updated", "2026-03-10T14:00:00Z")];
    for life in 0..3 {
        let bridge = home.start();
        deliver(&bridge, "1", &told);
        deliver(&bridge, &format!("late {life}"), &late);
        deliver(&bridge, &format!("unnamed {life}"), &[]);
        bridge.wait_until("all is delivered", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
        if life > 0 {
            assert_eq!(bridge.metric("waitbridge_events_repeated_total{basis=\"id\",vendor=\"waitwhile\"}"), 1.0);
        }
        assert_eq!(bridge.metric("waitbridge_events_stale_total{vendor=\"waitwhile\"}"), 1.0);
        assert_eq!(bridge.metric("waitbridge_window_coverage_seconds"), 72.0 * 3600.0);
        assert_eq!(bridge.terminate(), 0);
    }
    let read = Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end();
    let told: Vec<String> =
        read.iter().map(|record| format!("{} {}", record.header("ce_id").unwrap(), record.key.as_deref().unwrap())).collect();
    let [c, d] = ["c", "d"].map(|person| format!("waitwhile/acme/person/{person}"));
    let expected = |life| [format!("late {life} {d}"), format!("unnamed {life} {c}")];
    let mut all = vec![format!("1 {c}")];
    (0..3).for_each(|life| all.extend(expected(life)));
    assert_eq!(told, all);
    assert_eq!(read.iter().filter(|record| record.header("ce_stale") == Some("true")).count(), 3);
}
