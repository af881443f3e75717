//! The journal's disk runs full under load, somebody frees it, and nobody restarts anything.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::{Rounds, count, holds, tell};
use crate::bridge::{Bridge, Home};
use crate::foreign::output;
use crate::http::{once, request};
use crate::kafka;
use crate::kills::{DRAIN_WITHIN, SENDERS, undelivered_is_zero, wait_for_more};
use crate::load::Load;

const ROUNDS: u64 = 1;
const SIZE_BYTES: u64 = 64 << 20;
const REFUSED: &str = r#"waitbridge_deliveries_total{endpoint="sunshine",outcome="journal_full",vendor="waitlistplus"}"#;

#[test]
fn a_full_disk_is_503_until_it_is_freed_and_loses_nothing() {
    let rounds = Rounds::or(ROUNDS);
    if !super::is_root() {
        assert!(!rounds.is_asked_for, "a full disk needs root, to mount a tmpfs");
        eprintln!("THE FULL DISK DID NOT RUN: it needs root, to mount a tmpfs");
        return;
    }
    let kafka = kafka::shared();
    let topics = kafka.new_topics(3);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let _small = Small::mount(&home);
    let bridge = home.start();
    let load = Load::start(SENDERS, Duration::ZERO);
    load.aim(Some(bridge.public));
    wait_for_more(&load, 100);
    for _ in 0..rounds.count {
        fill(&home);
        let before = refused(&bridge);
        bridge.wait_until("it refuses", DRAIN_WITHIN, |bridge| refused(bridge) > before);
        fs::remove_file(home.path("journal/ballast")).unwrap();
        wait_for_more(&load, 100);
    }
    let accepted = load.finish();
    undelivered_is_zero(&bridge);
    let (verdict, _) = count(kafka.bootstrap(), &topics.person, &accepted, DRAIN_WITHIN);
    tell("a disk full and freed", &rounds, &verdict);
    holds(&verdict);
    assert_eq!(bridge.terminate(), 0);
}

/// To the last byte, by something that is not ours.
fn fill(home: &Home) {
    let ballast = format!("of={}", home.path("journal/ballast").display());
    let filled = Command::new("dd").args(["if=/dev/zero", "bs=64k", "status=none"]).arg(ballast).output().expect("dd");
    assert!(!filled.status.success(), "it ends only when there is no room any more");
}

/// The series is there from its first refusal on.
fn refused(bridge: &Bridge) -> f64 {
    let answer = once(bridge.admin, &request("GET", "/metrics", &[], b""));
    let text = String::from_utf8(answer.body).unwrap();
    text.lines().find_map(|line| line.strip_prefix(REFUSED)?.trim().parse().ok()).unwrap_or(0.0)
}

/// A tmpfs where the journal's folder is.
struct Small {
    mounted_on: std::path::PathBuf,
}

impl Small {
    fn mount(home: &Home) -> Small {
        let small = Small { mounted_on: home.path("journal") };
        fs::create_dir(&small.mounted_on).unwrap();
        output(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={SIZE_BYTES}"), "none"]).arg(&small.mounted_on), "");
        small
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.mounted_on).status();
    }
}
