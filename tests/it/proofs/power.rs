//! The power fails under load, and the journal's disk comes back with what had reached it.
//!
//! The journal lies on an ext4 of its own in a loop device. The process is stopped (SIGSTOP) and the file behind the device
//! is copied: that holds what the file system had written to the device, and nothing of what was only in its page cache. The copy
//! is mounted, so that ext4 recovers as after a power cut, and waitbridge starts on it. This proves that what was answered
//! 200 had been handed to the device before. It does not prove that a device keeps what it has when its own cache loses
//! power: asking for that is ext4's part of `fdatasync`. Every second round Kafka is away, so that all depends on the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{NOWHERE, Rounds, count, holds, is_root, program, set_brokers, tell};
use crate::bridge::Home;
use crate::foreign::output;
use crate::kafka;
use crate::kills::{COMMITTED, DRAIN_WITHIN, PAUSE, SENDERS, SMALL_BATCHES, scatter, undelivered_is_zero, wait_for_more};
use crate::load::{Load, Verdict};

const ROUNDS: u64 = 2;
const IMAGE_BYTES: u64 = 1 << 30;

#[test]
fn a_power_cut_loses_nothing_that_was_answered() {
    let rounds = Rounds::or(ROUNDS);
    if can_mount(&rounds) {
        let verdict = power_cuts(&rounds, program(), DRAIN_WITHIN);
        tell("power loss", &rounds, &verdict);
        holds(&verdict);
    }
}

/// The control: were this to pass too, the test above would prove nothing.
#[test]
fn the_same_power_cuts_lose_events_when_nothing_is_synced() {
    let rounds = Rounds::or(ROUNDS);
    if can_mount(&rounds) {
        let folder = crate::process::new_folder("without-sync");
        let verdict = power_cuts(&rounds, &without_sync(&folder), Duration::from_secs(5));
        tell("power loss without fdatasync", &rounds, &verdict);
        assert!(verdict.lost > 0, "{verdict:?}");
    }
}

fn power_cuts(rounds: &Rounds, program: &Path, within: Duration) -> Verdict {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(3);
    let home = Home::new(kafka.bootstrap(), &topics, SMALL_BATCHES).run_by(program);
    let mut disk = Disk::new(&home);
    let load = Load::start(SENDERS, PAUSE);
    for round in 0..rounds.count {
        let chance = scatter(rounds.seed ^ round);
        let is_away = round.is_multiple_of(2);
        set_brokers(&home, if is_away { NOWHERE } else { kafka.bootstrap() });
        let mut bridge = home.start();
        load.aim(Some(bridge.public));
        if !is_away {
            bridge.wait_until("it publishes", DRAIN_WITHIN, |bridge| bridge.metric(COMMITTED) > 0.0);
        }
        wait_for_more(&load, 50 + chance % 500);
        bridge.freeze();
        let copy = disk.copy(round);
        bridge.kill();
        disk.replace(copy);
    }
    set_brokers(&home, kafka.bootstrap());
    let bridge = home.start();
    load.aim(Some(bridge.public));
    wait_for_more(&load, 100);
    let accepted = load.finish();
    undelivered_is_zero(&bridge);
    let (verdict, _) = count(kafka.bootstrap(), &topics.person, &accepted, within);
    assert_eq!(bridge.terminate(), 0);
    verdict
}

/// An ext4 where the journal's folder is.
struct Disk {
    mounted_on: PathBuf,
    image: PathBuf,
}

impl Disk {
    fn new(home: &Home) -> Disk {
        let disk = Disk { mounted_on: home.path("journal"), image: home.path("disk.img") };
        fs::create_dir(&disk.mounted_on).unwrap();
        fs::File::create(&disk.image).unwrap().set_len(IMAGE_BYTES).unwrap();
        output(Command::new("mkfs.ext4").arg("-q").arg(&disk.image), "");
        disk.mount();
        fs::remove_dir(disk.mounted_on.join("lost+found")).unwrap();
        disk
    }

    /// As the device has it now; holes stay holes.
    fn copy(&self, round: u64) -> PathBuf {
        let copy = self.image.with_file_name(format!("disk-{round}.img"));
        output(Command::new("cp").arg("--sparse=auto").arg(&self.image).arg(&copy), "");
        copy
    }

    fn replace(&mut self, image: PathBuf) {
        output(Command::new("umount").arg(&self.mounted_on), "");
        fs::remove_file(std::mem::replace(&mut self.image, image)).unwrap();
        self.mount();
    }

    fn mount(&self) {
        output(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mounted_on), "");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.mounted_on).status();
    }
}

/// The program with its syncs taken away.
fn without_sync(folder: &Path) -> PathBuf {
    let (library, script) = (folder.join("without_sync.so"), folder.join("waitbridge-without-sync"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control/without_sync.c");
    output(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source), "");
    fs::write(&script, format!("#!/bin/sh\nLD_PRELOAD={} exec {} \"$@\"\n", library.display(), program().display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

/// Mounting wants root and a loop device. A run that nobody asked for goes without, loudly.
fn can_mount(rounds: &Rounds) -> bool {
    let has_loop = Command::new("losetup").arg("--find").output().is_ok_and(|found| found.status.success());
    let can = is_root() && has_loop;
    assert!(can || !rounds.is_asked_for, "power loss needs root and a loop device: losetup --find");
    if !can {
        eprintln!("POWER LOSS DID NOT RUN: it needs root and a loop device");
    }
    can
}
