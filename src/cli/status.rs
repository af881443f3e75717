//! `waitbridge status`: the running service, for people: first whether anything is wrong.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::ConfigFile;
use super::health::ask;
use super::show::{self, Color, age, bytes, count, paint, since_ms};
use crate::settings;
use crate::timestamp::Timestamp;

/// Shows the running service: whether anything is wrong, the journal, Kafka, the endpoints; exit 1 if it does not answer
#[derive(clap::Args)]
#[command(after_help = "Example:\n  waitbridge status --config /etc/waitbridge/waitbridge.toml")]
pub struct Status {
    #[command(flatten)]
    file: ConfigFile,
    /// The service's own JSON, for scripts
    #[arg(long)]
    json: bool,
}

impl Status {
    pub fn run(self) -> Result<ExitCode> {
        let settings = settings::load(self.file.config.as_deref())?;
        let (body, _) = ask(settings.server.admin_listen, "/status")?;
        let status: Value = serde_json::from_str(&body).context("what answers on server.admin_listen is no waitbridge")?;
        if self.json {
            show::page(&body)?
        } else {
            show::page(&page(&status))?
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a build is named that was not told its commit.
const UNKNOWN: &str = "unknown";
/// So long a backlog is no longer a moment's.
const BACKLOG_OLD_SECONDS: f64 = 60.0;
const JOURNAL_FULL_SHARE: f64 = 0.8;

fn page(status: &Value) -> String {
    let version = text(&status["version"]);
    let revision = status["revision"].as_str().filter(|revision| *revision != UNKNOWN);
    let revision = revision.map(|revision| format!(" ({revision})")).unwrap_or_default();
    let uptime = age(Duration::from_secs(whole(&status["uptime_seconds"])));
    let mut page = format!("waitbridge {version}{revision}, up {uptime}\n");
    let wrongs = wrongs(status);
    match wrongs.len() {
        0 => page += &format!("{}\n", paint(Color::Green, "nothing is wrong")),
        count => page += &format!("{}\n", paint(Color::Red, &format!("{count} wrong:"))),
    }
    for wrong in wrongs {
        page += &format!("  {wrong}\n");
    }
    page + "\n" + &journal_line(&status["journal"]) + &kafka_line(&status["kafka"]) + &events_line(&status["events"]) + &endpoints(status)
}

/// What needs somebody, the most urgent first.
fn wrongs(status: &Value) -> Vec<String> {
    let (journal, kafka) = (&status["journal"], &status["kafka"]);
    let mut all = Vec::new();
    if let Some(why) = status["unready"].as_str() {
        all.push(format!("not ready: {why}"));
    }
    if kafka["state"] == "blocked" {
        all.push(format!("the relay waits for kafka: {}; `waitbridge doctor` looks why", blocked_on(kafka)));
    }
    let oldest = number(&journal["oldest_undelivered_age_seconds"]);
    if oldest > BACKLOG_OLD_SECONDS {
        all.push(format!("the oldest undelivered record waits for {}", age(Duration::from_secs_f64(oldest))));
    }
    if number(&journal["bytes"]) > JOURNAL_FULL_SHARE * number(&journal["bytes_max"]) && number(&journal["undelivered_records"]) > 0.0 {
        all.push("the journal is nearly full: then deliveries are refused".to_owned());
    }
    if whole(&journal["damaged_records"]) > 0 {
        all.push(format!(
            "{} of the journal could not be read: `waitbridge journal verify`",
            count(whole(&journal["damaged_records"]), "record")
        ));
    }
    for endpoint in list(&status["endpoints"]) {
        if let Some(since) = ago(&endpoint["failing_since"]) {
            all.push(format!("{}: refuses its vendor for {since}: {}", text(&endpoint["name"]), refused(endpoint)));
        }
    }
    all
}

fn journal_line(journal: &Value) -> String {
    let (records, waiting) = (count(whole(&journal["undelivered_records"]), "record"), bytes(whole(&journal["undelivered_bytes"])));
    let window = match whole_seconds(&journal["window_coverage_seconds"]) {
        // Read again at the first contact with Kafka.
        0 => "window not read yet".to_owned(),
        seconds => format!("window {}", age(Duration::from_secs(seconds))),
    };
    let (state, kind) = (text(&journal["state"]), text(&journal["kind"]));
    match whole(&journal["bytes_max"]) {
        // In Kafka: what is undelivered is that of the partitions that this replica has now.
        0 => format!("journal    {kind}, {state}; {records} undelivered of this replica's partitions; {window}\n"),
        most => {
            let (taken, most) = (bytes(whole(&journal["bytes"])), bytes(most));
            format!("journal    {kind}, {state}; {records} undelivered, {waiting}; {taken} of {most}; {window}\n")
        }
    }
}

fn kafka_line(kafka: &Value) -> String {
    match kafka["state"].as_str() {
        Some("blocked") => format!("kafka      waits: {}\n", blocked_on(kafka)),
        _ => format!("kafka      {}\n", text(&kafka["state"])),
    }
}

fn blocked_on(kafka: &Value) -> String {
    match (text(&kafka["reason"]), text(&kafka["topic"])) {
        (reason, "") => reason.to_owned(),
        (reason, topic) => format!("{reason}, topic {topic}"),
    }
}

fn events_line(events: &Value) -> String {
    let count = |key: &str| whole(&events[key]);
    let reasons: Vec<String> = entries(&events["dead_letters_by_reason"]);
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    let (published, stale, repeated, letters) = (count("published"), count("stale"), count("repeated"), count("dead_lettered"));
    format!("events     {published} published, {stale} of them stale; {repeated} repeats; {letters} dead letters{why}; since the start\n")
}

fn endpoints(status: &Value) -> String {
    let all = list(&status["endpoints"]);
    let width = all.iter().map(|endpoint| text(&endpoint["name"]).len()).max().unwrap_or(0).max("endpoint".len());
    let mut page = format!("\n{:width$}  vendor        tenant            accepted  last          refused\n", "endpoint");
    for endpoint in all {
        let (name, vendor, tenant) = (text(&endpoint["name"]), text(&endpoint["vendor"]), text(&endpoint["tenant"]));
        let last = ago(&endpoint["last_accepted"]).map_or("never".to_owned(), |ago| format!("{ago} ago"));
        let refused = if endpoint["pending"] == true { "pending: waits for its secret".to_owned() } else { refused(endpoint) };
        page += &format!("{name:width$}  {vendor:<12}  {tenant:<16}  {:>8}  {last:<12}  {refused}\n", whole(&endpoint["accepted"]));
    }
    page
}

fn refused(endpoint: &Value) -> String {
    let all = entries(&endpoint["refused"]);
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn entries(object: &Value) -> Vec<String> {
    object.as_object().into_iter().flatten().map(|(name, count)| format!("{count} {name}")).collect()
}

fn ago(moment: &Value) -> Option<String> {
    Some(age(since_ms(Timestamp::parse(moment.as_str()?)?.ms())))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or(UNKNOWN)
}

fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn whole_seconds(value: &Value) -> u64 {
    number(value).max(0.0) as u64
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
        let mut status = json!({
            "unready": null, "kafka": {"state": "flowing"},
            "journal": {"oldest_undelivered_age_seconds": 0.5, "bytes": 99, "bytes_max": 100, "undelivered_records": 0},
            "endpoints": [{"name": "clinic", "failing_since": null, "refused": {"signature_mismatch": 3}}],
        });
        change(&mut status);
        let wrongs = wrongs(&status);
        assert_eq!(wrongs.len(), expected.len(), "{wrongs:?}");
        for (wrong, words) in wrongs.iter().zip(expected) {
            assert!(wrong.contains(words), "{words} in {wrong}");
        }
        assert!(page(&status).lines().nth(1).unwrap().contains(if expected.is_empty() { "nothing is wrong" } else { "wrong:" }));
    }

    #[test]
    fn what_needs_somebody_is_said_first() {
        check(|_| {}, &[]);
        check(|status| status["unready"] = json!("journal_full"), &["not ready: journal_full"]);
        let blocked = json!({"state": "blocked", "topic": "a.b", "reason": "unknown_topic"});
        check(|status| status["kafka"] = blocked, &["unknown_topic, topic a.b"]);
        check(|status| status["journal"]["oldest_undelivered_age_seconds"] = json!(3700), &["1 h 1 min"]);
        check(|status| status["journal"]["undelivered_records"] = json!(7), &["nearly full"]);
        check(|status| status["journal"]["damaged_records"] = json!(1), &["could not be read"]);
        check(|status| status["endpoints"][0]["failing_since"] = json!("2026-11-24T08:00:00.000Z"), &["3 signature_mismatch"]);
    }
}
