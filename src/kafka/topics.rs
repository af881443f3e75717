//! The topics that waitbridge writes: what they should look like, and how to make what is missing.
//!
//! Knows their form, not what goes into them.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};

use super::client::client_config;
use super::fault::fault_of;
use super::{CALL_TIMEOUT, Cause, Class, Fault, Options};

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Person,
    Location,
    DeadLetter,
    /// Of a disk journal.
    Checkpoint,
    /// The journal of a fleet.
    Raw,
}

impl Role {
    /// The key of the settings that names it.
    pub fn setting(self) -> &'static str {
        match self {
            Role::Person => "topics.person",
            Role::Location => "topics.location",
            Role::DeadLetter => "topics.dead_letter",
            Role::Checkpoint => "kafka.checkpoint_topic",
            Role::Raw => "journal.raw_topic",
        }
    }

    /// What its records are keyed by.
    pub fn key(self) -> &'static str {
        match self {
            Role::Person => "person",
            Role::Location => "location",
            Role::DeadLetter => "vendor/tenant",
            Role::Checkpoint => "holds no record",
            Role::Raw => "tenant",
        }
    }

    /// Whether a consumer may join it with another one of these, partition by partition.
    pub fn is_joined(self) -> bool {
        matches!(self, Role::Person | Role::Location)
    }
}

/// One topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub role: Role,
    pub name: String,
    pub partitions: i32,
    pub replication: i32,
    pub retention_ms: u64,
    /// The largest batch, so also the largest record.
    pub message_bytes_max: u64,
}

/// Without this the newest segment keeps its records for up to a week longer.
pub const SEGMENT_MS: u64 = DAY_MS;
pub const CLEANUP_POLICY: &str = "delete";

/// Kafka's own default of `max.message.bytes`.
const MESSAGE_BYTES_MIN: u64 = 1_048_588;
const DAY_MS: u64 = 86_400_000;

/// How a role's topic is made.
fn form(role: Role) -> (i32, u64) {
    match role {
        Role::Person | Role::Location => (12, 7 * DAY_MS),
        Role::DeadLetter => (1, 14 * DAY_MS),
        Role::Checkpoint => (1, 7 * DAY_MS),
        Role::Raw => (6, 4 * DAY_MS),
    }
}

/// The topics under these names. `message_bytes_max`: of the largest record that we send.
pub fn specs(names: &[(Role, &str)], replication: i32, message_bytes_max: u64) -> Vec<Spec> {
    let message_bytes_max = message_bytes_max.max(MESSAGE_BYTES_MIN);
    let spec = |(role, name): &(Role, &str)| {
        let (partitions, retention_ms) = form(*role);
        Spec { role: *role, name: (*name).to_owned(), partitions, replication, retention_ms, message_bytes_max }
    };
    names.iter().map(spec).collect()
}

impl Spec {
    /// Two copies must have a record before it counts; with one broker there is only one.
    pub fn min_insync(&self) -> i32 {
        (self.replication - 1).clamp(1, 2)
    }

    fn config(&self) -> Vec<(&'static str, String)> {
        vec![
            ("cleanup.policy", CLEANUP_POLICY.to_owned()),
            ("retention.ms", self.retention_ms.to_string()),
            ("segment.ms", SEGMENT_MS.to_string()),
            ("min.insync.replicas", self.min_insync().to_string()),
            ("max.message.bytes", self.message_bytes_max.to_string()),
        ]
    }
}

/// Makes the topics that are missing; one that is there stays as it is.
pub fn create_missing(options: &Options, wanted: &[Spec]) -> Result<(), Fault> {
    if wanted.is_empty() {
        return Ok(());
    }
    let answer = create(options, wanted, &AdminOptions::new().operation_timeout(Some(CALL_TIMEOUT)));
    let results = answer.map_err(|error| Fault { class: Class::Retriable, ..fault_of(&error) })?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(not_made(topic, code)),
        }
    }
    Ok(())
}

pub(super) fn create(options: &Options, wanted: &[Spec], how: &AdminOptions) -> KafkaResult<Vec<TopicResult>> {
    let admin: AdminClient<DefaultClientContext> = client_config(options).create()?;
    let configs: Vec<Vec<(&str, String)>> = wanted.iter().map(Spec::config).collect();
    let topics: Vec<NewTopic> = wanted.iter().zip(&configs).map(|(spec, config)| new_topic(spec, config)).collect();
    block_on(admin.create_topics(&topics, how))
}

fn new_topic<'a>(spec: &'a Spec, config: &'a [(&'static str, String)]) -> NewTopic<'a> {
    let topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(spec.replication));
    config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
}

fn not_made(topic: String, code: RDKafkaErrorCode) -> Fault {
    let cause = match code {
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => Cause::NotAuthorized,
        _ => Cause::UnknownTopic,
    };
    let advice = match code {
        RDKafkaErrorCode::InvalidReplicationFactor => "; there are fewer brokers than kafka.replication wants: 1 is for a single broker",
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "; it needs the right to create topics, or somebody who has it"
        }
        _ => "",
    };
    Fault { class: Class::Retriable, cause, detail: format!("the topic {topic} could not be made: {code}{advice}"), topic: Some(topic) }
}

/// The admin client answers through a future; the relay's thread may block.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers needs nothing");
    runtime.block_on(future)
}
