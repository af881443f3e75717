//! Requests whose ends can be seen in two ways, over real sockets: refused, or exactly one delivery. Never two.
//!
//! Each case holds a whole second request where a sloppy reader would find one. Counted are the answers on the connection,
//! what the metrics say was accepted, and what comes out at the topic.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::bridge::{Bridge, Home, TOKEN, server};
use crate::http::{Answer, Connection};
use crate::kafka;
use crate::reader::Reader;

const WITHIN: Duration = Duration::from_secs(60);
const ACCEPTED: &str = r#"waitbridge_deliveries_total{endpoint="sunshine",outcome="accepted",vendor="waitlistplus"}"#;
/// A person of a smuggled request is the person of its case and this.
const SMUGGLED: usize = 500_000;

use Fate::{One, Over, Refused, Two};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// At most one answer, an error, and the connection is closed.
    Refused,
    /// An error that ends the connection; what was sent ahead behind it is not accepted either.
    Over,
    /// One 200 and no other; what follows it, if anything, is refused, and the connection is closed.
    One,
    /// Two requests and no doubt about it: a control.
    Two,
}

/// What is written. Filled in are `HEAD` (request line and host), `PATH`, `BODY`, `INNER` (a whole request), `LEN` of the body, `BOTH` of
/// body and inner together, `HEX` of the body, `CHUNKED` (the header), `CHUNK` (the body as one) and `LAST` (chunk). `\n` stands for
/// CR LF, `~` for LF alone.
const CASES: &[(&str, Fate, &str)] = &[
    ("two requests", Two, "HEADContent-Length: LEN\n\nBODYINNER"),
    ("two requests, the first chunked", Two, "HEADCHUNKED\nCHUNKLASTINNER"),
    // Lengths.
    ("two lengths", Refused, "HEADContent-Length: LEN\nContent-Length: BOTH\n\nBODYINNER"),
    ("two lengths, the other way", Refused, "HEADContent-Length: BOTH\nContent-Length: LEN\n\nBODYINNER"),
    ("two equal lengths", Refused, "HEADContent-Length: LEN\nContent-Length: LEN\n\nBODYINNER"),
    ("a list of lengths", Refused, "HEADContent-Length: LEN, BOTH\n\nBODYINNER"),
    ("a list of equal lengths", Refused, "HEADContent-Length: LEN, LEN\n\nBODYINNER"),
    ("a length with a plus", Refused, "HEADContent-Length: +LEN\n\nBODYINNER"),
    ("a negative length", Refused, "HEADContent-Length: -LEN\n\nBODYINNER"),
    ("a length of minus zero", Refused, "HEADContent-Length: -0\n\nINNER"),
    ("a length in hexadecimal", Refused, "HEADContent-Length: 0xHEX\n\nBODYINNER"),
    ("a length with a point", Refused, "HEADContent-Length: LEN.0\n\nBODYINNER"),
    ("a length with a space inside", Refused, "HEADContent-Length: 1 LEN\n\nBODYINNER"),
    ("an empty length", Refused, "HEADContent-Length: \n\nBODYINNER"),
    ("a length beyond 64 bits", Refused, "HEADContent-Length: 18446744073709551616\n\nBODYINNER"),
    ("a length that wraps to the right one", Refused, "HEADContent-Length: 184467440737095516LEN\n\nBODYINNER"),
    // A length, and chunks.
    ("length and chunked", Refused, "HEADContent-Length: LEN\nCHUNKED\nCHUNKLASTINNER"),
    ("chunked and length", Refused, "HEADCHUNKEDContent-Length: LEN\n\nBODYINNER"),
    ("length 0 and chunked", Refused, "HEADContent-Length: 0\nCHUNKED\nLASTINNER"),
    ("xchunked and a length", Refused, "HEADTransfer-Encoding: xchunked\nContent-Length: LEN\n\nBODYINNER"),
    ("identity and a length", Refused, "HEADTransfer-Encoding: identity\nContent-Length: LEN\n\nBODYINNER"),
    ("chunked with a space before the colon", Refused, "HEADTransfer-Encoding : chunked\nContent-Length: LEN\n\nBODYINNER"),
    ("chunked behind a fold", Refused, "HEADTransfer-Encoding:\n chunked\nContent-Length: LEN\n\nBODYINNER"),
    ("chunked in a folded header", Refused, "HEADX-Fold: a\n CHUNKEDContent-Length: LEN\n\nBODYINNER"),
    ("chunked behind a bare LF in a value", Refused, "HEADContent-Length: LEN\nX: y~CHUNKED\nCHUNKLASTINNER"),
    ("an upgrade and a length", Refused, "HEADConnection: Upgrade\nUpgrade: websocket\nContent-Length: LEN\n\nBODYINNER"),
    ("an upgrade and no length", Refused, "HEADConnection: Upgrade\nUpgrade: websocket\n\nBODYINNER"),
    // Codings.
    ("xchunked", Refused, "HEADTransfer-Encoding: xchunked\n\nCHUNKLASTINNER"),
    ("chunked twice", Refused, "HEADCHUNKEDCHUNKED\nCHUNKLASTINNER"),
    ("chunked and identity", Refused, "HEADCHUNKEDTransfer-Encoding: identity\n\nCHUNKLASTINNER"),
    ("chunked, chunked", Refused, "HEADTransfer-Encoding: chunked, chunked\n\nCHUNKLASTINNER"),
    ("gzip, chunked", Refused, "HEADTransfer-Encoding: gzip, chunked\n\nCHUNKLASTINNER"),
    ("chunked, identity", Refused, "HEADTransfer-Encoding: chunked, identity\n\nCHUNKLASTINNER"),
    ("chunked in quotes", Refused, "HEADTransfer-Encoding: \"chunked\"\n\nCHUNKLASTINNER"),
    ("chunked behind a vertical tab", Refused, "HEADTransfer-Encoding: \u{b}chunked\n\nCHUNKLASTINNER"),
    ("chunked in HTTP/1.0", Refused, "POST PATH HTTP/1.0\nHost: x\nConnection: keep-alive\nCHUNKED\nCHUNKLASTINNER"),
    // Chunks.
    ("a chunk size beyond 64 bits", Refused, "HEADCHUNKED\n1000000000000000HEX\nBODY\nLASTINNER"),
    ("a chunk size of all ones", Refused, "HEADCHUNKED\nffffffffffffffff\nBODY\nLASTINNER"),
    ("a chunk size with a sign", Refused, "HEADCHUNKED\n+HEX\nBODY\nLASTINNER"),
    ("a negative chunk size", Refused, "HEADCHUNKED\n-HEX\nBODY\nLASTINNER"),
    ("a chunk size with 0x", Refused, "HEADCHUNKED\n0xHEX\nBODY\nLASTINNER"),
    ("no chunk size", Refused, "HEADCHUNKED\n\nBODY\nLASTINNER"),
    ("a chunk shorter than its data", Refused, "HEADCHUNKED\n1\nBODY\nLASTINNER"),
    ("a chunk longer than its data", Refused, "HEADCHUNKED\nfffff\nBODY\nLASTINNER"),
    ("a chunk size that ends in LF", Refused, "HEADCHUNKED\nHEX~BODY\nLASTINNER"),
    ("a chunk that ends in LF", Refused, "HEADCHUNKED\nHEX\nBODY~LASTINNER"),
    ("a chunk extension with an LF", Refused, "HEADCHUNKED\nHEX;a~b\nBODY\nLASTINNER"),
    ("a last chunk that ends in LF", Refused, "HEADCHUNKED\nCHUNK0~~INNER"),
    ("chunks that never end", Refused, "HEADCHUNKED\nCHUNK"),
    ("a request as a trailer", One, "HEADCHUNKED\nCHUNK0\nINNER"),
    // Heads.
    ("bare LF everywhere", One, "POST PATH HTTP/1.1~Host: x~Content-Length: LEN~~BODY"),
    ("a bare LF ends the head", One, "HEADContent-Length: LEN\n~BODY"),
    ("a bare CR in a value", Refused, "HEADX: a\rContent-Length: 0\nContent-Length: LEN\n\nBODYINNER"),
    ("a fold", Refused, "HEADX: a\n b\nContent-Length: LEN\n\nBODYINNER"),
    ("a fold of the length", Refused, "HEADContent-Length: 0\n LEN\n\nBODYINNER"),
    ("a header that begins with a space", Refused, "POST PATH HTTP/1.1\n Host: x\nContent-Length: LEN\n\nBODYINNER"),
    ("a space before the colon of the length", Refused, "HEADContent-Length : LEN\n\nBODYINNER"),
    ("a NUL in a value", Refused, "HEADX: a\0b\nContent-Length: LEN\n\nBODYINNER"),
    ("a NUL in a name", Refused, "HEADX\0: a\nContent-Length: LEN\n\nBODYINNER"),
    ("a NUL in the path", Refused, "POST PATH\0 HTTP/1.1\nHost: x\nContent-Length: LEN\n\nBODYINNER"),
    ("a NUL behind the length", Refused, "HEADContent-Length: LEN\0\n\nBODYINNER"),
    ("a line that is no header", Refused, "HEADnonsense\nContent-Length: LEN\n\nBODYINNER"),
    ("a header without a name", Refused, "HEAD: a\nContent-Length: LEN\n\nBODYINNER"),
    ("two hosts", Refused, "HEADHost: y\nContent-Length: LEN\n\nBODYINNER"),
    ("no host", Refused, "POST PATH HTTP/1.1\nContent-Length: LEN\n\nBODYINNER"),
    ("HTTP/0.9", Refused, "POST PATH\n\nINNER"),
    ("HTTP/2.0", Refused, "POST PATH HTTP/2.0\nHost: x\nContent-Length: LEN\n\nBODYINNER"),
    ("the preface of HTTP/2", Refused, "PRI * HTTP/2.0\n\nSM\n\nINNER"),
    ("a space in the path", Refused, "POST PATH x HTTP/1.1\nHost: x\nContent-Length: LEN\n\nBODYINNER"),
    ("a lower-case method", Over, "post PATH HTTP/1.1\nHost: x\nContent-Length: LEN\n\nBODYINNER"),
    ("CONNECT", Refused, "CONNECT x:80 HTTP/1.1\nHost: x\n\nINNER"),
    ("a GET with a body", Over, "GET PATH HTTP/1.1\nHost: x\nContent-Length: LEN\n\nBODYINNER"),
    ("a refused request with another behind it", Over, "POST /webhooks/none HTTP/1.1\nHost: x\nContent-Length: LEN\n\nBODYINNER"),
    ("a refused request without a length", Over, "POST /webhooks/none HTTP/1.1\nHost: x\n\nINNER"),
    ("HTTP/1.0 without a length", Refused, "POST PATH HTTP/1.0\n\nBODYINNER"),
    ("HTTP/1.0", One, "POST PATH HTTP/1.0\nContent-Length: LEN\n\nBODYINNER"),
    (
        "the absolute form",
        One,
        "POST http://elsewhere.example:1PATH HTTP/1.1\nHost: x\nConnection: close\nContent-Length: LEN\n\nBODYINNER",
    ),
    ("a request to be closed", One, "HEADConnection: close\nContent-Length: LEN\n\nBODYINNER"),
    ("a body longer than declared", One, "HEADContent-Length: LEN\n\nBODY}} HTTP/1.1\nX: y\n\n"),
    ("a body shorter than declared", Refused, "HEADContent-Length: BOTH\n\nBODY"),
    ("an empty line in front", One, "\nHEADContent-Length: LEN\n\nBODY"),
    ("a chunk extension", One, "HEADCHUNKED\nHEX;a=b\nBODY\nLAST"),
];

#[test]
fn what_ends_in_two_ways_is_refused_or_one_delivery_and_never_two() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, &server("body_timeout = \"2s\"\nheader_timeout = \"2s\""));
    let bridge = home.start();
    let mut expected = BTreeSet::new();
    let mut wrong = Vec::new();
    for ((what, fate, text), person) in CASES.iter().zip(100_000..) {
        let (answers, rest) = exchange(&bridge, &written(text, person));
        wrong.extend(judged(*fate, &answers, rest).map(|why| format!("{what}: {why}")));
        expected.extend(matches!(fate, One | Two).then_some(person));
        expected.extend((*fate == Two).then_some(person + SMUGGLED));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(bridge.metric(ACCEPTED), expected.len() as f64);
    bridge.wait_until("all is published", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
    let read = Reader::new(kafka.bootstrap(), &[&topics.person, &topics.dead_letter]).read_to_end();
    let persons: Vec<usize> = read.iter().map(|record| person_of(record.value.as_deref().expect("a body"))).collect();
    assert_eq!(persons.len(), expected.len());
    assert_eq!(BTreeSet::from_iter(persons), expected, "those and no others came out");
    assert_eq!(bridge.terminate(), 0);
}

fn exchange(bridge: &Bridge, bytes: &[u8]) -> (Vec<Answer>, usize) {
    let mut connection = Connection::open(bridge.public).expect("the server listens");
    // It may close before all is written.
    let _ = connection.send(bytes);
    connection.finish()
}

/// What is wrong with these answers. A connection that stayed open would still be waited for: it is closed.
fn judged(fate: Fate, answers: &[Answer], rest: usize) -> Option<String> {
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    let accepted = statuses.iter().filter(|status| **status == 200).count();
    let is_right = match fate {
        Refused => accepted == 0 && statuses.len() <= 1,
        Over => accepted == 0 && (1..=2).contains(&statuses.len()),
        One => accepted == 1 && statuses[0] == 200 && statuses.len() <= 2,
        Two => statuses == [200, 200],
    };
    (!is_right || rest > 0).then(|| format!("{fate:?}, but it is answered {statuses:?}, and {rest} bytes more"))
}

fn written(text: &str, person: usize) -> Vec<u8> {
    let path = format!("/webhooks/sunshine/{TOKEN}");
    let body = |person: usize| format!(r#"{{"type":"AddPerson","data":{{"PersonId":{person},"Fields":{{}},"Waitlists":[]}}}}"#);
    let (outer, inner) = (body(person), body(person + SMUGGLED));
    let inner = format!("POST {path} HTTP/1.1\nHost: x\nContent-Length: {}\n\n{inner}", inner.len());
    let both = outer.len() + inner.replace('\n', "\r\n").len();
    let fills = [
        ("HEAD", "POST PATH HTTP/1.1\nHost: x\n"),
        ("CHUNKED", "Transfer-Encoding: chunked\n"),
        ("CHUNK", "HEX\nBODY\n"),
        ("LAST", "0\n\n"),
        ("HEX", &format!("{:x}", outer.len())),
        ("LEN", &outer.len().to_string()),
        ("BOTH", &both.to_string()),
        ("INNER", &inner),
        ("BODY", &outer),
        ("PATH", &path),
        ("\n", "\r\n"),
        ("~", "\n"),
    ];
    fills.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value)).into_bytes()
}

/// A dead letter holds the body itself.
fn person_of(value: &[u8]) -> usize {
    let value: Value = serde_json::from_slice(value).expect("JSON");
    let id = value["person"]["id"].as_str().and_then(|id| id.parse().ok());
    id.unwrap_or_else(|| panic!("no event of a case: {value}"))
}
