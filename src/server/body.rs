//! Reading a body within its bounds: of size, of time, and of what is in flight in the whole process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::web;
use futures_util::StreamExt;

use super::error::Error;
use crate::metrics::Metrics;

/// The bytes of bodies that have arrived and have no answer yet: counted as they arrive, not as declared.
pub struct Budget {
    bytes: AtomicUsize,
    bytes_max: usize,
    metrics: Arc<Metrics>,
}

impl Budget {
    pub fn new(bytes_max: usize, metrics: Arc<Metrics>) -> Budget {
        Budget { bytes: AtomicUsize::new(0), bytes_max, metrics }
    }

    fn take(&self, bytes: usize) -> Result<(), Error> {
        let fitting = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.bytes_max);
        self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, fitting).map_err(|_| Error::Overloaded)?;
        self.metrics.body_bytes_arrived(bytes);
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.metrics.body_bytes_answered(bytes);
    }
}

/// A body and its share of the budget, which it gives back when the answer is made.
pub struct Body<'a> {
    pub bytes: Vec<u8>,
    share: Share<'a>,
}

impl<'a> Body<'a> {
    /// The bytes go on to the ingress; the share stays until the answer.
    pub fn into_parts(self) -> (Vec<u8>, Share<'a>) {
        (self.bytes, self.share)
    }
}

pub struct Share<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// Reserved ahead of a body of declared length; a liar gets no more than this.
const RESERVE_BYTES_MAX: usize = 16 * 1024;

pub async fn read<'a>(
    payload: &mut web::Payload,
    declared_bytes: Option<usize>,
    bytes_max: usize,
    timeout: Duration,
    budget: &'a Budget,
) -> Result<Body<'a>, Error> {
    if declared_bytes.is_some_and(|bytes| bytes > bytes_max) {
        return Err(Error::BodyTooLarge);
    }
    let mut body =
        Body { bytes: Vec::with_capacity(declared_bytes.unwrap_or(0).min(RESERVE_BYTES_MAX)), share: Share { budget, bytes: 0 } };
    match tokio::time::timeout(timeout, fill(&mut body, payload, bytes_max)).await {
        Ok(filled) => filled.map(|()| body),
        Err(_elapsed) => Err(Error::BodyTimeout),
    }
}

async fn fill(body: &mut Body<'_>, payload: &mut web::Payload, bytes_max: usize) -> Result<(), Error> {
    body.share.budget.take(0)?;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Error::BodyBroken)?;
        body.share.budget.take(chunk.len())?;
        body.share.bytes += chunk.len();
        if body.bytes.len() + chunk.len() > bytes_max {
            return Err(Error::BodyTooLarge);
        }
        body.bytes.extend_from_slice(&chunk);
    }
    Ok(())
}
