//! The topics read by other people's code: kcat, and the CloudEvents SDK for Python on what kcat prints.
//! Nothing of ours, not even our Kafka client, stands between the broker and what these return.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use serde::Deserialize;
use serde_json::Value;

use crate::kafka::cache;
use crate::process::new_folder;
use crate::reader::Record;

/// A record as `kcat -J` prints it: header names and values in turn.
#[derive(Deserialize)]
struct KcatRecord {
    topic: String,
    partition: i32,
    offset: i64,
    key: Option<String>,
    #[serde(default)]
    headers: Vec<String>,
    payload: Option<String>,
}

/// All committed records of a topic, one JSON object a line.
pub fn kcat(bootstrap: &str, topic: &str) -> String {
    output(&mut kcat_command(bootstrap, topic), "")
}

fn kcat_command(bootstrap: &str, topic: &str) -> Command {
    let mut kcat = Command::new("kcat");
    kcat.args(["-C", "-J", "-e", "-q", "-o", "beginning", "-X", "isolation.level=read_committed", "-b", bootstrap, "-t", topic]);
    kcat
}

/// The same, parsed.
pub fn kcat_records(bootstrap: &str, topic: &str) -> Vec<Record> {
    kcat(bootstrap, topic).lines().map(|line| serde_json::from_str(line).expect("kcat's JSON")).map(KcatRecord::into_record).collect()
}

/// The same, one after the other, for a topic that would not fit into memory.
pub fn kcat_each(bootstrap: &str, topic: &str, mut take: impl FnMut(&Record)) {
    let mut kcat = kcat_command(bootstrap, topic);
    let mut child = kcat.stdout(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{kcat:?}: {error}; run tests/prepare once"));
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let record: KcatRecord = serde_json::from_str(&line.expect("UTF-8")).expect("kcat's JSON");
        take(&record.into_record());
    }
    assert!(child.wait().expect("its end").success(), "{kcat:?}");
}

/// What the CloudEvents SDK makes of lines of [`kcat`]: the attributes of each event, the record's key as its
/// `partitionkey`, and its `data`. Fails if it refuses one.
pub fn cloudevents(kcat_lines: &str) -> Vec<Value> {
    output(&mut python("tests/it/read_cloudevents.py"), kcat_lines)
        .lines()
        .map(|line| serde_json::from_str(line).expect("the script's JSON"))
        .collect()
}

/// A Python script of this repository, with the packages that `tests/prepare` fetched.
pub fn python(script: &str) -> Command {
    let mut python = Command::new(cache().join("python-cloudevents-2.2.0-confluent-kafka-2.16.1/bin/python"));
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
    python
}

/// The same for Node, which looks for packages beside the script: a copy of it runs in a folder that has them.
pub fn node(script: &str) -> Command {
    let (script, folder) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(script), new_folder("node"));
    let copy = folder.join(script.file_name().expect("a script"));
    fs::copy(&script, &copy).expect("a copy of the script");
    symlink(cache().join("node-kafkajs-2.2.4-asyncapi-parser-3.6.6/node_modules"), folder.join("node_modules")).expect("a link");
    let mut node = Command::new("node");
    node.arg(copy);
    node
}

impl KcatRecord {
    fn into_record(self) -> Record {
        let headers = self.headers.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let KcatRecord { topic, partition, offset, key, payload, .. } = self;
        Record { topic, partition, offset, key, headers, value: payload.map(String::into_bytes) }
    }
}

/// Runs to the end. The input is written aside, so that a full pipe stops nobody.
pub fn output(command: &mut Command, input: &str) -> String {
    let (status, stdout, stderr) = end(command, input);
    assert!(status.success(), "{command:?}: {status}\n{stderr}");
    stdout
}

pub fn end(command: &mut Command, input: &str) -> (ExitStatus, String, String) {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}; run tests/prepare once"));
    let mut stdin = child.stdin.take().expect("piped");
    let output = thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().expect("its output")
    });
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status, text(output.stdout), text(output.stderr))
}
