//! One run: settings, the real program, every delivery posted in order, and all that a reader of Kafka then finds.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use waitbridge::providers::waitwhile::{SIGNATURE_HEADER, signature};

use super::expect::{Accepted, Endpoint, Mode, Payload, Routes, Settings, Shown, Topic, Vendor, values};
use super::generate::{Delivery, Generator, Private};
use crate::bridge::{BASIC, Bridge, Home, PUBLIC_URL, SECRET, TOKEN};
use crate::http::{Connection, once, request};
use crate::kafka::{self, Topics};
use crate::process::new_folder;
use crate::reader::{Reader, Record};

const SECOND_URL: &str = "https://hooks.example.com/webhooks/second";
const SECOND_SECRET: &str = "whsec_test_second_secret";
const OTHER_URL: &str = "https://hooks.example.com/webhooks/other";
const OTHER_SECRET: &str = "whsec_test_other_secret";
const MOON_TOKEN: &str = "wb_77777777777777777777777777777777";
const UNDELIVERED: &str = "waitbridge_journal_undelivered_records";
const DELIVERED_WITHIN: Duration = Duration::from_secs(120);

pub struct Run {
    pub seed: u64,
    pub settings: Settings,
    /// In accept order.
    pub sent: Vec<Sent>,
    pub records: Vec<Record>,
    pub private: Private,
    pub topics: Topics,
    pub lives: usize,
    pub bridge: Bridge,
    began_ms: i64,
    ended_ms: i64,
}

pub struct Sent {
    pub delivery: Delivery,
    pub accept_id: String,
}

/// As the contract has them, but for a small `value_max`: large values need not be large.
pub fn settings() -> Settings {
    let endpoint =
        |name, vendor, tenant, auth, time_zone, birth_date_format| Endpoint { name, vendor, tenant, auth, time_zone, birth_date_format };
    Settings {
        endpoints: vec![
            endpoint("waitwhile", Vendor::Waitwhile, "acme", "hmac", "", ""),
            endpoint("second", Vendor::Waitwhile, "acme", "hmac", "", ""),
            endpoint("other", Vendor::Waitwhile, "beta", "hmac", "", ""),
            endpoint("sunshine", Vendor::WaitlistPlus, "sunshine", "token", "America/Chicago", "M/D/YYYY"),
            endpoint("basic", Vendor::WaitlistPlus, "sunshine", "basic", "", ""),
            endpoint("moon", Vendor::WaitlistPlus, "moon", "token", "Europe/Berlin", "D/M/YYYY"),
        ],
        routes: Routes { person: vec![Topic::Person], visit: vec![Topic::Person], message: vec![Topic::Person] },
        envelope: Mode::Binary,
        payload: Payload::Redacted,
        notes: Shown::No,
        message_bodies: Shown::No,
        dead_letter_bodies: Shown::Yes,
        id_key: None,
        value_max: 24_000,
        json_depth_max: 64,
        expired_after_ms: Some(72 * 3_600_000),
    }
}

/// The same settings as TOML, beside those that every test has.
fn toml(settings: &Settings) -> String {
    let folder = new_folder("secrets");
    let file = |name: &str, content: &[u8]| {
        fs::write(folder.join(name), content).expect("a secret's file");
        folder.join(name).display().to_string()
    };
    let shown = |shown: Shown| shown == Shown::Yes;
    let routes =
        |topics: &[Topic]| format!("{topics:?}").to_lowercase().replace("person", "\"person\"").replace("location", "\"location\"");
    let ids = settings.id_key.as_ref().map_or(String::new(), |key| format!("ids = \"hmac\"\nid_key_file = \"{}\"", file("ids", key)));
    let moon: String = Sha256::digest(MOON_TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    let (second, other) = (file("second", SECOND_SECRET.as_bytes()), file("other", OTHER_SECRET.as_bytes()));
    format!(
        r#"
[relay]
value_max = "{value_max}B"
json_depth_max = {json_depth_max}
expired_after = "{expired_after_ms}ms"
retry_max = "1s"
[routes]
person = {person}
visit = {visit}
message = {message}
[envelope]
mode = "{mode}"
[privacy]
payload = "{payload}"
notes = {notes}
message_bodies = {message_bodies}
dead_letter_bodies = {dead_letter_bodies}
{ids}
[[endpoint]]
name = "second"
vendor = "waitwhile"
tenant = "acme"
public_urls = ["{SECOND_URL}"]
secret_files = ["{second}"]
[[endpoint]]
name = "other"
vendor = "waitwhile"
tenant = "beta"
public_urls = ["{OTHER_URL}"]
secret_files = ["{other}"]
[[endpoint]]
name = "moon"
vendor = "waitlistplus"
tenant = "moon"
token_sha256 = ["{moon}"]
time_zone = "Europe/Berlin"
birth_date_format = "D/M/YYYY"
"#,
        value_max = settings.value_max,
        json_depth_max = settings.json_depth_max,
        expired_after_ms = settings.expired_after_ms.unwrap_or(0),
        person = routes(&settings.routes.person),
        visit = routes(&settings.routes.visit),
        message = routes(&settings.routes.message),
        mode = format!("{:?}", settings.envelope).to_lowercase(),
        payload = format!("{:?}", settings.payload).to_lowercase(),
        notes = shown(settings.notes),
        message_bodies = shown(settings.message_bodies),
        dead_letter_bodies = shown(settings.dead_letter_bodies),
    )
}

impl Run {
    /// `count` deliveries through a bridge of their own, and all that comes out.
    pub fn new(seed: u64, count: usize, settings: Settings) -> Run {
        Run::with_lives(1, seed, count, settings)
    }

    /// The same, with the bridge killed and started again in between: once all is delivered, the next time as soon as all is answered.
    pub fn with_lives(lives: usize, seed: u64, count: usize, settings: Settings) -> Run {
        // Seen only when the test fails.
        eprintln!("WAITBRIDGE_TEST_SEED={seed}");
        let kafka = kafka::shared();
        let topics = kafka.new_topics(3);
        let home = Home::new(kafka.bootstrap(), &topics, &toml(&settings));
        let mut bridge = home.start();
        let began_ms = now_ms();
        let mut generator = Generator::new(seed, began_ms);
        let mut sent = Vec::with_capacity(count);
        for life in 1..=lives {
            let deliveries = (0..count / lives).map(|_| generator.deliver()).collect();
            sent.extend(post(&bridge, &settings, deliveries));
            if life % 2 == 1 || life == lives {
                bridge.wait_until("all is delivered", DELIVERED_WITHIN, |bridge| bridge.metric(UNDELIVERED) == 0.0);
            }
            if life < lives {
                bridge.kill();
                bridge = home.start();
            }
        }
        let ended_ms = now_ms();
        let records = Reader::new(kafka.bootstrap(), &[&topics.person, &topics.location, &topics.dead_letter]).read_to_end();
        Run { seed, settings, sent, records, private: generator.private(), topics, lives, bridge, began_ms, ended_ms }
    }

    pub fn topic_name(&self, topic: Topic) -> &str {
        match topic {
            Topic::Person => &self.topics.person,
            Topic::Location => &self.topics.location,
        }
    }

    pub fn page(&self, path: &str) -> Vec<u8> {
        once(self.bridge.admin, &request("GET", path, &[], b"")).body
    }

    /// Each delivery in accept order, with the receipt time that its record tells; what has no record takes that of its tenant's one
    /// before. "The receipt time … never goes backward within a journal", and lies within the run.
    pub fn accepted(&self) -> Vec<Accepted<'_>> {
        let told: HashMap<String, i64> = self.records.iter().map(|record| (accept_id(record), received_ms(record))).collect();
        let mut last: HashMap<&str, i64> = HashMap::new();
        let accepted = |sent: &'_ Sent| {
            let last_ms = last.entry(self.settings.endpoints[sent.delivery.endpoint].tenant).or_insert(self.began_ms);
            let received_ms = told.get(&sent.accept_id).copied().unwrap_or(*last_ms);
            assert!((*last_ms..=self.ended_ms).contains(&received_ms), "{} was received at {received_ms}", sent.accept_id);
            *last_ms = received_ms;
            received_ms
        };
        let times: Vec<i64> = self.sent.iter().map(accepted).collect();
        let with_time = self.sent.iter().zip(times);
        with_time.map(|(sent, received_ms)| sent.accepted(&self.settings, received_ms)).collect()
    }
}

impl Sent {
    fn accepted<'a>(&'a self, settings: &'a Settings, received_ms: i64) -> Accepted<'a> {
        Accepted {
            endpoint: &settings.endpoints[self.delivery.endpoint],
            accept_id: &self.accept_id,
            received_ms,
            traceparents: &self.delivery.traceparents,
            body: &self.delivery.body,
        }
    }
}

/// A connection for each tenant, and on it one after the other: within a tenant the order sent is the order of acceptance, and one
/// tenant knows nothing of another.
fn post(bridge: &Bridge, settings: &Settings, deliveries: Vec<Delivery>) -> Vec<Sent> {
    let tenant = |delivery: &Delivery| settings.endpoints[delivery.endpoint].tenant;
    let mut lanes: HashMap<&str, Vec<&Delivery>> = HashMap::new();
    deliveries.iter().for_each(|delivery| lanes.entry(tenant(delivery)).or_default().push(delivery));
    let mut accept_ids: HashMap<&str, std::vec::IntoIter<String>> = thread::scope(|scope| {
        let post = |(tenant, lane)| (tenant, scope.spawn(move || post_lane(bridge.public, lane)));
        let posting: Vec<_> = lanes.into_iter().map(post).collect();
        posting.into_iter().map(|(tenant, lane)| (tenant, lane.join().expect("all are posted").into_iter())).collect()
    });
    let answered = |delivery: Delivery| {
        let accept_id = accept_ids.get_mut(tenant(&delivery)).and_then(Iterator::next);
        Sent { accept_id: accept_id.expect("each is answered"), delivery }
    };
    deliveries.into_iter().map(answered).collect()
}

fn post_lane(address: SocketAddr, lane: Vec<&Delivery>) -> Vec<String> {
    let mut connection = Connection::open(address).expect("the server listens");
    let one = |delivery: &Delivery| {
        let (path, authority) = target(delivery);
        let headers = authority.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<(&str, &str)> = headers.chain(delivery.traceparents.iter().map(|value| ("traceparent", value.as_str()))).collect();
        let answer = connection.post(&path, &headers, &delivery.body).expect("an answer");
        assert_eq!(answer.status, 200, "a verified delivery is taken: {}", String::from_utf8_lossy(&delivery.body));
        answer.accept_id()
    };
    lane.into_iter().map(one).collect()
}

/// Where a vendor sends it, and what proves that it is the vendor.
fn target(delivery: &Delivery) -> (String, Option<(&'static str, String)>) {
    use base64::Engine as _;
    let signed = |name: &str, secret: &str, url: &str| {
        (format!("/webhooks/{name}"), Some((SIGNATURE_HEADER, signature(secret.as_bytes(), url, &delivery.body))))
    };
    match delivery.endpoint {
        super::generate::WAITWHILE => signed("waitwhile", SECRET, PUBLIC_URL),
        super::generate::SECOND => signed("second", SECOND_SECRET, SECOND_URL),
        super::generate::OTHER => signed("other", OTHER_SECRET, OTHER_URL),
        super::generate::SUNSHINE => (format!("/webhooks/sunshine/{TOKEN}"), None),
        super::generate::MOON => (format!("/webhooks/moon/{MOON_TOKEN}"), None),
        _ => {
            let basic = base64::engine::general_purpose::STANDARD.encode(BASIC);
            ("/webhooks/basic".to_owned(), Some(("authorization", format!("Basic {basic}"))))
        }
    }
}

/// Of the headers, or of a structured value.
fn attribute(record: &Record, name: &str) -> String {
    let header = record.header(&format!("ce_{name}")).or_else(|| record.header(&format!("wb_{name}")));
    header.map(str::to_owned).unwrap_or_else(|| {
        let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        let value = super::json::parse(&value);
        values::text(value.as_ref().and_then(|value| value.get(name))).unwrap_or_default()
    })
}

pub fn accept_id(record: &Record) -> String {
    attribute(record, "acceptid")
}

fn received_ms(record: &Record) -> i64 {
    let text = attribute(record, "receivedtime");
    values::read(&text).unwrap_or_else(|| panic!("the receipt time is {text:?}"))
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}
