//! What is said on the control socket. Closed: both sides are of one build.

use serde::{Deserialize, Serialize};

use crate::relay::replay::Order;
use crate::relay::replay::progress::Shown;
use crate::settings::watch::Changes;

pub const LINE_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    Replay {
        order: Order,
    },
    /// A replay that publishes nothing.
    Count {
        order: Order,
    },
    Resume {
        id: String,
        rate: Option<u32>,
    },
    /// Read endpoints and secrets again, as on SIGHUP.
    Reload,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// From now on it can be resumed.
    Started { id: String },
    /// Now and then.
    Progress { shown: Shown, waits_for: Option<String> },
    /// The last one of a replay.
    Ended { how: How, shown: Shown },
    /// The only one to a reload that was done.
    Reloaded { changes: Changes },
    /// The last one of what is not done.
    Refused { code: String, message: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Whole,
    /// There is more: it can be resumed.
    Stopped,
}
