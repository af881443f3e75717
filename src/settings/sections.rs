//! The sections of the settings, a function each, in the order of the contract.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tracing::Level;

use super::fleet::{Fleet, Kind};
use super::publishing::{mode, privacy, routes};
use super::sockets::Inherited;
use super::{Invalid, tls};
use crate::journal::disk;
use crate::kafka::properties::Properties;
use crate::kafka::topics::{Role, Spec, specs};
use crate::kafka::{self, RESERVED_PROPERTIES, SECRET_PROPERTIES, producer};
use crate::providers::Rules;
use crate::relay::{self, prepare};
use crate::routing::Topics;
use crate::server::{self, tls::Identity};
use crate::table::{Flag, Table};
use crate::telemetry::Format;

pub(super) const HOUR_MS: u64 = 3_600_000;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// A record's head and Kafka headers, beside its value.
const RECORD_OVERHEAD_BYTES: u64 = 64 * KIB;

pub struct ServerSettings {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    /// Used instead of these addresses.
    pub inherited: Inherited,
    /// Of the public listener; without one it speaks plain HTTP.
    pub tls: Option<Identity>,
    pub limits: server::Limits,
    pub accept_deadline: Duration,
    pub drain_settle: Duration,
}

impl ServerSettings {
    /// Takes the listeners that this process was started with, once.
    pub fn inherit(&mut self) -> Result<(), Invalid> {
        self.inherited = Inherited::take()?;
        Ok(())
    }
}

pub struct JournalSettings {
    pub kind: Kind,
    pub dir: PathBuf,
    pub window_ms: u64,
    pub segment_bytes: u64,
    pub size_max: u64,
    pub free_min: u64,
}

pub struct KafkaSettings {
    /// Of a fleet; a disk journal's is named after its id.
    pub group: Option<String>,
    pub brokers: Vec<String>,
    pub prefix: String,
    pub transaction_timeout_ms: u64,
    pub checkpoint_topic: String,
    pub message_bytes_max: u64,
    pub properties: Properties,
    pub topics: Vec<Spec>,
    pub create: Vec<Spec>,
}

pub struct LogSettings {
    pub format: Format,
    pub level: Level,
}

impl JournalSettings {
    pub fn options(&self, checkpoint_topic: &str) -> disk::Options {
        disk::Options {
            dir: self.dir.clone(),
            window_ms: self.window_ms,
            segment_bytes: self.segment_bytes,
            size_max: self.size_max,
            free_min: self.free_min,
            checkpoint_topic: checkpoint_topic.to_owned(),
        }
    }
}

impl KafkaSettings {
    /// `id` names the one producer of this journal or replica, and a disk journal's group.
    pub fn options(&self, id: &str) -> kafka::Options {
        let transactional_id = format!("{}-{id}", self.prefix);
        kafka::Options {
            brokers: self.brokers.clone(),
            prefix: self.prefix.clone(),
            group: self.group.clone().unwrap_or_else(|| transactional_id.clone()),
            transactional_id,
            transaction_timeout_ms: self.transaction_timeout_ms,
            message_bytes_max: self.message_bytes_max,
            properties: self.properties.clone(),
            topics: self.topics.clone(),
            create: self.create.clone(),
        }
    }
}

pub fn server(root: &mut Table) -> ServerSettings {
    let mut table = root.table("server");
    let listen = address(&mut table, "listen", "0.0.0.0:8080");
    let admin_listen = address(&mut table, "admin_listen", "127.0.0.1:9464");
    let body_bytes_max = table.bytes("body_max", KIB..=3 * MIB, "512KiB");
    if listen == admin_listen && listen.port() != 0 {
        table.mistake("admin_listen", "must not be the address of server.listen");
    }
    let settings = ServerSettings {
        listen,
        admin_listen,
        inherited: Inherited::default(),
        tls: tls::identity(&mut table),
        accept_deadline: duration(&mut table, "accept_deadline", 100..=HOUR_MS, "8s"),
        drain_settle: duration(&mut table, "drain_settle", 0..=HOUR_MS, "5s"),
        limits: server::Limits {
            workers: table.whole("workers", 0..=1024, 0) as usize,
            connections_max: table.whole("connections_max", 1..=1_000_000, 10_000) as usize,
            body_bytes_max: body_bytes_max as usize,
            bodies_in_flight_bytes_max: table.bytes("bodies_in_flight_max", MIB..=64 * GIB, "64MiB") as usize,
            header_timeout: duration(&mut table, "header_timeout", 100..=HOUR_MS, "5s"),
            body_timeout: duration(&mut table, "body_timeout", 100..=HOUR_MS, "10s"),
            drain_deadline: duration(&mut table, "drain_deadline", 1000..=HOUR_MS, "20s"),
            trusted_proxies: networks(&mut table, "trusted_proxies"),
        },
    };
    if settings.limits.bodies_in_flight_bytes_max < settings.limits.body_bytes_max {
        table.mistake("bodies_in_flight_max", "must not be less than body_max");
    }
    table.finish();
    settings
}

pub fn journal(root: &mut Table, server: &ServerSettings) -> JournalSettings {
    let mut table = root.table("journal");
    let is_disk = table.choice("kind", &[("disk", true), ("kafka", false)], true);
    let dir = PathBuf::from(table.text("dir", "/var/lib/waitbridge"));
    let window_ms = table.duration_ms("window", 1000..=90 * 24 * HOUR_MS, "72h");
    let segment_bytes = table.bytes("segment", disk::SEGMENT_BYTES_MIN..=4 * GIB, "64MiB");
    let size_max = table.bytes("size_max", 4 * MIB..=64 * 1024 * GIB, "10GiB");
    let free_min = table.bytes("free_min", 0..=1024 * GIB, "256MiB");
    let record_bytes_max = server.limits.body_bytes_max as u64 + RECORD_OVERHEAD_BYTES;
    // Checked also beside kind = "disk", so that a settings file can hold both.
    let fleet = Fleet::read(&mut table, &dir, window_ms, record_bytes_max);
    if segment_bytes < record_bytes_max {
        table.mistake("segment", "must hold the largest delivery: server.body_max and 64KiB more");
    }
    if size_max < 3 * segment_bytes {
        table.mistake("size_max", "must be at least three segments: one in use, one made ahead, one to be freed");
    }
    table.finish();
    let kind = if is_disk { Kind::Disk } else { Kind::Kafka(fleet) };
    JournalSettings { kind, dir, window_ms, segment_bytes, size_max, free_min }
}

/// `publishing`: what the topics are called and how large a record's value may be.
pub fn kafka(root: &mut Table, publishing: &prepare::Settings, journal: &JournalSettings) -> KafkaSettings {
    let mut table = root.table("kafka");
    let timeout = table.text("transaction_timeout", "");
    let default_ms = match journal.kind {
        Kind::Disk => 60_000,
        Kind::Kafka(_) => 10_000,
    };
    let timeout_ms = if timeout.is_empty() { default_ms } else { table.duration_ms("transaction_timeout", 2000..=900_000, "60s") };
    let checkpoint_topic = topic(&mut table, "checkpoint_topic", "waitbridge.checkpoint.v1");
    let create = table.flag("create_topics", Flag::Off);
    let replication = table.whole("replication", 1..=32, 3) as i32;
    let brokers = table.list("brokers", &["localhost:9092"]);
    if brokers.is_empty() || !brokers.iter().all(|broker| is_broker(broker)) {
        table.mistake("brokers", "must name at least one broker, each as \"host:port\"");
    }
    let message_bytes_max = publishing.value_bytes_max as u64 + RECORD_OVERHEAD_BYTES;
    let Topics { person, location, dead_letter } = &publishing.topics;
    let mut names: Vec<(Role, &str)> = vec![(Role::Person, person), (Role::Location, location), (Role::DeadLetter, dead_letter)];
    names.push(match &journal.kind {
        Kind::Disk => (Role::Checkpoint, &checkpoint_topic),
        Kind::Kafka(fleet) => (Role::Raw, &fleet.options.raw_topic),
    });
    let mut topics = specs(&names, replication, message_bytes_max);
    if let (Kind::Kafka(fleet), Some(raw)) = (&journal.kind, topics.last_mut()) {
        raw.retention_ms = fleet.options.retention_ms;
        raw.message_bytes_max = raw.message_bytes_max.max(fleet.record_bytes_max);
    }
    let settings = KafkaSettings {
        group: match &journal.kind {
            Kind::Disk => None,
            Kind::Kafka(fleet) => Some(fleet.group.clone()),
        },
        brokers,
        prefix: name(&mut table, "prefix", "waitbridge"),
        transaction_timeout_ms: timeout_ms,
        message_bytes_max,
        properties: Properties::new(properties(&mut table)),
        create: if create { topics.clone() } else { Vec::new() },
        topics,
        checkpoint_topic,
    };
    if let Err(why) = producer::check(&settings.options("check")) {
        table.mistake("properties", why);
    }
    table.finish();
    settings
}

fn is_broker(text: &str) -> bool {
    let fits = |(host, port): (&str, &str)| !host.is_empty() && !host.contains(['/', ' ', '@']) && port.parse::<u16>().is_ok();
    text.rsplit_once(':').is_some_and(fits)
}

/// What librdkafka is handed: as given, and from files.
fn properties(table: &mut Table) -> Vec<(String, String)> {
    let mut given = table.table("properties");
    let mut all = given.rest();
    for (key, _) in all.iter().filter(|(key, _)| SECRET_PROPERTIES.contains(&key.as_str())) {
        given.mistake(key, "is a secret: put it into a file, and name that under [kafka.property_files]");
    }
    // librdkafka reads these itself.
    for (_, path) in all.iter().filter(|(key, _)| key.ends_with(".location")) {
        given.watch_file(path);
    }
    let mut from_files = table.table("property_files");
    for (key, path) in from_files.rest() {
        if let Some(secret) = from_files.secret_file(&key, &path) {
            match String::from_utf8(secret) {
                Ok(text) => all.push((key, text)),
                Err(_) => from_files.mistake(&key, "the file must hold text"),
            }
        }
    }
    for (key, _) in &all {
        if RESERVED_PROPERTIES.contains(&key.as_str()) {
            given.mistake(key, "may not be set: waitbridge sets it, or its promises depend on it; leave it out");
        }
    }
    all
}

pub fn relay(root: &mut Table, journal: &JournalSettings) -> (relay::Limits, prepare::Settings) {
    let topics = topics(root);
    let mut table = root.table("relay");
    let mut limits = relay::Limits {
        batch_max: table.whole("batch_max", 1..=100_000, 1000) as usize,
        batch_wait: duration(&mut table, "batch_wait", 0..=10_000, "5ms"),
        retry_min: duration(&mut table, "retry_min", 10..=60_000, "200ms"),
        retry_max: duration(&mut table, "retry_max", 10..=HOUR_MS, "30s"),
        memory: memory(&mut table, journal),
        endpoint_unknown_wait_ms: 0,
    };
    if limits.retry_max < limits.retry_min {
        table.mistake("retry_max", "must not be less than retry_min");
    }
    let value_bytes_max = table.bytes("value_max", 10 * KIB..=16 * MIB, "900KB");
    let json_depth_max = table.whole("json_depth_max", 2..=120, 64) as usize;
    let expired_after_ms = table.duration_ms("expired_after", 0..=3650 * 24 * HOUR_MS, "72h");
    // The replicas of a fleet may read different settings for a while.
    let endpoint_unknown_wait_ms = table.duration_ms("endpoint_unknown_wait", 0..=HOUR_MS, "60s") as i64;
    if let Kind::Kafka(_) = journal.kind {
        limits.endpoint_unknown_wait_ms = endpoint_unknown_wait_ms;
    }
    table.finish();
    let privacy = privacy(root);
    let settings = prepare::Settings {
        rules: Rules { json_depth_max, ..privacy.rules },
        ids: privacy.ids,
        dead_letter_bodies: privacy.dead_letter_bodies,
        topics,
        routes: routes(root),
        value_bytes_max: value_bytes_max as usize,
        expired_after_ms: Some(expired_after_ms as i64).filter(|ms| *ms > 0),
        mode: mode(root),
    };
    (limits, settings)
}

/// The bounds of what the relay remembers.
fn memory(table: &mut Table, journal: &JournalSettings) -> relay::memory::Limits {
    let mut window_ms = |key, default| table.duration_ms(key, 0..=90 * 24 * HOUR_MS, default) as i64;
    relay::memory::Limits {
        window_ms: journal.window_ms as i64,
        body_repeat_ms: window_ms("body_repeat_window", "15m"),
        endpoint_repeat_ms: window_ms("endpoint_repeat_window", "10m"),
        entries_max: table.whole("memory_max", 1000..=1_000_000_000, 2_000_000) as usize,
    }
}

pub fn log(root: &mut Table) -> LogSettings {
    let mut table = root.table("log");
    let format = table.choice("format", &[("json", Format::Json), ("text", Format::Text)], Format::Json);
    let levels = [("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO), ("debug", Level::DEBUG), ("trace", Level::TRACE)];
    let level = table.choice("level", &levels, Level::INFO);
    table.finish();
    LogSettings { format, level }
}

fn topics(root: &mut Table) -> Topics {
    let mut table = root.table("topics");
    let topics = Topics {
        person: topic(&mut table, "person", "waitlist.person.v1").into(),
        location: topic(&mut table, "location", "waitlist.location.v1").into(),
        dead_letter: topic(&mut table, "dead_letter", "waitlist.deadletter.v1").into(),
    };
    let names = BTreeSet::from([&topics.person, &topics.location, &topics.dead_letter]);
    if names.len() < 3 {
        table.mistake("dead_letter", "the three topics must have three names");
    }
    table.finish();
    topics
}

/// Kafka's own rule for names.
pub(super) fn topic(table: &mut Table, key: &str, default: &str) -> String {
    let text = table.text(key, default);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.len() > 249 || !text.chars().all(allowed) || text.chars().all(|c| c == '.') {
        table.mistake(key, "must be a topic's name: 1 to 249 of A-Z a-z 0-9 . _ -");
    }
    text
}

pub(super) fn name(table: &mut Table, key: &str, default: &str) -> String {
    let text = table.text(key, default);
    if text.is_empty() || text.len() > 100 || !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')) {
        table.mistake(key, "must be 1 to 100 of A-Z a-z 0-9 . _ -");
    }
    text
}

fn address(table: &mut Table, key: &str, default: &str) -> SocketAddr {
    let parsed = table.text(key, default).parse();
    parsed.unwrap_or_else(|_| {
        table.mistake(key, format!("must be an address and a port, such as \"{default}\""));
        default.parse().expect("defaults are well formed")
    })
}

fn networks(table: &mut Table, key: &str) -> Vec<IpNet> {
    table.parsed_list(key, &[], "a network such as \"10.0.0.0/8\", or an address", network)
}

/// A network in CIDR form, or one address.
pub fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address)))
}

pub(super) fn duration(table: &mut Table, key: &str, allowed: std::ops::RangeInclusive<u64>, default: &str) -> Duration {
    Duration::from_millis(table.duration_ms(key, allowed, default))
}
