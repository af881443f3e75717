//! Where appends wait for the writer: bounded in bytes, closed or refused as a whole. Knows no disk.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::segments::{locked, wait};
use crate::journal::{AppendError, Appended, Position};

/// A disk that hangs must not fill the memory: requests give up, their records stay here.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// One append that has no answer yet.
pub struct Waiting {
    pub record: Vec<u8>,
    pub since: Instant,
    pub answer: oneshot::Sender<Result<Position, AppendError>>,
}

#[derive(Default)]
pub struct Queue {
    queued: Mutex<Queued>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queued {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    refused: Option<AppendError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    More,
    /// Nothing more will come.
    Last,
}

impl Queue {
    pub fn append(&self, record: Vec<u8>) -> Appended {
        let (answer, appended) = oneshot::channel();
        let waiting = Waiting { record, since: Instant::now(), answer };
        if let Some((waiting, error)) = self.push(waiting) {
            let _ = waiting.answer.send(Err(error));
        }
        appended
    }

    /// Takes nothing more; what waits is still written.
    pub fn close(&self) {
        locked(&self.queued).refused.get_or_insert(AppendError::Unavailable);
        self.arrived.notify_all();
    }

    /// Takes nothing more, and answers what waits.
    pub fn refuse(&self, error: AppendError) {
        self.close();
        let waiting = {
            let mut queued = locked(&self.queued);
            queued.bytes = 0;
            std::mem::take(&mut queued.waiting)
        };
        for waiting in waiting {
            let _ = waiting.answer.send(Err(error));
        }
    }

    /// Swaps all that waits into the empty `batch`, waiting for the first one.
    pub fn take(&self, batch: &mut VecDeque<Waiting>, patience: Duration) -> Taken {
        let mut queued = locked(&self.queued);
        if queued.waiting.is_empty() && queued.refused.is_none() && !patience.is_zero() {
            queued = wait(&self.arrived, queued, patience);
        }
        queued.bytes = 0;
        std::mem::swap(&mut queued.waiting, batch);
        if queued.refused.is_some() { Taken::Last } else { Taken::More }
    }

    fn push(&self, waiting: Waiting) -> Option<(Waiting, AppendError)> {
        let mut queued = locked(&self.queued);
        let bytes = queued.bytes + waiting.record.len();
        if let Some(error) = queued.refused.or((bytes > QUEUE_BYTES_MAX).then_some(AppendError::Unavailable)) {
            return Some((waiting, error));
        }
        queued.bytes = bytes;
        queued.waiting.push_back(waiting);
        let first = queued.waiting.len() == 1;
        drop(queued);
        if first {
            self.arrived.notify_one();
        }
        None
    }
}
