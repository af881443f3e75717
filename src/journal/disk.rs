//! Our own log on a local disk, for one instance: it needs nothing else and survives Kafka.
//!
//! An append is answered when its bytes are synced into blocks that were durable before. What that survives:
//! the end of this process and of the machine at any moment; not the loss of the disk. A failed sync poisons
//! the journal, loudly: nothing is known of the disk then, and the process must start anew.
//!
//! ```text
//! dir/  lock          locked by the running process, holds its id
//!       id            the journal's UUID, made at the first start
//!       mark          two slots: next position, synced bound, cluster id   (mark.rs)
//!       spare         the next segment in the making, all zeros
//!       <base>.log    segments, named by the seq of their first record, 20 digits
//!       quarantine/   bytes that could not be read
//!       disowned      another process owns the checkpoint: not to be opened again, but to be drained
//!       drain         the UUID under which it is drained
//!
//! segment   0        8       12    16         32      48     56           64        72      80    92   96
//!           ├────────┼────────┼─────┼──────────┼───────┼──────┼────────────┼─────────┼───────┼─────┼────┤
//!           │wbjournl│ format │  0  │journal id│boot id│ base │ created ms │ records │ bytes │  0  │crc │ records …
//!           │        │   1    │     │          │       │      │            │ ever before it  │     │0-92│
//!           └────────┴────────┴─────┴──────────┴───────┴──────┴────────────┴─────────┴───────┴─────┴────┘
//! record    0        4       8     16            24       28   32
//!           ├────────┼───────┼─────┼─────────────┼────────┼────┼──────┬─────────┐
//!           │ length │header │ seq │ received ms │ crc of │ 0  │ body │ zeros to│
//!           │32+body │  crc  │     │             │seq+body│    │      │  8 bytes│
//!           └────────┴───────┴─────┴─────────────┴────────┴────┴──────┴─────────┘
//! All numbers little-endian, crc = CRC32C; the header's covers bytes 0-4 and 8-32. Seqs in a segment have no gap.
//! A zero length is the end. A segment that is closed ends with its file. Magic, format and crc of the segment's
//! header keep their places in every later format.
//! ```
//!
//! One thread writes (`writer`), one keeps house (`keeper`: the next segment, the mark, freeing), the relay's reads
//! (`reader`, `source`). They share `segments`. Nothing here knows what a record means.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{io, thread};

use thiserror::Error;
use uuid::Uuid;

use super::{AppendError, Appended, Backlog, Journal, Past, Position, ReadError, Stored, Window};
use crate::metrics::Metrics;

mod cursor;
mod disowned;
pub mod drain;
mod format;
mod holder;
pub mod inspect;
mod keeper;
mod mark;
mod past;
mod quarantine;
mod queue;
mod reader;
mod recovery;
mod segments;
mod source;
mod storage;
mod writer;

#[cfg(test)]
mod model;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

/// A journal that is driven step by step on a model disk, for the simulation of the whole lower half.
#[cfg(test)]
pub mod driven {
    pub use super::format::segment_name;
    pub use super::keeper::turn as keep_house;
    pub use super::model::{Dice, Killed, ModelDisk, Snapshot};
    pub use super::recovery::{Parts, recover};
    pub use super::segments::{Clock, Log};
    pub use super::writer::Writer;
}

pub use format::{FORMAT_VERSION, RECORD_BYTES_MAX, Totals};
pub use source::DiskSource;

use recovery::Parts;
use segments::{Clock, Log, locked};
use storage::LocalFolder;

/// A segment must take the largest record, and two of them more than one.
pub const SEGMENT_BYTES_MIN: u64 = keeper::FIRST_BYTES;

#[derive(Debug, Clone)]
pub struct Options {
    pub dir: PathBuf,
    /// How long delivered records are kept.
    pub window_ms: u64,
    pub segment_bytes: u64,
    pub size_max: u64,
    /// What the file system must keep for others.
    pub free_min: u64,
    pub checkpoint_topic: String,
}

pub struct Opened {
    pub journal: Arc<DiskJournal>,
    pub source: DiskSource,
    pub id: Uuid,
    /// Random for each start of a process: the owner of the checkpoint.
    pub boot: Uuid,
}

#[derive(Debug, Error)]
pub enum OpenError {
    #[error("the journal in {} is in use by process {pid}: stop that one, or set another journal.dir", dir.display())]
    Locked { dir: PathBuf, pid: u32 },
    #[error(
        "another process owns the checkpoint of the journal in {} ({record}): this folder is a copy, \
         and only `waitbridge journal drain --dir {}` may empty it", dir.display(), dir.display()
    )]
    Disowned { dir: PathBuf, record: String },
    #[error(
        "the disk journal in {} holds {records} deliveries that Kafka does not have, and journal.kind is \"kafka\": publish them with \
         `waitbridge journal drain --dir {}`, or set another journal.dir", dir.display(), dir.display()
    )]
    Undelivered { dir: PathBuf, records: u64 },
    #[error("{} has format {found}, this waitbridge reads up to {FORMAT_VERSION}: start the newer one that wrote it", path.display())]
    NewerFormat { path: PathBuf, found: u32 },
    #[error("{} {why}", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{key} must be at least {bytes_min} bytes")]
    TooSmall { key: &'static str, bytes_min: u64 },
    #[error("the journal cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Opens the journal in a folder, or makes one there, and starts its threads.
pub fn open(options: Options, metrics: Arc<Metrics>) -> Result<Opened, OpenError> {
    options.check()?;
    let folder = LocalFolder::at(&options.dir).map_err(|source| OpenError::Io { path: options.dir.clone(), source })?;
    let parts = recovery::recover(Arc::new(folder), wall_clock(), options, metrics)?;
    start(parts)
}

/// A folder that no other process may use while this lives.
pub struct Hold(#[expect(dead_code, reason = "what it holds is a lock")] Box<dyn std::any::Any + Send + Sync>);

/// The folder of a process whose journal is elsewhere. One that holds deliveries which Kafka does not have is refused.
pub fn hold(dir: &Path) -> Result<Hold, OpenError> {
    let io = |source| OpenError::Io { path: dir.to_owned(), source };
    let folder = LocalFolder::at(dir).map_err(io)?;
    let lock = match storage::Storage::lock(&folder, recovery::LOCK).map_err(io)? {
        storage::Lock::Taken(lock) => lock,
        storage::Lock::HeldBy(pid) => return Err(OpenError::Locked { dir: dir.to_owned(), pid }),
    };
    match inspect::undelivered(dir)? {
        0 => Ok(Hold(lock)),
        records => Err(OpenError::Undelivered { dir: dir.to_owned(), records }),
    }
}

/// The upper half, for the ingress.
pub struct DiskJournal {
    log: Arc<Log>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for DiskJournal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Journal for DiskJournal {
    fn kind(&self) -> &'static str {
        "disk"
    }

    fn append(&self, _key: &str, record: Vec<u8>) -> Appended {
        self.log.queue.append(record)
    }

    fn writable(&self) -> Result<(), AppendError> {
        self.log.writable()
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut poisoned = self.log.poisoned.subscribe();
        Box::pin(async move {
            // An error says that the journal is gone: closed, not failed.
            if poisoned.wait_for(|poisoned| *poisoned).await.is_err() {
                std::future::pending().await
            }
        })
    }

    fn backlog(&self) -> Backlog {
        let Totals { records, bytes } = self.log.state().undelivered();
        Backlog { records, bytes: Some(bytes) }
    }

    /// Also ends the threads.
    fn close(&self) {
        self.log.queue.close();
        keeper::stop(&self.log);
        for thread in locked(&self.threads).drain(..) {
            let _ = thread.join();
        }
        self.log.sync_mark();
        self.log.show();
    }
}

impl Window for DiskJournal {
    fn delivered(&self) -> Result<Vec<Position>, ReadError> {
        Ok(vec![Position { partition: 0, offset: self.log.state().delivered }])
    }

    fn checkpoint_at(&self, partition: i32) -> (String, i32) {
        (self.log.options.checkpoint_topic.clone(), partition)
    }

    fn review(&self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError> {
        Ok(past::review(&self.log, past, tell)?)
    }
}

impl Options {
    fn check(&self) -> Result<(), OpenError> {
        // The open segment, one made ahead, and one that can be freed.
        let rows = [
            ("journal.segment", self.segment_bytes, SEGMENT_BYTES_MIN),
            ("journal.size_max", self.size_max, self.segment_bytes.saturating_mul(3)),
        ];
        match rows.into_iter().find(|(_, bytes, bytes_min)| bytes < bytes_min) {
            Some((key, _, bytes_min)) => Err(OpenError::TooSmall { key, bytes_min }),
            None => Ok(()),
        }
    }
}

fn start(parts: Parts) -> Result<Opened, OpenError> {
    let Parts { log, mut writer, source } = parts;
    let keeper = log.clone();
    let threads = [spawn("journal-keeper", &log, move || keeper::run(&keeper)), spawn("journal-writer", &log, move || writer.run())];
    let (id, boot) = (log.id, log.boot);
    let threads = threads.into_iter().collect::<io::Result<Vec<_>>>();
    let threads = threads.map_err(|source| OpenError::Io { path: log.options.dir.clone(), source })?;
    let journal = Arc::new(DiskJournal { log, threads: Mutex::new(threads) });
    Ok(Opened { journal, source, id, boot })
}

/// A thread that panics must not leave a journal that looks alive.
fn spawn(name: &str, log: &Arc<Log>, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let log = log.clone();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err() {
            log.poison("a thread of the journal", &io::Error::other("it panicked"));
        }
    })
}

fn wall_clock() -> Clock {
    Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64))
}
