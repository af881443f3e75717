//! Appends to the raw topic, and tells each writer when its record is on all in-sync replicas, or cannot be.
//!
//! Idempotent, and in order for each key. A producer of no more use is replaced by a new one: what it had on its way is told
//! to have failed, and may still be there. Knows no record's meaning.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use tracing::{info, warn};

use super::client::client_config;
use super::context::Context;
use super::fault::{fatal, fault_of};
use super::properties::Made;
use super::{Cause, Fault, Options};

/// Called once: with the partition and offset of the record, or with why it has none.
pub type Tell = Box<dyn FnOnce(Result<(i32, u64), Fault>) + Send + Sync>;

pub struct Appender {
    options: Options,
    topic: String,
    delivery_timeout: Duration,
    context: AppendContext,
    producer: RwLock<Made<Arc<Client>>>,
}

type Client = ThreadedProducer<AppendContext>;

impl Appender {
    /// Asks nobody yet.
    pub(super) fn new(options: Options, topic: &str, delivery_timeout: Duration, context: Context) -> Result<Appender, Fault> {
        let context = AppendContext(context);
        let producer = Made::new(options.properties.now(), || client(&options, delivery_timeout, &context))?;
        Ok(Appender { options, topic: topic.to_owned(), delivery_timeout, context, producer: RwLock::new(producer) })
    }

    /// Never blocks.
    pub fn append(&self, key: &str, record: &[u8], tell: Tell) {
        let written = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let record = BaseRecord::with_opaque_to(&self.topic, Box::new(tell)).key(key).payload(record).timestamp(written);
        let producer = self.client();
        if let Err((error, refused)) = producer.send(record) {
            (*refused.delivery_opaque)(Err(fault_of(&error)));
        }
    }

    /// Replaces a producer that has failed for good, or whose properties are others by now. To be called now and then.
    pub fn keep(&self) {
        let failed = self.client().client().fatal_error().map(|(code, _)| code);
        let mut producer = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        let make = || client(&self.options, self.delivery_timeout, &self.context);
        if let Some(code) = failed {
            warn!(%code, "the producer of the raw topic has failed for good; a new one takes over");
            match Made::new(self.options.properties.now(), make) {
                Ok(new) => {
                    self.context.0.rebuilt(&fault_of(&KafkaError::MessageProduction(code)));
                    end(std::mem::replace(&mut *producer, new).client, Duration::ZERO);
                }
                Err(fault) => warn!(%fault, "no new producer could be made"),
            }
        } else if let Some(old) = producer.renew(self.options.properties.now(), make) {
            info!("the properties are others: a new producer of the raw topic takes over");
            self.context.0.rebuilt(&fatal(Cause::Properties, ""));
            end(old, self.delivery_timeout);
        }
    }

    /// Waits until everything on its way is told.
    pub fn flush(&self, within: Duration) {
        if let Err(error) = self.client().flush(within) {
            warn!(%error, "appends were still on their way; their accept ids make them harmless");
        }
    }

    fn client(&self) -> Arc<Client> {
        self.producer.read().unwrap_or_else(PoisonError::into_inner).client.clone()
    }
}

/// Sends what it has, as long as that takes; its end tells everybody who still waits.
fn end(old: Arc<Client>, within: Duration) {
    thread::spawn(move || {
        let _ = old.flush(within);
        drop(old);
    });
}

fn client(options: &Options, delivery_timeout: Duration, context: &AppendContext) -> Result<Arc<Client>, Fault> {
    let mut config = client_config(options);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", delivery_timeout.as_millis().to_string())
        .set("message.max.bytes", options.message_bytes_max.to_string())
        .set("topic.metadata.propagation.max.ms", "5000")
        .set("queue.buffering.max.kbytes", "65536")
        .set("linger.ms", "0")
        .set("partitioner", "murmur2_random");
    Ok(Arc::new(config.create_with_context(context.clone()).map_err(|error| fault_of(&error))?))
}

#[derive(Clone)]
struct AppendContext(Context);

impl ClientContext for AppendContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.stats(statistics);
    }
}

impl ProducerContext for AppendContext {
    type DeliveryOpaque = Box<Tell>;

    fn delivery(&self, result: &DeliveryResult<'_>, tell: Box<Tell>) {
        tell(match result {
            Ok(message) => Ok((message.partition(), u64::try_from(message.offset()).unwrap_or(0))),
            Err((error, record)) => Err(self.0.complained(record.topic(), fault_of(error))),
        });
    }
}
