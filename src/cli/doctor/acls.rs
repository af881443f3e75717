//! `doctor --acls`: the rights that the settings need, as commands of Kafka's own tool. Asks nobody.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use crate::cli::{SETTINGS, show};
use crate::kafka::Options;
use crate::kafka::rights::{Pattern, Purpose, Resource, Right, rights};
use crate::settings::{Kind, Settings};

const TOOL: &str = "kafka-acls.sh";
const PREAMBLE: &str = "\
# The rights that waitbridge needs, and no others; Read and Write bring Describe along. For somebody who may grant them: add
# --command-config FILE where Kafka asks who you are.
";
const OLD_BROKERS: &str = "\
# Only brokers older than 2.8, for the raw topic:
";

pub(super) fn print(settings: &Settings, principal: Option<String>, form: Form) -> Result<ExitCode> {
    let user = || settings.kafka.properties.get("sasl.username").map(|name| format!("User:{name}"));
    let Some(principal) = principal.or_else(user) else {
        eprintln!("waitbridge: name with --principal to whom they are granted, as User:waitbridge: the settings have no sasl.username");
        return Ok(ExitCode::from(SETTINGS));
    };
    let options = settings.kafka.options("any");
    let rights = rights(&options);
    match form {
        Form::Json => show::json(&json!({"principal": principal, "rights": rights.iter().map(object).collect::<Vec<_>>()}))?,
        Form::Commands => show::page(page(&options, &settings.journal.kind, &principal, &rights).trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// For whom it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Commands,
}

fn page(options: &Options, kind: &Kind, principal: &str, rights: &[Right]) -> String {
    let begin = format!("{TOOL} --bootstrap-server {} --add --allow-principal {}", options.brokers.join(","), quoted(principal));
    let mut page = PREAMBLE.to_owned();
    for purpose in Purpose::ALL {
        let of: Vec<&Right> = rights.iter().filter(|right| right.purpose == *purpose).collect();
        if !of.is_empty() {
            page += &format!("\n# {}\n", purpose.as_str());
        }
        for alike in of.chunk_by(|one, other| is_alike(one, other)) {
            page += &format!("{begin} {}\n", arguments(alike));
        }
    }
    match kind {
        Kind::Disk => page,
        Kind::Kafka(_) => page + &format!("\n{OLD_BROKERS}# {begin} --operation IdempotentWrite --cluster\n"),
    }
}

/// One command can grant both.
fn is_alike(one: &Right, other: &Right) -> bool {
    (one.operation, one.resource, one.pattern) == (other.operation, other.resource, other.pattern)
}

fn arguments(alike: &[&Right]) -> String {
    let mut text = format!("--operation {}", alike[0].operation.as_str());
    for right in alike {
        text += &match right.resource {
            Resource::Cluster => " --cluster".to_owned(),
            resource => format!(" --{} {}", resource.as_str(), right.name),
        };
    }
    if alike[0].pattern == Pattern::Prefixed {
        text += " --resource-pattern-type prefixed";
    }
    text
}

/// For a shell; names of certificates have blanks and commas.
fn quoted(text: &str) -> String {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || ":._-@/=".contains(c));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn object(right: &Right) -> serde_json::Value {
    let Right { operation, resource, pattern, name, purpose } = right;
    json!({
        "operation": operation.as_str(),
        "resource": resource.as_str(),
        "pattern": pattern.as_str(),
        "name": name,
        "for": purpose.as_str(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{no_environment, parse};

    #[test]
    fn the_reference_shows_what_is_printed() {
        let settings = parse("", "test", no_environment()).unwrap_or_else(|invalid| panic!("{invalid}"));
        let options = settings.kafka.options("any");
        let page = page(&options, &settings.journal.kind, "User:waitbridge", &rights(&options));
        assert!(include_str!("../../../docs/reference.md").contains(&format!("```sh\n{page}```")), "docs/reference.md must show\n{page}");
    }

    /// The commands' ends, after what all of them begin with.
    fn check(text: &str, expected: &[&str]) {
        let settings = parse(text, "test", no_environment()).unwrap_or_else(|invalid| panic!("{invalid}"));
        let options = settings.kafka.options("any");
        let page = page(&options, &settings.journal.kind, "User:CN=a b", &rights(&options));
        let begin = format!("{TOOL} --bootstrap-server localhost:9092 --add --allow-principal 'User:CN=a b' --operation ");
        let ends: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(&begin)).collect();
        assert_eq!(ends, expected, "{page}");
    }

    #[test]
    fn a_disk_journal_needs_its_checkpoint_and_a_fleet_the_raw_topic_and_its_group() {
        check(
            "[topics]\nperson = \"p\"\nlocation = \"l\"\ndead_letter = \"d\"\n[kafka]\nprefix = \"wb\"\n",
            &[
                "Write --topic p --topic l --topic d",
                "Read --topic waitbridge.checkpoint.v1",
                "Write --transactional-id wb- --resource-pattern-type prefixed",
                "Read --group wb- --resource-pattern-type prefixed",
                "Read --topic p --topic l --topic d",
                "DescribeConfigs --topic p --topic l --topic d --topic waitbridge.checkpoint.v1",
            ],
        );
        check(
            "[topics]\nperson = \"p\"\nlocation = \"l\"\ndead_letter = \"d\"\n[kafka]\nprefix = \"wb\"\ncreate_topics = true\n\
                [journal]\nkind = \"kafka\"\nraw_topic = \"r\"\ngroup = \"g\"\n",
            &[
                "Write --topic p --topic l --topic d --topic r",
                "Read --topic r",
                "DescribeConfigs --topic r",
                "Write --transactional-id wb- --resource-pattern-type prefixed",
                "Read --group g",
                "Create --topic p --topic l --topic d --topic r",
                "Read --group g- --resource-pattern-type prefixed",
                "Read --topic p --topic l --topic d",
                "DescribeConfigs --topic p --topic l --topic d",
                "DescribeConfigs --cluster",
            ],
        );
    }
}
