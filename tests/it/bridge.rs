//! The real binary, started with settings of a test, on ports of its own. It dies with the test.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::{once, request};
use crate::kafka::Topics;
use crate::process::{Process, new_folder};

pub const SECRET: &str = "whsec_test_0123456789";
pub const PUBLIC_URL: &str = "https://hooks.example.com/webhooks/waitwhile";
pub const TOKEN: &str = "wb_2f1d7c0a9b8e4d53a1c6e0f7b2d4986c";
pub const TOKEN_SHA256: &str = "28151a8c44694a7d7260bde2973509a5dc1f99579e9f817184d5af8a9b340b23";
pub const BASIC: &str = "vendor:pass:word";

/// A folder with settings, secrets and a journal; it outlives the processes started on it.
pub struct Home {
    pub folder: PathBuf,
    program: PathBuf,
    socket: Option<(&'static str, TcpListener)>,
    manager: Option<PathBuf>,
}

/// One process.
pub struct Bridge {
    process: Process,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    log: PathBuf,
    /// Where the log of this process begins: those before it wrote to the same file.
    log_from: usize,
}

const START_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

impl Home {
    /// `extra` is more TOML; a section that it holds replaces the one that stands here.
    pub fn new(brokers: &str, topics: &Topics, extra: &str) -> Home {
        let home =
            Home { folder: new_folder("bridge"), program: PathBuf::from(env!("CARGO_BIN_EXE_waitbridge")), socket: None, manager: None };
        fs::write(home.path("secret"), SECRET).unwrap();
        fs::write(home.path("basic"), BASIC).unwrap();
        fs::write(home.path("waitbridge.toml"), home.settings(brokers, topics, extra)).unwrap();
        home
    }

    /// The same settings for another program: one that keeps the promises less well.
    pub fn run_by(mut self, program: &Path) -> Home {
        self.program = program.to_owned();
        self
    }

    /// Hands this listener to its processes under this name, and keeps it open between them, as systemd would.
    pub fn hold(mut self, name: &'static str, socket: TcpListener) -> Home {
        self.socket = Some((name, socket));
        self
    }

    /// Its processes tell this socket how far they are.
    pub fn managed_by(mut self, manager: PathBuf) -> Home {
        self.manager = Some(manager);
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn settings(&self, brokers: &str, topics: &Topics, extra: &str) -> String {
        let default = |key: &str, section: &str| if extra.contains(key) { String::new() } else { section.to_owned() };
        format!(
            r#"
{server}
{journal}
[kafka]
brokers = ["{brokers}"]
checkpoint_topic = "{checkpoint}"
[topics]
person = "{person}"
location = "{location}"
dead_letter = "{dead_letter}"
{log}
{relay}
{extra}
[[endpoint]]
name = "waitwhile"
vendor = "waitwhile"
tenant = "acme"
public_urls = ["{PUBLIC_URL}"]
secret_files = ["{secret}"]
[[endpoint]]
name = "sunshine"
vendor = "waitlistplus"
tenant = "sunshine"
token_sha256 = ["{TOKEN_SHA256}"]
time_zone = "America/Chicago"
birth_date_format = "M/D/YYYY"
[[endpoint]]
name = "basic"
vendor = "waitlistplus"
tenant = "sunshine"
basic_files = ["{basic}"]
"#,
            checkpoint = topics.checkpoint,
            person = topics.person,
            location = topics.location,
            dead_letter = topics.dead_letter,
            server = default("[server]", &server("")),
            journal = default("[journal]", &self.journal("")),
            log = default("[log]", "[log]\nlevel = \"debug\"\n"),
            relay = default("[relay]", "[relay]\nexpired_after = \"0s\"\nretry_max = \"1s\"\n"),
            secret = self.path("secret").display(),
            basic = self.path("basic").display(),
        )
    }

    pub fn journal(&self, more: &str) -> String {
        let dir = self.path("journal");
        format!("[journal]\ndir = \"{}\"\nsegment = \"8MiB\"\nsize_max = \"1GiB\"\nfree_min = \"0B\"\n{more}", dir.display())
    }

    /// The settings file with one line for another.
    pub fn set(&self, line: &str, other: &str) {
        let settings = fs::read_to_string(self.path("waitbridge.toml")).unwrap();
        assert!(settings.contains(line), "no such line: {line}");
        fs::write(self.path("waitbridge.toml"), settings.replace(line, other)).unwrap();
    }

    pub fn start(&self) -> Bridge {
        self.try_start().unwrap_or_else(|(code, log)| panic!("waitbridge ended with {code}:\n{log}"))
    }

    /// Until it serves; or how it ended, and what it said.
    pub fn try_start(&self) -> Result<Bridge, (i32, String)> {
        let log = self.path("waitbridge.log");
        let log_from = fs::read(&log).map_or(0, |log| log.len());
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config").arg(self.path("waitbridge.toml"));
        if let Some(manager) = &self.manager {
            command.env("NOTIFY_SOCKET", manager);
        }
        let mut process = match &self.socket {
            Some((name, socket)) => activate(name, socket, &command, &log),
            None => Process::start(&command, &log),
        };
        let deadline = Instant::now() + START_WITHIN;
        loop {
            let said = said(&log, log_from);
            if let Some((public, admin)) = said.lines().find_map(addresses) {
                return Ok(Bridge { process, public, admin, log, log_from });
            }
            if let Some(code) = process.ended() {
                return Err((code, said));
            }
            assert!(Instant::now() < deadline, "waitbridge does not start:\n{said}");
            std::thread::sleep(POLL);
        }
    }
}

/// With the socket as its descriptor 3, and what systemd says of it. Until then it is the error output of the shells in between.
fn activate(name: &str, socket: &TcpListener, command: &Command, log: &Path) -> Process {
    let mut outer = Command::new("sh");
    outer.args(["-c", r#"exec 9>&2; exec sh "$@""#, "sh"]).stderr(OwnedFd::from(socket.try_clone().unwrap()));
    let mut inner = Command::new("sh");
    inner.args(["-c", r#"export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$0; exec "$@" 3<&9 9<&-"#, name]);
    inner.arg(command.get_program()).args(command.get_args());
    Process::start_in(outer, &inner, log)
}

fn said(log: &Path, from: usize) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
}

/// Of the line in which the process says that it serves.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok().filter(|line: &Value| line["message"] == "waitbridge serves")?;
    let address = |key: &str| line[key].as_str()?.parse().ok();
    Some((address("listen")?, address("admin_listen")?))
}

pub fn server(more: &str) -> String {
    format!("[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\ndrain_settle = \"0s\"\n{more}\n")
}

impl Bridge {
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn kill(mut self) {
        self.process.signal("KILL");
        self.process.wait(Duration::from_secs(60));
    }

    pub fn signal(&mut self, name: &str) {
        self.process.signal(name);
    }

    /// Until no thread of it runs any more; one that syncs ends that first.
    pub fn freeze(&mut self) {
        self.signal("STOP");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_stopped(self.pid()) {
            assert!(Instant::now() < deadline, "it does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// SIGTERM, and the exit code.
    pub fn terminate(mut self) -> i32 {
        self.process.signal("TERM");
        self.wait(Duration::from_secs(60))
    }

    /// The exit code, if it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.process.ended()
    }

    pub fn wait(&mut self, within: Duration) -> i32 {
        self.process.wait(within)
    }

    /// What this process has said so far.
    pub fn said(&self) -> String {
        said(&self.log, self.log_from)
    }

    pub fn metric(&self, series: &str) -> f64 {
        let answer = once(self.admin, &request("GET", "/metrics", &[], b""));
        let text = String::from_utf8(answer.body).unwrap();
        let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("no series {series} in\n{text}"))
    }

    /// Polls until `holds`, or fails with what the process said last.
    pub fn wait_until(&self, what: &str, within: Duration, mut holds: impl FnMut(&Bridge) -> bool) {
        let deadline = Instant::now() + within;
        while !holds(self) {
            assert!(Instant::now() < deadline, "not within {within:?}: {what}\n{}", self.process.log_tail());
            std::thread::sleep(POLL);
        }
    }
}

fn is_stopped(pid: u32) -> bool {
    let mut threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // Behind the name, which stands in brackets, comes the state.
    threads.all(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).is_ok_and(|stat| stat.contains(") T ")))
}
