//! The public listener from whoever starts the process, as systemd hands it over: who connects during a restart waits for the
//! next process, and is refused by none.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::bridge::{Bridge, Home, TOKEN, server};
use crate::http::{Connection, once, request};
use crate::kafka;
use crate::load::{Accepted, Ending, Load, ReadEvent, Verdict, judge};
use crate::process::new_folder;
use crate::reader::{Reader, Record};

const WITHIN: Duration = Duration::from_secs(60);
const SENDERS: u64 = 4;
const PAUSE: Duration = Duration::from_millis(5);
const RESTARTS: usize = 3;
/// Persons of those who come with a new connection each time.
const FRESH: u64 = 1_000_000;

/// What came of deliveries that each had a connection of its own.
#[derive(Default)]
struct Seen {
    accepted: Accepted,
    unconnected: Vec<String>,
    unanswered: Vec<String>,
    longest: Duration,
}

impl Seen {
    fn note(&mut self, sender: u64, serial: u64, answer: Result<std::io::Result<String>, std::io::Error>) {
        match answer {
            Ok(Ok(id)) => self.accepted.by_key.entry(format!("waitlistplus/sunshine/person/{sender}")).or_default().push((serial, id)),
            Ok(Err(error)) => self.unanswered.push(error.to_string()),
            Err(error) => self.unconnected.push(error.to_string()),
        }
    }
}

fn send_until(stop: &AtomicBool, address: SocketAddr, sender: u64, seen: &Mutex<Seen>) {
    let path = format!("/webhooks/sunshine/{TOKEN}");
    for serial in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let body = format!(r#"{{"type":"AddPerson","data":{{"PersonId":{sender},"Fields":{{"Serial":"{serial}"}},"Waitlists":[]}}}}"#);
        let began = Instant::now();
        let answer = Connection::open(address).map(|mut connection| {
            let answer = connection.post(&path, &[], body.as_bytes())?;
            if answer.status == 200 { Ok(answer.accept_id()) } else { Err(std::io::Error::other(answer.code())) }
        });
        let mut seen = seen.lock().unwrap();
        seen.longest = seen.longest.max(began.elapsed());
        seen.note(sender, serial, answer);
        drop(seen);
        std::thread::sleep(PAUSE);
    }
}

fn event(record: &Record) -> ReadEvent {
    ReadEvent::of(record.key.as_deref().unwrap(), record.header("ce_acceptid").unwrap(), record.value.as_deref().unwrap())
}

#[test]
fn a_restart_under_load_refuses_no_connection_and_loses_no_delivery() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // The settings name another address: it is not used.
    let settings = server("").replace("drain_settle = \"0s\"", "drain_settle = \"2s\"");
    let home = Home::new(kafka.bootstrap(), &topics, &settings).hold("public", socket);
    let (stop, seen) = (AtomicBool::new(false), Mutex::new(Seen::default()));
    let kept = Load::start(SENDERS, PAUSE);
    kept.aim(Some(address));
    let begin_life = || -> Bridge {
        let count = || (seen.lock().unwrap().accepted.count(), kept.accepted_count());
        let before = count();
        let bridge = home.start();
        assert_eq!(bridge.public, address);
        bridge.wait_until("deliveries of this life", WITHIN, |_| count().0 > before.0 + 100 && count().1 > before.1 + 100);
        bridge
    };
    let last = std::thread::scope(|scope| {
        for sender in FRESH..FRESH + SENDERS {
            let (stop, seen) = (&stop, &seen);
            scope.spawn(move || send_until(stop, address, sender, seen));
        }
        let _ending = Ending(&stop);
        (0..RESTARTS).for_each(|_| assert_eq!(begin_life().terminate(), 0));
        begin_life()
    });
    let refused = kept.refused();
    let mut accepted = kept.finish();
    let mut seen = seen.into_inner().unwrap();
    accepted.by_key.append(&mut seen.accepted.by_key);
    last.wait_until("all is published", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
    assert_eq!(last.terminate(), 0);
    let read = Reader::new(kafka.bootstrap(), &[&topics.person]).read_to_end();
    let verdict = judge(&accepted, &read.iter().map(event).collect::<Vec<_>>());
    println!("{RESTARTS} restarts: {verdict:?}, the longest answer took {:?}; refused on kept connections: {refused:?}", seen.longest);
    assert_eq!((seen.unconnected, seen.unanswered), (vec![], vec![]), "on fresh connections");
    assert_eq!(verdict, Verdict { accepted: verdict.accepted, read: verdict.read, ..Verdict::default() });
    assert!(verdict.read <= verdict.accepted + refused.len(), "{verdict:?}");
}

/// A connection that is there when the end begins, and speaks when nobody new is taken: what it is answered.
fn spoken_at_the_end(home: &Home, person: usize) -> Option<(u16, Option<String>)> {
    let mut bridge = home.start();
    let mut early = Connection::open(bridge.public).unwrap();
    // As it is taken: an answer on a later connection.
    assert_eq!(once(bridge.public, &request("GET", "/healthz", &[], b"")).status, 200);
    bridge.signal("TERM");
    bridge.wait_until("it drains", WITHIN, |bridge| bridge.said().contains("draining: "));
    let body = format!(r#"{{"type":"AddPerson","data":{{"PersonId":{person},"Fields":{{}},"Waitlists":[]}}}}"#);
    let answer = early.post(&format!("/webhooks/sunshine/{TOKEN}"), &[], body.as_bytes());
    assert_eq!(bridge.wait(WITHIN), 0);
    answer.ok().map(|answer| (answer.status, answer.header("connection").map(str::to_owned)))
}

#[test]
fn who_has_connected_before_the_end_is_served_and_told_that_the_connection_ends() {
    let kafka = kafka::shared();
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(1), "");
    // A machine that is busy may miss the two seconds; not each time.
    let served = (200, Some("close".to_owned()));
    let is_served = (0..5).any(|person| spoken_at_the_end(&home, person) == Some(served.clone()));
    assert!(is_served);
}

#[test]
fn a_service_manager_is_told_when_it_serves_and_when_it_ends() {
    let kafka = kafka::shared();
    let path = new_folder("notify").join("socket");
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(1), "").managed_by(path.clone());
    let manager = UnixDatagram::bind(path).unwrap();
    manager.set_read_timeout(Some(WITHIN)).unwrap();
    let told = || {
        let mut news = [0; 64];
        let length = manager.recv(&mut news).unwrap();
        String::from_utf8_lossy(&news[..length]).into_owned()
    };
    let bridge = home.start();
    assert_eq!(told(), "READY=1");
    assert_eq!(bridge.terminate(), 0);
    assert_eq!(told(), "STOPPING=1");
}

#[test]
fn a_socket_of_a_wrong_name_ends_the_start_with_2() {
    let kafka = kafka::shared();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(1), "").hold("waitbridge.socket", socket);
    let (code, said) = home.try_start().err().expect("it does not start");
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("LISTEN_FDNAMES") && said.contains("named public or admin"), "{said}");
}
