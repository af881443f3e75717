//! The composition root: build from settings, run, drain in order. The life of the process fits this page.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix_web::dev::ServerHandle;
use anyhow::{Context, Result, anyhow};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::ingress::Ingress;
use crate::journal::{self, Journal, Source, Window, disk};
use crate::kafka::fleet::Fleet;
use crate::kafka::producer::KafkaBroker;
use crate::kafka::{self, Broker};
use crate::metrics::Metrics;
use crate::providers::endpoints::Endpoints;
use crate::relay::prepare::Prepare;
use crate::relay::status::Status;
use crate::relay::{Clock, Ended, Relay};
use crate::server::{self, Budget, Public, admin::Probe, tls::Tls};
use crate::settings::{Kind, Settings};
use crate::shutdown::{Stage, Stages, Stop};

pub mod control;
pub mod drain;
pub mod reload;
pub mod replay;

/// Of the drain's time, what is kept for the relay when the listener takes long.
const RELAY_SHARE: Duration = Duration::from_secs(2);
/// How long kept-alive connections are served and told that we go, the time of settling included.
const FAREWELL: Duration = Duration::from_secs(2);
/// Of it, for those who have connected when nobody new is taken any more; a quarter of the drain's time if that is less.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Between two tries of a call once a stop is requested.
const RETRY_WHILE_STOPPING: Duration = Duration::from_millis(20);
/// Kept for closing the journal and the admin listener.
const CLOSE_SHARE: Duration = Duration::from_millis(500);

/// A waitbridge that serves.
pub struct Running {
    public: Listener,
    admin: Listener,
    journal: Arc<dyn Journal>,
    /// Tells how the relay ended; `None` once it has told.
    relay: Option<oneshot::Receiver<Ended>>,
    stop: Arc<Stop>,
    stages: Arc<Stages>,
    metrics: Arc<Metrics>,
    reload: reload::Bell,
    /// `None` where the socket could not be made: all but replays goes on.
    control: Option<control::Control>,
    drain_settle: Duration,
    drain_deadline: Duration,
    _held: Option<disk::Hold>,
}

struct Listener {
    address: SocketAddr,
    handle: ServerHandle,
}

/// Why a running waitbridge has to end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The journal could not be written: what has no 200 may still come back, so nothing is lost.
    Journal,
    /// Another process owns this journal's checkpoint.
    Disowned,
    Relay,
}

/// Builds and starts everything, with the real Kafka.
pub fn start(settings: Settings) -> Result<Running> {
    start_with(settings, |options, metrics, stop| {
        KafkaBroker::new(options, metrics, stop).map_err(|why| anyhow!("[kafka.properties]: {why}"))
    })
}

/// The same with another broker under a disk journal: for proofs that something else would go wrong.
pub fn start_with<B: Broker + 'static>(
    settings: Settings,
    broker: impl FnOnce(kafka::Options, Arc<Metrics>, Arc<Stop>) -> Result<B>,
) -> Result<Running> {
    let shared = Shared::new();
    match settings.journal.kind.clone() {
        Kind::Disk => {
            let options = settings.journal.options(&settings.kafka.checkpoint_topic);
            let disk::Opened { journal, source, id, .. } = disk::open(options, shared.metrics.clone())?;
            let broker = broker(settings.kafka.options(&id.to_string()), shared.metrics.clone(), shared.stop.clone())?;
            serve(settings, shared, Parts { journal, source, broker, id: id.to_string(), held: None })
        }
        Kind::Kafka(fleet) => {
            let held = disk::hold(&settings.journal.dir)?;
            let (options, raw_topic) = (settings.kafka.options(&fleet.replica), &fleet.options.raw_topic);
            let opened = Fleet::open(options, raw_topic, fleet.delivery_timeout, shared.metrics.clone(), shared.stop.clone());
            let opened = opened.map_err(|why| anyhow!("[kafka.properties]: {why}"))?;
            let journal::kafka::Opened { journal, source, broker } = journal::kafka::open(fleet.options, opened, shared.metrics.clone())?;
            serve(settings, shared, Parts { journal, source, broker, id: fleet.replica, held: Some(held) })
        }
    }
}

/// What every part shares.
struct Shared {
    metrics: Arc<Metrics>,
    stages: Arc<Stages>,
    stop: Arc<Stop>,
    status: Arc<Status>,
}

impl Shared {
    fn new() -> Shared {
        Shared { metrics: Arc::new(Metrics::new()), stages: Arc::default(), stop: Arc::default(), status: Arc::default() }
    }
}

/// What the kinds of journal make in their own ways.
struct Parts<J, S, B> {
    journal: Arc<J>,
    source: S,
    broker: B,
    /// Of the journal, or of this replica.
    id: String,
    /// The folder of a journal that is elsewhere.
    held: Option<disk::Hold>,
}

fn serve<J: Journal + Window + 'static, S: Source + 'static, B: Broker + 'static>(
    settings: Settings,
    shared: Shared,
    parts: Parts<J, S, B>,
) -> Result<Running> {
    let Shared { metrics, stages, stop, status } = shared;
    let Parts { journal, source, broker, id, held } = parts;
    for endpoint in &settings.endpoints {
        metrics.endpoint_known(&endpoint.name, endpoint.vendor);
    }
    let endpoints = Arc::new(Endpoints::new(settings.endpoints));
    let public_socket = bind(settings.server.inherited.public, settings.server.listen, "server.listen")?;
    let admin_socket = bind(settings.server.inherited.admin, settings.server.admin_listen, "server.admin_listen")?;
    reload::warn_of(&settings.cautions);
    let tls = settings.server.tls.map(|certificate| Arc::new(Tls::new(reload::told(certificate, &metrics))));
    let properties = settings.kafka.properties.clone();
    let replays = replay::Replays {
        window: journal.clone(),
        journal_id: id.clone(),
        endpoints: endpoints.clone(),
        prepare: settings.prepare.clone(),
        limits: settings.relay,
        kafka: settings.kafka,
        current: Default::default(),
    };
    let journal: Arc<dyn Journal> = journal;
    let prepare = Prepare::new(settings.prepare, endpoints.clone());
    let clock = Box::new(WallClock { stop: stop.clone() });
    let started_ms = clock.now_ms();
    let relay = spawn(Relay::new(source, broker, prepare, settings.relay, clock, stop.clone(), status.clone(), metrics.clone()))?;

    let renewed = reload::Renewed { endpoints: endpoints.clone(), tls: tls.clone(), properties };
    let reload = reload::start(settings.watch, renewed, metrics.clone())?;
    let control = control::start(&settings.journal.dir, Arc::new(replays), reload.clone());
    let probe = Probe {
        endpoints: endpoints.clone(),
        journal: journal.clone(),
        relay: status,
        stages: stages.clone(),
        metrics: metrics.clone(),
        journal_id: id.clone(),
        started_ms,
    };
    let public = Public {
        ingress: Ingress::new(endpoints, journal.clone(), metrics.clone(), settings.server.accept_deadline),
        budget: Budget::new(settings.server.limits.bodies_in_flight_bytes_max, metrics.clone()),
        limits: settings.server.limits,
        stages: stages.clone(),
        metrics: metrics.clone(),
    };
    let (drain_settle, drain_deadline) = (settings.server.drain_settle, public.limits.drain_deadline);
    let public = Listener::serve(public_socket, |socket| server::public(socket, Arc::new(public), tls))?;
    let admin = Listener::serve(admin_socket, |socket| server::admin(socket, Arc::new(probe)))?;
    info!(listen = %public.address, admin_listen = %admin.address, journal = %id, "waitbridge serves");
    Ok(Running {
        public,
        admin,
        journal,
        relay: Some(relay),
        stop,
        stages,
        metrics,
        reload,
        control,
        drain_settle,
        drain_deadline,
        _held: held,
    })
}

impl Running {
    pub fn public_address(&self) -> SocketAddr {
        self.public.address
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }

    /// What asks for new endpoints and secrets.
    pub fn reload_bell(&self) -> reload::Bell {
        self.reload.clone()
    }

    /// Resolves only if something fails that the process cannot mend.
    pub async fn failure(&mut self) -> Failure {
        let relay = async {
            match self.relay.as_mut() {
                Some(relay) => relay.await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            () = self.journal.failed() => return Failure::Journal,
            ended = relay => ended,
        };
        self.relay = None;
        match ended {
            Ok(Ended::Disowned) => Failure::Disowned,
            Ok(Ended::Stopped) | Err(_) => Failure::Relay,
        }
    }

    /// Unready, but still accepting; then the listener closes and what is in flight finishes; then the relay
    /// stops at a commit or an abort. What is left is named; it is safe in the journal.
    pub async fn drain(mut self) {
        let deadline = Instant::now() + self.drain_settle + self.drain_deadline - CLOSE_SHARE;
        self.metrics.draining_started();
        self.stages.enter(Stage::Settling);
        self.stop_replays(deadline);
        info!(settle_ms = self.drain_settle.as_millis() as u64, "draining: unready, still accepting");
        tokio::time::sleep(self.drain_settle).await;
        // Nobody new comes; who has a connection already is still served, and told that it ends. The library's graceful stop cuts
        // it without a word.
        self.public.handle.pause().await;
        let farewell = FAREWELL.saturating_sub(self.drain_settle).max(LAST_WORDS);
        tokio::time::sleep(farewell.min(self.drain_deadline / 4)).await;
        self.stages.enter(Stage::Draining);
        let listener_deadline = deadline - RELAY_SHARE.min(self.drain_deadline / 4);
        self.public.stop(listener_deadline.saturating_duration_since(Instant::now())).await;
        self.stop_relay(deadline).await;
        self.close(deadline + CLOSE_SHARE).await;
    }

    /// Ends without waiting for anybody: the durable line holds what was answered 200.
    pub async fn abandon(mut self) {
        self.stages.enter(Stage::Draining);
        self.public.stop(Duration::ZERO).await;
        let deadline = Instant::now() + RELAY_SHARE;
        self.stop_relay(deadline).await;
        self.close(deadline + RELAY_SHARE).await;
    }

    fn stop_replays(&self, deadline: Instant) {
        self.control.iter().for_each(|control| control.close(deadline));
    }

    async fn stop_relay(&mut self, deadline: Instant) {
        self.stop_replays(deadline);
        self.stop.request(deadline);
        if let Some(relay) = self.relay.take()
            && tokio::time::timeout_at(deadline.into(), relay).await.is_err()
        {
            warn!("the relay was waiting for kafka when the time was up; its transaction ends by itself");
        }
        // What a replay leaves open would hold up the topics' readers.
        while self.control.as_ref().is_some_and(control::Control::is_at_work) && Instant::now() < deadline {
            tokio::time::sleep(RETRY_WHILE_STOPPING).await;
        }
    }

    /// A disk that hangs must not hold up the end: on a thread of its own, which nobody waits for longer than this.
    async fn close(self, deadline: Instant) {
        let (tell, closed) = oneshot::channel();
        let journal = self.journal.clone();
        std::thread::spawn(move || {
            journal.close();
            let _ = tell.send(journal.backlog());
        });
        match tokio::time::timeout_at(deadline.into(), closed).await {
            Ok(Ok(left)) => {
                let (records, bytes) = (left.records, left.bytes);
                info!(undelivered_records = records, undelivered_bytes = bytes, "stopped; what is undelivered is safe in the journal");
            }
            _ => warn!("the disk did not answer in time; what was answered 200 is synced"),
        }
        self.admin.stop(Duration::ZERO).await;
    }
}

impl Listener {
    fn serve(socket: TcpListener, serve: impl FnOnce(TcpListener) -> std::io::Result<actix_web::dev::Server>) -> Result<Listener> {
        let address = socket.local_addr()?;
        let server = serve(socket)?;
        let handle = server.handle();
        actix_web::rt::spawn(async move {
            if let Err(why) = server.await {
                error!(%why, "a listener failed");
            }
        });
        Ok(Listener { address, handle })
    }

    async fn stop(&self, within: Duration) {
        let graceful = self.handle.stop(!within.is_zero());
        if tokio::time::timeout(within.max(Duration::from_millis(100)), graceful).await.is_err() {
            warn!("connections were still open when the listener's time was up");
        }
    }
}

fn bind(inherited: Option<TcpListener>, address: SocketAddr, key: &str) -> Result<TcpListener> {
    if let Some(socket) = inherited {
        info!("the service manager's socket is used, not {key}");
        return Ok(socket);
    }
    server::bind(address).with_context(|| format!("{key}: cannot listen on {address}"))
}

/// The relay's thread is not joined: it may be inside a call that outlasts every deadline of ours.
fn spawn<S: Source + 'static, B: Broker + 'static>(relay: Relay<S, B>) -> Result<oneshot::Receiver<Ended>> {
    let (tell, ended) = oneshot::channel();
    let work = move || {
        // Nobody may be left to hear it: then the process is ending anyway.
        let _ = tell.send(relay.run());
    };
    std::thread::Builder::new().name("relay".to_owned()).spawn(work)?;
    Ok(ended)
}

struct WallClock {
    stop: Arc<Stop>,
}

impl Clock for WallClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// A stop wakes the sleeper; what still has to be tried again then is not tried in a hot loop.
    fn sleep(&self, time: Duration) {
        self.stop.sleep(time);
        if self.stop.is_requested() {
            std::thread::sleep(time.min(RETRY_WHILE_STOPPING));
        }
    }
}
