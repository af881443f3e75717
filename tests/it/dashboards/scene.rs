//! A waitbridge on a disk and a replica of a fleet, with vendors that deliver all the time; and what may happen to them.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};
use uuid::Uuid;
use waitbridge::delivery::{Auth, Record};
use waitbridge::providers::waitwhile::{SIGNATURE_HEADER, signature};

use crate::bridge::{BASIC, Bridge, Home, PUBLIC_URL, SECRET, TOKEN};
use crate::http::{Answer, Connection, once, request};
use crate::kafka::{self, Kafka, Topics, block_on, client, free_port, unique};
use crate::lives::copy_folder;
use crate::load::Load;
use crate::prometheus::Prometheus;
use crate::repeats::deliver;
use crate::replicas::Replicas;
use crate::troubles::flip_a_bit_of;

const WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
const HOURS_100_MS: i64 = 100 * 3_600_000;

const SETTINGS: &str = "[relay]\nexpired_after = \"0s\"\nretry_max = \"1s\"\nvalue_max = \"70KB\"\nmemory_max = 2000000\n\
    [[endpoint]]\nname = \"island\"\nvendor = \"waitwhile\"\ntenant = \"acme\"\nsecret_files = [\"SECRET\"]\n\
    public_urls = [\"https://hooks.example.com/webhooks/island\"]\n";
/// Small enough that the journal is full of them, and says so.
const FILLING_BYTES: usize = 60_000;

/// More than tenants.
const RAW_PARTITIONS: i32 = 3;

pub struct Scene {
    pub prometheus: Prometheus,
    /// As Prometheus calls them.
    pub instances: Vec<String>,
    kafka: &'static Kafka,
    topics: Topics,
    home: Home,
    /// `None` between two lives.
    bridge: Option<Bridge>,
    load: Load,
    fleet: Replicas,
    _fleet_load: Load,
    dawdling: Vec<Connection>,
    /// Accepted, and not published when the first life ended.
    undelivered: String,
    snapshot: PathBuf,
}

impl Scene {
    /// Its topic of locations is missing, for both.
    pub fn start() -> Scene {
        let targets: Vec<SocketAddr> = (0..2).map(|_| SocketAddr::from(([127, 0, 0, 1], free_port()))).collect();
        let prometheus = Prometheus::start(&targets);
        let kafka = kafka::shared();
        let topics = kafka.new_topics(2);
        kafka.delete_topic(&topics.location);
        let home = Home::new(kafka.bootstrap(), &topics, SETTINGS);
        home.set("SECRET", &home.path("secret").display().to_string());
        home.set("size_max = \"1GiB\"", "size_max = \"24MiB\"");
        home.set("drain_settle = \"0s\"", "drain_settle = \"4s\"");
        let mut fleet = Replicas::new(kafka, kafka.bootstrap(), 1, RAW_PARTITIONS, "");
        kafka.delete_topic(&fleet.topics.location);
        for (home, target) in [&home, fleet.home(0)].into_iter().zip(&targets) {
            home.set("admin_listen = \"127.0.0.1:0\"", &format!("admin_listen = \"{target}\""));
        }
        let bridge = home.start();
        fleet.start(0);
        let (load, fleet_load) = (Load::start(2, PAUSE), Load::start_from(10, 2, PAUSE));
        load.aim(Some(bridge.public));
        fleet_load.aim(Some(fleet.balancer.address));
        let (instances, snapshot) = (targets.iter().map(SocketAddr::to_string).collect(), home.path("snapshot"));
        Scene {
            prometheus,
            instances,
            kafka,
            topics,
            home,
            bridge: Some(bridge),
            load,
            fleet,
            _fleet_load: fleet_load,
            dawdling: Vec::new(),
            undelivered: String::new(),
            snapshot,
        }
    }

    /// Long enough that every rate has something to look back at.
    pub fn wait_until_calm(&self) {
        self.prometheus.wait_until("count(count_over_time(waitbridge_build_info[1m]) >= 6) == 2", WITHIN);
    }

    fn bridge(&self) -> &Bridge {
        self.bridge.as_ref().expect("it runs")
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        once(self.bridge().public, &request("POST", path, headers, body))
    }

    fn signed(&self, endpoint: &str, secret: &str, url: &str, body: &[u8]) -> String {
        self.post(&format!("/webhooks/{endpoint}"), &[(SIGNATURE_HEADER, &signature(secret.as_bytes(), url, body))], body).code()
    }

    fn hang_up(&mut self) {
        self.bridge.as_mut().expect("it runs").signal("HUP");
    }

    /// The next life: as soon as it serves, deliveries come.
    fn begin(&mut self) {
        let bridge = self.home.start();
        self.load.aim(Some(bridge.public));
        self.bridge = Some(bridge);
    }

    fn journal_id(&self) -> String {
        fs::read_to_string(self.home.path("journal/id")).unwrap().trim().to_owned()
    }

    /// Both the group and the transactional id of the journal.
    fn name_in_kafka(&self) -> String {
        format!("waitbridge-{}", self.journal_id())
    }
}

/// What may happen, as `FAULTS` lists it.
impl Scene {
    pub fn one_with_basic(&mut self) {
        let credentials = format!("Basic {}", BASE64_STANDARD.encode(BASIC));
        let answer = self.post("/webhooks/basic", &[("Authorization", &credentials)], &person(1, &json!({})));
        assert_eq!(answer.code(), "accepted");
    }

    pub fn signature_for_another_url(&mut self) {
        assert_eq!(self.signed("waitwhile", SECRET, &format!("{PUBLIC_URL}/"), &visit()), "signature_mismatch");
    }

    pub fn unknown_endpoint(&mut self) {
        assert_eq!(self.post(&format!("/webhooks/nobody/{TOKEN}"), &[], &visit()).code(), "not_found");
    }

    pub fn failing_hook(&mut self) {
        assert_eq!(self.signed("island", "another secret", "https://hooks.example.com/webhooks/island", &visit()), "signature_mismatch");
    }

    pub fn malformed_body(&mut self) {
        assert_eq!(self.post(&format!("/webhooks/sunshine/{TOKEN}"), &[], b"{\"type\":").code(), "accepted");
    }

    pub fn repeat(&mut self) {
        (0..2).for_each(|_| deliver(self.bridge(), "twice", &[("state", "WAITING"), ("customerId", "c")]));
    }

    pub fn stale(&mut self) {
        for (id, updated) in [("newer", "2026-03-10T15:00:00Z"), ("older", "2026-03-10T14:00:00Z")] {
            deliver(self.bridge(), id, &[("id", "v2"), ("state", "WAITING"), ("customerId", "c"), ("updated", updated)]);
        }
    }

    pub fn large_payload(&mut self) {
        deliver(self.bridge(), "large", &[("id", "v3"), ("state", "WAITING"), ("customerId", "c"), ("extra", &"x".repeat(100_000))]);
    }

    /// More of them than the usual deliveries could be; they are given up on after their ten seconds.
    pub fn dawdling_senders(&mut self) {
        let body = person(2, &json!("x".repeat(100_000)));
        let whole = request("POST", &format!("/webhooks/sunshine/{TOKEN}"), &[], &body);
        for _ in 0..4 {
            let mut connection = Connection::open(self.bridge().public).unwrap();
            connection.send(&whole[..whole.len() - 10]).unwrap();
            self.dawdling.push(connection);
        }
    }

    pub fn mistake_in_the_settings(&mut self) {
        self.home.set("time_zone = \"America/Chicago\"", "time_zone = \"Chicago\"");
        self.hang_up();
    }

    /// The settings are mended, too.
    pub fn event_for_a_missing_topic(&mut self) {
        self.home.set("time_zone = \"Chicago\"", "time_zone = \"America/Chicago\"");
        self.hang_up();
        assert_eq!(self.signed("waitwhile", SECRET, PUBLIC_URL, &location()), "accepted");
    }

    pub fn full_journal(&mut self) {
        let mut connection = Connection::open(self.bridge().public).unwrap();
        for number in 0.. {
            let body = person(1000 + number, &json!("x".repeat(FILLING_BYTES)));
            let answer = connection.post(&format!("/webhooks/sunshine/{TOKEN}"), &[], &body).unwrap();
            match answer.code().as_str() {
                "accepted" => self.undelivered = answer.accept_id(),
                code => return assert_eq!(code, "journal_full"),
            }
        }
    }

    pub fn shutdown(&mut self) {
        self.load.aim(None);
        self.bridge.as_mut().expect("it runs").signal("TERM");
    }

    pub fn ended(&mut self) {
        assert_eq!(self.bridge.take().expect("it ran").wait(WITHIN), 0);
        copy_folder(&self.home.path("journal"), &self.snapshot);
    }

    pub fn damaged_start(&mut self) {
        flip_a_bit_of(&self.home.path("journal"), self.undelivered.as_bytes());
        let admin: AdminClient<DefaultClientContext> = client(self.kafka.bootstrap()).create().expect("an admin client");
        let deleted = block_on(admin.delete_groups(&[&self.name_in_kafka()], &AdminOptions::new())).expect("delete_groups");
        deleted[0].as_ref().expect("a group that nobody is a member of");
        self.kafka.create_topic(&self.topics.location, 1, &[]);
        self.home.set("memory_max = 2000000", "memory_max = 1000");
        self.begin();
    }

    pub fn fenced(&mut self) {
        let mut config = client(self.kafka.bootstrap());
        let other: BaseProducer = config.set("transactional.id", self.name_in_kafka()).create().expect("a producer");
        other.init_transactions(WITHIN).expect("the others are fenced");
    }

    pub fn rolled_back(&mut self) {
        self.load.aim(None);
        self.bridge.take().expect("it runs").kill();
        fs::remove_dir_all(self.home.path("journal")).unwrap();
        copy_folder(&self.snapshot, &self.home.path("journal"));
        self.begin();
    }

    /// What was appended by a replica that died long ago; it needs a topic that is missing. Kafka finds records by their time only
    /// where times rise: so it is the first in its partition.
    pub fn old_in_the_raw_topic(&mut self) {
        let raw_topic = &self.fleet.raw_topic;
        let consumer: BaseConsumer = client(self.kafka.bootstrap()).create().expect("a client");
        let is_empty = |partition: &i32| consumer.fetch_watermarks(raw_topic, *partition, WITHIN).expect("its bounds").1 == 0;
        let partition = (0..RAW_PARTITIONS).find(is_empty).expect("a partition without a tenant");
        let (vendor, tenant, endpoint) = ("waitwhile", "acme", "waitwhile");
        let record = Record { accept_id: Uuid::now_v7(), auth: Auth::Hmac, vendor, tenant, endpoint, traceparent: None, body: &location() };
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let producer: BaseProducer = client(self.kafka.bootstrap()).create().expect("a producer");
        let encoded = record.encode();
        let old = BaseRecord::to(raw_topic).partition(partition).key(tenant).payload(&encoded).timestamp(now_ms - HOURS_100_MS);
        producer.send(old).map_err(|(error, _)| error).expect("room for it");
        producer.flush(WITHIN).expect("an answer");
    }
}

fn person(id: usize, extra: &Value) -> Vec<u8> {
    json!({"type": "UpdatePerson", "data": {"PersonId": id, "Fields": {}, "Waitlists": [], "Extra": extra}}).to_string().into_bytes()
}

fn visit() -> Vec<u8> {
    json!({"id": unique("event"), "type": "visit.updated", "data": {"id": "v", "state": "WAITING"}}).to_string().into_bytes()
}

fn location() -> Vec<u8> {
    json!({"id": unique("event"), "type": "location-status.updated", "data": {"id": "l", "isOpen": true}}).to_string().into_bytes()
}
