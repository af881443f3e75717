//! Real kills on real parts, each by one command, counted in the topic by kcat, which knows nothing of this project.
//!
//! `WAITBRIDGE_PROOF_ROUNDS=30 tests/run --test it proofs::power -- --nocapture` runs one longer and prints what it found;
//! without the variable each runs the few rounds that the gate has time for. `WAITBRIDGE_SEED` plays the same moments again.

mod brokers;
mod copies;
mod fleet;
mod full;
mod network;
mod outage;
mod power;
mod slow;
mod terminate;
mod timing;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bridge::{Bridge, Home};
use crate::foreign::{kcat_each, output};
use crate::kills::{COMMITTED, DRAIN_WITHIN, read_event, seed};
use crate::load::{Accepted, ReadEvent, Verdict, judge};

/// Nobody listens there: a Kafka that is away.
const NOWHERE: &str = "127.0.0.1:1";
const POLL: Duration = Duration::from_millis(200);

/// How often, and from which seed on.
struct Rounds {
    count: u64,
    seed: u64,
    /// Somebody asked for this run by name: what the machine cannot do is a failure then.
    is_asked_for: bool,
}

impl Rounds {
    fn or(default: u64) -> Rounds {
        let asked = std::env::var("WAITBRIDGE_PROOF_ROUNDS").ok().map(|rounds| rounds.parse().expect("a number of rounds"));
        Rounds { count: asked.unwrap_or(default), seed: seed(), is_asked_for: asked.is_some() }
    }
}

/// What kcat finds when everything accepted is there, or nothing more comes within this time; what is missing then is lost.
fn count(bootstrap: &str, topic: &str, accepted: &Accepted, within: Duration) -> (Verdict, Vec<ReadEvent>) {
    let (mut before, mut came) = (0, Instant::now());
    loop {
        let mut read = Vec::new();
        kcat_each(bootstrap, topic, |record| read.push(read_event(record)));
        let verdict = judge(accepted, &read);
        if verdict.lost == 0 || came.elapsed() > within {
            return (verdict, read);
        }
        if read.len() > before {
            (before, came) = (read.len(), Instant::now());
        }
        std::thread::sleep(POLL);
    }
}

/// More than it had published before.
fn publishes(bridge: &Bridge) {
    let before = bridge.metric(COMMITTED);
    bridge.wait_until("it publishes", DRAIN_WITHIN, |bridge| bridge.metric(COMMITTED) > before + 2.0);
}

fn tell(what: &str, rounds: &Rounds, verdict: &Verdict) {
    eprintln!("{what}: seed {}, {} rounds: {verdict:?}", rounds.seed, rounds.count);
}

/// Some events were accepted, and each is there once, in order.
fn holds(verdict: &Verdict) {
    assert!(verdict.accepted > 0, "{verdict:?}");
    assert_eq!(*verdict, Verdict { accepted: verdict.accepted, read: verdict.read, ..Verdict::default() });
}

/// For the next start.
fn set_brokers(home: &Home, brokers: &str) {
    let settings = fs::read_to_string(home.path("waitbridge.toml")).unwrap();
    let lines = settings.lines().map(|line| match line.starts_with("brokers = ") {
        true => format!("brokers = [\"{brokers}\"]\n"),
        false => format!("{line}\n"),
    });
    fs::write(home.path("waitbridge.toml"), lines.collect::<String>()).unwrap();
}

/// What somebody asks for by a variable; without it a run is short, or left out.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Mounting wants it.
fn is_root() -> bool {
    output(Command::new("id").arg("-u"), "").trim() == "0"
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_waitbridge"))
}
