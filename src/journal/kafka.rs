//! The journal of a fleet: the raw topic, keyed by tenant, for any number of replicas without a disk.
//!
//! An append is answered when every in-sync replica has it. What that survives: the end of this process, of its machine, and of
//! as many brokers as the topic's replication allows, which is checked before the first 200. While Kafka is wholly away nothing
//! is accepted. What ran out of its time may still arrive: its accept id makes that harmless.
//!
//! ```text
//! raw topic   key: tenant     value: the record as appended     timestamp: when its replica took it
//! group       one offset a partition: the next to publish; metadata: the accept id of the record before it
//! ```
//!
//! The upper half stands here, the lower one in `source`; `watch` says whether appends are safe. Nothing here knows a vendor.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{AppendError, Appended, Backlog, Journal, Past, Position, ReadError, Stored, Window};
use crate::kafka::append::Appender;
use crate::kafka::fleet::{Fleet, Survey};
use crate::kafka::producer::KafkaBroker;
use crate::kafka::raw::{KafkaRawTopic, RawTopic};
use crate::metrics::Metrics;

mod backlog;
pub mod inspect;
mod past;
mod source;
mod watch;

use backlog::Backlogs;
use past::Settled;
pub use source::KafkaSource;
pub use watch::{Safety, is_safe};
use watch::{State, Watch};

/// Of what is on its way when the journal closes.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Options {
    pub raw_topic: String,
    pub safety: Safety,
    /// How long the raw topic should keep its records.
    pub retention_ms: u64,
}

pub struct Opened {
    pub journal: Arc<KafkaJournal>,
    pub source: KafkaSource<KafkaRawTopic>,
    pub broker: KafkaBroker,
}

/// Asks nobody yet: the first handshake is the watch's.
pub fn open(options: Options, fleet: Fleet, metrics: Arc<Metrics>) -> std::io::Result<Opened> {
    let Fleet { appender, raw, broker, survey, window } = fleet;
    let backlogs = Arc::new(Backlogs::new(metrics.clone()));
    let source = KafkaSource::new(raw, &options.raw_topic, backlogs.clone(), metrics.clone());
    let journal = KafkaJournal::start(options, appender, survey, window, backlogs, metrics)?;
    Ok(Opened { journal: Arc::new(journal), source, broker })
}

/// The lower half alone, over a model of the topic.
#[cfg(test)]
pub fn source_over<R: RawTopic>(raw: R, topic: &str, metrics: Arc<Metrics>) -> KafkaSource<R> {
    KafkaSource::new(raw, topic, Arc::new(Backlogs::new(metrics.clone())), metrics)
}

/// The upper half, for the ingress.
pub struct KafkaJournal {
    raw_topic: String,
    /// For those who read the past beside the relay.
    window: Mutex<Survey>,
    appender: Arc<Appender>,
    state: Arc<State>,
    backlogs: Arc<Backlogs>,
    metrics: Arc<Metrics>,
    watch: Mutex<Option<JoinHandle<()>>>,
}

impl KafkaJournal {
    fn start(
        options: Options,
        appender: Appender,
        survey: Survey,
        window: Survey,
        backlogs: Arc<Backlogs>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<KafkaJournal> {
        let (raw_topic, window) = (options.raw_topic.clone(), Mutex::new(window));
        let (appender, state) = (Arc::new(appender), Arc::new(State::default()));
        let watch = Watch::new(options, survey, appender.clone(), state.clone(), backlogs.clone(), metrics.clone());
        let thread = std::thread::Builder::new().name("journal-watch".to_owned()).spawn(move || watch.run())?;
        Ok(KafkaJournal { raw_topic, appender, state, window, backlogs, metrics, watch: Mutex::new(Some(thread)) })
    }
}

impl Journal for KafkaJournal {
    fn kind(&self) -> &'static str {
        "kafka"
    }

    fn append(&self, key: &str, record: Vec<u8>) -> Appended {
        let (tell, appended) = oneshot::channel();
        if let Err(refused) = self.writable() {
            let _ = tell.send(Err(refused));
            return appended;
        }
        let (started, metrics, backlogs) = (Instant::now(), self.metrics.clone(), self.backlogs.clone());
        let told = move |written: Result<(i32, u64), _>| {
            metrics.journal_appended(started.elapsed());
            if let Ok((partition, offset)) = written {
                backlogs.appended(partition, offset);
            }
            let position = written.map(|(partition, offset)| Position { partition, offset });
            // Nobody may wait for it any more.
            let _ = tell.send(position.map_err(|_fault| AppendError::Unavailable));
        };
        self.appender.append(key, &record, Box::new(told));
        appended
    }

    fn writable(&self) -> Result<(), AppendError> {
        self.state.writable()
    }

    /// Kafka is not this process's to lose: nothing is mended by its end.
    fn failed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }

    fn backlog(&self) -> Backlog {
        Backlog { records: self.backlogs.records(), bytes: None }
    }

    fn close(&self) {
        self.state.close();
        self.appender.flush(CLOSE_PATIENCE);
        // It may be in the middle of a call, and has nothing to make durable.
        drop(self.watch.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take());
    }
}

impl Window for KafkaJournal {
    /// Of all partitions, whosever they are. One without a checkpoint has nothing delivered.
    fn delivered(&self) -> Result<Vec<Position>, ReadError> {
        let mut window = self.window.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let partitions = window.partitions()?;
        let delivered = |partition| {
            let offset = match window.committed(partition)? {
                Some(checkpoint) => checkpoint.next,
                None => window.raw().bounds(partition)?.start,
            };
            Ok(Position { partition, offset })
        };
        partitions.map(delivered).collect()
    }

    fn checkpoint_at(&self, partition: i32) -> (String, i32) {
        (self.raw_topic.clone(), partition)
    }

    fn review(&self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError> {
        let mut window = self.window.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(from) = past::begin(window.raw(), &past)? else { return Ok(()) };
        let mut settled = Settled { next: from, ..Settled::default() };
        past::tell(window.raw(), &mut settled, past.until, tell)
    }
}
