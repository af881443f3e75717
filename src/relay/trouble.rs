//! What the relay does after anything but a clean commit: name what it waits for, wait, and find the way back to
//! reading the checkpoint.
//!
//! Nothing here gives up. It ends only for a stop, or when the checkpoint bears another process's name.

use std::time::Duration;

use tracing::{error, warn};

use super::status::Change;
use super::{Ended, Relay, State};
use crate::journal::{ReadError, Source};
use crate::kafka::{Broker, Cause, Class, Fault};

/// Longer than another process takes from fencing us to claiming the checkpoint.
const FENCED_WAIT: Duration = Duration::from_secs(3);
/// While it waits for the same thing, a line this often.
const COMPLAIN_EVERY_MS: i64 = 30_000;
const UNREADABLE: &str = "journal_unreadable";

impl<S: Source, B: Broker> Relay<S, B> {
    /// After anything but a clean commit.
    pub(super) fn failed(&mut self, fault: &Fault) -> State {
        let then = match fault.class {
            Class::Fatal => return self.rebuild(fault),
            Class::Fenced => State::Fenced,
            Class::Abortable | Class::Retriable => State::Abort,
        };
        self.blocked(fault);
        then
    }

    pub(super) fn rebuild(&mut self, fault: &Fault) -> State {
        self.rebuild_cause = Some(fault.cause);
        self.again(fault, State::Build)
    }

    pub(super) fn abort(&mut self) -> State {
        match self.broker.abort() {
            Ok(()) => {
                self.metrics.transaction_aborted();
                self.pause();
                let read = self.doubt();
                self.or_stop(read)
            }
            Err(fault) if fault.class == Class::Retriable => self.again(&fault, State::Abort),
            Err(fault) if fault.class == Class::Fenced => State::Fenced,
            Err(fault) => self.rebuild(&fault),
        }
    }

    /// Another process of this journal, or a transaction of ours that the coordinator timed out: both look the
    /// same to the producer. Only the name on the checkpoint tells them apart.
    pub(super) fn fenced(&mut self) -> State {
        self.rebuild_cause = Some(Cause::Fenced);
        self.clock.sleep(FENCED_WAIT);
        let owned = if self.source.owner().is_some() { self.partitions.all() } else { Vec::new() };
        for partition in owned {
            match self.checkpoint_of(partition) {
                Ok(found) => {
                    if let Some(winner) = self.winner(found) {
                        return self.disowned(&winner);
                    }
                }
                Err(fault) => return self.again(&fault, State::Fenced),
            }
        }
        self.or_stop(State::Build)
    }

    pub(super) fn disowned(&mut self, winner: &str) -> State {
        error!("another process owns this journal's checkpoint: this copy of the journal stops and will not start again");
        self.source.disown(winner);
        self.status.disowned();
        State::Ended(Ended::Disowned)
    }

    pub(super) fn unreadable(&mut self, read_error: &ReadError) -> State {
        match read_error {
            ReadError::Kafka(fault) | ReadError::Letters(fault) => self.blocked(fault),
            ReadError::Io(_) => {
                error!(%read_error, "the journal cannot be read; trying again");
                self.waits_for("", UNREADABLE);
            }
        }
        self.pause();
        let read = self.doubt();
        self.or_stop(read)
    }

    /// Names what it waits for, waits, and tries again.
    pub(super) fn again(&mut self, fault: &Fault, then: State) -> State {
        self.blocked(fault);
        self.pause();
        self.or_stop(then)
    }

    /// Says what it waits for: when that changes, and now and then while it lasts.
    pub(super) fn blocked(&mut self, fault: &Fault) {
        let (topic, reason) = (fault.topic.as_deref().unwrap_or(""), fault.cause.as_str());
        let now_ms = self.clock.now_ms();
        if self.waits_for(topic, reason) == Change::New || now_ms - self.complained_ms >= COMPLAIN_EVERY_MS {
            self.complained_ms = now_ms;
            warn!(topic, reason, detail = fault.detail, "the relay waits for kafka");
        }
    }

    /// Shows it to those who ask: this, and nothing that it waited for before.
    fn waits_for(&self, topic: &str, reason: &'static str) -> Change {
        let change = self.status.blocked(topic, reason);
        if change == Change::New {
            self.metrics.relay_flows();
        }
        self.metrics.relay_blocked(topic, reason);
        change
    }

    pub(super) fn pause(&mut self) {
        self.clock.sleep(self.backoff);
        self.backoff = (self.backoff * 2).min(self.limits.retry_max);
    }

    /// Between two tries is the moment to stop: nothing is open that only we could close.
    pub(super) fn or_stop(&self, then: State) -> State {
        if self.stop.is_requested() { State::Ended(Ended::Stopped) } else { then }
    }
}
