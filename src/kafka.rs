//! Kafka as the relay needs it: transactions that hold the records and the checkpoint together.
//!
//! [`Broker`] is the seam: the relay decides what to do next, this says what happened, in four classes.
//! Knows no vendor and no journal; only the files below know the client library.

use std::time::Duration;

use thiserror::Error;

use crate::envelope::Outgoing;

pub mod append;
mod bounded;
mod client;
pub mod cluster;
pub mod compare;
mod context;
pub mod embedded;
mod fault;
pub mod fleet;
pub mod follow;
pub mod group;
mod partitions;
pub mod past;
pub mod producer;
pub mod properties;
pub mod raw;
pub mod rights;
pub mod topics;

/// How far Kafka has the records of one partition of the journal: a group offset, committed in the relay's
/// transaction. Its metadata names its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The topic and partition on which the offset is committed.
    pub topic: String,
    pub partition: i32,
    /// The next position to publish.
    pub next: u64,
    pub metadata: String,
}

/// One cluster, seen by one transactional producer. Every call returns within [`CALL_TIMEOUT`], or twice that.
pub trait Broker: Send {
    /// Drops the producer that was there, with its open transaction, and makes a new one.
    fn build(&mut self) -> Result<(), Fault>;

    /// Fences predecessors of the same transactional id and resolves their open transaction.
    fn init(&mut self) -> Result<(), Fault>;

    /// The id of the cluster, if it is known by now.
    fn cluster_id(&mut self) -> Option<String>;

    /// The checkpoint as committed; `None` if there is none.
    fn committed(&mut self, topic: &str, partition: i32) -> Result<Option<Checkpoint>, Fault>;

    fn begin(&mut self) -> Result<(), Fault>;

    /// Hands them over. Waits only where there is no room for them; what becomes of them, `drain` tells.
    fn send(&mut self, records: &[Outgoing]) -> Result<(), Fault>;

    /// Waits until Kafka has every record of the transaction, or one has failed.
    fn drain(&mut self) -> Result<(), Fault>;

    /// Puts the checkpoints into the transaction; only after `drain`.
    fn send_offsets(&mut self, checkpoints: &[Checkpoint]) -> Result<(), Fault>;

    fn commit(&mut self) -> Result<(), Fault>;

    fn abort(&mut self) -> Result<(), Fault>;
}

/// The bound of one call; what is retriable is called again.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What to do after a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The same call again.
    Retriable,
    /// Abort the transaction, then read the checkpoint.
    Abortable,
    /// Another producer of this id, or our own transaction that timed out: only the checkpoint tells.
    Fenced,
    /// The producer is of no more use.
    Fatal,
}

/// Why, as far as a person can act on it. Closed: a label's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    UnknownTopic,
    NotAuthorized,
    TooLarge,
    TimedOut,
    Unreachable,
    Fenced,
    Credentials,
    /// No connection that is safe: its certificate, or ours.
    Tls,
    /// They were replaced: a new client takes them.
    Properties,
    /// The producer's own state no longer fits the coordinator's, as after an expiry.
    State,
    Other,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::UnknownTopic => "unknown_topic",
            Cause::NotAuthorized => "not_authorized",
            Cause::TooLarge => "too_large",
            Cause::TimedOut => "timed_out",
            Cause::Unreachable => "unreachable",
            Cause::Fenced => "fenced",
            Cause::Credentials => "credentials",
            Cause::Tls => "tls",
            Cause::Properties => "properties",
            Cause::State => "state",
            Cause::Other => "other",
        }
    }
}

/// A call that failed. `detail` is librdkafka's text: it names hosts and topics, never contents.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {detail}", cause.as_str())]
pub struct Fault {
    pub class: Class,
    pub cause: Cause,
    /// The topic it is about, if it is about one.
    pub topic: Option<String>,
    pub detail: String,
}

/// How to reach the cluster.
#[derive(Debug, Clone)]
pub struct Options {
    pub brokers: Vec<String>,
    pub prefix: String,
    pub transactional_id: String,
    /// The group whose offsets are the checkpoint.
    pub group: String,
    pub transaction_timeout_ms: u64,
    /// The largest record, with its headers.
    pub message_bytes_max: u64,
    /// Further librdkafka properties of the settings.
    pub properties: properties::Properties,
    /// The topics that are written, as they should be.
    pub topics: Vec<topics::Spec>,
    /// Those of them to make at the start if they are missing.
    pub create: Vec<topics::Spec>,
}

/// What the settings may not hand to librdkafka: what we set ourselves, and what would break a promise.
pub const RESERVED_PROPERTIES: &[&str] = &[
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.max.bytes",
    "message.send.max.retries",
    "message.timeout.ms",
    "metadata.broker.list",
    "partitioner",
    "queuing.strategy",
    "request.required.acks",
    "retries",
    "statistics.interval.ms",
    "test.mock.num.brokers",
    "transaction.timeout.ms",
    "transactional.id",
];

/// What the settings take from files only.
pub const SECRET_PROPERTIES: &[&str] =
    &["sasl.oauthbearer.client.secret", "sasl.password", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_its_cause_first() {
        let fault =
            Fault { class: Class::Abortable, cause: Cause::UnknownTopic, topic: Some("t".to_owned()), detail: "no such topic".to_owned() };
        assert_eq!(fault.to_string(), "unknown_topic: no such topic");
    }
}
