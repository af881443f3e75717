//! Publishes again, on purpose: a part of the journal's window, or dead letters that can be understood now.
//!
//! A replay is the relay once more, with another source and a lens: the [`Source`](crate::journal::Source) gives what lies in a
//! bounded past, and keeps its progress as a checkpoint of its own, in the transactions that hold the records; the [`Lens`] marks
//! what goes out, leaves out what nobody asked for or what was erased, and makes no dead letters. So a replay that was killed goes on
//! like a relay that was killed. Its memory is its own, built from the same window: the relay's is neither shared nor changed.
//! All that a resume needs stands in the checkpoint's metadata: [`Plan`].

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::journal::{Past, Position, ReadError, Stored, Window};
use crate::shutdown::Stop;

pub mod dry;
mod known;
mod lens;
pub mod letters;
mod pieces;
pub mod progress;
pub mod source;
#[cfg(test)]
mod tests;

pub use known::{Known, Subject};
pub use lens::Lens;
pub use progress::Progress;
pub use source::Replayed;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub what: What,
    /// Received not before this, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Received before this.
    pub to_ms: Option<i64>,
    /// Of these endpoints; none: of all.
    pub endpoints: Vec<String>,
    /// Deliveries a second, at most.
    pub rate: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Window,
    /// Of this reason, if there is one.
    DeadLetters(Option<String>),
}

/// An order with its bounds, as the checkpoint's metadata holds it. Its text is also the name of who is at work, so each run differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub run: String,
    pub order: Order,
    /// Of each partition the position before which it ends.
    pub until: BTreeMap<i32, u64>,
}

/// Where a replay begins, partition by partition, and how many deliveries it will look at.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub from: BTreeMap<i32, u64>,
    pub until: BTreeMap<i32, u64>,
    pub records: u64,
}

/// Kafka takes 4096 bytes of a checkpoint's metadata, if nobody has set it to less.
const METADATA_BYTES_MAX: usize = 4000;

impl Plan {
    /// `None`: more than a checkpoint can hold.
    pub fn encode(&self) -> Option<String> {
        let text = serde_json::to_string(self).expect("it holds nothing that JSON cannot");
        (text.len() <= METADATA_BYTES_MAX).then_some(text)
    }

    pub fn decode(text: &str) -> Option<Plan> {
        serde_json::from_str(text).ok()
    }
}

impl Order {
    pub fn is_in_time(&self, received_ms: i64) -> bool {
        self.from_ms.is_none_or(|from| received_ms >= from) && self.to_ms.is_none_or(|to| received_ms < to)
    }

    /// What of it lies in the window that ends where Kafka's knowledge does.
    pub fn extent(&self, window: &dyn Window, window_ms: i64, stop: &Stop) -> Result<Extent, ReadError> {
        let mut extent = Extent::default();
        for until in window.delivered()? {
            let mut found: Option<(u64, u64)> = None;
            let mut count = |stored: &Stored| {
                if self.is_in_time(stored.received_ms) {
                    let offset = stored.position.offset;
                    found = Some((found.map_or(offset, |(first, _)| first), offset + 1));
                    extent.records += 1;
                }
            };
            window.review(Past { from: 0, until, window_ms }, &mut |piece| {
                piece.iter().for_each(&mut count);
                until_stopped(stop)
            })?;
            let (first, end) = found.unwrap_or((until.offset, until.offset));
            extent.from.insert(until.partition, first);
            extent.until.insert(until.partition, end);
        }
        Ok(extent)
    }
}

impl Plan {
    /// What is left of it from these positions on.
    pub fn rest(&self, window: &dyn Window, from: BTreeMap<i32, u64>, stop: &Stop) -> Result<Extent, ReadError> {
        let mut records = 0;
        for (partition, offset) in &self.until {
            let until = Position { partition: *partition, offset: *offset };
            let past = Past { from: from.get(partition).copied().unwrap_or(*offset), until, window_ms: i64::MAX };
            window.review(past, &mut |piece| {
                records += piece.len() as u64;
                until_stopped(stop)
            })?;
        }
        Ok(Extent { from, until: self.until.clone(), records })
    }
}

fn until_stopped(stop: &Stop) -> ControlFlow<()> {
    if stop.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// What a replay works on, and for whom it keeps count.
pub struct Course {
    /// What is read: the journal's window, or the dead letters.
    pub past: Arc<dyn Window>,
    pub plan: Plan,
    /// The plan as text.
    pub name: String,
    pub from: BTreeMap<i32, u64>,
    pub lens: Arc<Lens>,
    pub progress: Arc<Progress>,
}
