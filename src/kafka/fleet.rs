//! Everything that one replica of a fleet needs of Kafka, made together: they share one group.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::append::Appender;
use super::cluster::{Cluster, GroupMember};
use super::compare::Standing;
use super::context::Context;
use super::fault::named;
use super::group::Group;
use super::partitions::Partitions;
use super::producer::{KafkaBroker, check};
use super::properties::{Made, end_aside};
use super::raw::KafkaRawTopic;
use super::topics::{Role, Spec};
use super::{Checkpoint, Fault, Options};
use crate::metrics::Metrics;
use crate::shutdown::Stop;

/// Of one call of the survey.
const SURVEY_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Fleet {
    pub appender: Appender,
    pub raw: KafkaRawTopic,
    pub broker: KafkaBroker,
    pub survey: Survey,
    /// Another one, for those who read the past.
    pub window: Survey,
}

impl Fleet {
    /// Fails only on properties that librdkafka refuses; no broker is asked yet, but the group is joined as soon as one is there.
    pub fn open(
        options: Options,
        raw_topic: &str,
        delivery_timeout: Duration,
        metrics: Arc<Metrics>,
        stop: Arc<Stop>,
    ) -> Result<Fleet, String> {
        check(&options)?;
        let context = Context::new(metrics, stop, Partitions::of(&options.topics));
        let made = || -> Result<Fleet, Fault> {
            let group = Arc::new(Group::join(&options, context.clone(), raw_topic)?);
            Ok(Fleet {
                appender: Appender::new(options.clone(), raw_topic, delivery_timeout, context.clone())?,
                raw: KafkaRawTopic::new(&options, raw_topic, group.clone(), &context)?,
                survey: Survey::new(&options, raw_topic, &context)?,
                window: Survey::new(&options, raw_topic, &context)?,
                broker: KafkaBroker::with(options, context, group),
            })
        };
        made().map_err(|fault| fault.detail)
    }
}

/// Looks at the raw topic from outside: whether it is safe, and how far its partitions are delivered.
pub struct Survey {
    options: Options,
    topic: String,
    context: Context,
    eyes: Made<Eyes>,
}

struct Eyes {
    cluster: Cluster,
    reader: KafkaRawTopic,
    group: Arc<Group>,
}

impl Survey {
    /// For those who look from another process; nobody sees that they do. Asks nobody yet.
    pub fn open(options: &Options, topic: &str) -> Result<Survey, Fault> {
        Survey::new(options, topic, &Context::new(Arc::default(), Arc::default(), Partitions::of(&options.topics)))
    }

    fn new(options: &Options, topic: &str, context: &Context) -> Result<Survey, Fault> {
        let eyes = Made::new(options.properties.now(), || Eyes::open(options, topic, context))?;
        Ok(Survey { options: options.clone(), topic: topic.to_owned(), context: context.clone(), eyes })
    }

    /// Others once the properties are others.
    fn eyes(&mut self) -> &mut Eyes {
        let open = || Eyes::open(&self.options, &self.topic, &self.context);
        if let Some(old) = self.eyes.renew(self.options.properties.now(), open) {
            end_aside(old);
        }
        &mut self.eyes.client
    }

    /// The raw topic as it is, beside what it should be.
    pub fn standing(&mut self) -> Result<Option<(Spec, Standing)>, Fault> {
        Ok(self.eyes().cluster.topics()?.pop())
    }

    pub fn partitions(&mut self) -> Result<Range<i32>, Fault> {
        let topic = self.topic.clone();
        self.eyes().cluster.partitions(&topic).map(|partitions| 0..partitions)
    }

    pub fn members(&mut self) -> Result<Vec<GroupMember>, Fault> {
        self.eyes().cluster.members()
    }

    pub fn raw(&mut self) -> &mut KafkaRawTopic {
        &mut self.eyes().reader
    }

    pub fn committed(&mut self, partition: i32) -> Result<Option<Checkpoint>, Fault> {
        let topic = self.topic.clone();
        let found = self.eyes().group.committed(&topic, partition);
        found.map_err(|fault| named(fault, &self.options))
    }
}

impl Eyes {
    fn open(options: &Options, topic: &str, context: &Context) -> Result<Eyes, Fault> {
        // It looks at its leisure: a member would not wait for its answers.
        let group = Arc::new(Group::apart(options, context.clone())?);
        let raw = options.topics.iter().filter(|spec| spec.role == Role::Raw).cloned().collect();
        Ok(Eyes {
            cluster: Cluster::new(Options { topics: raw, ..options.clone() }, SURVEY_TIMEOUT)?,
            reader: KafkaRawTopic::new(options, topic, group.clone(), context)?,
            group,
        })
    }
}
