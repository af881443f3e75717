//! Every row of the contract's status table, over a real socket, in the order of its checks.

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use waitbridge::providers::waitwhile::{SIGNATURE_HEADER, signature};

use crate::bridge::{Bridge, Home, PUBLIC_URL, SECRET, TOKEN, server};
use crate::http::{Answer, Connection, once, request};
use crate::kafka;

const BODY: &[u8] = br#"{"type":"AddPerson","data":{"PersonId":1,"Fields":{},"Waitlists":[]}}"#;
const LIMITS: &str = "body_max = \"8KiB\"\nbody_timeout = \"1s\"\nheader_timeout = \"1s\"\n";

fn start(extra: &str) -> (Home, Bridge) {
    let kafka = kafka::shared();
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(1), extra);
    let bridge = home.start();
    (home, bridge)
}

fn signed(body: &[u8]) -> String {
    signature(SECRET.as_bytes(), PUBLIC_URL, body)
}

fn check(bridge: &Bridge, what: &str, bytes: &[u8], status: u16, code: &str) -> Answer {
    let answer = once(bridge.public, bytes);
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}");
    answer
}

#[test]
fn every_row_of_the_status_table_is_answered_as_it_says() {
    let (_home, bridge) = start(&server(LIMITS));
    let sunshine = format!("/webhooks/sunshine/{TOKEN}");
    let good = signed(BODY);
    let header = SIGNATURE_HEADER;
    let basic = |text: &str| format!("Basic {}", base64(text.as_bytes()));
    let post = |path: &str, headers: &[(&str, &str)]| request("POST", path, headers, BODY);

    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("signed", post("/webhooks/waitwhile", &[(header, &good)]), 200, "accepted"),
        ("one trailing slash", post("/webhooks/waitwhile/", &[(header, &good)]), 200, "accepted"),
        ("a query", post("/webhooks/waitwhile?a=b", &[(header, &good)]), 200, "accepted"),
        ("any content type", post("/webhooks/waitwhile", &[(header, &good), ("content-type", "image/png")]), 200, "accepted"),
        ("an encoding changes nothing", post("/webhooks/waitwhile", &[(header, &good), ("content-encoding", "gzip")]), 200, "accepted"),
        ("a token", post(&sunshine, &[]), 200, "accepted"),
        ("a token and a slash", post(&format!("{sunshine}/"), &[]), 200, "accepted"),
        ("basic", post("/webhooks/basic", &[("authorization", &basic("vendor:pass:word"))]), 200, "accepted"),
        ("a verified body that is no JSON", request("POST", &sunshine, &[], b"\xff"), 200, "accepted"),
        ("a verified body that is empty", request("POST", &sunshine, &[], b""), 200, "accepted"),
        ("no signature", post("/webhooks/waitwhile", &[]), 401, "signature_missing"),
        ("an empty signature", post("/webhooks/waitwhile", &[(header, "")]), 401, "signature_missing"),
        ("two signatures", post("/webhooks/waitwhile", &[(header, &good), (header, &good)]), 401, "signature_malformed"),
        ("a signature in hex", post("/webhooks/waitwhile", &[(header, &hex_signature())]), 401, "signature_malformed"),
        ("a signature without padding", post("/webhooks/waitwhile", &[(header, good.trim_end_matches('='))]), 401, "signature_malformed"),
        ("a signature cut short", post("/webhooks/waitwhile", &[(header, "QUJD")]), 401, "signature_malformed"),
        ("of another body", post("/webhooks/waitwhile", &[(header, &signed(b"{}"))]), 401, "signature_mismatch"),
        ("of the body alone", post("/webhooks/waitwhile", &[(header, &signature(SECRET.as_bytes(), "", BODY))]), 401, "signature_mismatch"),
        ("a reserialized body", request("POST", "/webhooks/waitwhile", &[(header, &good)], &spaced()), 401, "signature_mismatch"),
        ("no credentials", post("/webhooks/basic", &[]), 401, "credentials_missing"),
        ("a bearer", post("/webhooks/basic", &[("authorization", "Bearer x")]), 401, "credentials_missing"),
        ("a wrong password", post("/webhooks/basic", &[("authorization", &basic("vendor:no"))]), 401, "credentials_wrong"),
        ("an unknown endpoint", post("/webhooks/none", &[]), 404, "not_found"),
        ("a wrong token", post("/webhooks/sunshine/wb_wrong", &[]), 404, "not_found"),
        ("no token", post("/webhooks/sunshine", &[]), 404, "not_found"),
        ("a token where a signature is due", post("/webhooks/waitwhile/x", &[(header, &good)]), 404, "not_found"),
        ("an unknown path", request("GET", "/nothing", &[], b""), 404, "not_found"),
        ("two trailing slashes", post("/webhooks/waitwhile//", &[(header, &good)]), 404, "not_found"),
        ("a get of a webhook", request("GET", "/webhooks/waitwhile", &[], b""), 405, "method_not_allowed"),
        ("a put of an unknown endpoint", request("PUT", "/webhooks/none", &[], b""), 405, "method_not_allowed"),
        ("a get of the folder", request("GET", "/webhooks", &[], b""), 405, "method_not_allowed"),
        ("a post of health", request("POST", "/healthz", &[], b""), 405, "method_not_allowed"),
        ("health", request("GET", "/healthz", &[], b""), 200, "ok"),
        ("declared too large", declared("/webhooks/waitwhile", 8193), 413, "body_too_large"),
        ("chunked too large", chunked(&sunshine, 9000), 413, "body_too_large"),
        ("chunked", chunked(&sunshine, 100), 200, "accepted"),
    ];
    for (what, bytes, status, code) in cases {
        check(&bridge, what, &bytes, status, code);
    }

    assert_eq!(check(&bridge, "allow", &request("GET", "/webhooks/x", &[], b""), 405, "method_not_allowed").header("allow"), Some("POST"));
    assert_eq!(check(&bridge, "allow", &request("PUT", "/x", &[], b""), 405, "method_not_allowed").header("allow"), Some("GET, HEAD"));
    let refused = check(&bridge, "authenticate", &post("/webhooks/basic", &[]), 401, "credentials_missing");
    assert!(refused.header("www-authenticate").is_some_and(|value| value.starts_with("Basic")));
    let wrong = once(bridge.public, &post("/webhooks/sunshine/wb_wrong", &[]));
    let unknown = once(bridge.public, &post("/webhooks/unknown/wb_wrong", &[]));
    assert_eq!(wrong.body, unknown.body, "a wrong token and an unknown endpoint are the same bytes");
    assert_eq!(names(&wrong), names(&unknown));
    assert!(bridge.metric(r#"waitbridge_deliveries_total{endpoint="sunshine",outcome="not_found",vendor="waitlistplus"}"#) >= 2.0);
    assert!(bridge.metric(r#"waitbridge_deliveries_total{endpoint="unknown",outcome="not_found",vendor="unknown"}"#) >= 2.0);
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn a_slow_body_and_a_slow_header_are_ended() {
    let (_home, bridge) = start(&server(LIMITS));
    let mut slow = Connection::open(bridge.public).unwrap();
    slow.send(&declared(&format!("/webhooks/sunshine/{TOKEN}"), 100)).unwrap();
    let answer = slow.answer().unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (408, "body_timeout"));
    assert!(slow.is_closed());

    let mut slow = Connection::open(bridge.public).unwrap();
    slow.send(b"POST /webhooks/sunshine HTTP/1.1\r\nHost: x\r\n").unwrap();
    let ended = slow.answer();
    assert!(ended.is_err() || ended.unwrap().status == 408, "a header that never ends is not waited for");
    assert!(slow.is_closed());
}

#[test]
fn a_refused_sender_cannot_keep_the_connection_with_a_body_that_never_ends() {
    let (_home, bridge) = start(&server(LIMITS));
    for (path, status) in [("/webhooks/none".to_owned(), 404), ("/healthz".to_owned(), 405), (format!("/webhooks/sunshine/{TOKEN}"), 413)] {
        let mut endless = Connection::open(bridge.public).unwrap();
        endless.send(format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
        let chunk = [b"400\r\n".as_slice(), &[b'x'; 1024], b"\r\n"].concat();
        let begun = Instant::now();
        while endless.send(&chunk).is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{path} is read for ever");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(endless.answer().map_or(true, |answer| answer.status == status), "{path}");
    }
}

#[test]
fn a_pending_endpoint_asks_to_come_again_and_a_foreign_address_is_refused() {
    let extra = "[[endpoint]]\nname = \"pending\"\nvendor = \"waitwhile\"\ntenant = \"acme\"\npending = true\n\
        public_urls = [\"https://x.example/a\"]\nsecret_files = []\n\
        [[endpoint]]\nname = \"far\"\nvendor = \"waitlistplus\"\ntenant = \"t\"\nallow_from = [\"203.0.113.0/24\"]\n\
        token_sha256 = [\"28151a8c44694a7d7260bde2973509a5dc1f99579e9f817184d5af8a9b340b23\"]\n";
    let (_home, bridge) = start(&(server("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]") + extra));
    let pending = check(&bridge, "pending", &request("POST", "/webhooks/pending", &[], BODY), 503, "endpoint_pending");
    assert_eq!(pending.header("retry-after"), Some("10"));
    let path = format!("/webhooks/far/{TOKEN}");
    let from = |forwarded: &str| request("POST", &path, &[("x-forwarded-for", forwarded)], BODY);
    for (what, bytes, status, code) in [
        ("the peer itself", request("POST", &path, &[], BODY), 403, "address_not_allowed"),
        ("behind a proxy", from("203.0.113.9"), 200, "accepted"),
        ("behind two proxies", from("203.0.113.9, 10.1.2.3"), 200, "accepted"),
        ("forged in front", from("203.0.113.9, 198.51.100.1"), 403, "address_not_allowed"),
        ("unreadable", from("203.0.113.9, what"), 403, "address_not_allowed"),
        ("before the token", request("POST", "/webhooks/far/wrong", &[], BODY), 403, "address_not_allowed"),
    ] {
        check(&bridge, what, &bytes, status, code);
    }
}

#[test]
fn more_bytes_in_flight_than_allowed_are_refused_and_counted_back() {
    let extra = server("body_max = \"1MiB\"\nbodies_in_flight_max = \"1MiB\"\nbody_timeout = \"20s\"");
    let (_home, bridge) = start(&extra);
    let path = format!("/webhooks/sunshine/{TOKEN}");
    let mut half_sent = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::open(bridge.public).unwrap();
        connection.send(&declared(&path, 600_000)).unwrap();
        connection.send(&vec![b'x'; 500_000]).unwrap();
        half_sent.push(connection);
    }
    bridge.wait_until("the halves have arrived", Duration::from_secs(60), |bridge| {
        bridge.metric("waitbridge_bodies_in_flight_bytes") >= 1_000_000.0
    });
    let refused = check(&bridge, "one too many", &request("POST", &path, &[], &vec![b' '; 100_000]), 503, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("10"));
    drop(half_sent);
    bridge.wait_until("the bytes are given back", Duration::from_secs(60), |bridge| {
        bridge.metric("waitbridge_bodies_in_flight_bytes") == 0.0
    });
    check(&bridge, "room again", &request("POST", &path, &[], BODY), 200, "accepted");
}

fn names(answer: &Answer) -> Vec<&str> {
    answer.headers.iter().map(|(name, _)| name.as_str()).collect()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The same bytes that a right signature has, in hex: what several receivers expect by mistake.
fn hex_signature() -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(PUBLIC_URL.as_bytes());
    mac.update(BODY);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn spaced() -> Vec<u8> {
    String::from_utf8(BODY.to_vec()).unwrap().replace(':', ": ").into_bytes()
}

/// A head that declares this many bytes, without any.
fn declared(path: &str, bytes: usize) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {bytes}\r\n\r\n").into_bytes()
}

fn chunked(path: &str, bytes: usize) -> Vec<u8> {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in vec![b'x'; bytes].chunks(1000) {
        request.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        request.extend(chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}
