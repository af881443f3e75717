//! The control socket: what changes something in the running service goes through a unix socket beside the journal, never through the
//! network. Whoever may open the folder may ask.
//!
//! A connection carries one request, a line of JSON, and its answers, a line each. A replay lasts as long as its connection: who
//! leaves, or closes its sending side, stops it at its next commit. Connections, lines and times are bounded.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use tracing::{debug, warn};
use uuid::Uuid;

use super::reload::{Bell, Reloaded};
use super::replay::{Desk, Replays, Told, Trouble, Wish};
use crate::relay::replay::progress::Phase;
use crate::relay::replay::source::PATIENCE;
use crate::relay::status::Activity;

pub mod protocol;

use protocol::{Answer, How, LINE_BYTES_MAX, Request};

const SOCKET: &str = "control.sock";
const CONNECTIONS_MAX: usize = 8;
/// For the request, and for each answer to be taken.
const TALK_WITHIN: Duration = Duration::from_secs(5);
const RELOAD_WITHIN: Duration = Duration::from_secs(30);
/// Between two answers of a replay.
const TICK: Duration = Duration::from_millis(200);

pub struct Control {
    path: PathBuf,
    room: Arc<Room>,
}

struct Room {
    replays: Arc<Replays>,
    reload: Bell,
    connections: AtomicUsize,
    closing: AtomicBool,
}

/// Where the service of this journal's folder listens.
pub fn socket(journal_dir: &Path) -> PathBuf {
    journal_dir.join(SOCKET)
}

/// A service without it takes webhooks all the same.
pub fn start(journal_dir: &Path, replays: Arc<Replays>, reload: Bell) -> Option<Control> {
    let path = socket(journal_dir);
    let room = Arc::new(Room { replays, reload, connections: AtomicUsize::new(0), closing: AtomicBool::new(false) });
    match listen(&path).and_then(|listener| {
        spawn("control", {
            let room = room.clone();
            move || room.run(&listener)
        })
    }) {
        Ok(()) => Some(Control { path, room }),
        Err(error) => {
            warn!(path = %path.display(), %error, "there is no control socket: this service can do no replay (is the path too long?)");
            None
        }
    }
}

/// Takes the place of one that a killed service has left: the journal's lock says that there is no other.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let made = path.with_extension("new");
    match fs::remove_file(&made) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, Permissions::from_mode(0o600))?;
    fs::rename(&made, path)?;
    Ok(listener)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

impl Control {
    /// Whether a replay has not come to its end.
    pub fn is_at_work(&self) -> bool {
        self.room.replays.is_at_work()
    }

    /// Takes no more requests, and tells a replay to come to an end.
    pub fn close(&self, deadline: Instant) {
        self.room.closing.store(true, Ordering::Release);
        self.room.replays.stop(deadline);
        // Wakes who waits for the next connection.
        let _ = UnixStream::connect(&self.path);
        if let Err(error) = fs::remove_file(&self.path) {
            debug!(%error, "the control socket had gone already");
        }
    }
}

impl Room {
    fn run(self: &Arc<Room>, listener: &UnixListener) {
        for stream in listener.incoming() {
            if self.closing.load(Ordering::Acquire) {
                return;
            }
            let Ok(stream) = stream else {
                // Too many open files, say: nothing that a hot loop would mend.
                std::thread::sleep(TICK);
                continue;
            };
            let room = self.clone();
            let work = move || {
                let ended = room.admit(stream);
                room.connections.fetch_sub(1, Ordering::AcqRel);
                if let Err(error) = ended {
                    debug!(%error, "a control connection ended");
                }
            };
            self.connections.fetch_add(1, Ordering::AcqRel);
            if spawn("control-talk", work).is_err() {
                self.connections.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    fn admit(&self, stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(TALK_WITHIN))?;
        stream.set_write_timeout(Some(TALK_WITHIN))?;
        if self.connections.load(Ordering::Acquire) > CONNECTIONS_MAX {
            return say(&stream, &refused("busy", "too many control connections: try again"));
        }
        let mut line = String::new();
        BufReader::new((&stream).take(LINE_BYTES_MAX)).read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(request) => self.answer(&stream, request),
            Err(error) => say(&stream, &refused("bad_request", &format!("no request of this version: {error}"))),
        }
    }

    fn answer(&self, stream: &UnixStream, request: Request) -> io::Result<()> {
        let wish = match request {
            Request::Reload => return say(stream, &self.reloaded()),
            Request::Replay { order } => Wish::Begin(order),
            Request::Count { order } => Wish::Count(order),
            Request::Resume { id, rate } => match Uuid::parse_str(&id) {
                Ok(id) => Wish::Resume(id, rate),
                Err(_) => return say(stream, &refused("bad_request", "the id of a replay is a UUID")),
            },
        };
        match self.replays.start(wish) {
            Ok((desk, told)) => {
                let followed = follow(stream, &desk, &told);
                desk.stop.request(Instant::now() + PATIENCE);
                followed
            }
            Err(trouble) => say(stream, &refused_by(&trouble)),
        }
    }

    fn reloaded(&self) -> Answer {
        match self.reload.ask(RELOAD_WITHIN) {
            Some(Reloaded::Taken(changes)) => Answer::Reloaded { changes },
            Some(Reloaded::Refused(mistakes)) => refused("settings", &mistakes.join("\n")),
            Some(Reloaded::NoFile) => refused("no_file", "these settings come from no file: there is nothing to reload"),
            None => refused("no_answer", "the file system does not answer; the old settings stay in force until it does"),
        }
    }
}

/// Whether it has a checkpoint, from which it can be resumed: only then its id is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    NotYet,
    Yes,
}

/// Tells of a replay until its end.
fn follow(stream: &UnixStream, desk: &Desk, told: &Told) -> io::Result<()> {
    stream.set_read_timeout(Some(TICK))?;
    let mut begun = Begun::NotYet;
    loop {
        if !desk.stop.is_requested() {
            listen_for_the_end(stream, desk);
        }
        let ended = told.recv_timeout(if desk.stop.is_requested() { TICK } else { Duration::ZERO });
        if begun == Begun::NotYet && desk.progress.now().phase != Phase::Reading {
            begun = Begun::Yes;
            say(stream, &Answer::Started { id: desk.id.to_string() })?;
        }
        match ended {
            Ok(Ok(())) => return say(stream, &ended_as(desk)),
            Ok(Err(trouble)) => return say(stream, &refused_by(&trouble)),
            Err(RecvTimeoutError::Timeout) => say(stream, &progress(desk))?,
            Err(RecvTimeoutError::Disconnected) => return say(stream, &refused_by(&Trouble::Broken)),
        }
    }
}

/// Waits a moment for the other side to leave, which asks for the end.
fn listen_for_the_end(mut stream: &UnixStream, desk: &Desk) {
    match stream.read(&mut [0; 64]) {
        Ok(read) if read > 0 => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) => {}
        Ok(_) | Err(_) => desk.stop.request(Instant::now() + PATIENCE),
    }
}

fn progress(desk: &Desk) -> Answer {
    let waits_for = match desk.status.now() {
        Activity::Blocked { topic, reason } if topic.is_empty() => Some(reason.to_owned()),
        Activity::Blocked { topic, reason } => Some(format!("{topic}: {reason}")),
        Activity::Starting | Activity::Flowing | Activity::Disowned => None,
    };
    Answer::Progress { shown: desk.progress.now(), waits_for }
}

fn ended_as(desk: &Desk) -> Answer {
    let shown = desk.progress.now();
    let how = if shown.phase == Phase::Finished { How::Whole } else { How::Stopped };
    Answer::Ended { how, shown }
}

fn refused(code: &str, message: &str) -> Answer {
    Answer::Refused { code: code.to_owned(), message: message.to_owned() }
}

fn refused_by(trouble: &Trouble) -> Answer {
    refused(trouble.code(), &trouble.to_string())
}

fn say(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line)
}
