//! One server under test, and what the kernel says of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::bridge::{self, Bridge, Home};
use crate::kafka::{Kafka, Topics};
use crate::process::{Process, new_folder};

const START_WITHIN: Duration = Duration::from_secs(60);
const COMMIT_WITHIN: Duration = Duration::from_secs(120);

pub enum Subject {
    Ours(Bridge),
    Bare(Process, SocketAddr),
}

/// What the load saw.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub count: u64,
    pub took: Duration,
    pub p50: Duration,
    pub p99: Duration,
}

/// With one HTTP thread, as the bare ones have.
pub fn home(kafka: &Kafka, topics: &Topics) -> Home {
    let home = Home::new(kafka.bootstrap(), topics, "");
    let more = ["[log]\nlevel = \"info\"\n".to_owned(), bridge::server("workers = 1")];
    let journal = format!("[journal]\ndir = \"{}\"\nsize_max = \"10GiB\"\nfree_min = \"0B\"\n", home.path("journal").display());
    let home = Home::new(kafka.bootstrap(), topics, &[more.concat(), journal].concat());
    match std::env::var("WAITBRIDGE_BENCH_PROGRAM") {
        Ok(program) => home.run_by(program.as_ref()),
        Err(_) => home,
    }
}

impl Subject {
    pub fn ours(kafka: &Kafka, topics: &Topics) -> Subject {
        let home = home(kafka, topics);
        let bridge = home.start();
        pin(bridge.pid(), Core::First);
        flows(&bridge);
        Subject::Ours(bridge)
    }

    pub fn bare(work: &str, kafka: &Kafka, topic: &str) -> Subject {
        let folder = new_folder("bare");
        let (log, file) = (folder.join("said"), folder.join("log"));
        let mut command = role("bare");
        match work {
            "append" => command.arg(work).arg(&file),
            "kafka" => command.args([work, kafka.bootstrap(), topic]),
            _ => command.arg(work),
        };
        let process = Process::start(&command, &log);
        let address = said(&log, "serves ").parse().expect("an address");
        pin(process.pid(), Core::First);
        Subject::Bare(process, address)
    }

    pub fn pid(&self) -> u32 {
        match self {
            Subject::Ours(bridge) => bridge.pid(),
            Subject::Bare(process, _) => process.pid(),
        }
    }

    pub fn send(&self, first: u64, count: u64, connections: u64, rate: u64) -> Seen {
        let address = match self {
            Subject::Ours(bridge) => bridge.public,
            Subject::Bare(_, address) => *address,
        };
        send(&[address], first, count, connections, rate, 1)
    }

    /// What was accepted is in Kafka; nothing to wait for where the answer says so, or where there is no Kafka.
    pub fn committed(&self) {
        if let Subject::Ours(bridge) = self {
            let is_empty = |bridge: &Bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0;
            bridge.wait_until("everything is committed", COMMIT_WITHIN, is_empty);
        }
    }
}

/// By a process of its own, `count` of so many tenants to these servers; a rate of 0 is as fast as it goes.
pub fn send(to: &[SocketAddr], first: u64, count: u64, connections: u64, rate: u64, tenants: u64) -> Seen {
    let addresses: Vec<String> = to.iter().map(SocketAddr::to_string).collect();
    let numbers = [first, count, connections, rate, tenants].map(|number| number.to_string());
    let mut load = role("load");
    load.arg(addresses.join(",")).args(numbers).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut load = load.spawn().expect("the load");
    pin(load.id(), Core::Others);
    load.stdin.take().expect("piped").write_all(b"go\n").expect("it listens");
    let mut told = String::new();
    load.stdout.take().expect("piped").read_to_string(&mut told).expect("text");
    assert!(load.wait().expect("it ended").success(), "the load failed");
    let told: Vec<u64> = told.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    let [took, p50, p99] = [told[1], told[2], told[3]].map(Duration::from_micros);
    Seen { count: told[0], took, p50, p99 }
}

/// Until it publishes what comes.
pub fn flows(bridge: &Bridge) {
    bridge.wait_until("the window is remembered", START_WITHIN, |bridge| bridge.said().contains("the window of the journal is remembered"));
}

/// This very program, as something else.
pub fn role(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command.arg(name);
    command
}

/// What stands behind `key` in the first line that begins so.
fn said(log: &PathBuf, key: &str) -> String {
    let deadline = Instant::now() + START_WITHIN;
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        if let Some((line, _)) = text.split_once('\n') {
            return line.strip_prefix(key).unwrap_or_else(|| panic!("{text}")).to_owned();
        }
        assert!(Instant::now() < deadline, "it does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Core {
    First,
    Others,
}

/// The first core is the server's alone; load and Kafka have the others. Without `taskset`, or with one core, nothing is pinned.
pub fn pin(pid: u32, core: Core) {
    let others = format!("1-{}", std::thread::available_parallelism().map_or(1, usize::from).max(2) - 1);
    let cores = match core {
        Core::First => "0",
        Core::Others => &others,
    };
    let _ = Command::new("taskset").args(["-acp", cores, &pid.to_string()]).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// User and system time of a process.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<u64> = stat.rsplit(')').next().expect("a line").split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    Duration::from_millis((fields[11] + fields[12]) * 10)
}

pub fn rss_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).expect("kB").parse::<f64>().expect("a number") / 1024.0
}

pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}
