//! A bare transactional producer: the records that ours makes of a batch, made beforehand, sent again and again. No journal is read,
//! nothing is understood, recognised or written anew, and no checkpoint goes along.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use waitbridge::envelope::Outgoing;
use waitbridge::providers::endpoints::Endpoints;
use waitbridge::relay::memory::{Memory, Staged};
use waitbridge::relay::prepare::Prepare;
use waitbridge::settings;

use crate::backlog;
use crate::subject::cpu_time;

const BATCH: u64 = 1000;
const CALL: Duration = Duration::from_secs(10);

#[derive(Clone, Default)]
struct Unanswered(Arc<AtomicUsize>);

impl ClientContext for Unanswered {}

impl ProducerContext for Unanswered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "a record was not delivered");
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// `arguments`: ours settings, brokers, topic, how many records. Prints microseconds, and those of CPU time.
pub fn run(arguments: &[String]) {
    let [settings, brokers, topic, count] = arguments else { panic!("four arguments") };
    let count: u64 = count.parse().expect("a number");
    let settings = settings::load(Some(settings.as_ref())).unwrap_or_else(|invalid| panic!("{invalid}"));
    let prepare = Prepare::new(settings.prepare, Arc::new(Endpoints::new(settings.endpoints)));
    let batch = prepare.batch(&backlog::stored(BATCH), &Memory::new(settings.relay.memory), &mut Staged::default(), |_| false);
    let unanswered = Unanswered::default();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("transactional.id", topic).set("linger.ms", "0").set("partitioner", "murmur2_random");
    let producer: ThreadedProducer<Unanswered> = config.create_with_context(unanswered.clone()).expect("a producer");
    producer.init_transactions(CALL).expect("a coordinator");
    let (began, cpu) = (Instant::now(), cpu_time(std::process::id()));
    for _ in 0..count / BATCH {
        producer.begin_transaction().expect("it begins");
        unanswered.0.store(batch.records.len(), Ordering::Release);
        batch.records.iter().for_each(|record| send(&producer, topic, record));
        while unanswered.0.load(Ordering::Acquire) > 0 || producer.in_flight_count() > 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
        producer.commit_transaction(CALL).expect("it commits");
    }
    println!("{} {}", began.elapsed().as_micros(), (cpu_time(std::process::id()) - cpu).as_micros());
}

fn send(producer: &ThreadedProducer<Unanswered>, topic: &str, record: &Outgoing) {
    let headers = OwnedHeaders::new_with_capacity(record.headers.len());
    let headers =
        record.headers.iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value.as_bytes()) }));
    let value = record.value.as_deref().expect("an event has a value");
    producer
        .send(BaseRecord::to(topic).key(record.key.as_str()).payload(value).headers(headers))
        .map_err(|(error, _)| error)
        .expect("room");
}
