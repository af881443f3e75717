//! A look at the cluster, for those who operate it: who is there, what the topics are like, whether the coordinators answer.
//!
//! Every call has its time. Where Kafka does not answer, what librdkafka says of its tries is told: it names hosts, and never
//! a secret. Nothing is changed, and nobody is fenced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::groups::GroupMemberInfo;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::client::{client_config, consumer_config};
use super::compare::{Found, Standing};
use super::fault::{fault_of, named, refusal};
use super::group::{committed, forbidden};
use super::producer::producer_config;
use super::rights::trial::{self, Verdict, own};
use super::rights::{Right, rights};
use super::topics::{Spec, block_on};
use super::{Cause, Checkpoint, Fault, Options};

/// What librdkafka says, at most.
const HEARD_MAX: usize = 8;
const LISTEN: Duration = Duration::from_millis(50);

pub struct Cluster {
    options: Options,
    consumer: BaseConsumer<Ears>,
    ears: Ears,
    within: Duration,
}

pub struct Overview {
    pub cluster_id: Option<String>,
    pub brokers: Vec<Member>,
}

/// A broker as the cluster calls it: where clients are sent after the first contact.
pub struct Member {
    pub id: i32,
    pub address: String,
}

/// A replica, as the coordinator of the group knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    pub host: String,
    pub partitions: Vec<i32>,
}

impl Cluster {
    /// Asks nobody yet. `within`: the time of each call.
    pub fn new(options: Options, within: Duration) -> Result<Cluster, Fault> {
        let ears = Ears::default();
        let consumer = consumer_config(&options).create_with_context(ears.clone()).map_err(|error| fault_of(&error))?;
        Ok(Cluster { options, consumer, ears, within })
    }

    pub fn overview(&self) -> Result<Overview, Fault> {
        let started = Instant::now();
        let metadata = self.consumer.fetch_metadata(Some(&self.options.topics[0].name), self.within);
        let metadata = metadata.map_err(|error| self.unanswered(&error, started))?;
        let member = |broker: &rdkafka::metadata::MetadataBroker| Member {
            id: broker.id(),
            address: if broker.host().contains(':') {
                format!("[{}]:{}", broker.host(), broker.port())
            } else {
                format!("{}:{}", broker.host(), broker.port())
            },
        };
        let mut brokers: Vec<Member> = metadata.brokers().iter().map(member).collect();
        brokers.sort_by_key(|broker| broker.id);
        Ok(Overview { cluster_id: self.consumer.client().fetch_cluster_id(self.within), brokers })
    }

    pub fn partitions(&self, topic: &str) -> Result<i32, Fault> {
        let started = Instant::now();
        let metadata = self.consumer.fetch_metadata(Some(topic), self.within).map_err(|error| self.unanswered(&error, started))?;
        Ok(metadata.topics().iter().map(|topic| topic.partitions().len() as i32).sum())
    }

    /// The topics of the settings as they are.
    pub fn topics(&self) -> Result<Vec<(Spec, Standing)>, Fault> {
        let started = Instant::now();
        let mut all = Vec::new();
        for spec in &self.options.topics {
            let metadata = self.consumer.fetch_metadata(Some(&spec.name), self.within);
            let metadata = metadata.map_err(|error| self.unanswered(&error, started))?;
            let found = metadata.topics().iter().find(|topic| topic.name() == spec.name);
            all.push((spec.clone(), found.map_or(Standing::Missing, standing)));
        }
        self.add_configs(&mut all);
        Ok(all)
    }

    /// The checkpoint: to read it, the coordinator of our group must answer.
    pub fn checkpoint(&self, topic: &str) -> Result<Option<Checkpoint>, Fault> {
        let found = committed(&self.consumer, topic, 0, self.within);
        found.map_err(|fault| named(forbidden(&self.consumer).unwrap_or(fault), &self.options))
    }

    /// Who is in our group now, as its coordinator says.
    pub fn members(&self) -> Result<Vec<GroupMember>, Fault> {
        let started = Instant::now();
        let groups = self.consumer.fetch_group_list(Some(&self.options.group), self.within);
        let groups = groups.map_err(|error| self.unanswered(&error, started))?;
        let member = |member: &GroupMemberInfo| GroupMember {
            host: member.client_host().trim_start_matches('/').to_owned(),
            partitions: member.assignment().and_then(assigned).unwrap_or_default(),
        };
        let mut members: Vec<GroupMember> = groups.groups().iter().flat_map(|group| group.members()).map(member).collect();
        members.sort_by(|one, other| (&one.partitions, &one.host).cmp(&(&other.partitions, &other.host)));
        Ok(members)
    }

    /// One setting of a broker; none where we may not look.
    pub fn broker_setting(&self, broker: i32, key: &str) -> Option<String> {
        let admin: AdminClient<Ears> = client_config(&self.options).create_with_context(self.ears.clone()).ok()?;
        let (asked, options) = ([ResourceSpecifier::Broker(broker)], AdminOptions::new().request_timeout(Some(self.within)));
        block_on(admin.describe_configs(&asked, &options)).ok()?.into_iter().flatten().find_map(|found| config_of(found).remove(key))
    }

    /// Whether the cluster gives transactions to this client, tried under an id of its own: to try ours would fence the
    /// service that runs.
    pub fn try_transactions(&self) -> Result<String, Fault> {
        let transactional_id = own(&self.options.prefix);
        let options = Options { transactional_id: transactional_id.clone(), ..self.options.clone() };
        let (started, ears) = (Instant::now(), Ears::default());
        let producer: BaseProducer<Ears> = producer_config(&options).create_with_context(ears.clone()).map_err(|error| fault_of(&error))?;
        let tried = producer.init_transactions(self.within);
        producer.poll(LISTEN);
        tried.map(|()| transactional_id).map_err(|error| ears.unanswered(&options, &error, started.elapsed()))
    }

    /// Each right that we need, and what Kafka says of it; tried without an effect.
    pub fn try_rights(&self, broker: i32, within: Duration) -> Vec<(Right, Verdict)> {
        let rights = rights(&self.options);
        let verdicts = trial::verdicts(&self.options, &rights, broker, within);
        rights.into_iter().zip(verdicts).collect()
    }

    /// What librdkafka says of its tries waits until it is taken.
    fn unanswered(&self, error: &KafkaError, started: Instant) -> Fault {
        let tried = started.elapsed();
        for _ in (0..HEARD_MAX).take_while(|_| self.consumer.poll(LISTEN).is_some()) {}
        self.ears.unanswered(&self.options, error, tried)
    }

    /// Adds nothing where we may not look, or where the broker does not know the question.
    fn add_configs(&self, topics: &mut [(Spec, Standing)]) {
        let Ok(admin) = client_config(&self.options).create_with_context::<_, AdminClient<Ears>>(self.ears.clone()) else { return };
        let names: Vec<String> = there(topics).map(|(spec, _)| spec.name.clone()).collect();
        let asked: Vec<ResourceSpecifier> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let answer = block_on(admin.describe_configs(&asked, &AdminOptions::new().request_timeout(Some(self.within))));
        for resource in answer.into_iter().flatten().flatten() {
            let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
            let topic = there(topics).find(|(spec, _)| spec.name == *name);
            if let Some((_, found)) = topic {
                // What we may not see comes back empty.
                found.config = Some(config_of(resource)).filter(|config| !config.is_empty());
            }
        }
    }
}

/// The partitions in a member's assignment, as the consumer protocol writes it: version i16, then topics, each with its name and
/// its partitions; lengths are i32, of names i16.
fn assigned(mut bytes: &[u8]) -> Option<Vec<i32>> {
    fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = bytes.split_at_checked(count)?;
        *bytes = rest;
        Some(taken)
    }
    let number = |bytes: &mut &[u8]| Some(i32::from_be_bytes(take(bytes, 4)?.try_into().ok()?));
    let mut partitions = Vec::new();
    take(&mut bytes, 2)?;
    for _ in 0..number(&mut bytes)? {
        let name_bytes = i16::from_be_bytes(take(&mut bytes, 2)?.try_into().ok()?);
        take(&mut bytes, name_bytes.try_into().ok()?)?;
        for _ in 0..number(&mut bytes)? {
            partitions.push(number(&mut bytes)?);
        }
    }
    partitions.sort_unstable();
    Some(partitions)
}

fn there(topics: &mut [(Spec, Standing)]) -> impl Iterator<Item = (&Spec, &mut Found)> {
    topics.iter_mut().filter_map(|(spec, standing)| match standing {
        Standing::There(found) => Some((&*spec, found)),
        Standing::Missing | Standing::Hidden => None,
    })
}

fn config_of(resource: ConfigResource) -> BTreeMap<String, String> {
    resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()
}

fn standing(topic: &MetadataTopic) -> Standing {
    match topic.error().map(RDKafkaErrorCode::from) {
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => return Standing::Hidden,
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Standing::Missing,
        // No leader, and the like: it is there all the same.
        _ => {}
    }
    let partitions = topic.partitions();
    if partitions.is_empty() {
        return Standing::Missing;
    }
    Standing::There(Found {
        partitions: partitions.len() as i32,
        replication: partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or(0) as i32,
        leaderless: partitions.iter().filter(|partition| partition.leader() < 0).count() as i32,
        config: None,
    })
}

/// Keeps what librdkafka says of its tries.
#[derive(Clone, Default)]
struct Ears(Arc<Mutex<Vec<Heard>>>);

struct Heard {
    line: String,
    cause: Option<Cause>,
}

impl Ears {
    fn unanswered(&self, options: &Options, error: &KafkaError, tried: Duration) -> Fault {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = fault_of(error);
        let lines: Vec<&str> = heard.iter().map(|heard| heard.line.as_str()).collect();
        let said = if heard.is_empty() { fault.detail.clone() } else { lines.join("; ") };
        let detail = format!("asked {} for {:.1} s: {said}", options.brokers.join(", "), tried.as_secs_f64());
        let cause = heard.iter().find_map(|heard| heard.cause).unwrap_or(fault.cause);
        named(Fault { cause, detail, ..fault }, options)
    }
}

impl ClientContext for Ears {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        // Behind it stands how often, and in which state.
        let line = reason.split_once(" (after ").map_or(reason, |(line, _)| line);
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < HEARD_MAX && !line.ends_with("brokers are down") && !heard.iter().any(|known| known.line == line) {
            let unreachable = line.contains("Connect to").then_some(Cause::Unreachable);
            heard.push(Heard { line: line.to_owned(), cause: refusal(&error, line).or(unreachable) });
        }
    }
}

impl ConsumerContext for Ears {}

impl ProducerContext for Ears {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &rdkafka::message::DeliveryResult<'_>, _opaque: ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_as_it_is_written_and_one_that_is_cut_gives_nothing() {
        let mut written = vec![0, 3, 0, 0, 0, 1, 0, 3, b'r', b'a', b'w', 0, 0, 0, 2];
        written.extend([0, 0, 0, 4, 0, 0, 0, 1, 255, 255, 255, 255]);
        assert_eq!(assigned(&written), Some(vec![1, 4]));
        for cut in 0..written.len() - 4 {
            assert_eq!(assigned(&written[..cut]), None, "{cut}");
        }
    }
}
