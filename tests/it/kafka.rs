//! A real Kafka in KRaft mode: one broker that the tests share, and brokers of their own for tests that stop them.
//!
//! It runs from the jars that `tests/prepare` has fetched, else in a container; the one that `WAITBRIDGE_TEST_KAFKA` names
//! serves as the shared one. Tests share no topic: each takes a set of names of its own by [`Kafka::new_topics`].

use std::collections::HashMap;
use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use uuid::Uuid;

use crate::process::{Process, new_folder};

const VERSION: &str = "4.3.1";
pub const START_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// A minute is the least that Kafka can be set to.
const EXPIRED_WITHIN: Duration = Duration::from_secs(180);
const TOPIC_WITHIN: Duration = Duration::from_secs(60);
pub const ASK: Duration = Duration::from_millis(500);

/// What a test wants beyond [`SERVER`]: lines of server.properties, which win.
pub type Properties<'a> = &'a [(&'a str, &'a str)];

/// One broker that is its own controller; few partitions and short intervals, so that nothing waits without need.
const SERVER: Properties = &[
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
    ("auto.create.topics.enable", "false"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    ("log.cleaner.dedupe.buffer.size", "4194304"),
    ("num.network.threads", "2"),
    ("num.io.threads", "2"),
];

/// The controller alone, which soon takes its broker for dead.
const CONTROLLER: Properties =
    &[("process.roles", "controller"), ("broker.session.timeout.ms", "500"), ("broker.heartbeat.interval.ms", "100")];

const LOG4J: &str = "\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
";

/// The controller alone tells of each of its writes when it is asked for and when it is committed: [`is_fenced`].
const CONTROLLER_LOG4J: &str = "\
logger.controller.name = org.apache.kafka.controller.QuorumController
logger.controller.level = debug
";

/// The first compiler stage only, and the plain collector: a test's broker lives for seconds.
const JVM: &[&str] = &["-Xms64m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"];

/// The broker for all tests that leave it running.
pub fn shared() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(|| match env::var("WAITBRIDGE_TEST_KAFKA") {
        Ok(bootstrap) if !bootstrap.is_empty() => Kafka { bootstrap, replicas: 1, own: None },
        _ => Kafka::start(&[]),
    })
}

pub struct Kafka {
    pub bootstrap: String,
    /// Of each topic that it makes.
    pub replicas: i32,
    /// `None` for a Kafka that somebody else runs.
    pub own: Option<Own>,
}

/// One broker of the tests' own.
pub struct Own {
    folder: PathBuf,
    place: Place,
    pub process: Option<Process>,
    killed: bool,
}

/// Names of the product's topics, for one test only.
#[derive(Debug, Clone)]
pub struct Topics {
    pub person: String,
    pub location: String,
    pub dead_letter: String,
    pub checkpoint: String,
}

impl Kafka {
    /// A broker of this test's own.
    pub fn start(properties: Properties) -> Kafka {
        let (port, controller) = (free_port(), free_port());
        let own = Own::new(port, controller, properties);

        let mut kafka = Kafka { bootstrap: format!("127.0.0.1:{port}"), replicas: 1, own: Some(own) };
        kafka.own().format(&new_cluster_id());
        kafka.start_again();
        kafka
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// As a power cut would: SIGKILL.
    pub fn kill(&mut self) {
        self.own().end("KILL");
        self.own().killed = true;
    }

    /// In good order: SIGTERM, and what the broker then has to tidy up.
    pub fn stop(&mut self) {
        self.own().end("TERM");
    }

    /// After `kill` or `stop`: the same data, the same port.
    pub fn start_again(&mut self) {
        self.own().run();
        self.wait_until_it_answers();
    }

    /// Creates one topic and waits until its partitions have leaders.
    pub fn create_topic(&self, name: &str, partitions: i32, properties: Properties) {
        let topic = properties
            .iter()
            .fold(NewTopic::new(name, partitions, TopicReplication::Fixed(self.replicas)), |topic, (key, value)| topic.set(key, value));
        let made = block_on(self.admin().create_topics([&topic], &AdminOptions::new())).expect("create_topics");
        made[0].as_ref().unwrap_or_else(|(topic, code)| panic!("topic {topic}: {code}"));
        self.wait_for_partitions(name, |leaders| leaders.len() == partitions as usize && leaders.iter().all(|leader| *leader >= 0));
    }

    pub fn delete_topic(&self, name: &str) {
        let deleted = block_on(self.admin().delete_topics(&[name], &AdminOptions::new())).expect("delete_topics");
        deleted[0].as_ref().unwrap_or_else(|(topic, code)| panic!("topic {topic}: {code}"));
        self.wait_for_partitions(name, <[i32]>::is_empty);
    }

    /// The product's four topics under names that no other test has; dead letters and checkpoint with one partition.
    pub fn new_topics(&self, partitions: i32) -> Topics {
        let [person, location, dead_letter, checkpoint] = ["person", "location", "deadletter", "checkpoint"].map(unique);
        let topics = Topics { person, location, dead_letter, checkpoint };
        for (name, partitions) in
            [(&topics.person, partitions), (&topics.location, partitions), (&topics.dead_letter, 1), (&topics.checkpoint, 1)]
        {
            self.create_topic(name, partitions, &[]);
        }
        topics
    }

    /// Until this group has no offset on partition 0 of this topic any more.
    pub fn wait_until_offsets_expire(&self, topic: &str, group: &str) {
        let mut config = client(&self.bootstrap);
        config.set("group.id", group).set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let deadline = Instant::now() + EXPIRED_WITHIN;
        loop {
            let mut asked = TopicPartitionList::new();
            asked.add_partition(topic, 0);
            let offset = consumer.committed_offsets(asked, ASK).map(|found| found.elements()[0].offset());
            if offset.is_ok_and(|offset| offset == Offset::Invalid) {
                return;
            }
            assert!(Instant::now() < deadline, "the offsets of {group} do not expire");
            thread::sleep(ASK);
        }
    }

    fn own(&mut self) -> &mut Own {
        self.own.as_mut().expect("a broker of the tests' own")
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        client(&self.bootstrap).create().expect("an admin client")
    }

    fn wait_until_it_answers(&mut self) {
        let consumer: BaseConsumer = client(&self.bootstrap).create().expect("a client");
        let own = self.own();
        let deadline = Instant::now() + START_WITHIN;
        while !consumer.fetch_metadata(None, ASK).is_ok_and(|metadata| !metadata.brokers().is_empty()) {
            let process = own.process.as_mut().expect("started");
            let ended = process.ended();
            assert!(ended.is_none() && Instant::now() < deadline, "Kafka did not start (exit {ended:?}):\n{}", process.log_tail());
        }
    }

    fn wait_for_partitions(&self, topic: &str, enough: impl Fn(&[i32]) -> bool) {
        let consumer: BaseConsumer = client(&self.bootstrap).create().expect("a client");
        let deadline = Instant::now() + TOPIC_WITHIN;
        loop {
            let metadata = consumer.fetch_metadata(None, ASK);
            let leaders = metadata.map(|all| {
                let topic = all.topics().iter().find(|known| known.name() == topic);
                topic.map_or(Vec::new(), |topic| topic.partitions().iter().map(|partition| partition.leader()).collect())
            });
            if leaders.is_ok_and(|leaders| enough(&leaders)) {
                return;
            }
            assert!(Instant::now() < deadline, "the partitions of {topic} are not as they should be");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Own {
    pub fn new(port: u16, controller: u16, properties: Properties) -> Own {
        let own = Own { folder: new_folder("kafka"), place: Place::find(), process: None, killed: false };
        own.write_settings(port, controller, properties);
        own
    }

    fn write_settings(&self, port: u16, controller: u16, own: Properties) {
        let write = |name: &str, text: String| fs::write(self.folder.join(name), text).expect("a settings file");
        let data = self.folder.join("data").display().to_string();
        let (broker, controller) = (format!("PLAINTEXT://127.0.0.1:{port}"), format!("CONTROLLER://127.0.0.1:{controller}"));
        let voters = controller.replace("CONTROLLER://", "1@");
        let common = [SERVER, &[("log.dirs", &data), ("controller.quorum.voters", &voters)], own].concat();
        let both = format!("{broker},{controller}");
        let server = [&common[..], &[("process.roles", "broker,controller"), ("listeners", &both), ("advertised.listeners", &broker)], own];
        write("server.properties", lines(&server.concat()));
        write("server.log4j2.properties", LOG4J.to_owned());
        write("controller.properties", lines(&[&common[..], CONTROLLER, &[("listeners", &controller)]].concat()));
        write("controller.log4j2.properties", [LOG4J, CONTROLLER_LOG4J].concat());
    }

    pub fn format(&self, cluster_id: &str) {
        // One in 64 ids begins with a dash: behind `=` it is not taken for an option.
        let cluster = format!("--cluster-id={cluster_id}");
        let mut format = self.java("server", "kafka.tools.StorageTool", &["format", &cluster, "-c"]);
        let code = format.wait(START_WITHIN);
        assert!(code == 0, "StorageTool ended with {code}:\n{}", format.log_tail());
    }

    pub fn run(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        if std::mem::take(&mut self.killed) {
            self.fence();
        }
        self.process = Some(self.java("server", "kafka.Kafka", &[]));
    }

    /// After a kill the controller takes the broker for alive until its session ends. A broker that is back before then
    /// (4.3.1) leads its partitions as before, has no leader for a moment when the session ends, takes them for deleted then,
    /// and forgets to write the commit markers of the transaction that was being committed when it was killed. No record is
    /// lost, but no `read_committed` reader passes it until that producer commits on the partition again. With more brokers another
    /// one leads instead. So the controller goes first, alone, until the session has ended, which is also quicker.
    fn fence(&self) {
        let log = self.folder.join("controller.log");
        let _ = fs::remove_file(&log);
        let mut controller = self.java("controller", "kafka.Kafka", &[]);
        let deadline = Instant::now() + START_WITHIN;
        while !is_fenced(&fs::read_to_string(&log).unwrap_or_default()) {
            assert!(Instant::now() < deadline && controller.ended().is_none(), "no broker was fenced:\n{}", controller.log_tail());
            thread::sleep(Duration::from_millis(20));
        }
        controller.signal("KILL");
        controller.wait(STOP_WITHIN);
    }

    pub fn end(&mut self, signal: &str) {
        let mut process = self.process.take().expect("it runs");
        process.signal(signal);
        process.wait(STOP_WITHIN);
    }

    /// Runs a class of Kafka's with the settings called `name`; their file comes last among its arguments.
    pub fn java(&self, name: &str, class: &str, arguments: &[&str]) -> Process {
        let file = |kind: &str| self.folder.join(format!("{name}.{kind}"));
        let mut command = Command::new("java");
        command.args(JVM).args(&self.place.archive).arg(format!("-Dlog4j2.configurationFile={}", file("log4j2.properties").display()));
        command.arg("-cp").arg(&self.place.class_path).arg(class).args(arguments).arg(file("properties"));
        Process::start_in(self.place.shell(&self.folder), &command, &file("log"))
    }
}

/// Whether the write that fences a broker is committed, by the controller's log: it names each write when it is asked for
/// and when it is processed.
fn is_fenced(log: &str) -> bool {
    const ASKED: &str = "Read-write operation ";
    let asked = log.split(ASKED).skip(1).filter_map(|rest| rest.split(' ').next()).find(|write| write.starts_with("maybeFence"));
    asked.is_some_and(|write| log.contains(&format!("Processed {write} in ")))
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.process.take());
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Where Kafka's classes and a Java are: here, or in a container that shares our folder and network.
struct Place {
    image: Option<String>,
    class_path: String,
    /// The option that names the archive of Kafka's classes, if `tests/prepare` has made one.
    archive: Option<String>,
}

impl Place {
    fn find() -> Place {
        let jars = cache().join(format!("kafka-{VERSION}"));
        if jars.is_dir() && answers("java", &["-version"]) {
            let archive = jars.with_file_name(format!("kafka-{VERSION}.jsa"));
            let archive = archive.is_file().then(|| format!("-XX:SharedArchiveFile={}", archive.display()));
            return Place { image: None, class_path: format!("{}/*", jars.display()), archive };
        }
        assert!(answers("docker", &["version"]), "no Kafka at {} and no Docker engine: run tests/prepare once", jars.display());
        Place { image: Some(format!("apache/kafka:{VERSION}")), class_path: "/opt/kafka/libs/*".to_owned(), archive: None }
    }

    fn shell(&self, folder: &Path) -> Command {
        let Some(image) = &self.image else { return Command::new("sh") };
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--interactive", "--network", "host", "--user", &owner(folder)]);
        docker.arg(format!("--volume={0}:{0}", folder.display())).args(["--entrypoint", "sh", image]);
        docker
    }
}

pub fn new_cluster_id() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Uuid::new_v4())
}

/// Who may write into our folder, as `docker run --user` wants it.
fn owner(folder: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(folder).expect("our folder");
    format!("{}:{}", metadata.uid(), metadata.gid())
}

/// The folder that `tests/prepare` fills.
pub fn cache() -> PathBuf {
    let of = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = || of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache"))).map(|folder| folder.join("waitbridge"));
    of("WAITBRIDGE_CACHE").or_else(user).expect("HOME or WAITBRIDGE_CACHE")
}

/// A name that no other test, and no other run on the same Kafka, has.
pub fn unique(name: &str) -> String {
    format!("{name}-{}", Uuid::new_v4().simple())
}

/// Settings of a client that comes back quickly after an outage.
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "200");
    config
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// Later properties win.
fn lines(properties: Properties) -> String {
    let last: HashMap<_, _> = properties.iter().copied().collect();
    last.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

/// A port below those that the kernel gives to outgoing connections: one of those could be taken while a broker is down,
/// even by a client that tries to reach that very broker.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    let mut candidates = (0..COUNT).map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT);
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

fn answers(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
