//! A real Prometheus, as Debian packages it, that scrapes every second and knows the rules that are deployed.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;

use crate::kafka::free_port;
use crate::process::{Process, new_folder};

const START_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
const RULES: &str = "dashboards/prometheus/waitbridge.rules.yml";

/// How far apart two moments of an answer are.
const STEP_SECONDS: u32 = 1;

pub struct Prometheus {
    process: Process,
    url: String,
    agent: ureq::Agent,
}

/// One series, and what it was at each moment.
#[derive(Debug, Clone, Deserialize)]
pub struct Series {
    #[serde(rename = "metric")]
    pub labels: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

/// A rule as Prometheus has understood it.
#[derive(Debug, Clone, Deserialize)]
pub struct Rule {
    pub name: String,
    pub query: String,
    pub health: String,
    #[serde(default, rename = "lastError")]
    pub last_error: String,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: Option<T>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Matrix {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

impl Series {
    /// Every number that it was.
    pub fn numbers(&self) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().filter_map(|(_, value)| value.parse().ok()).filter(|value: &f64| !value.is_nan())
    }

    pub fn carries(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(*name).is_some_and(|found| found == value))
    }
}

impl Prometheus {
    /// Until it is ready. `targets` need not be there yet; it also scrapes itself, as one of many others that it may know.
    pub fn start(targets: &[SocketAddr]) -> Prometheus {
        let version = Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(
            version.is_ok_and(|status| status.success()),
            "there is no Prometheus on this machine: run tests/prepare once, or install the Debian package `prometheus`"
        );
        let (folder, address) = (new_folder("prometheus"), format!("127.0.0.1:{}", free_port()));
        fs::write(folder.join("prometheus.yml"), settings(&address, targets)).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--log.level=warn");
        let process = Process::start(&command, &folder.join("log"));
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let mut prometheus = Prometheus { process, url: format!("http://{address}"), agent };
        prometheus.wait_until_ready();
        prometheus
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_WITHIN;
        while !self.agent.get(format!("{}/-/ready", self.url)).call().is_ok_and(|answer| answer.status() == 200) {
            let ended = self.process.ended();
            assert!(ended.is_none() && Instant::now() < deadline, "no Prometheus (exit {ended:?}):\n{}", self.process.log_tail());
            std::thread::sleep(POLL);
        }
    }

    /// At each second back from one moment to another; or why it cannot be asked so. Counted from the first moment, what came in the
    /// last second would not be seen.
    pub fn range(&self, query: &str, from: f64, to: f64) -> Result<Vec<Series>, String> {
        let step = f64::from(STEP_SECONDS);
        let from = to - ((to - from) / step).floor() * step;
        let (from, to, step) = (from.to_string(), to.to_string(), step.to_string());
        let form = [("query", query), ("start", &from), ("end", &to), ("step", &step)];
        let answer = self.agent.post(format!("{}/api/v1/query_range", self.url)).send_form(form);
        let text = answer.and_then(|mut answer| answer.body_mut().read_to_string()).map_err(|error| error.to_string())?;
        parsed::<Matrix>(&text).map(|matrix| matrix.result)
    }

    pub fn since(&self, from: f64, query: &str) -> Vec<Series> {
        self.range(query, from, now()).unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    pub fn wait_until(&self, query: &str, within: Duration) {
        let deadline = Instant::now() + within;
        while self.since(now(), query).is_empty() {
            assert!(Instant::now() < deadline, "nothing within {within:?}: {query}");
            std::thread::sleep(POLL);
        }
    }

    /// Of the series that a selector names.
    pub fn label_values(&self, selector: &str, label: &str) -> Vec<String> {
        self.get(&format!("label/{label}/values"), &[("match[]", selector)])
    }

    pub fn rules(&self) -> Vec<Rule> {
        let Groups { groups } = self.get("rules", &[]);
        groups.into_iter().flat_map(|group| group.rules).collect()
    }

    fn get<T: serde::de::DeserializeOwned>(&self, what: &str, query: &[(&str, &str)]) -> T {
        let request = self.agent.get(format!("{}/api/v1/{what}", self.url)).query_pairs(query.iter().copied());
        let text = request.call().and_then(|mut answer| answer.body_mut().read_to_string());
        text.map_err(|error| error.to_string()).and_then(|text| parsed(&text)).unwrap_or_else(|error| panic!("{what} {query:?}: {error}"))
    }
}

fn settings(own: &str, targets: &[SocketAddr]) -> String {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES);
    let scrape = |job: &str, targets: Value| serde_json::json!({"job_name": job, "static_configs": [{"targets": targets}]});
    // JSON is YAML.
    serde_json::json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [rules],
        "scrape_configs": [scrape("waitbridge", serde_json::json!(targets)), scrape("prometheus", serde_json::json!([own]))],
    })
    .to_string()
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let answer: Answer<T> = serde_json::from_str(text).map_err(|error| format!("{error}: {text:.200}"))?;
    answer.data.ok_or_else(|| answer.error.unwrap_or_else(|| text.to_owned()))
}

/// In seconds since 1970, as Prometheus counts.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}
