//! `waitbridge topics`: the topics that the settings want, and how Kafka differs. Makes what is missing if asked to, and
//! never changes what is there.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::ConfigFile;
use super::show::{self, Color, age, paint};
use crate::kafka::cluster::Cluster;
use crate::kafka::compare::{Difference, Found, Standing, Weight, compare};
use crate::kafka::topics::{CLEANUP_POLICY, SEGMENT_MS, Spec, create_missing};
use crate::kafka::{CALL_TIMEOUT, Options};
use crate::settings;

/// Prints the topics that the settings want and how Kafka differs; exit 3 if something has to be done
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    waitbridge topics --config waitbridge.toml\n  \
    waitbridge topics --config waitbridge.toml --create")]
pub struct Topics {
    #[command(flatten)]
    file: ConfigFile,
    /// Makes the topics that are missing; what is there stays as it is
    #[arg(long)]
    create: bool,
    /// One JSON object, for scripts
    #[arg(long)]
    json: bool,
}

/// Between making a topic and every broker knowing it.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);
const KNOWN_POLL: Duration = Duration::from_millis(100);

/// One topic: wanted, found, and what differs.
pub struct Compared {
    pub spec: Spec,
    pub standing: Standing,
    pub differences: Vec<Difference>,
}

impl Topics {
    pub fn run(self) -> Result<ExitCode> {
        // Only the topics are asked for: no journal is opened, so there is no id.
        let options = settings::load(self.file.config.as_deref())?.kafka.options("topics");
        if !self.json {
            show::page(&wanted_page(&options.topics))?;
        }
        let cluster = Cluster::new(options.clone(), CALL_TIMEOUT)?;
        let cluster_id = cluster.overview().context("kafka does not answer")?.cluster_id;
        let mut topics = cluster.topics().context("the topics cannot be seen")?;
        let made = if self.create { missing(&topics) } else { Vec::new() };
        if !made.is_empty() {
            create_missing(&options, &made)?;
            topics = until_known(&cluster)?;
        }
        let compared = compared(topics);
        let problems = problems(&compared);
        if self.json {
            show::json(&object(cluster_id, &options, &made, &compared))?;
        } else {
            show::page(&found_page(cluster_id, &options, &made, &compared))?;
        }
        Ok(show::exit_for(problems))
    }
}

pub fn compared(topics: Vec<(Spec, Standing)>) -> Vec<Compared> {
    let differences = compare(&topics);
    let one = |((spec, standing), differences)| Compared { spec, standing, differences };
    topics.into_iter().zip(differences).map(one).collect()
}

fn problems(compared: &[Compared]) -> usize {
    compared.iter().flat_map(|topic| &topic.differences).filter(|difference| difference.weight == Weight::Problem).count()
}

fn missing(topics: &[(Spec, Standing)]) -> Vec<Spec> {
    topics.iter().filter(|(_, standing)| *standing == Standing::Missing).map(|(spec, _)| spec.clone()).collect()
}

fn until_known(cluster: &Cluster) -> Result<Vec<(Spec, Standing)>> {
    let deadline = Instant::now() + KNOWN_WITHIN;
    let is_settled = |standing: &Standing| matches!(standing, Standing::There(found) if found.leaderless == 0);
    loop {
        let topics = cluster.topics()?;
        if topics.iter().all(|(_, standing)| is_settled(standing)) || Instant::now() > deadline {
            return Ok(topics);
        }
        std::thread::sleep(KNOWN_POLL);
    }
}

fn wanted_page(specs: &[Spec]) -> String {
    let width = specs.iter().map(|spec| spec.name.len()).max().unwrap_or(0);
    let mut page =
        format!("{:width$}  key            partitions  replication  retention  min.insync  max.message  cleanup  setting\n", "topic");
    for spec in specs {
        let Spec { role, name, partitions, replication, retention_ms, message_bytes_max } = spec;
        let (key, setting, insync, retention) = (role.key(), role.setting(), spec.min_insync(), days(*retention_ms));
        page += &format!(
            "{name:width$}  {key:<13}  {partitions:>10}  {replication:>11}  {retention:>9}  {insync:>10}  {message_bytes_max:>11}  \
                {CLEANUP_POLICY:<7}  {setting}\n"
        );
    }
    page + &format!("segment.ms is {SEGMENT_MS} for all of them\n")
}

fn days(ms: u64) -> String {
    age(Duration::from_millis(ms)).replace(" 0 h", "")
}

fn found_page(cluster_id: Option<String>, options: &Options, made: &[Spec], compared: &[Compared]) -> String {
    let mut page = format!("kafka at {}, cluster {}\n", options.brokers.join(", "), cluster_id.as_deref().unwrap_or("unknown"));
    for spec in made {
        page += &format!("  {}  {}\n", paint(Color::Green, "made"), spec.name);
    }
    for topic in compared {
        for difference in &topic.differences {
            page += &format!("  {}\n", sentence(&topic.spec.name, difference));
        }
    }
    page + match problems(compared) {
        0 => "the topics are as they should be",
        _ => "something has to be done: waitbridge makes what is missing, and never changes what is there",
    }
}

fn sentence(topic: &str, difference: &Difference) -> String {
    let weight = match difference.weight {
        Weight::Problem => paint(Color::Red, "problem"),
        Weight::Note => paint(Color::Yellow, "note   "),
    };
    format!("{weight}  {topic}: {}", words(difference))
}

/// What differs, and what to do.
pub fn words(difference: &Difference) -> String {
    let Difference { what, found, wanted, advice, .. } = difference;
    match *what {
        "topic" => format!("{found}; {advice}"),
        _ => format!("{what} is {found}, wanted {wanted}; {advice}"),
    }
}

fn object(cluster_id: Option<String>, options: &Options, made: &[Spec], compared: &[Compared]) -> Value {
    json!({
        "brokers": options.brokers,
        "cluster": cluster_id,
        "made": made.iter().map(|spec| &spec.name).collect::<Vec<_>>(),
        "problems": problems(compared),
        "topics": compared.iter().map(topic_object).collect::<Vec<_>>(),
    })
}

fn topic_object(Compared { spec, standing, differences }: &Compared) -> Value {
    let found = |found: &Found| json!({"partitions": found.partitions, "replication": found.replication, "settings": found.config});
    json!({
        "name": spec.name,
        "setting": spec.role.setting(),
        "key": spec.role.key(),
        "wanted": {
            "partitions": spec.partitions,
            "replication": spec.replication,
            "retention.ms": spec.retention_ms,
            "segment.ms": SEGMENT_MS,
            "min.insync.replicas": spec.min_insync(),
            "max.message.bytes": spec.message_bytes_max,
            "cleanup.policy": CLEANUP_POLICY,
        },
        "found": if let Standing::There(there) = standing { Some(found(there)) } else { None },
        "differences": differences.iter().map(difference_object).collect::<Vec<_>>(),
    })
}

fn difference_object(difference: &Difference) -> Value {
    let Difference { weight, what, found, wanted, advice } = difference;
    let weight = if *weight == Weight::Problem { "problem" } else { "note" };
    json!({"weight": weight, "what": what, "found": found, "wanted": wanted, "advice": advice})
}
