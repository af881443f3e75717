//! Three brokers that are their own controllers, every topic on all three, two of them needed for a write: what production
//! looks like, small. One of them may be killed at any time.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::kafka::{ASK, Kafka, Own, Properties, START_WITHIN, client, free_port, new_cluster_id};
use crate::process::Process;

const NODES: usize = 3;
/// A dead broker is found out after its session, so that a round lasts seconds.
const PROPERTIES: Properties = &[
    ("min.insync.replicas", "2"),
    ("offsets.topic.replication.factor", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    ("broker.session.timeout.ms", "2000"),
    ("broker.heartbeat.interval.ms", "300"),
    ("replica.lag.time.max.ms", "3000"),
];

pub struct Cluster {
    nodes: Vec<Own>,
    kafka: Kafka,
}

impl Cluster {
    pub fn start() -> Cluster {
        let ports: Vec<(u16, u16)> = (0..NODES).map(|_| (free_port(), free_port())).collect();
        let cluster_id = new_cluster_id();
        let nodes: Vec<Own> = (0..NODES).map(|node| new_node(node, &ports)).collect();
        thread::scope(|scope| nodes.iter().for_each(|node| drop(scope.spawn(|| node.format(&cluster_id)))));

        let bootstrap: Vec<String> = ports.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        let kafka = Kafka { bootstrap: bootstrap.join(","), replicas: NODES as i32, own: None };
        let mut cluster = Cluster { nodes, kafka };
        (0..NODES).for_each(|node| cluster.start_again(node));
        cluster.wait_until_in_sync();
        cluster
    }

    /// All brokers as one Kafka.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// The brokers as waitbridge's settings have them, within quotation marks.
    pub fn brokers(&self) -> String {
        self.kafka.bootstrap.replace(',', "\", \"")
    }

    /// Of this topic's first partition.
    pub fn leader(&self, topic: &str) -> usize {
        let consumer: BaseConsumer = client(&self.kafka.bootstrap).create().expect("a client");
        let metadata = consumer.fetch_metadata(Some(topic), START_WITHIN).expect("metadata");
        metadata.topics()[0].partitions()[0].leader() as usize - 1
    }

    pub fn kill(&mut self, node: usize) {
        self.nodes[node].end("KILL");
    }

    pub fn start_again(&mut self, node: usize) {
        self.nodes[node].run();
    }

    /// Until all brokers are there, each partition has a leader, and all its replicas have all of it.
    pub fn wait_until_in_sync(&self) {
        let consumer: BaseConsumer = client(&self.kafka.bootstrap).create().expect("a client");
        let deadline = Instant::now() + START_WITHIN;
        loop {
            let metadata = consumer.fetch_metadata(None, ASK);
            let is_whole = metadata.as_ref().is_ok_and(|all| {
                let mut partitions = all.topics().iter().flat_map(|topic| topic.partitions());
                all.brokers().len() == NODES && partitions.all(|partition| partition.leader() >= 0 && partition.isr().len() == NODES)
            });
            if is_whole {
                return;
            }
            let logs: Vec<String> = self.nodes.iter().filter_map(|node| node.process.as_ref().map(Process::log_tail)).collect();
            assert!(Instant::now() < deadline, "the brokers are not in sync:\n{}", logs.join("\n---\n"));
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn new_node(node: usize, ports: &[(u16, u16)]) -> Own {
    let (id, (port, controller)) = ((node + 1).to_string(), ports[node]);
    let voters: Vec<String> = ports.iter().zip(1..).map(|((_, controller), id)| format!("{id}@127.0.0.1:{controller}")).collect();
    let voters = voters.join(",");
    Own::new(port, controller, &[PROPERTIES, &[("node.id", &id), ("controller.quorum.voters", &voters)]].concat())
}
