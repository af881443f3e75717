//! A wrong token and an endpoint that does not exist cannot be told apart: not by a byte of the answer, and not by its time.
//!
//! `WAITBRIDGE_TIMING_ROUNDS=10000 tests/run --test it proofs::timing -- --nocapture` measures and prints. Without the variable
//! only the bytes are compared: a machine that does much else at once says little about time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::asked;
use crate::bridge::{Home, TOKEN};
use crate::http::request;
use crate::kafka;

const BODY: &[u8] = br#"{"type":"AddPerson","data":{"PersonId":1}}"#;
const WITHIN: f64 = 0.05;

/// What must look the same, and its path.
struct Kind {
    what: &'static str,
    path: String,
}

/// Each group looks alike in time too: with a token, and without one. The names of the endpoints are of one length.
fn groups() -> [Vec<Kind>; 2] {
    let wrong = "wb_00000000000000000000000000000000";
    let nearly = format!("{}0", &TOKEN[..TOKEN.len() - 1]);
    let kind = |what, path: &str| Kind { what, path: path.to_owned() };
    [
        vec![
            kind("an unknown endpoint, with a token", &format!("/webhooks/moonlite/{wrong}")),
            kind("a wrong token", &format!("/webhooks/sunshine/{wrong}")),
            kind("a nearly right token", &format!("/webhooks/sunshine/{nearly}")),
            kind("a token where a signature is due", &format!("/webhooks/waitwhile/{wrong}")),
            kind("a token where Basic is due", &format!("/webhooks/basic/{wrong}")),
        ],
        vec![kind("an unknown endpoint", "/webhooks/moonlite"), kind("no token, and no Basic", "/webhooks/sunshine")],
    ]
}

#[test]
fn a_wrong_token_and_an_unknown_endpoint_are_the_same_bytes() {
    let kafka = kafka::shared();
    let bridge = Home::new(kafka.bootstrap(), &kafka.new_topics(1), "").start();
    let answers = groups().into_iter().flatten().map(|kind| (kind.what, undated(&exchange(bridge.public, &kind.path).0)));
    let answers: Vec<_> = answers.collect();
    let (_, first) = &answers[0];
    assert!(first.starts_with("HTTP/1.1 404 ") && first.ends_with('}'), "{first}");
    for (what, answer) in &answers {
        assert_eq!(answer, first, "{what}");
    }
}

#[test]
fn a_wrong_token_and_an_unknown_endpoint_take_the_same_time() {
    let Some(rounds) = asked("WAITBRIDGE_TIMING_ROUNDS") else { return };
    let kafka = kafka::shared();
    let bridge = Home::new(kafka.bootstrap(), &kafka.new_topics(1), "[log]\nlevel = \"info\"\n").start();
    let mut apart = Vec::new();
    for group in groups() {
        let medians = medians(bridge.public, &group, rounds as usize);
        for (kind, median) in group.iter().zip(&medians) {
            let difference = median.as_secs_f64() / medians[0].as_secs_f64() - 1.0;
            let told = format!("{}: median {:.1} µs of {rounds}, {:+.2} %", kind.what, median.as_secs_f64() * 1e6, difference * 100.0);
            eprintln!("{told}");
            apart.extend((difference.abs() > WITHIN).then_some(told));
        }
    }
    assert!(apart.is_empty(), "{}", apart.join("\n"));
}

/// Interleaved, each round in another order.
fn medians(address: SocketAddr, group: &[Kind], rounds: usize) -> Vec<Duration> {
    let mut times = vec![Vec::with_capacity(rounds); group.len()];
    for round in 0..rounds {
        for turn in 0..group.len() {
            let at = (round + turn * (1 + round % (group.len() - 1).max(1))) % group.len();
            times[at].push(exchange(address, &group[at].path).1);
        }
    }
    times.into_iter().map(median).collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// On a connection of its own: the whole answer, and how long its first byte took.
fn exchange(address: SocketAddr, path: &str) -> (Vec<u8>, Duration) {
    let mut connection = TcpStream::connect(address).expect("the server listens");
    connection.set_nodelay(true).expect("a socket");
    let request = request("POST", path, &[], BODY);
    let mut answer = vec![0; 1];
    let sent = Instant::now();
    connection.write_all(&request).expect("the server reads");
    connection.read_exact(&mut answer).expect("the server answers");
    let took = sent.elapsed();
    connection.read_to_end(&mut answer).expect("the server closes");
    (answer, took)
}

/// All of an answer but its date, in its order.
fn undated(answer: &[u8]) -> String {
    let text = String::from_utf8(answer.to_vec()).expect("a text");
    let is_date = |line: &&str| line.to_ascii_lowercase().starts_with("date:");
    assert_eq!(text.split("\r\n").filter(is_date).count(), 1, "{text}");
    text.split("\r\n").filter(|line| !is_date(line)).collect::<Vec<_>>().join("\r\n")
}
