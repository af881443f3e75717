//! The settings of the contract, whole; and what is said of wrong ones.

use std::fs;
use std::path::Path;

use config::Map;

use super::{Settings, environment, no_environment, parse};
use crate::table::Mistake;

/// Every key of the contract with its default; `SECRET`, `BASIC` stand for files.
const EVERY_KEY: &str = include_str!("../../tests/samples/settings.toml");
const MISTAKES: &str = include_str!("../../tests/samples/mistakes.txt");

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

/// One case of `mistakes.txt`.
#[derive(Default)]
struct Case {
    name: String,
    settings: String,
    variables: Map<String, String>,
    files: Vec<(String, String)>,
    expected: Vec<String>,
}

impl Case {
    fn all(dir: &str) -> Vec<Case> {
        let text = MISTAKES.replace("DIR", dir);
        text.split("\n=== ").skip(1).map(Case::read).collect()
    }

    fn read(text: &str) -> Case {
        let (name, lines) = text.split_once('\n').unwrap();
        let mut case = Case { name: name.to_owned(), ..Case::default() };
        for line in lines.lines() {
            match line.split_once(' ') {
                Some(("$", variable)) => {
                    case.variables.extend(variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
                }
                Some(("@", file)) => case.files.push((file.to_owned(), String::new())),
                Some((">", expected)) => case.expected.push(expected.to_owned()),
                _ => *case.files.last_mut().map_or(&mut case.settings, |(_, text)| text) += &format!("{line}\n"),
            }
        }
        case
    }

    /// What is said of it.
    fn said(&self, dir: &Path) -> Vec<String> {
        let _ = fs::remove_dir_all(dir.join("more"));
        fs::create_dir(dir.join("more")).unwrap();
        self.files.iter().for_each(|(file, text)| fs::write(dir.join(file), text).unwrap());
        let parsed = parse(&self.settings, "test.toml", environment().source(Some(self.variables.clone())));
        parsed.err().map_or(Vec::new(), |invalid| invalid.0.iter().map(ToString::to_string).collect())
    }
}

/// In the order in which people read them.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn every_mistake_is_reported_at_once_with_file_key_and_what_would_be_right() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [("secret", b"hunter2".as_slice()), ("basic", b"user:hunter2"), ("empty", b"\n"), ("binary", b"hunter2\xff")] {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let mut wrong = String::new();
    for case in Case::all(dir.path().to_str().unwrap()) {
        let said = case.said(dir.path());
        assert!(said.iter().all(|line| !line.contains("hunter2") && !line.contains('\n')), "{}: {said:?}", case.name);
        if sorted(said.clone()) != sorted(case.expected) {
            wrong += &format!("=== {}\n{}", case.name, said.iter().map(|line| format!("> {line}\n")).collect::<String>());
        }
    }
    assert!(wrong.is_empty(), "this is said:\n{}", wrong.replace(dir.path().to_str().unwrap(), "DIR"));
}

/// The keys of the contract, each with its section.
fn keys() -> impl Iterator<Item = (String, String)> {
    let mut section = String::new();
    EVERY_KEY.lines().filter_map(move |line| {
        if line.starts_with('[') {
            section = line.split('#').next().unwrap().trim().to_owned();
            return None;
        }
        line.split_once(" = ").map(|(key, _)| (section.clone(), key.to_owned()))
    })
}

#[test]
fn every_key_refuses_a_value_of_a_wrong_kind_and_names_itself() {
    for (section, key) in keys() {
        let (open, table) = if section.starts_with("[[") || section == "[endpoint.fields]" {
            let vendor =
                if section == "[endpoint.fields]" || !"public_urls secret_files".contains(&key) { "waitlistplus" } else { "waitwhile" };
            let given = [("name", "a"), ("vendor", vendor), ("tenant", "t")].map(|(name, value)| format!("{name} = \"{value}\""));
            (given.into_iter().filter(|line| !line.starts_with(&key)).collect::<Vec<_>>().join("\n"), "[[endpoint]]")
        } else {
            (String::new(), section.as_str())
        };
        let inner = if section == "[endpoint.fields]" { "[endpoint.fields]\n" } else { "" };
        let found = mistakes(&format!("{table}\n{open}\n{inner}{key} = {{ x = {{}} }}\n"));
        assert!(found.iter().any(|mistake| mistake.key.ends_with(&key) && mistake.origin == "test.toml"), "{section} {key}: {found:?}");
    }
}

#[test]
fn every_scalar_and_list_can_come_from_the_environment() {
    for (section, key) in keys().filter(|(section, _)| !section.contains("endpoint")) {
        let path = [section.trim_matches(['[', ']']), &key].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        let variable = format!("WAITBRIDGE__{}", path.replace('.', "__").to_uppercase());
        // No key takes this: so each must be heard of.
        let variables = Map::from_iter([(variable.clone(), "\u{1} / x".to_owned())]);
        let said = parse("", "test.toml", environment().source(Some(variables))).err();
        let taken = ["journal.dir", "privacy.id_key_file"].contains(&path.as_str());
        let heard = said.as_ref().is_some_and(|invalid| invalid.0.iter().all(|one| one.key == path && one.origin == "the environment"));
        assert_eq!(heard, !taken, "{variable}: {said:?}");
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
fn a_secret_written_where_its_file_is_to_be_named_is_not_shown() {
    for text in [
        "[[endpoint]]\nname = \"a\"\nvendor = \"waitwhile\"\ntenant = \"t\"\npublic_urls = [\"https://x/\"]\n\
            secret_files = [\"hunter2\"]\n",
        "[[endpoint]]\nname = \"a\"\nvendor = \"waitlistplus\"\ntenant = \"t\"\nbasic_files = [\"hunter2:hunter2\"]\n",
        "[kafka.property_files]\n\"sasl.password\" = \"hunter2\"\n",
        "[privacy]\nids = \"hmac\"\nid_key_file = \"hunter2\"\n",
    ] {
        let said = parse(text, "test.toml", no_environment()).err().expect("no such file").to_string();
        assert!(!said.contains("hunter2") && said.contains("is no file"), "{said}");
    }
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
        .replace(
            "[kafka.properties]",
            "[kafka.properties]\n\"socket.keepalive.enable\" = \"false\"\nsecurity.protocol = \"sasl_ssl\"\n\
            \"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"waitbridge\"",
        )
        .replace("[kafka.property_files]", &format!("[kafka.property_files]\n\"sasl.password\" = \"{}/secret\"", dir.path().display()));
    let settings = with_environment(&text, &[("WAITBRIDGE__SERVER__BODY_MAX", "768KiB"), ("WAITBRIDGE__KAFKA__BROKERS", "a:1,b:2")]);
    let shown = settings.in_force.to_toml();
    let again = with_environment(&shown, &[]);
    assert_eq!(again.in_force.to_toml(), shown.replace(&shown[shown.find("   # the").unwrap()..shown.find(" below\n").unwrap() + 6], ""));
    assert_eq!(again.endpoints.len(), 3);
    assert_eq!((again.kafka.properties.now(), again.kafka.brokers.clone()), (settings.kafka.properties.now(), settings.kafka.brokers));
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
