//! `waitbridge serve` with one promise broken on purpose: the checkpoint is committed after the transaction,
//! not inside it, and, as programs that do so mostly do, not after each. A control for the kill test, which must catch it. Never installed.

use std::path::PathBuf;
use std::process::ExitCode;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use waitbridge::envelope::Outgoing;
use waitbridge::kafka::producer::KafkaBroker;
use waitbridge::kafka::{Broker, Checkpoint, Fault, Options};
use waitbridge::{app, cli, settings, telemetry};

fn main() -> ExitCode {
    let file = std::env::args().skip_while(|argument| argument != "--config").nth(1).map(PathBuf::from);
    let settings = settings::load(file.as_deref()).expect("settings of the test");
    telemetry::start(settings.log.format, settings.log.level);
    let started = cli::serve::serve(settings, |settings| {
        app::start_with(settings, |options, metrics, stop| {
            let consumer = consumer(&options);
            let inner = KafkaBroker::new(options, metrics, stop).map_err(anyhow::Error::msg)?;
            Ok(Outside { inner, consumer, pending: Vec::new(), commits: 0 })
        })
    });
    started.expect("serves until it is killed")
}

fn consumer(options: &Options) -> BaseConsumer {
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", options.brokers.join(",")).set("group.id", &options.transactional_id);
    config.set("enable.auto.commit", "false").create().expect("a consumer")
}

struct Outside {
    inner: KafkaBroker,
    consumer: BaseConsumer,
    pending: Vec<Checkpoint>,
    commits: u64,
}

const SAVED_EVERY: u64 = 5;

impl Broker for Outside {
    fn build(&mut self) -> Result<(), Fault> {
        self.inner.build()
    }

    fn init(&mut self) -> Result<(), Fault> {
        self.inner.init()
    }

    fn cluster_id(&mut self) -> Option<String> {
        self.inner.cluster_id()
    }

    fn committed(&mut self, topic: &str, partition: i32) -> Result<Option<Checkpoint>, Fault> {
        self.inner.committed(topic, partition)
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.inner.begin()
    }

    fn send(&mut self, records: &[Outgoing]) -> Result<(), Fault> {
        self.inner.send(records)
    }

    fn drain(&mut self) -> Result<(), Fault> {
        self.inner.drain()
    }

    fn send_offsets(&mut self, checkpoints: &[Checkpoint]) -> Result<(), Fault> {
        self.pending = checkpoints.to_vec();
        Ok(())
    }

    /// The planted mistake.
    fn commit(&mut self) -> Result<(), Fault> {
        self.inner.commit()?;
        let is_due = self.commits.is_multiple_of(SAVED_EVERY);
        self.commits += 1;
        if !is_due {
            return Ok(());
        }
        for checkpoint in self.pending.drain(..) {
            let mut offsets = TopicPartitionList::new();
            let next = Offset::Offset(i64::try_from(checkpoint.next).expect("fits"));
            offsets.add_partition_offset(&checkpoint.topic, checkpoint.partition, next).expect("an offset");
            offsets.find_partition(&checkpoint.topic, checkpoint.partition).expect("added").set_metadata(&checkpoint.metadata);
            self.consumer.commit(&offsets, CommitMode::Sync).expect("a commit");
        }
        Ok(())
    }

    fn abort(&mut self) -> Result<(), Fault> {
        self.inner.abort()
    }
}
