//! The topics that waitbridge writes: what they should look like, and how to make what is missing.
//!
//! Knows their form, not what goes into them.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use super::client::client_config;
use super::fault::fault_of;
use super::{CALL_TIMEOUT, Cause, Class, Fault, Options};

/// One topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub name: String,
    pub partitions: i32,
    pub replication: i32,
    pub retention_ms: u64,
}

impl Spec {
    /// Two copies must have a record before it counts; with one broker there is only one.
    fn min_insync(&self) -> i32 {
        (self.replication - 1).clamp(1, 2)
    }

    fn config(&self) -> Vec<(&'static str, String)> {
        vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", self.retention_ms.to_string()),
            // Without this the newest segment keeps its records for up to a week longer.
            ("segment.ms", "86400000".to_owned()),
            ("min.insync.replicas", self.min_insync().to_string()),
            ("max.message.bytes", "1048588".to_owned()),
        ]
    }
}

/// Makes the topics that are missing; one that is there stays as it is.
pub fn create_missing(options: &Options, wanted: &[Spec]) -> Result<(), Fault> {
    if wanted.is_empty() {
        return Ok(());
    }
    let admin: AdminClient<DefaultClientContext> = client_config(options).create().map_err(|error| fault_of(&error))?;
    let configs: Vec<Vec<(&str, String)>> = wanted.iter().map(Spec::config).collect();
    let topics: Vec<NewTopic> = wanted.iter().zip(&configs).map(|(spec, config)| new_topic(spec, config)).collect();
    let answer = block_on(admin.create_topics(&topics, &AdminOptions::new().operation_timeout(Some(CALL_TIMEOUT))));
    let results = answer.map_err(|error| Fault { class: Class::Retriable, ..fault_of(&error) })?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(not_made(topic, code)),
        }
    }
    Ok(())
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
    Fault { class: Class::Retriable, cause, detail: format!("the topic {topic} could not be made: {code}"), topic: Some(topic) }
}

/// The admin client answers through a future; the relay's thread may block.
fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers needs nothing");
    runtime.block_on(future)
}
