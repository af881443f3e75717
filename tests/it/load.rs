//! Deliveries under load, each told apart from every other, and what a reader must find of them.
//!
//! Each sender has persons of its own and sends their deliveries one after the other, so the order of the 200s
//! of a person is the order in which they were accepted. What had no answer may or may not have been accepted.

use std::cmp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use waitbridge::providers::waitwhile;

use crate::bridge::{PUBLIC_URL, SECRET, TOKEN};
use crate::http::Connection;

/// Ends senders also where a test fails in between: a scope waits for its threads.
pub struct Ending<'a>(pub &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

static EVENTS: AtomicU64 = AtomicU64::new(0);
const REFUSED_MAX: usize = 20;

pub struct Load {
    stop: Arc<AtomicBool>,
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Where the service listens now; it moves with each start.
    address: Mutex<Option<SocketAddr>>,
    accepted: Mutex<Accepted>,
    accepted_count: AtomicU64,
    /// Answers other than 200, and connections that ended without one: the first few, in words.
    refused: Mutex<Vec<String>>,
}

/// What was answered 200: for each key the serial numbers with their accept ids, in order.
#[derive(Debug, Default, Clone)]
pub struct Accepted {
    pub by_key: BTreeMap<String, Vec<(u64, String)>>,
}

impl Accepted {
    pub fn count(&self) -> usize {
        self.by_key.values().map(Vec::len).sum()
    }
}

impl Load {
    pub fn start(senders: u64, pause: Duration) -> Load {
        Load::start_from(0, senders, pause)
    }

    /// With senders, and so persons, that begin at this number.
    pub fn start_from(first: u64, senders: u64, pause: Duration) -> Load {
        Load::start_at(&["sunshine"], first, senders, pause)
    }

    /// The senders of WaitlistPlus take turns between these endpoints, each a tenant of its name.
    pub fn start_at(sites: &'static [&'static str], first: u64, senders: u64, pause: Duration) -> Load {
        let (stop, shared) = (Arc::new(AtomicBool::new(false)), Arc::new(Shared::default()));
        let start = |sender| {
            let (stop, shared) = (stop.clone(), shared.clone());
            std::thread::spawn(move || send_until(&stop, &shared, (sites, sender), pause))
        };
        let senders = (first..first + senders).map(start).collect();
        Load { stop, shared, senders }
    }

    pub fn aim(&self, address: Option<SocketAddr>) {
        *self.shared.address.lock().unwrap() = address;
    }

    pub fn accepted_count(&self) -> u64 {
        self.shared.accepted_count.load(Ordering::Relaxed)
    }

    /// What was no 200 so far: the first few.
    pub fn refused(&self) -> Vec<String> {
        self.shared.refused.lock().unwrap().clone()
    }

    pub fn finish(self) -> Accepted {
        self.stop.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender.join().unwrap();
        }
        self.shared.accepted.lock().unwrap().clone()
    }
}

fn send_until(stop: &AtomicBool, shared: &Shared, (sites, sender): (&[&str], u64), pause: Duration) {
    let mut connection = None;
    for serial in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Some(address) = *shared.address.lock().unwrap() else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let delivery = delivery(sites, sender, serial);
        let answered = post(&mut connection, address, &delivery);
        if let Ok(accept_id) = answered {
            let mut accepted = shared.accepted.lock().unwrap();
            accepted.by_key.entry(delivery.key).or_default().push((serial, accept_id));
            shared.accepted_count.fetch_add(1, Ordering::Relaxed);
        } else if let Err(why) = answered {
            connection = None;
            let mut refused = shared.refused.lock().unwrap();
            if refused.len() < REFUSED_MAX {
                refused.push(why);
            }
            drop(refused);
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(pause);
    }
}

fn post(connection: &mut Option<Connection>, address: SocketAddr, delivery: &Delivery) -> Result<String, String> {
    if connection.is_none() {
        *connection = Some(Connection::open(address).map_err(|error| format!("no connection: {error}"))?);
    }
    let headers: Vec<(&str, &str)> = delivery.signature.iter().map(|value| (waitwhile::SIGNATURE_HEADER, value.as_str())).collect();
    let open = connection.as_mut().expect("opened above");
    let answer = open.post(&delivery.path, &headers, &delivery.body).map_err(|error| format!("no answer: {error}"))?;
    if answer.header("connection") == Some("close") {
        *connection = None;
    }
    if answer.status == 200 { Ok(answer.accept_id()) } else { Err(format!("{} {}", answer.status, answer.code())) }
}

struct Delivery {
    path: String,
    key: String,
    signature: Option<String>,
    body: Vec<u8>,
}

/// Senders take turns between the vendors.
fn delivery(sites: &[&str], sender: u64, serial: u64) -> Delivery {
    if sender.is_multiple_of(2) { waitlistplus_delivery(sites, sender, serial) } else { waitwhile_delivery(sender, serial) }
}

fn waitlistplus_delivery(sites: &[&str], sender: u64, serial: u64) -> Delivery {
    let site = sites[sender as usize / 2 % sites.len()];
    let body = serde_json::json!({"type": "UpdatePerson", "data": {
        "PersonId": sender, "Fields": {"First Name": "Load", "Serial": serial.to_string(), "Padding": "x".repeat(1500)}, "Waitlists": []}});
    Delivery {
        path: format!("/webhooks/{site}/{TOKEN}"),
        key: format!("waitlistplus/{site}/person/{sender}"),
        signature: None,
        body: body.to_string().into_bytes(),
    }
}

fn waitwhile_delivery(sender: u64, serial: u64) -> Delivery {
    // Also over several loads of one process: an id that comes again is a repeat.
    let event = EVENTS.fetch_add(1, Ordering::Relaxed);
    let body = serde_json::json!({"id": format!("e{event}"), "type": "visit.updated", "accountId": "a", "data": {
        "id": format!("v{sender}"), "customerId": format!("c{sender}"), "locationId": "l", "state": "WAITING",
        "dataFields": [{"id": "Serial", "values": [serial.to_string()]}], "ticket": "x".repeat(1500)}});
    let body = body.to_string().into_bytes();
    Delivery {
        path: "/webhooks/waitwhile".to_owned(),
        key: format!("waitwhile/acme/person/c{sender}"),
        signature: Some(waitwhile::signature(SECRET.as_bytes(), PUBLIC_URL, &body)),
        body,
    }
}

/// What a read_committed reader found, held against what was answered 200.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub accepted: usize,
    pub read: usize,
    pub lost: usize,
    pub doubled: usize,
    /// Answered 200, and behind a later one of its key; or a delivery that came out under two accept ids.
    pub reordered: usize,
    /// Never answered 200, accepted all the same, and behind a later one of its key: a sender that gives up and goes on
    /// may find that what it gave up is taken when the replica that had it wakes.
    pub overtaken: usize,
}

/// One event as read: its key, its accept id, and its serial number.
#[derive(Debug, Clone)]
pub struct ReadEvent {
    pub key: String,
    pub accept_id: String,
    pub serial: u64,
}

impl ReadEvent {
    pub fn of(key: &str, accept_id: &str, value: &[u8]) -> ReadEvent {
        let data: serde_json::Value = serde_json::from_slice(value).expect("a value is JSON");
        let serial = data["fields"]["Serial"][0].as_str().and_then(|serial| serial.parse().ok());
        ReadEvent { key: key.to_owned(), accept_id: accept_id.to_owned(), serial: serial.expect("a serial number") }
    }
}

pub fn judge(accepted: &Accepted, read: &[ReadEvent]) -> Verdict {
    let mut verdict = Verdict { accepted: accepted.count(), read: read.len(), ..Verdict::default() };
    let answered: HashSet<&str> = accepted.by_key.values().flatten().map(|(_, accept_id)| accept_id.as_str()).collect();
    let mut seen = HashSet::new();
    let mut latest: HashMap<&str, u64> = HashMap::new();
    for event in read {
        let accept_id = event.accept_id.as_str();
        if !seen.insert(accept_id) {
            verdict.doubled += 1;
            continue;
        }
        match latest.get(event.key.as_str()).map(|latest| event.serial.cmp(latest)) {
            None | Some(cmp::Ordering::Greater) => drop(latest.insert(&event.key, event.serial)),
            Some(cmp::Ordering::Less) if !answered.contains(accept_id) => verdict.overtaken += 1,
            Some(_) => verdict.reordered += 1,
        }
    }
    verdict.lost = answered.difference(&seen).count();
    verdict
}

#[test]
fn a_verdict_tells_what_is_lost_doubled_reordered_or_overtaken() {
    let answered = [(0, "a"), (1, "b"), (3, "d")].map(|(serial, accept_id)| (serial, accept_id.to_owned())).to_vec();
    let accepted = Accepted { by_key: BTreeMap::from([("key".to_owned(), answered)]) };
    let all = Verdict { accepted: 3, read: 4, ..Verdict::default() };
    for (read, expected) in [
        (&[(0, "a"), (1, "b"), (2, "no 200"), (3, "d")], Verdict { ..all }),
        (&[(0, "a"), (1, "b"), (2, "no 200"), (4, "no 200 either")], Verdict { lost: 1, ..all }),
        (&[(0, "a"), (1, "b"), (3, "d"), (1, "b")], Verdict { doubled: 1, ..all }),
        (&[(1, "b"), (0, "a"), (2, "no 200"), (3, "d")], Verdict { reordered: 1, ..all }),
        (&[(0, "a"), (1, "b"), (1, "its twin"), (3, "d")], Verdict { reordered: 1, ..all }),
        (&[(0, "a"), (1, "b"), (3, "d"), (2, "no 200")], Verdict { overtaken: 1, ..all }),
    ] {
        let event =
            |(serial, accept_id): &(u64, &str)| ReadEvent { key: "key".to_owned(), accept_id: (*accept_id).to_owned(), serial: *serial };
        assert_eq!(judge(&accepted, &read.iter().map(event).collect::<Vec<_>>()), expected, "{read:?}");
    }
}
