//! What the real program says of signatures that do not match; the answer stays the same.

use std::time::Duration;

use waitbridge::providers::waitwhile::{SIGNATURE_HEADER, signature};

use crate::bridge::{Bridge, Home, PUBLIC_URL, SECRET};
use crate::http::{Answer, once, request};
use crate::kafka;

const WITHIN: Duration = Duration::from_secs(20);
const BODY: &[u8] = br#"{"type":"visit.created","data":{"id":"1"}}"#;

fn post(bridge: &Bridge, secret: &str, url: &str) -> Answer {
    let signature = signature(secret.as_bytes(), url, BODY);
    once(bridge.public, &request("POST", "/webhooks/waitwhile", &[(SIGNATURE_HEADER, &signature)], BODY))
}

fn diagnosed(bridge: &Bridge, cause: &str) -> bool {
    let answer = once(bridge.admin, &request("GET", "/metrics", &[], b""));
    let series = format!("waitbridge_signature_diagnoses_total{{cause=\"{cause}\",endpoint=\"waitwhile\"}}");
    String::from_utf8(answer.body).unwrap().contains(&series)
}

#[test]
fn a_url_that_differs_by_a_slash_is_named_in_the_log_and_never_accepted() {
    let kafka = kafka::shared();
    let bridge = Home::new(kafka.bootstrap(), &kafka.new_topics(1), "").start();
    let url = format!("{PUBLIC_URL}/");
    let refused = post(&bridge, SECRET, &url);
    assert_eq!((refused.status, refused.code().as_str()), (401, "signature_mismatch"));
    bridge.wait_until("the cause is found", WITHIN, |bridge| diagnosed(bridge, "url_slash"));
    bridge.wait_until("it is told", WITHIN, |bridge| bridge.said().contains("would match if public_urls had"));
    let again = post(&bridge, SECRET, &url);
    assert_eq!(again.body, refused.body, "the answer tells nothing");
    let forged = post(&bridge, "a guess", PUBLIC_URL);
    assert_eq!(forged.body, refused.body);
    assert_eq!(bridge.metric(r#"waitbridge_signature_diagnoses_total{cause="url_slash",endpoint="waitwhile"}"#), 1.0);
    assert!(!diagnosed(&bridge, "unknown"), "one in ten seconds");
    let said = bridge.said();
    assert!(said.contains(&format!("{url}\\\"")), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    assert_eq!(bridge.terminate(), 0);
}
