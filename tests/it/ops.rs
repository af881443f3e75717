//! The operator's commands, as they are run beside a real service on a real Kafka.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bridge::{BASIC, Bridge, Home, SECRET, TOKEN, server};
use crate::http::{once, request};
use crate::kafka::{self, Kafka};
use crate::load::Load;

const WITHIN: Duration = Duration::from_secs(60);

/// What a command printed, and how it ended.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.out, self.err))
    }
}

fn run(arguments: &[&str]) -> Ran {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_waitbridge")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) };
    for secret in [SECRET, BASIC, TOKEN] {
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{arguments:?} shows a secret");
    }
    ran
}

/// With the settings of this home.
pub fn on(home: &Home, arguments: &[&str]) -> Ran {
    let settings = home.path("waitbridge.toml");
    run(&[arguments, &["--config", settings.to_str().unwrap()]].concat())
}

pub fn accept(bridge: &Bridge, person: u64) -> String {
    let body = format!(r#"{{"type":"UpdatePerson","data":{{"PersonId":{person},"Fields":{{"First Name":"Zebulon"}},"Waitlists":[]}}}}"#);
    let answer = once(bridge.public, &request("POST", &format!("/webhooks/sunshine/{TOKEN}"), &[], body.as_bytes()));
    assert_eq!(answer.status, 200);
    answer.accept_id()
}

pub fn delivered(bridge: &Bridge) {
    bridge.wait_until("everything is delivered", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
}

#[test]
fn every_command_has_a_help_with_an_example() {
    let help = run(&["--help"]).out;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next().filter(|_| !line.starts_with("   ")))
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() >= 8, "{commands:?}");
    let journal = [vec!["journal", "stat"], vec!["journal", "list"], vec!["journal", "verify"]];
    for words in commands.iter().map(|name| vec![*name]).chain(journal) {
        let ran = run(&[&words[..], &["--help"]].concat());
        assert_eq!(ran.code, 0, "{words:?}");
        assert!(ran.out.contains("Example"), "{words:?}:\n{}", ran.out);
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let home = Home::new("127.0.0.1:1", &kafka::shared().new_topics(1), "");
    let (settings, body) = (home.path("waitbridge.toml"), home.path("body"));
    fs::write(&body, "{}").unwrap();
    let (settings, body) = (settings.to_str().unwrap(), body.to_str().unwrap());
    for arguments in [
        &["schema"][..],
        &["token"],
        &["check", "--config", settings],
        &["check", "--print", "--config", settings],
        &["explain", body, "--endpoint", "sunshine", "--config", settings],
        &["explain", body, "--endpoint", "sunshine", "--config", settings, "--json"],
        &["demo", "--duration", "1s"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waitbridge"));
        let mut ran = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(ran.stdout.take());
        let ended = ran.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{arguments:?} {}", String::from_utf8_lossy(&ended.stderr));
    }
}

#[test]
fn the_journal_is_seen_beside_a_service_under_load_and_a_flipped_bit_is_named() {
    let mut kafka = Kafka::start(&[]);
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(3), "");
    let bridge = home.start();
    let load = Load::start(4, Duration::ZERO);
    load.aim(Some(bridge.public));
    let deadline = Instant::now() + Duration::from_secs(4);
    let mut looks = 0;
    while Instant::now() < deadline || looks < 3 {
        let ran = on(&home, &["journal", "verify", "--json"]);
        assert_eq!((ran.code, ran.json()["damages"].as_array().unwrap().len()), (0, 0), "{}{}", ran.out, ran.err);
        let stat = on(&home, &["journal", "stat", "--json"]).json();
        assert_eq!((stat["lock"].as_str(), stat["pid"].as_u64()), (Some("held"), Some(bridge.pid().into())), "{stat}");
        looks += 1;
    }
    let accepted = load.finish().count() as u64;
    delivered(&bridge);
    kafka.stop();
    let kept: Vec<String> = (1..=3).map(|person| accept(&bridge, person)).collect();

    let stat = on(&home, &["journal", "stat", "--json"]).json();
    let id = fs::read_to_string(home.path("journal/id")).unwrap();
    assert_eq!(stat["id"], id.trim());
    assert_eq!((stat["records"].as_u64(), stat["undelivered_records"].as_u64()), (Some(accepted + 3), Some(3)), "{stat}");
    assert!(stat["mark"]["cluster"].as_str().is_some_and(|cluster| !cluster.is_empty()), "{stat}");
    assert!(on(&home, &["journal", "stat"]).out.contains(&format!("process {}", bridge.pid())));

    let list = on(&home, &["journal", "list", "--undelivered", "--json"]);
    let listed: Vec<Value> = list.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed.iter().map(|line| line["accept_id"].as_str().unwrap()).collect::<Vec<_>>(), kept);
    assert_eq!((listed[0]["vendor"].as_str(), listed[0]["proof"].as_str()), (Some("waitlistplus"), Some("token")));
    assert!(!list.out.contains("Zebulon"), "no personal value");
    let count = |arguments: &[&str]| on(&home, &[&["journal", "list", "--json"], arguments].concat()).out.lines().count() as u64;
    assert_eq!((count(&["--limit", "5"]), count(&["--to", "1h"]), count(&["--from", "1h"])), (5, 0, accepted + 3));
    let by_endpoint = ["waitwhile", "sunshine", "basic"].map(|name| count(&["--endpoint", name]));
    assert!(by_endpoint[0] > 0 && by_endpoint[2] == 0 && by_endpoint.iter().sum::<u64>() == accepted + 3, "{by_endpoint:?}");

    let pid = bridge.pid();
    bridge.kill();
    let stat = on(&home, &["journal", "stat", "--json"]).json();
    assert_eq!((stat["lock"].as_str(), stat["pid"].as_u64()), (Some("free"), None), "{pid} is gone");
    let (segment, offset) = flip_a_bit_in_the_body_of(&home, &kept[1]);
    let ran = on(&home, &["journal", "verify"]);
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(ran.out.contains(&segment) && ran.out.contains("cannot be read"), "{}", ran.out);
    let damages = on(&home, &["journal", "verify", "--json"]).json()["damages"].clone();
    assert_eq!((damages[0]["segment"].as_str(), damages[0]["kind"].as_str()), (Some(segment.as_str()), Some("checksum")));
    let at = damages[0]["offset"].as_u64().unwrap();
    assert!((at..at + 200).contains(&offset) && damages.as_array().unwrap().len() == 1, "{damages}");
}

/// Where: the segment's name, and how far in.
fn flip_a_bit_in_the_body_of(home: &Home, accept_id: &str) -> (String, u64) {
    let wanted = uuid::Uuid::parse_str(accept_id).unwrap();
    for path in fs::read_dir(home.path("journal")).unwrap().map(|entry| entry.unwrap().path()) {
        let mut bytes = if path.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        if let Some(at) = bytes.windows(16).position(|window| window == wanted.as_bytes()) {
            bytes[at + 60] ^= 1;
            fs::write(&path, bytes).unwrap();
            return (path.file_name().unwrap().to_str().unwrap().to_owned(), at as u64 + 60);
        }
    }
    panic!("the record is in no segment");
}

#[test]
fn a_folder_without_a_journal_is_said_so_and_stays_empty() {
    let folder = crate::process::new_folder("no-journal");
    let ran = run(&["journal", "stat", "--dir", folder.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("holds no journal"), "{}", ran.err);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    let none = run(&["journal", "stat", "--dir", folder.join("none").to_str().unwrap()]);
    assert_eq!((none.code, none.err.matches("No such file").count()), (1, 1), "{}", none.err);
}

/// The settings of one broker.
pub fn single(home: &Home) {
    let path = home.path("waitbridge.toml");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("[kafka]", "[kafka]\nreplication = 1")).unwrap();
}

#[test]
fn topics_that_are_missing_are_made_once_and_what_differs_is_named_and_left_alone() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(12);
    kafka.delete_topic(&topics.person);
    kafka.delete_topic(&topics.checkpoint);
    kafka.delete_topic(&topics.dead_letter);
    kafka.create_topic(&topics.dead_letter, 1, &[("cleanup.policy", "compact"), ("retention.ms", "1000"), ("max.message.bytes", "2000")]);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    single(&home);

    let ran = on(&home, &["topics"]);
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    for said in ["missing", "cleanup.policy is compact", "retention.ms is 1000", "max.message.bytes is 2000", "topics --create"] {
        assert!(ran.out.contains(said), "{said} in\n{}", ran.out);
    }
    let made = on(&home, &["topics", "--create", "--json"]);
    assert_eq!(made.code, 3, "what is there stays as it is");
    assert_eq!(made.json()["made"], serde_json::json!([topics.person, topics.checkpoint]));
    kafka.delete_topic(&topics.dead_letter);
    assert_eq!(on(&home, &["topics", "--create"]).code, 0);
    let again = on(&home, &["topics", "--create", "--json"]);
    assert_eq!((again.code, again.json()["made"].as_array().unwrap().len()), (0, 0));
    let found = again.json()["topics"][0].clone();
    assert_eq!((found["found"]["partitions"].as_i64(), found["found"]["settings"]["segment.ms"].as_str()), (Some(12), Some("86400000")));
    assert_eq!(on(&home, &["topics"]).code, 0);
}

#[test]
fn event_topics_with_unequal_partitions_are_a_problem_and_a_metric_says_so() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(3);
    kafka.delete_topic(&topics.location);
    kafka.create_topic(&topics.location, 2, &[]);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    single(&home);
    let ran = on(&home, &["topics"]);
    assert_eq!(ran.code, 3);
    assert!(ran.out.contains("cannot be joined"), "{}", ran.out);

    let bridge = home.start();
    let series = |topic: &str| format!("waitbridge_topic_partitions_mismatch{{topic=\"{topic}\"}}");
    assert_eq!(bridge.metric(&series(&topics.person)), 0.0);
    accept(&bridge, 1);
    let location = r#"{"id":"e1","type":"location-status.updated","data":{"id":"l1","isOpen":true}}"#;
    let signature = waitbridge::providers::waitwhile::signature(SECRET.as_bytes(), crate::bridge::PUBLIC_URL, location.as_bytes());
    let headers = [(waitbridge::providers::waitwhile::SIGNATURE_HEADER, signature.as_str())];
    assert_eq!(once(bridge.public, &request("POST", "/webhooks/waitwhile", &headers, location.as_bytes())).status, 200);
    bridge.wait_until("it is told", WITHIN, |bridge| bridge.metric(&series(&topics.location)) == 1.0);
    assert_eq!((bridge.metric(&series(&topics.person)), bridge.metric(&series(&topics.dead_letter))), (1.0, 0.0));
}

#[test]
fn a_kafka_that_does_not_answer_is_named_with_the_time_that_it_was_given() {
    let home = Home::new("127.0.0.1:1", &kafka::shared().new_topics(1), &server(""));
    let ran = on(&home, &["topics"]);
    assert_eq!(ran.code, 1);
    for said in ["asked 127.0.0.1:1 for ", "Connection refused"] {
        assert!(ran.err.contains(said), "{said} in\n{}", ran.err);
    }
    let seconds = ran.err.split(" for ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|seconds| seconds.parse::<f64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds >= 10.0), "{}", ran.err);
}

/// The same settings, with the addresses on which this process listens.
fn beside(home: &Home, bridge: &Bridge, arguments: &[&str]) -> Ran {
    let settings = fs::read_to_string(home.path("waitbridge.toml")).unwrap();
    let settings = settings.replace("admin_listen = \"127.0.0.1:0\"", &format!("admin_listen = \"{}\"", bridge.admin));
    let path = home.path("beside.toml");
    fs::write(&path, settings).unwrap();
    run(&[arguments, &["--config", path.to_str().unwrap()]].concat())
}

#[test]
fn status_says_first_whether_anything_is_wrong_and_what() {
    let mut kafka = Kafka::start(&[]);
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(3), "");
    let bridge = home.start();
    let accepted = accept(&bridge, 1);
    delivered(&bridge);
    let page = beside(&home, &bridge, &["status"]);
    assert_eq!(page.code, 0, "{}", page.err);
    assert_eq!(page.out.lines().nth(1), Some("nothing is wrong"), "{}", page.out);
    let status = beside(&home, &bridge, &["status", "--json"]).json();
    assert_eq!(
        (status["ready"].as_bool(), &status["unready"], status["kafka"]["state"].as_str()),
        (Some(true), &Value::Null, Some("flowing"))
    );
    assert_eq!((status["journal"]["state"].as_str(), status["journal"]["bytes_max"].as_u64()), (Some("writable"), Some(1 << 30)));
    assert_eq!(status["journal"]["id"], fs::read_to_string(home.path("journal/id")).unwrap().trim());
    assert_eq!(status["events"]["published"], 1);
    let sunshine = status["endpoints"].as_array().unwrap().iter().find(|endpoint| endpoint["name"] == "sunshine").unwrap().clone();
    assert_eq!((sunshine["accepted"].as_u64(), &sunshine["failing_since"]), (Some(1), &Value::Null));
    assert!(sunshine["secrets"]["0"].as_str().is_some_and(|moment| moment.ends_with('Z')) && sunshine["last_accepted"].is_string());

    let forged = [("x-waitwhile-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")];
    assert_eq!(once(bridge.public, &request("POST", "/webhooks/waitwhile", &forged, b"{}")).status, 401);
    kafka.stop();
    accept(&bridge, 2);
    bridge.wait_until("it waits for kafka", WITHIN, |bridge| {
        let page = beside(&home, bridge, &["status"]).out;
        page.contains(" wrong:") && page.contains("the relay waits for kafka") && page.contains("signature_mismatch")
    });
    let status = beside(&home, &bridge, &["status", "--json"]);
    assert_eq!((status.json()["ready"].as_bool(), status.json()["journal"]["undelivered_records"].as_u64()), (Some(true), Some(1)));
    assert!(!status.out.contains("Zebulon") && !status.out.contains(&accepted));
    let admin = bridge.admin;
    let still = beside(&home, &bridge, &["check", "--print"]).out;
    bridge.kill();
    fs::write(home.path("beside.toml"), still).unwrap();
    let ran = run(&["status", "--config", home.path("beside.toml").to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains(&admin.to_string()) && ran.err.contains("is waitbridge running"), "{}", ran.err);
}

#[test]
fn doctor_finds_nothing_wrong_where_all_is_well_and_fences_nobody() {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(12);
    for topic in [&topics.person, &topics.location, &topics.dead_letter, &topics.checkpoint] {
        kafka.delete_topic(topic);
    }
    let home = Home::new(kafka.bootstrap(), &topics, "");
    single(&home);
    let before = on(&home, &["doctor"]);
    assert_eq!(before.code, 3, "{}", before.out);
    assert!(before.out.contains("missing") && before.out.contains("the first start makes it"), "{}", before.out);
    assert!(!home.path("journal").exists(), "it makes nothing");
    let path = home.path("waitbridge.toml");
    let settings = fs::read_to_string(&path).unwrap();
    fs::write(&path, settings.replace("[kafka]", "[kafka]\ncreate_topics = true")).unwrap();
    let made_at_start = on(&home, &["doctor"]);
    assert_eq!(made_at_start.code, 0, "{}", made_at_start.out);
    assert!(made_at_start.out.contains("the start makes it (kafka.create_topics)"), "{}", made_at_start.out);
    fs::write(&path, settings).unwrap();
    assert_eq!(on(&home, &["topics", "--create"]).code, 0);

    let bridge = home.start();
    accept(&bridge, 1);
    delivered(&bridge);
    let ran = beside(&home, &bridge, &["doctor"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let warned = |ran: &Ran| {
        let checks = ran.json()["checks"].as_array().unwrap().clone();
        let said = checks.into_iter().filter(|check| check["level"] != "ok").map(|check| check["said"].as_str().unwrap().to_owned());
        // How quick this machine's disk is at the moment, and how full, is not ours.
        said.filter(|said| !said.contains("sync of 4 KiB") && !said.contains(" free; ")).collect::<Vec<_>>()
    };
    assert_eq!(warned(&beside(&home, &bridge, &["doctor", "--json"])), [""; 0]);
    for said in [
        "cluster ",
        "connected in",
        "p99",
        "https://hooks.example.com/webhooks/waitwhile;",
        "/webhooks/sunshine/TOKEN",
        "/webhooks/basic with Basic",
        "transactions are given",
        "the checkpoint is at",
        "ready, says",
        &format!("used by process {}", bridge.pid()),
    ] {
        assert!(ran.out.contains(said), "{said} in\n{}", ran.out);
    }
    accept(&bridge, 2);
    delivered(&bridge);
    assert_eq!(bridge.metric("waitbridge_journal_undelivered_records"), 0.0);
    assert!(!bridge.said().contains("fenced"), "{}", bridge.said());
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn doctor_ends_in_time_and_says_what_to_do_where_kafka_refuses_or_hangs() {
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hangs = hanging.local_addr().unwrap().to_string();
    for (brokers, reached) in [("127.0.0.1:1", "Connection refused"), (hangs.as_str(), "connected in")] {
        let home = Home::new(brokers, &kafka::shared().new_topics(1), "");
        let started = Instant::now();
        let ran = on(&home, &["doctor", "--json"]);
        assert!(started.elapsed() < WITHIN, "{:?}", started.elapsed());
        assert_eq!(ran.code, 3, "{}", ran.out);
        let report = ran.json();
        let kafka: Vec<&Value> = report["checks"].as_array().unwrap().iter().filter(|check| check["area"] == "kafka").collect();
        assert!(kafka[0]["said"].as_str().unwrap().contains(reached), "{kafka:?}");
        let last = kafka.last().unwrap();
        assert_eq!(last["level"], "problem");
        assert!(last["said"].as_str().unwrap().contains(brokers) && last["advice"].as_str().unwrap().contains("kafka.brokers"), "{last}");
    }
}

#[test]
fn what_holds_is_printed_and_is_checked_again_without_a_mistake() {
    let home = Home::new("a:1,b:2", &kafka::shared().new_topics(1), "");
    let printed = on(&home, &["check", "--print"]);
    assert_eq!(printed.code, 0, "{}", printed.err);
    let path = home.path("printed.toml");
    fs::write(&path, &printed.out).unwrap();
    let again = run(&["check", "--print", "--config", path.to_str().unwrap()]);
    assert_eq!((again.code, again.out), (0, printed.out), "{}", again.err);
}
