//! The whole lower half of the house by a seed, with either journal: relay, memory and journal as they are, against a
//! model Kafka and a model disk, or a model of the raw topic and its group, with a clock that only the world turns. Every call
//! may be the last one before a kill. This page runs one process on a disk; `fleet` runs replicas without one.
//!
//! A seed that fails is printed; `SEED=n` runs it alone, `SEEDS=n` runs as many.
//!
//! ```text
//! run        lives of a process, one after the other, until all has drained; then the judge
//! world      what comes in, what time it is, what goes wrong
//! process    the process, and the seams at which the world has its turn
//! fleet      the same for a fleet                  ground       what both worlds stand on
//! kafka      the model of Kafka                    broker       a process's client of it
//! deliveries what is sent
//! ledger     what was accepted, and the judge, which is independent of the product
//! ```

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::journal::disk::driven::{Killed, ModelDisk, Parts, recover};
use crate::journal::disk::{self, OpenError};
use crate::planted::{self, Bug};
use crate::relay::status::Status;
use crate::relay::{Ended, Limits, Relay, memory};

mod broker;
mod deliveries;
mod fleet;
mod ground;
mod kafka;
mod ledger;
mod process;
mod situations;
mod world;

use broker::{SimulatedBroker, SimulatedClock};
use ledger::Window;
use process::{Kin, Process, SimulatedSource, lock};
use world::{After, World};

const WINDOW_MS: i64 = 20_000;
const ENDPOINT_REPEAT_MS: i64 = 2_000;
const BODY_REPEAT_MS: i64 = 3_000;
const LIVES_MAX: usize = 2_000;

/// One seed, with all its lives; or what broke which promise.
type Seed = fn(u64) -> Result<Hits, String>;

/// How often each thing happened.
type Hits = BTreeMap<&'static str, u64>;

/// How a life ended.
enum Life {
    Stopped,
    Killed,
    Disowned,
}

/// One seed, with all its lives; or what broke which promise.
fn run(seed: u64) -> Result<Hits, String> {
    let world = Arc::new(World::new(seed));
    let mut disk = Arc::new(ModelDisk::new(seed));
    for _ in 0..LIVES_MAX {
        match (live(&world, &disk, Kin::First), std::mem::take(&mut *lock(&world.after))) {
            (Life::Stopped, _) if world.has_drained() => return judged(&world),
            (Life::Disowned, _) => disk = copied(&world, &disk)?,
            (_, After::PowerLost) => {
                disk.lose_power();
                world.forget_mark();
            }
            (_, After::Restored(snapshot)) => {
                disk.restore(&snapshot);
                world.forget_mark();
            }
            (_, After::Same) => {}
        }
    }
    Err("it does not come to an end".to_owned())
}

fn judged(world: &World) -> Result<Hits, String> {
    world.leave_copy();
    let damages = world.damages.load(Ordering::Relaxed) as usize;
    let memory = if damages > 0 || world.window_shrank.load(Ordering::Relaxed) { Window::Damaged } else { Window::Whole };
    lock(&world.ledger).judge(&lock(&world.cluster).committed, damages, memory)?;
    Ok(lock(&world.hits).clone())
}

/// The folder that was disowned stays closed; the other one goes on.
fn copied(world: &Arc<World>, disk: &Arc<ModelDisk>) -> Result<Arc<ModelDisk>, String> {
    world.hit("disowned");
    let copy = world.take_copy().ok_or("disowned, and there was no other")?;
    if disk.has_no_power() {
        // It could not be marked: that was said, and a person has to see to it.
        return Ok(copy);
    }
    disk.heal();
    match opened(world, disk) {
        Err(OpenError::Disowned { .. }) => Ok(copy),
        Err(error) => Err(format!("a marked folder: {error}")),
        Ok(_) => Err("a marked folder was opened".to_owned()),
    }
}

fn opened(world: &World, disk: &Arc<ModelDisk>) -> Result<Parts, OpenError> {
    let clock_us = world.clock_us.clone();
    let (dir, checkpoint_topic) = (PathBuf::from("/model"), "checkpoints".to_owned());
    let options =
        disk::Options { dir, checkpoint_topic, window_ms: WINDOW_MS as u64, segment_bytes: 2048, size_max: 512 * 2048, free_min: 0 };
    let clock: disk::driven::Clock = Arc::new(move || clock_us.load(Ordering::Relaxed));
    recover(disk.clone(), clock, options, world.metrics.clone())
}

/// One life of a process, until it ends or is killed.
fn live(world: &Arc<World>, disk: &Arc<ModelDisk>, kin: Kin) -> Life {
    world.pass_ms(5);
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let Parts { log, writer, source } = match opened(world, disk) {
            Ok(parts) => parts,
            // It was killed while it marked its folder.
            Err(OpenError::Disowned { .. }) => return Life::Disowned,
            Err(OpenError::Io { .. }) => {
                *lock(&world.after) = After::PowerLost;
                return Life::Killed;
            }
            Err(error) => panic!("{error}"),
        };
        if kin == Kin::First {
            world.leave_copy();
        }
        let process = Arc::new(Process::new(world.clone(), disk.clone(), log, writer, kin));
        let relay = relay(&process, source);
        match relay.run() {
            Ended::Disowned => Life::Disowned,
            Ended::Stopped => {
                process.close();
                Life::Stopped
            }
        }
    }));
    lived.unwrap_or_else(|panic| match panic.is::<Killed>() {
        true => Life::Killed,
        false => std::panic::resume_unwind(panic),
    })
}

fn relay(process: &Arc<Process>, inner: disk::DiskSource) -> Relay<SimulatedSource, SimulatedBroker<Arc<Process>>> {
    let source = SimulatedSource::new(process.clone(), inner);
    let (broker, clock) = (SimulatedBroker::new(process.clone()), Box::new(SimulatedClock(process.clone())));
    let (stop, status, metrics) = (process.stop.clone(), Arc::new(Status::default()), process.log.metrics.clone());
    Relay::new(source, broker, deliveries::prepare(), limits(), clock, stop, status, metrics)
}

fn limits() -> Limits {
    Limits {
        batch_max: 7,
        batch_wait: Duration::ZERO,
        retry_min: Duration::from_millis(100),
        retry_max: Duration::from_secs(2),
        endpoint_unknown_wait_ms: 0,
        memory: memory::Limits {
            window_ms: WINDOW_MS,
            endpoint_repeat_ms: ENDPOINT_REPEAT_MS,
            body_repeat_ms: BODY_REPEAT_MS,
            entries_max: 100_000,
        },
    }
}

/// The process that this one was copied from stands still meanwhile.
fn live_on_copy(world: &Arc<World>, copy: &Arc<ModelDisk>) {
    let _: Life = live(world, copy, Kin::Copy);
    if let After::PowerLost = std::mem::take(&mut *lock(&world.after)) {
        copy.lose_power();
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn told_by(panic: Box<dyn Any + Send>) -> String {
    let told = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
    told.unwrap_or_else(|| "a panic".to_owned())
}

/// With what came of a panic told as an error.
fn tried(run: Seed, seed: u64) -> Result<Hits, String> {
    catch_unwind(|| run(seed)).unwrap_or_else(|panic| Err(told_by(panic)))
}

/// Runs the seeds that the environment asks for, or `usual` many; each of `hits` must happen.
fn check(run: Seed, usual: u64, hits: &[&str]) {
    let seeds = match number("SEED") {
        Some(seed) => {
            crate::telemetry::start(crate::telemetry::Format::Text, tracing::Level::DEBUG);
            seed..seed + 1
        }
        None => 0..number("SEEDS").unwrap_or(usual),
    };
    let mut all = Hits::new();
    for seed in seeds.clone() {
        match tried(run, seed) {
            Ok(hits) => hits.into_iter().for_each(|(what, times)| *all.entry(what).or_default() += times),
            Err(why) => panic!("SEED={seed}: {why}"),
        }
    }
    if seeds.end - seeds.start >= 1000 {
        let rare: Vec<_> = hits.iter().filter(|what| all.get(**what).is_none_or(|times| *times < 20)).collect();
        assert!(rare.is_empty(), "hardly ever happened: {rare:?} of {all:?}");
    }
}

fn check_bugs(run: Seed, bugs: &[Bug]) {
    let within = 400;
    let is_caught = |bug: &Bug| {
        planted::plant(Some(*bug));
        let caught = (0..within).find_map(|seed| tried(run, seed).err().map(|why| (seed, why)));
        planted::plant(None);
        eprintln!("{bug:?}: {caught:?}");
        caught.is_some()
    };
    let missed: Vec<_> = bugs.iter().filter(|bug| !is_caught(bug)).collect();
    assert!(missed.is_empty(), "not within {within} seeds: {missed:?}");
}

#[test]
fn whatever_fails_each_delivery_comes_out_once_in_order_or_as_a_dead_letter() {
    check(run, 2000, &world::HITS);
}

#[test]
fn every_planted_bug_is_caught() {
    check_bugs(run, &planted::OF_A_DISK);
}

#[test]
fn whatever_fails_in_a_fleet_each_delivery_comes_out_once_in_order_or_as_a_dead_letter() {
    check(fleet::run, 1000, &fleet::HITS);
}

#[test]
fn every_bug_planted_in_a_fleet_is_caught() {
    check_bugs(fleet::run, &planted::OF_A_FLEET);
}
