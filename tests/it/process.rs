//! A child process that cannot outlive the tests.
//!
//! Between the tests and the child stands a small shell. Each line that it reads is the name of a signal for the child;
//! when its input ends, because the [`Process`] was dropped or the test binary died in whatever way, it kills the child.
//! A pipe needs no `unsafe`, does not depend on which thread started the child, and reaches into a container as well.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A background command's input is /dev/null in a shell without job control, so the pipe is kept as descriptor 3.
const SHELL: &str = r#"
exec 3<&0 2>/dev/null
log=$1; shift
"$@" </dev/null >>"$log" 2>&1 3<&- &
child=$!
echo "$child"
{ while read -r signal; do kill -s "$signal" "$child"; done; kill -s KILL "$child"; } <&3 >/dev/null &
watch=$!
exec 3<&-
wait "$child"
code=$?
kill "$watch"
exit "$code"
"#;

const LOG_TAIL_BYTES: u64 = 6000;
const POLL: Duration = Duration::from_millis(10);

pub struct Process {
    shell: Child,
    signals: Option<ChildStdin>,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, with its environment and folder; what it prints is added to the file `log`.
    pub fn start(command: &Command, log: &Path) -> Process {
        let mut shell = Command::new("sh");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            shell.current_dir(folder);
        }
        Process::start_in(shell, command, log)
    }

    /// The same within a shell of another place, such as a container's; only program and arguments of `command` count.
    pub fn start_in(mut shell: Command, command: &Command, log: &Path) -> Process {
        shell.arg("-c").arg(SHELL).arg("sh").arg(log).arg(command.get_program()).args(command.get_args());
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{shell:?}: {error}"));
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("piped")).read_line(&mut line).expect("the shell's first line");
        let pid = line.trim().parse().unwrap_or_else(|_| panic!("{command:?} did not start"));
        Process { signals: shell.stdin.take(), shell, pid, log: log.to_owned() }
    }

    /// The child's own id, not the shell's.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends `KILL`, `TERM`, `STOP`, `CONT` and so on. Nothing happens when the child has ended already.
    pub fn signal(&mut self, name: &str) {
        let signals = self.signals.as_mut().expect("open until drop");
        let _ = writeln!(signals, "{name}");
    }

    /// The exit code if the child has ended; 128 + the signal's number if a signal ended it.
    pub fn ended(&mut self) -> Option<i32> {
        self.shell.try_wait().expect("waiting for a child").map(|status| status.code().unwrap_or(-1))
    }

    pub fn wait(&mut self, within: Duration) -> i32 {
        let deadline = Instant::now() + within;
        loop {
            match self.ended() {
                Some(code) => return code,
                None if Instant::now() < deadline => thread::sleep(POLL),
                None => panic!("still running after {within:?}; it printed last:\n{}", self.log_tail()),
            }
        }
    }

    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.signals.take());
        let _ = self.shell.wait();
    }
}

fn log_tail(log: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let start = file.metadata()?.len().saturating_sub(LOG_TAIL_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_or_else(|error| error.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A new empty folder for one fixture. It stays after a failed test, for a look, until the next run.
pub fn new_folder(name: &str) -> PathBuf {
    use std::sync::Once;
    use std::sync::atomic::{AtomicU32, Ordering};
    static SWEEP: Once = Once::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);

    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    SWEEP.call_once(|| sweep(all));
    let folder = all.join(format!("{}-{}-{name}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(&folder).expect("a folder for a fixture");
    folder
}

/// Removes the folders of test processes that are no more.
fn sweep(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split('-').next()).and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
