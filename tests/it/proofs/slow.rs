//! Thousands of connections that send a byte now and then, half of them a head and half of them a body, while honest deliveries
//! go on: how long those take with and without, what the slow ones are told, and what it costs in memory.
//!
//! `WAITBRIDGE_SLOW_CONNECTIONS=9000 tests/run --release --test it proofs::slow::slow_connections -- --nocapture` measures what
//! users get, and prints. Without the variable there are fewer, and how long an honest delivery takes is told but not held against the run.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::asked;
use crate::bridge::{Bridge, Home, TOKEN, server};
use crate::foreign::output;
use crate::http::{Connection, request};
use crate::kafka;

const CONNECTIONS: u64 = 1000;
const PHASE: Duration = Duration::from_secs(10);
const PHASE_OF_THE_GATE: Duration = Duration::from_secs(3);
const WITHIN: Duration = Duration::from_secs(60);
/// Each connection says a byte about this often.
const PAUSE: Duration = Duration::from_secs(2);
/// Not all of them at once.
const TURNS: usize = 200;
const ARRIVAL: Duration = Duration::from_secs(8);
const CROWDS: usize = 4;
const HONEST: usize = 4;
const IN_FLIGHT: &str = "waitbridge_bodies_in_flight_bytes";
const IN_FLIGHT_MAX: f64 = (64 << 20) as f64;

#[test]
fn slow_connections_are_cut_and_do_not_hold_up_honest_deliveries() {
    let count = asked("WAITBRIDGE_SLOW_CONNECTIONS");
    let files = raise_files(2 * count.unwrap_or(CONNECTIONS) + 1000);
    let slow = count.unwrap_or(CONNECTIONS.min(files / 4)) as usize;
    assert!(files > slow as u64 + 500, "this machine allows {files} open files: too few for {slow} connections");
    let phase = if count.is_some() { PHASE } else { PHASE_OF_THE_GATE };
    let kafka = kafka::shared();
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(3), "[log]\nlevel = \"info\"\n");
    let bridge = home.start();
    honest(&bridge, phase / 5);
    let before = honest(&bridge, phase);
    let crowd = Crowd::start(bridge.public, slow);
    crowd.wait_for(slow);
    let during = honest(&bridge, 2 * phase);
    let (open, memory, in_flight) = (crowd.open(), memory(&bridge), bridge.metric(IN_FLIGHT));
    let told = crowd.leave();
    bridge.wait_until("the bytes are given back", WITHIN, |bridge| bridge.metric(IN_FLIGHT) == 0.0);
    let after = honest(&bridge, phase);
    let ratio = during.as_secs_f64() / before.min(after).as_secs_f64();
    eprintln!("{slow} slow connections, {open} open at the end; {told:?}; {in_flight} bytes of bodies, {memory}");
    eprintln!("p99 of honest deliveries: {before:.1?} without, {during:.1?} with, {after:.1?} without: {ratio:.2} times");
    assert!(told.timed_out > 0 && told.cut >= told.timed_out, "the time-outs of the settings end them: {told:?}");
    assert!(in_flight <= IN_FLIGHT_MAX);
    assert!(count.is_none() || ratio <= 3.0, "{ratio:.2} times");
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn bodies_in_flight_stay_within_their_bound_whoever_sends_them() {
    let kafka = kafka::shared();
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(1), &server("bodies_in_flight_max = \"8MiB\""));
    let bridge = home.start();
    let memory_before = memory(&bridge);
    // Four times as much as is let in.
    let senders: Vec<_> = (0..256).map(|_| body_begun(bridge.public, 128 << 10)).collect();
    let mut most: f64 = 0.0;
    bridge.wait_until("many have arrived", WITHIN, |bridge| {
        most = most.max(bridge.metric(IN_FLIGHT));
        most > 7e6
    });
    let refused = senders.into_iter().map(|mut one| one.answer().map_or(0, |answer| answer.status)).filter(|status| *status == 503).count();
    most = most.max(bridge.metric(IN_FLIGHT));
    eprintln!("{refused} of 256 bodies were refused; memory {memory_before} before, {} at most", memory(&bridge));
    assert!(refused >= 100 && most <= (8 << 20) as f64, "{refused} refused, {most} bytes");
    bridge.wait_until("the bytes are given back", WITHIN, |bridge| bridge.metric(IN_FLIGHT) == 0.0);
    assert!(honest(&bridge, Duration::from_millis(100)) > Duration::ZERO, "and there is room again");
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn at_the_limit_of_connections_the_next_ones_wait_and_are_served() {
    let kafka = kafka::shared();
    let limits = server("workers = 2\nconnections_max = 100\nheader_timeout = \"1s\"");
    let bridge = Home::new(kafka.bootstrap(), &kafka.new_topics(1), &limits).start();
    let _crowd: Vec<_> = (0..150).map(|_| Slow::head(bridge.public)).collect();
    let begun = Instant::now();
    let took = honest(&bridge, Duration::from_millis(100));
    eprintln!("an honest delivery behind 150 slow connections, of 100 allowed, took {took:.1?}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn connections_leave_the_journal_files_to_open_where_the_system_allows_few() {
    let kafka = kafka::shared();
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(1), &server("header_timeout = \"60s\"\nbody_max = \"1MiB\""));
    let program = home.path("with-few-files");
    fs::write(&program, format!("#!/bin/sh\nulimit -n 200\nexec {} \"$@\"\n", super::program().display())).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
    let bridge = home.run_by(&program).start();
    let mut kept = Connection::open(bridge.public).unwrap();
    let _crowd: Vec<_> = (0..300).map(|_| Slow::head(bridge.public)).collect();
    // Larger than two segments: new ones are to be made.
    for serial in 0..24 {
        let body = format!(r#"{{"serial":{serial},"padding":"{}"}}"#, "x".repeat(900_000));
        let answer = kept.post(&format!("/webhooks/sunshine/{TOKEN}"), &[], body.as_bytes()).expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (200, "accepted"), "{serial}");
    }
    assert!(bridge.said().contains("fewer connections than server.connections_max (10000)"), "{}", bridge.said());
}

/// Deliveries one after the other from a few senders, each accepted, half of them on a connection of its own: their p99.
fn honest(bridge: &Bridge, time: Duration) -> Duration {
    let address = bridge.public;
    let senders: Vec<_> = (0..HONEST).map(|sender| std::thread::spawn(move || send(address, sender, time))).collect();
    let mut times: Vec<Duration> = senders.into_iter().flat_map(|sender| sender.join().expect("each was accepted")).collect();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

fn send(address: SocketAddr, sender: usize, time: Duration) -> Vec<Duration> {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let (until, mut times) = (Instant::now() + time, Vec::new());
    let mut kept = None;
    while times.is_empty() || Instant::now() < until {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let body = format!(r#"{{"type":"AddPerson","data":{{"PersonId":{serial},"Fields":{{}},"Waitlists":[]}}}}"#);
        let begun = Instant::now();
        let mut connection = kept.take().unwrap_or_else(|| Connection::open(address).expect("the server listens"));
        let answer = connection.post(&format!("/webhooks/sunshine/{TOKEN}"), &[], body.as_bytes()).expect("an answer");
        times.push(begun.elapsed());
        assert_eq!(answer.status, 200, "{}", answer.code());
        kept = sender.is_multiple_of(2).then_some(connection);
        std::thread::sleep(Duration::from_millis(5));
    }
    times
}

/// Slow senders; those who are cut come again.
struct Crowd {
    stop: Arc<AtomicBool>,
    open: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Told>>,
}

/// What became of the slow ones.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    /// Ended by the server, of these with an answer that it took too long.
    cut: u64,
    timed_out: u64,
}

impl Crowd {
    fn start(address: SocketAddr, count: usize) -> Crowd {
        let (stop, open) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let start = |_| {
            let (stop, open) = (stop.clone(), open.clone());
            std::thread::spawn(move || be_slow(address, count / CROWDS, &stop, &open))
        };
        let threads = (0..CROWDS).map(start).collect();
        Crowd { stop, open, threads }
    }

    fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    fn wait_for(&self, count: usize) {
        let deadline = Instant::now() + WITHIN;
        while self.open() < (count / CROWDS * CROWDS) as u64 {
            assert!(Instant::now() < deadline, "{} of {count} slow connections within {WITHIN:?}", self.open());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn leave(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let told = self.threads.into_iter().map(|thread| thread.join().expect("a crowd"));
        told.reduce(|all, one| Told { cut: all.cut + one.cut, timed_out: all.timed_out + one.timed_out }).unwrap_or_default()
    }
}

fn be_slow(address: SocketAddr, count: usize, stop: &AtomicBool, open: &AtomicU64) -> Told {
    let mut told = Told::default();
    let mut all: Vec<Slow> = Vec::with_capacity(count);
    // Whoever comes at once is cut at once: they come over the time after which they are cut.
    while all.len() < count && !stop.load(Ordering::Relaxed) {
        all.push(Slow::nth(address, all.len()));
        open.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(ARRIVAL / count as u32);
    }
    for turn in (0..TURNS).cycle() {
        for at in (turn..all.len()).step_by(TURNS) {
            if !all[at].goes_on(&mut told) {
                all[at] = Slow::nth(address, at);
            }
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(PAUSE / TURNS as u32);
    }
    told
}

struct Slow(TcpStream);

impl Slow {
    fn nth(address: SocketAddr, number: usize) -> Slow {
        if number.is_multiple_of(2) { Slow::head(address) } else { Slow::body(address) }
    }

    fn head(address: SocketAddr) -> Slow {
        Slow::begin(address, b"POST /webhooks/sunshine/x HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    }

    /// No credentials are needed before the body of one that is signed.
    fn body(address: SocketAddr) -> Slow {
        let head = b"POST /webhooks/waitwhile HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n";
        Slow::begin(address, &[head.as_slice(), &[b' '; 4096]].concat())
    }

    fn begin(address: SocketAddr, bytes: &[u8]) -> Slow {
        let mut stream = TcpStream::connect_timeout(&address, WITHIN).expect("the server listens");
        stream.set_nonblocking(true).expect("a socket");
        let _ = stream.write(bytes);
        Slow(stream)
    }

    /// One byte more; no longer once the server has closed.
    fn goes_on(&mut self, told: &mut Told) -> bool {
        let mut answer = [0; 512];
        match self.0.read(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return self.0.write(b"x").is_ok_and(|bytes| bytes == 1),
            Ok(bytes) => told.timed_out += u64::from(answer[..bytes].starts_with(b"HTTP/1.1 408 ")),
            Err(_) => {}
        }
        told.cut += 1;
        false
    }
}

fn body_begun(address: SocketAddr, bytes: usize) -> Connection {
    let mut connection = Connection::open(address).expect("the server listens");
    let whole = request("POST", "/webhooks/waitwhile", &[], &vec![b' '; bytes + 1]);
    // One byte is missing; a body that is refused is not read.
    let _ = connection.send(&whole[..whole.len() - 1]);
    connection
}

/// Of the process: now, and at most.
fn memory(bridge: &Bridge) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", bridge.pid())).unwrap_or_default();
    let lines = status.lines().filter(|line| ["VmRSS", "VmHWM"].iter().any(|name| line.starts_with(name)));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}

/// The limit of open files, of this process and of those that it starts; it is raised as far as the machine allows.
fn raise_files(wanted: u64) -> u64 {
    let pid = std::process::id().to_string();
    let limit =
        |which: &str| output(Command::new("prlimit").args(["--pid", &pid, "--nofile", "--noheadings", "-o", which]), "").trim().parse();
    let (soft, hard): (u64, u64) = (limit("SOFT").unwrap_or(0), limit("HARD").unwrap_or(u64::MAX));
    let files = wanted.min(hard).max(soft);
    output(Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={files}:")]), "");
    files
}
