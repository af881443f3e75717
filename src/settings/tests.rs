//! The settings of the contract, whole; and what is said of wrong ones.

use std::fs;

use config::Map;

use super::{Settings, environment, no_environment, parse};
use crate::table::Mistake;

/// Every key of the contract with its default; `SECRET`, `BASIC` stand for files.
const EVERY_KEY: &str = include_str!("../../tests/samples/settings.toml");

fn files() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "0123\n").unwrap();
    fs::write(dir.path().join("basic"), "user:hunter2\n").unwrap();
    let text = EVERY_KEY
        .replace("SECRET", &dir.path().join("secret").display().to_string())
        .replace("BASIC", &dir.path().join("basic").display().to_string());
    (dir, text)
}

fn mistakes(text: &str) -> Vec<Mistake> {
    parse(text, "test.toml", no_environment()).err().expect("mistakes").0
}

fn with_environment(text: &str, variables: &[(&str, &str)]) -> Settings {
    let variables: Map<String, String> = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    parse(text, "test.toml", environment().source(Some(variables))).unwrap_or_else(|invalid| panic!("{invalid}"))
}

#[test]
fn every_key_of_the_contract_is_known_and_its_defaults_are_ours() {
    let (_dir, text) = files();
    let written = with_environment(&text, &[]);
    let silent = with_environment("", &[]);
    assert_eq!(written.endpoints.len(), 2);
    assert_eq!(format!("{:?}", written.server.limits), format!("{:?}", silent.server.limits));
    assert_eq!(format!("{:?}", written.relay), format!("{:?}", silent.relay));
    assert_eq!(written.journal.segment_bytes, silent.journal.segment_bytes);
    assert_eq!(written.kafka.options("id").transactional_id, "waitbridge-id");
    assert_eq!(silent.kafka.transaction_timeout_ms, 60_000);
}

#[test]
fn the_environment_wins_over_the_file_and_lists_take_commas() {
    let settings = with_environment(
        "[server]\nlisten = \"127.0.0.1:1\"\n",
        &[("WAITBRIDGE__SERVER__LISTEN", "127.0.0.1:2"), ("WAITBRIDGE__KAFKA__BROKERS", "a:1, b:2"), ("WAITBRIDGE__RELAY__BATCH_MAX", "7")],
    );
    assert_eq!(settings.server.listen.port(), 2);
    assert_eq!(settings.kafka.brokers, ["a:1", "b:2"]);
    assert_eq!(settings.relay.batch_max, 7);
}

#[test]
fn every_mistake_is_reported_at_once_with_file_key_and_what_would_be_right() {
    let text = "endpoints = 1\n[server]\nlisten = \"here\"\nbody_max = \"512\"\nworkers = -1\n[journal]\nkind = \"tape\"\n\
        segment = \"8MiB\"\nsize_max = \"10MiB\"\n[relay]\nretry_min = \"5s\"\nretry_max = \"1s\"\n[kafka]\nbrokers = []\n\
        [kafka.properties]\nacks = \"1\"\n[routes]\nblock = [\"person\"]\n[privacy]\nids = \"hmac\"\n[topics]\nperson = \"a b\"\n\
        [[endpoint]]\nname = \"A\"\nvendor = \"other\"\n[[endpoint]]\nname = \"w\"\nvendor = \"waitwhile\"\ntenant = \"t\"\n\
        secret_files = [\"/nowhere\"]\n";
    let found = mistakes(text);
    for (key, wanted) in [
        ("endpoints", "did you mean endpoint?"),
        ("server.listen", "an address and a port"),
        ("server.body_max", "a size such as"),
        ("server.workers", "from 0 to 1024"),
        ("journal.kind", "\"disk\", \"kafka\""),
        ("journal.size_max", "three segments"),
        ("relay.retry_max", "not be less than retry_min"),
        ("kafka.brokers", "at least one broker"),
        ("kafka.properties.acks", "may not be set"),
        ("routes.block", "only go to"),
        ("privacy.id_key_file", "is required"),
        ("topics.person", "a topic's name"),
        ("endpoint[0].name", "must be 1 to 63"),
        ("endpoint[0].tenant", "is missing"),
        ("endpoint[0].vendor", "\"waitwhile\", \"waitlistplus\""),
        ("endpoint[1].public_urls", "1 to 2 URLs"),
        ("endpoint[1].secret_files", "cannot be read"),
    ] {
        let said = found.iter().any(|mistake| mistake.key == key && mistake.wanted.contains(wanted) && mistake.origin == "test.toml");
        assert!(said, "{key}: {wanted} in {found:#?}");
    }
}

#[test]
fn no_mistake_shows_what_a_secret_file_holds() {
    let (dir, text) = files();
    fs::write(dir.path().join("basic"), "hunter2").unwrap();
    fs::write(dir.path().join("secret"), "\n").unwrap();
    let said = format!("{:?}", mistakes(&text));
    assert!(said.contains("user:password") && said.contains("is empty"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_secret_of_librdkafka_is_taken_from_a_file_only_and_never_shown() {
    let (dir, text) = files();
    let path = dir.path().join("basic").display().to_string();
    for (given, wanted) in [
        ("[kafka.properties]\n\"sasl.password\" = \"hunter2\"\n".to_owned(), "is a secret"),
        (format!("[kafka.property_files]\n\"sasl.pasword\" = \"{path}\"\n"), "sasl.pasword"),
    ] {
        let section = given.split('\n').next().unwrap().to_owned() + "\n";
        let text = text.lines().map(|line| if line.starts_with(section.trim()) { given.as_str() } else { line });
        let said = format!("{:?}", mistakes(&text.collect::<Vec<_>>().join("\n")));
        assert!(said.contains(wanted) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn two_endpoints_of_one_name_are_refused_wherever_they_stand() {
    let (dir, text) = files();
    let more = dir.path().join("endpoints");
    fs::create_dir(&more).unwrap();
    let endpoint = text.split("\n[[endpoint]]\n").nth(1).unwrap();
    fs::write(more.join("a.toml"), format!("[[endpoint]]\n{endpoint}")).unwrap();
    let text = text.replace("endpoints_dir = \"\"", &format!("endpoints_dir = \"{}\"", more.display()));
    assert!(mistakes(&text).iter().any(|mistake| mistake.wanted.contains("two endpoints have the name \"waitwhile\"")));
}

#[test]
fn what_holds_reads_the_same_again_and_shows_no_secret() {
    let (dir, text) = files();
    let more = dir.path().join("endpoints");
    fs::create_dir(&more).unwrap();
    let endpoint = text.split("\n[[endpoint]]\n").nth(1).unwrap().replace("name = \"waitwhile\"", "name = \"another\"");
    fs::write(more.join("a.toml"), format!("[[endpoint]]\n{endpoint}")).unwrap();
    let text = text
        .replace("endpoints_dir = \"\"", &format!("endpoints_dir = \"{}\"", more.display()))
        .replace("[kafka.properties]", "[kafka.properties]\n\"socket.keepalive.enable\" = \"false\"\nsecurity.protocol = \"sasl_ssl\"")
        .replace("[kafka.property_files]", &format!("[kafka.property_files]\n\"sasl.password\" = \"{}/secret\"", dir.path().display()));
    let settings = with_environment(&text, &[("WAITBRIDGE__SERVER__BODY_MAX", "768KiB"), ("WAITBRIDGE__KAFKA__BROKERS", "a:1,b:2")]);
    let shown = settings.in_force.to_toml();
    let again = with_environment(&shown, &[]);
    assert_eq!(again.in_force.to_toml(), shown.replace(&shown[shown.find("   # the").unwrap()..shown.find(" below\n").unwrap() + 6], ""));
    assert_eq!(again.endpoints.len(), 3);
    assert_eq!((again.kafka.properties.clone(), again.kafka.brokers.clone()), (settings.kafka.properties, settings.kafka.brokers));
    for part in
        ["body_max = \"768KiB\"", "brokers = [\"a:1\", \"b:2\"]", "\"sasl.password\" = ", "birth_date = \"Birthdate\"", "workers = 0"]
    {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    assert!(!shown.contains("hunter2") && !shown.contains("0123\""), "{shown}");
    // Each key of the contract is there, but for those that stand for nothing.
    for key in EVERY_KEY
        .lines()
        .filter(|line| !line.starts_with("["))
        .filter_map(|line| line.split_once(" = ").map(|(key, _)| key.trim()))
        .filter(|key| *key != "time_zone")
    {
        assert!(shown.lines().any(|line| line.starts_with(&format!("{key} = "))), "{key} in\n{shown}");
    }
}
