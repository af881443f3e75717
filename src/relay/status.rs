//! What the relay is doing, for those who ask from other threads: `/readyz`, `/status`, the end of a shutdown.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// What the relay does now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Activity {
    /// No handshake with Kafka yet.
    #[default]
    Starting,
    Flowing,
    /// Waits for this; `topic` is empty for the whole cluster.
    Blocked {
        topic: String,
        reason: &'static str,
    },
    /// Another process owns this journal's checkpoint.
    Disowned,
}

/// Whether something is new to those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    New,
    None,
}

#[derive(Debug, Default)]
pub struct Status(Mutex<Activity>);

impl Status {
    pub fn now(&self) -> Activity {
        self.lock().clone()
    }

    pub(super) fn flows(&self) {
        *self.lock() = Activity::Flowing;
    }

    pub(super) fn blocked(&self, topic: &str, reason: &'static str) -> Change {
        let blocked = Activity::Blocked { topic: topic.to_owned(), reason };
        let mut now = self.lock();
        if *now == blocked {
            return Change::None;
        }
        *now = blocked;
        Change::New
    }

    pub(super) fn disowned(&self) {
        *self.lock() = Activity::Disowned;
    }

    fn lock(&self) -> MutexGuard<'_, Activity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
