//! The replays of this process, one at a time: built from the same settings, endpoints and journal as the relay, each on a thread of
//! its own with a producer of its own. Who asked for it, and how it is told, `control` knows.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::{info, info_span, warn};
use uuid::Uuid;

use super::WallClock;
use crate::journal::{Position, ReadError, Window};
use crate::kafka::producer::KafkaBroker;
use crate::kafka::{self, Broker, Checkpoint, Class, Fault};
use crate::metrics::Metrics;
use crate::providers::endpoints::Endpoints;
use crate::relay::prepare::{self, Prepare};
use crate::relay::replay::dry::Nowhere;
use crate::relay::replay::letters::Letters;
use crate::relay::replay::{Course, Extent, Known, Lens, Order, Plan, Progress, Replayed, What};
use crate::relay::status::Status;
use crate::relay::{self, Ended, Relay};
use crate::settings::KafkaSettings;
use crate::shutdown::Stop;

/// Small transactions: the relay's own are between them, and a kill loses little time.
const BATCH_MAX: usize = 200;
/// What a kill leaves open holds up the topics' readers until the next replay, or for this long.
const TRANSACTION_TIMEOUT_MAX_MS: u64 = 10_000;
/// How long a resume looks for its checkpoint while Kafka does not answer.
const FIND_WITHIN: Duration = Duration::from_secs(60);
const BETWEEN_TRIES: Duration = Duration::from_millis(500);
/// Until it is noticed that a command has left, and until its replay has ended then.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
const END_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

pub struct Replays {
    pub window: Arc<dyn Window>,
    /// Of the journal, or of this replica.
    pub journal_id: String,
    pub endpoints: Arc<Endpoints>,
    pub prepare: prepare::Settings,
    pub limits: relay::Limits,
    pub kafka: KafkaSettings,
    pub current: Mutex<Option<(Uuid, Arc<Stop>)>>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    Begin(Order),
    /// Publish nothing: only count what would be.
    Count(Order),
    /// Go on with one that was stopped or killed; at another rate, if one is named.
    Resume(Uuid, Option<u32>),
}

/// A replay at work.
#[derive(Clone)]
pub struct Desk {
    pub id: Uuid,
    pub progress: Arc<Progress>,
    pub status: Arc<Status>,
    pub stop: Arc<Stop>,
}

/// Why a replay is not done.
#[derive(Debug, Error)]
pub enum Trouble {
    #[error("the replay {0} is at work: wait for its end, or stop its command")]
    Busy(Uuid),
    #[error("there is no replay {0} that could go on: it never began, or is older than Kafka keeps a group's offsets")]
    Unknown(Uuid),
    #[error("too many endpoints are named for one replay: name fewer, and replay the others after it")]
    TooLong,
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    #[error("kafka: {0}")]
    Kafka(Fault),
    #[error("the settings' properties are not taken: {0}")]
    Properties(String),
    #[error("another process goes on with this replay")]
    Disowned,
    #[error("the replay could not be started, or ended by a fault of its own; see the service's log")]
    Broken,
}

impl Trouble {
    pub fn code(&self) -> &'static str {
        match self {
            Trouble::Busy(_) => "busy",
            Trouble::Unknown(_) => "unknown_replay",
            Trouble::TooLong => "too_long",
            Trouble::Unreadable(_) => "unreadable",
            Trouble::Kafka(_) => "kafka",
            Trouble::Properties(_) => "properties",
            Trouble::Disowned => "disowned",
            Trouble::Broken => "broken",
        }
    }
}

/// How it ended, once it has. Nothing comes from one that broke.
pub type Told = Receiver<Result<(), Trouble>>;

impl Replays {
    /// Starts it on a thread of its own.
    pub fn start(self: &Arc<Replays>, wish: Wish) -> Result<(Desk, Told), Trouble> {
        let id = match wish {
            Wish::Resume(id, _) => id,
            Wish::Begin(_) | Wish::Count(_) => Uuid::now_v7(),
        };
        let desk = Desk { id, progress: Arc::default(), status: Arc::default(), stop: Arc::default() };
        self.occupy(&desk)?;
        let (tell, told) = channel();
        let (replays, at) = (self.clone(), desk.clone());
        let work = move || {
            let _free = Free(&replays);
            let _span = info_span!("replay", id = %at.id).entered();
            // Nobody may be left to hear it.
            let _ = tell.send(replays.work(&at, wish));
        };
        match std::thread::Builder::new().name("replay".to_owned()).spawn(work) {
            Ok(_) => Ok((desk, told)),
            Err(_) => {
                drop(Free(self));
                Err(Trouble::Broken)
            }
        }
    }

    /// The one at work comes to a commit or an abort.
    pub fn stop(&self, deadline: Instant) {
        self.current().iter().for_each(|(_, stop)| stop.request(deadline));
    }

    pub fn is_at_work(&self) -> bool {
        self.current().is_some()
    }

    /// One whose command was killed a moment ago is given the time to end.
    fn occupy(&self, desk: &Desk) -> Result<(), Trouble> {
        let began = Instant::now();
        loop {
            let mut current = self.current();
            match &*current {
                None => {
                    *current = Some((desk.id, desk.stop.clone()));
                    return Ok(());
                }
                Some((id, stop)) => {
                    let patience = if stop.is_requested() { END_WITHIN } else { LEAVE_WITHIN };
                    if began.elapsed() >= patience {
                        return Err(Trouble::Busy(*id));
                    }
                }
            }
            drop(current);
            std::thread::sleep(LOOK);
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<(Uuid, Arc<Stop>)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, desk: &Desk, wish: Wish) -> Result<(), Trouble> {
        info!(?wish, "a replay begins");
        let ended = match wish {
            Wish::Count(order) => self.run(desk, self.begin(desk, order)?, Nowhere)?,
            Wish::Begin(order) => {
                let broker = self.broker(desk)?;
                self.run(desk, self.begin(desk, order)?, broker)?
            }
            Wish::Resume(_, rate) => {
                let mut broker = self.broker(desk)?;
                let (mut plan, from) = self.find(desk, &mut broker)?;
                plan.order.rate = rate.or(plan.order.rate);
                let extent = plan.rest(&*self.past(&plan.order), from, &desk.stop)?;
                self.run(desk, (plan.order, extent), broker)?
            }
        };
        let shown = desk.progress.now();
        info!(?ended, phase = ?shown.phase, total = shown.total, tally = ?shown.tally, "a replay ends");
        match ended {
            Ended::Stopped => Ok(()),
            Ended::Disowned => Err(Trouble::Disowned),
        }
    }

    fn begin(&self, desk: &Desk, order: Order) -> Result<(Order, Extent), Trouble> {
        let extent = order.extent(&*self.past(&order), self.limits.memory.window_ms, &desk.stop)?;
        Ok((order, extent))
    }

    fn run<B: Broker>(&self, desk: &Desk, (order, extent): (Order, Extent), broker: B) -> Result<Ended, Trouble> {
        let Desk { progress, status, stop, .. } = desk;
        let plan = Plan { run: Uuid::new_v4().to_string(), order, until: extent.until };
        let name = plan.encode().ok_or(Trouble::TooLong)?;
        let mut known = Known::new(self.window.clone(), self.prepares(), self.limits.memory);
        known.catch_up(stop)?;
        // What was read is not all: nothing may be begun with it.
        if stop.is_requested() {
            return Ok(Ended::Stopped);
        }
        let lens = Arc::new(Lens::new(plan.order.clone(), known, progress.clone()));
        let prepare = self.prepares().through(lens.clone());
        progress.will_look_at(extent.records);
        let past = self.past(&plan.order);
        let course = Course { past, plan, name, from: extent.from, lens, progress: progress.clone() };
        let limits = relay::Limits { batch_max: self.limits.batch_max.min(BATCH_MAX), batch_wait: Duration::ZERO, ..self.limits };
        let clock = Box::new(WallClock { stop: stop.clone() });
        let source = Replayed::new(course, stop.clone());
        // Metrics of its own, which nobody sees: those of the service tell of the relay.
        Ok(Relay::new(source, broker, prepare, limits, clock, stop.clone(), status.clone(), Arc::new(Metrics::new())).run())
    }

    fn prepares(&self) -> Prepare {
        Prepare::new(self.prepare.clone(), self.endpoints.clone())
    }

    fn past(&self, order: &Order) -> Arc<dyn Window> {
        match order.what {
            What::Window => self.window.clone(),
            What::DeadLetters(_) => Arc::new(Letters {
                options: self.kafka.options("letters"),
                topic: self.prepare.topics.dead_letter.to_string(),
                endpoints: self.endpoints.clone(),
                order: order.clone(),
            }),
        }
    }

    /// The same transactional id for all replays of this journal: a new one ends what a killed one has left open.
    fn broker(&self, desk: &Desk) -> Result<KafkaBroker, Trouble> {
        let options = self.kafka.options(&format!("{}-replay", self.journal_id));
        let transaction_timeout_ms = options.transaction_timeout_ms.min(TRANSACTION_TIMEOUT_MAX_MS);
        let group = format!("{}-{}", options.group, desk.id);
        let options = kafka::Options { group, transaction_timeout_ms, create: Vec::new(), ..options };
        KafkaBroker::new(options, Arc::new(Metrics::new()), desk.stop.clone()).map_err(Trouble::Properties)
    }

    /// The plan that the checkpoint holds, and how far it was carried out.
    fn find(&self, desk: &Desk, broker: &mut KafkaBroker) -> Result<(Plan, BTreeMap<i32, u64>), Trouble> {
        insist(desk, || broker.build())?;
        insist(desk, || broker.init())?;
        let partitions: Vec<i32> = self.window.delivered()?.iter().map(|position: &Position| position.partition).collect();
        let journal = partitions.iter().map(|partition| self.window.checkpoint_at(*partition));
        let letters = (self.prepare.topics.dead_letter.to_string(), 0);
        for (topic, partition) in journal.chain([letters]) {
            let found = insist(desk, || broker.committed(&topic, partition))?;
            if let Some(plan) = found.and_then(|found| Plan::decode(&found.metadata)) {
                return self.positions(desk, broker, &plan).map(|from| (plan, from));
            }
        }
        Err(Trouble::Unknown(desk.id))
    }

    fn positions(&self, desk: &Desk, broker: &mut KafkaBroker, plan: &Plan) -> Result<BTreeMap<i32, u64>, Trouble> {
        let past = self.past(&plan.order);
        let mut from = BTreeMap::new();
        for partition in plan.until.keys() {
            let (topic, at) = past.checkpoint_at(*partition);
            let found: Option<Checkpoint> = insist(desk, || broker.committed(&topic, at))?;
            from.insert(*partition, found.map_or(0, |found| found.next));
        }
        Ok(from)
    }
}

fn insist<T>(desk: &Desk, mut call: impl FnMut() -> Result<T, Fault>) -> Result<T, Trouble> {
    let deadline = Instant::now() + FIND_WITHIN;
    loop {
        match call() {
            Err(fault) if fault.class == Class::Retriable && Instant::now() < deadline && !desk.stop.is_requested() => {
                warn!(%fault, "a replay looks for its checkpoint");
                desk.stop.sleep(BETWEEN_TRIES);
            }
            ended => return ended.map_err(Trouble::Kafka),
        }
    }
}

/// Lets the next one begin, however this one ended.
struct Free<'r>(&'r Replays);

impl Drop for Free<'_> {
    fn drop(&mut self) {
        *self.0.current() = None;
    }
}
