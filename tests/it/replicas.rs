//! A fleet of the real program: replicas on one raw topic and one group, behind a balancer that takes them in turn.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::bridge::{Bridge, Home, TOKEN_SHA256};
use crate::kafka::{Kafka, Topics, unique};

pub const FLOWING: Duration = Duration::from_secs(120);

/// With Waitwhile's one tenant they give each of six partitions something to do.
pub const SITES: &[&str] = &["sunshine", "island", "lake", "garden", "park"];

/// Endpoints of WaitlistPlus beside the first, which the settings have anyway, each a tenant of its name.
pub fn sites(names: &[&str]) -> String {
    names.iter().skip(1).fold(String::new(), |mut all, name| {
        let keys = format!("name = \"{name}\"\nvendor = \"waitlistplus\"\ntenant = \"{name}\"\ntoken_sha256 = [\"{TOKEN_SHA256}\"]\n");
        write!(all, "[[endpoint]]\n{keys}").expect("a text");
        all
    })
}

pub struct Replicas {
    pub topics: Topics,
    pub raw_topic: String,
    homes: Vec<Home>,
    running: BTreeMap<usize, Bridge>,
    pub balancer: Balancer,
}

impl Replicas {
    /// None runs yet. `extra` as in `Home`; `brokers` as its settings have them, within quotation marks.
    pub fn new(kafka: &Kafka, brokers: &str, replicas: usize, partitions: i32, extra: &str) -> Replicas {
        let topics = kafka.new_topics(3);
        let (raw_topic, group) = (unique("raw"), unique("group"));
        kafka.create_topic(&raw_topic, partitions, &[]);
        let safety = if kafka.replicas < 3 { "unsafe_replication = true\n" } else { "" };
        let home = |_| {
            let journal = format!("kind = \"kafka\"\nraw_topic = \"{raw_topic}\"\ngroup = \"{group}\"\n{safety}");
            let home = Home::new(brokers, &topics, extra);
            home.set("[journal]\n", &format!("[journal]\n{journal}"));
            home
        };
        let homes = (0..replicas).map(home).collect();
        Replicas { topics, raw_topic, homes, running: BTreeMap::new(), balancer: Balancer::start() }
    }

    pub fn home(&self, replica: usize) -> &Home {
        &self.homes[replica]
    }

    /// Until it is ready.
    pub fn start(&mut self, replica: usize) {
        self.start_unready(replica);
        self.get(replica).wait_until("the replica is ready", FLOWING, |bridge| bridge.metric("waitbridge_journal_writable") == 1.0);
    }

    pub fn start_unready(&mut self, replica: usize) {
        let bridge = self.homes[replica].start();
        self.running.insert(replica, bridge);
        self.aim();
    }

    pub fn start_all(&mut self) {
        (0..self.homes.len()).for_each(|replica| self.start(replica));
    }

    pub fn get(&self, replica: usize) -> &Bridge {
        &self.running[&replica]
    }

    pub fn kill(&mut self, replica: usize) {
        let bridge = self.running.remove(&replica).expect("it runs");
        bridge.kill();
        self.aim();
    }

    /// In good order; the balancer knows first, as one that asks for readiness would.
    pub fn terminate(&mut self, replica: usize) -> i32 {
        let bridge = self.running.remove(&replica).expect("it runs");
        self.aim();
        bridge.terminate()
    }

    /// It stands still, and the balancer sends nothing to it.
    pub fn freeze(&mut self, replica: usize) {
        self.running.get_mut(&replica).expect("it runs").freeze();
        let others = self.running.iter().filter(|(running, _)| **running != replica);
        self.balancer.aim(others.map(|(_, bridge)| bridge.public).collect());
    }

    pub fn thaw(&mut self, replica: usize) {
        self.running.get_mut(&replica).expect("it runs").signal("CONT");
        self.aim();
    }

    pub fn signal(&mut self, replica: usize, name: &str) {
        self.running.get_mut(&replica).expect("it runs").signal(name);
    }

    pub fn undelivered(&self) -> f64 {
        self.running.values().map(|bridge| bridge.metric("waitbridge_journal_undelivered_records")).sum()
    }

    fn aim(&self) {
        self.balancer.aim(self.running.values().map(|bridge| bridge.public).collect());
    }
}

/// Takes each new connection to the next replica that answers.
pub struct Balancer {
    pub address: SocketAddr,
    targets: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    fn start() -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, targets) = (listener.local_addr().expect("bound"), Arc::new(Mutex::new(Vec::new())));
        let (turn, to) = (AtomicUsize::new(0), targets.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let targets: Vec<SocketAddr> = to.lock().unwrap().clone();
                let first = turn.fetch_add(1, Ordering::Relaxed);
                let next = (0..targets.len()).map(|step| targets[(first + step) % targets.len()]);
                if let Some(server) = next.into_iter().find_map(|target| TcpStream::connect(target).ok()) {
                    join(client, server);
                }
            }
        });
        Balancer { address, targets }
    }

    fn aim(&self, targets: Vec<SocketAddr>) {
        *self.targets.lock().unwrap() = targets;
    }
}

fn join(client: TcpStream, server: TcpStream) {
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        to.set_nodelay(true).unwrap();
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
            let _ = from.shutdown(std::net::Shutdown::Both);
        });
    }
}
