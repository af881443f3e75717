//! The durable log of verified deliveries. Knows bytes, not vendors.
//!
//! A journal answers three questions: append (→ a durable position), read from a position (only what is
//! durable), and *its checkpoint belongs into the relay's transaction*. [`Journal`] is its upper half, for the
//! ingress; [`Source`] is its lower half, for the relay, used from one thread. `disk` is our own log on a local
//! disk, with one partition for ever; `kafka` is a log in Kafka, with partitions that come and go.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;

pub use crate::kafka::Checkpoint;
use crate::kafka::Fault;

pub mod disk;
pub mod kafka;
mod window;

pub use window::Window;

/// A place in the journal: the sequence number on disk, the offset in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub partition: i32,
    pub offset: u64,
}

/// One durable record, as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub position: Position,
    /// When it was appended, in milliseconds since 1970. Never goes backward within a partition.
    pub received_ms: i64,
    pub bytes: Vec<u8>,
}

/// Why an append was not made durable. What had no answer may still come back: its accept id makes that harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AppendError {
    #[error("the journal is full")]
    Full,
    #[error("the journal cannot be written")]
    Unavailable,
}

impl AppendError {
    pub fn code(self) -> &'static str {
        match self {
            AppendError::Full => "journal_full",
            AppendError::Unavailable => "journal_unavailable",
        }
    }
}

/// Resolves once the record is durable, or cannot be.
pub type Appended = oneshot::Receiver<Result<Position, AppendError>>;

pub trait Journal: Send + Sync {
    /// As the settings call it.
    fn kind(&self) -> &'static str;

    /// Appends one record; records of one `key` keep their order. Never blocks: the answer comes when the
    /// record is durable. A receiver dropped early cancels nothing.
    fn append(&self, key: &str, record: Vec<u8>) -> Appended;

    /// Whether an append would be taken now.
    fn writable(&self) -> Result<(), AppendError>;

    /// Resolves once the journal has failed and the process must end.
    fn failed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// What is durable and not yet known to be in Kafka.
    fn backlog(&self) -> Backlog;

    /// Takes nothing more, and makes durable what waits. The source reads on.
    fn close(&self);
}

/// What is durable and not yet known to be in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    pub records: u64,
    /// Where the journal is files.
    pub bytes: Option<u64>,
}

/// A partition that came to this process or left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignment {
    Assigned(i32),
    Revoked(i32),
}

/// How much one read may take.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit {
    pub records_max: usize,
    pub bytes_max: usize,
}

/// Records that were read before: from this offset on, before a position, and received within a window that is
/// counted back from the record there, or from the latest receipt if none is there yet.
#[derive(Debug, Clone, Copy)]
pub struct Past {
    pub from: u64,
    pub until: Position,
    pub window_ms: i64,
}

#[derive(Debug, Error)]
pub enum ReadError {
    #[error("the journal cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("the journal cannot be read: {0}")]
    Kafka(#[from] Fault),
    #[error("the dead letters cannot be read: {0}")]
    Letters(Fault),
}

pub trait Source: Send {
    /// What changed hands since the last call. A disk journal says once that partition 0 came.
    fn assignments(&mut self) -> Vec<Assignment>;

    /// The name under which this process owns its checkpoint, where a journal has one owner only.
    fn owner(&self) -> Option<&str>;

    /// Where Kafka keeps this partition's checkpoint: topic and partition.
    fn checkpoint_at(&self, partition: i32) -> (String, i32);

    /// Says where publishing has to go on, given what Kafka knows; nothing of this partition is read until `go_on_at`.
    /// Counts and logs what is odd: a checkpoint that is absent, or beyond what this journal ever held.
    fn resume(&mut self, partition: i32, checkpoint: Option<&Checkpoint>) -> Result<Position, ReadError>;

    /// From now on `read` gives the records of this partition, from here.
    fn go_on_at(&mut self, position: Position) -> Result<(), ReadError>;

    /// `read` gives nothing of this partition until it is told to go on.
    fn rest(&mut self, partition: i32);

    /// Adds the next durable records to `out`, waiting up to `wait` for the first one, never for a second. Who does not wait may
    /// have something in hand still.
    fn read(&mut self, limit: ReadLimit, wait: Duration, out: &mut Vec<Stored>) -> Result<(), ReadError>;

    /// Tells of the past in order, in pieces. Moves nothing: `read` goes on where it was.
    fn review(&mut self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError>;

    /// The checkpoint that says: everything before `next` is in Kafka.
    fn checkpoint(&self, next: Position) -> Checkpoint;

    /// Kafka has everything before `next`, by a commit in the cluster of this id: remember it, free what may go.
    fn advance(&mut self, next: Position, cluster_id: &str);

    /// The process of this name owns this journal's checkpoint: mark it, so that no later start publishes from here.
    fn disown(&mut self, winner: &str);
}
