//! A bounded past, piece by piece, for one who wants to be handed the next and not to be told of all.
//!
//! A thread of its own reads a little ahead; it ends with the past, or when nobody takes the pieces any more.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::journal::{Past, ReadError, ReadLimit, Stored, Window};

const AHEAD: usize = 1;

pub struct Pieces {
    told: Receiver<Result<Vec<Stored>, ReadError>>,
    left: VecDeque<Stored>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// More may come, or has come.
    More,
    End,
}

impl Pieces {
    pub fn of(window: Arc<dyn Window>, past: Past) -> Result<Pieces, ReadError> {
        let (tell, told) = sync_channel(AHEAD);
        let read = move || {
            let read = window.review(past, &mut |piece| match tell.send(Ok(piece.to_vec())) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            });
            // Nobody may be left who wants to know.
            read.unwrap_or_else(|error| drop(tell.send(Err(error))));
        };
        std::thread::Builder::new().name("replay-reader".to_owned()).spawn(read)?;
        Ok(Pieces { told, left: VecDeque::new() })
    }

    /// Adds what comes next, waiting up to `wait` for it.
    pub fn next(&mut self, limit: ReadLimit, wait: Duration, out: &mut Vec<Stored>) -> Result<Next, ReadError> {
        if self.left.is_empty() {
            match self.told.recv_timeout(wait) {
                Ok(piece) => self.left = piece?.into(),
                Err(RecvTimeoutError::Timeout) => return Ok(Next::More),
                Err(RecvTimeoutError::Disconnected) => return Ok(Next::End),
            }
        }
        let count = limit.records_max.min(self.left.len());
        out.extend(self.left.drain(..count));
        Ok(Next::More)
    }
}
