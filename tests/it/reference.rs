//! `docs/reference.md` says what the code says, row by row: what is missing is named as the row to add.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use config::{Config, File, FileFormat, Value as Setting};
use serde_json::Value;
use waitbridge::envelope::{SCHEMA, event_type};
use waitbridge::event::{Change, Kind, Reason};
use waitbridge::settings;

use crate::bridge::Home;
use crate::http::{once, request};
use crate::kafka;
use crate::source;

type Rows = BTreeSet<String>;

/// No key is so near to it that it would be taken for a typing mistake.
const UNKNOWN_KEY: &str = "no_such_key_anywhere";

/// The sample of the settings shows secrets' hashes and files, which are no defaults.
const NO_DEFAULTS: &[&str] = &["token_sha256", "basic_files"];

/// What makes a metric in the list of metrics, and the label that it adds by itself.
const METRIC_VERBS: &[(&str, Option<&str>)] = &[
    ("counter", None),
    ("counters", None),
    ("gauge", None),
    ("gauges", None),
    ("number", None),
    ("stamps", None),
    ("endpoint_stamps", Some("endpoint")),
    ("time", None),
    ("times", None),
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of a page's tables by the heading above them; a table's head and its rule are none.
fn tables(page: &str) -> BTreeMap<String, Rows> {
    let mut tables: BTreeMap<String, Rows> = BTreeMap::new();
    let (mut heading, mut above) = (String::new(), "");
    for line in page.lines() {
        if line.starts_with('#') {
            heading = line.trim_start_matches(['#', ' ']).to_owned();
        }
        let is_row = line.starts_with("| ") && above.starts_with('|');
        if is_row {
            assert!(tables.entry(heading.clone()).or_default().insert(line.to_owned()), "twice in the page: {line}");
        }
        above = line;
    }
    tables
}

fn reference(heading: &str) -> Rows {
    tables(&read("docs/reference.md")).remove(heading).unwrap_or_else(|| panic!("docs/reference.md has no table under {heading}"))
}

/// What stands in backquotes in the cell of this number, from 0.
fn quoted(row: &str, cell: usize) -> String {
    row.split(" | ").nth(cell).unwrap_or_default().split('`').nth(1).unwrap_or_default().to_owned()
}

fn assert_same(what: &str, documented: &Rows, coded: &Rows) {
    let list = |rows: Vec<&String>| rows.into_iter().map(|row| format!("\n  {row}")).collect::<String>();
    let (add, delete) = (list(coded.difference(documented).collect()), list(documented.difference(coded).collect()));
    assert!(add.is_empty() && delete.is_empty(), "{what}: add{add}\nand delete{delete}");
    assert!(!coded.is_empty(), "{what}: none were found in the code");
}

/// The code of a file, without its tests.
fn code(path: &str) -> String {
    let text = read(path);
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

/// With texts that go over several lines on one.
fn unfolded(code: &str) -> String {
    code.split("\\\n").enumerate().map(|(number, part)| if number == 0 { part } else { part.trim_start() }).collect()
}

/// The texts in double quotes that `text` begins with, however they are laid out.
fn texts(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches([',', ' ', '\n', '&', '[']);
    while let Some((one, after)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        found.push(one);
        rest = after.trim_start_matches([',', ' ', '\n', '&', '[']);
    }
    found
}

#[test]
fn commands() {
    let help = |arguments: &[&str]| {
        let shown = Command::new(env!("CARGO_BIN_EXE_waitbridge")).args(arguments).output().unwrap();
        String::from_utf8(shown.stdout).unwrap()
    };
    let all = help(&["--help"]);
    let listed = all.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap().lines();
    let names = listed.filter_map(|line| line.split_whitespace().next().filter(|_| line.starts_with("  ") && !line.starts_with("   ")));
    let coded: Rows = names.filter(|name| *name != "help").map(str::to_owned).collect();
    let rows = reference("Commands").into_iter().filter(|row| row.starts_with("| `"));
    assert_same("commands", &rows.map(|row| quoted(&row, 0)).collect(), &coded);
    for name in coded {
        assert!(help(&[&name, "--help"]).contains("Example"), "waitbridge {name} --help shows no example");
    }
}

#[test]
fn answers() {
    let code = code("src/server/error.rs");
    let parts: Vec<&str> = code.split('"').collect();
    let is_status = |text: &&str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let row = |at: usize| {
        let status = parts[at - 1].trim_end().strip_suffix(',')?.rsplit(['(', ' ', '\n']).next().filter(is_status)?;
        Some(format!("| {status} | `{}` | {} |", parts[at], parts[at + 2]))
    };
    let coded = (1..parts.len() - 2).step_by(2).filter_map(row).collect();
    assert_same(
        "codes",
        &reference("HTTP").into_iter().filter(|row| !row.contains("/{endpoint}") && !row.contains("/healthz")).collect(),
        &coded,
    );
}

#[test]
fn settings_and_their_defaults() {
    let page = tables(&read("docs/reference.md"));
    let sample = parsed(&read("tests/samples/settings.toml"));
    let known = known_keys();
    for (heading, path) in [
        ("Top", ""),
        ("`[server]`", "server."),
        ("`[journal]`", "journal."),
        ("`[relay]`", "relay."),
        ("`[kafka]`", "kafka."),
        ("`[topics]`", "topics."),
        ("`[routes]`", "routes."),
        ("`[envelope]`", "envelope."),
        ("`[privacy]`", "privacy."),
        ("`[log]`", "log."),
        ("`[[endpoint]]` of `waitwhile`", "endpoint[0]."),
        ("`[[endpoint]]` of `waitlistplus`", "endpoint[1]."),
        ("`[endpoint.fields]`", "endpoint[1].fields."),
    ] {
        let mut rows = page[heading].clone();
        if heading.contains(" of ") {
            rows.extend(page["`[[endpoint]]`"].iter().cloned());
        }
        assert_same(heading, &rows.iter().map(|row| quoted(row, 0)).collect(), &known[path]);
        for row in rows.iter().filter(|row| !row.contains(" | required | ")) {
            let (key, default) = (quoted(row, 0), quoted(row, 1));
            let documented = parsed(&format!("{key} = {default}")).get::<Setting>(&key).unwrap_or_else(|error| panic!("{row}: {error}"));
            let sampled = sample.get::<Setting>(&format!("{path}{key}")).ok().filter(|_| !NO_DEFAULTS.contains(&key.as_str()));
            assert!(
                sampled.is_none_or(|sampled| sampled.kind == documented.kind),
                "tests/samples/settings.toml has another default: {row}"
            );
        }
    }
}

fn parsed(toml: &str) -> Config {
    Config::builder().add_source(File::from_str(toml, FileFormat::Toml)).build().unwrap_or_else(|error| panic!("{toml}: {error}"))
}

/// By the path of their table, from what is said of a key that none of them knows.
fn known_keys() -> BTreeMap<String, Rows> {
    const SECTIONS: &[&str] = &["server", "journal", "relay", "kafka", "topics", "routes", "envelope", "privacy", "log", "endpoint"];
    let inner = |path: &str| match path {
        "" => SECTIONS,
        "kafka." => &["properties", "property_files"],
        "endpoint[1]." => &["fields"],
        _ => &[],
    };
    let unknown = format!("{UNKNOWN_KEY} = 1\n");
    let sections = SECTIONS.iter().filter(|section| **section != "endpoint").map(|section| format!("[{section}]\n{unknown}"));
    let endpoint = |vendor: &str| format!("[[endpoint]]\nname = \"{vendor}\"\ntenant = \"t\"\nvendor = \"{vendor}\"\n{unknown}");
    let text: String = unknown.clone() + &sections.collect::<String>();
    let text = [&text, &endpoint("waitwhile"), &endpoint("waitlistplus"), "[endpoint.fields]\n", &unknown].concat();
    let invalid = settings::parse(&text, "test", settings::no_environment()).err().expect("mistakes");
    let known = invalid.0.iter().filter_map(|mistake| {
        let path = mistake.key.strip_suffix(UNKNOWN_KEY)?;
        let keys = mistake.wanted.split_once("known here: ").unwrap_or_else(|| panic!("{mistake}")).1.split(", ");
        Some((path.to_owned(), keys.filter(|key| !inner(path).contains(key)).map(str::to_owned).collect()))
    });
    known.collect()
}

#[test]
fn metrics() {
    let files = source::all().iter().map(|source| &source.path).filter(|path| path.starts_with("src/metrics"));
    let code = unfolded(&files.map(|path| code(path)).collect::<String>());
    let mut coded = Rows::new();
    for (verb, label) in METRIC_VERBS {
        for call in code.split(&format!(".{verb}(")).skip(1) {
            let texts = texts(call);
            let [name, help, labels @ ..] = texts.as_slice() else { continue };
            let labels = label.iter().chain(labels).map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
            coded.insert(format!("| `waitbridge_{name}` | {} | {help} |", if labels.is_empty() { "–" } else { &labels }));
        }
    }
    let documented = reference("Metrics");
    assert_same("metrics", &documented, &coded);

    let kafka = kafka::shared();
    let bridge = Home::new(kafka.bootstrap(), &kafka.new_topics(1), "").start();
    let shown = String::from_utf8(once(bridge.admin, &request("GET", "/metrics", &[], b"")).body).unwrap();
    let shown = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let shown: Rows = shown.filter(|name| !name.starts_with("process_")).map(str::to_owned).collect();
    let documented: Rows = documented.iter().map(|row| quoted(row, 0)).collect();
    assert!(shown.len() > 20 && shown.is_subset(&documented), "shown, but not in the list: {:?}", shown.difference(&documented));
}

#[test]
fn events() {
    let mut coded = Rows::new();
    for vendor in ["waitwhile", "waitlistplus"] {
        let code = code(&format!("src/providers/{vendor}/said.rs"));
        let types = code.split("const TYPES").nth(1).unwrap().split("= &[").nth(1).unwrap().split("];").next().unwrap();
        for one in types.split('(').skip(1) {
            let kind = [Kind::Visit, Kind::Location, Kind::Message].into_iter().find(|kind| one.contains(&format!("Kind::{kind:?}")));
            let change = Change::ALL.iter().find(|change| one.contains(&format!("Change::{change:?}"))).unwrap();
            let ce_type = event_type(kind.unwrap_or(Kind::Person), *change);
            coded.insert(format!("| {vendor} | `{}` | `{ce_type}` | `{}` | ", texts(one)[0], change.as_str()));
        }
    }
    let without_erasure = |row: String| row[..row.trim_end_matches(" |").rfind("| ").unwrap() + 2].to_owned();
    assert_same("events", &reference("Events").into_iter().map(without_erasure).collect(), &coded);
}

#[test]
fn data() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let page = tables(&read("docs/reference.md"));
    let parts = schema["$defs"].as_object().unwrap().iter().filter(|(_, part)| part["properties"].is_object());
    for (name, part) in parts.map(|(name, part)| (name.as_str(), part)).chain([("data", &schema)]) {
        let row = |(key, property): (&String, &Value)| {
            format!("| `{key}` | {} | {} |", kind(property), property["description"].as_str().unwrap_or_default())
        };
        let coded = part["properties"].as_object().unwrap().iter().map(row).collect();
        assert_same(name, &page[name], &coded);
    }
}

/// A property's type in words.
fn kind(property: &Value) -> String {
    let or = |kinds: Vec<String>| kinds.join(" or ");
    if let Some(part) = property["$ref"].as_str() {
        return part.rsplit('/').next().unwrap().to_owned();
    }
    if let Some(choices) = property["anyOf"].as_array() {
        let words = |words: &Vec<Value>| words.iter().map(|word| format!("`{}`", word.as_str().unwrap())).collect::<Vec<_>>().join(" ");
        let told = choices.iter().filter(|choice| choice["type"] != "string");
        return or(told.map(|choice| choice["enum"].as_array().map_or_else(|| kind(choice), words)).collect());
    }
    match &property["type"] {
        Value::Array(kinds) => or(kinds.iter().map(|one| kind(&serde_json::json!({ "type": one }))).collect()),
        Value::String(one) if one == "array" => format!("list of {}", kind(&property["items"])),
        Value::String(one) if one == "object" && property["additionalProperties"].is_object() => {
            format!("object of {}", kind(&property["additionalProperties"]))
        }
        Value::String(one) if one == "string" => "text".to_owned(),
        one => one.as_str().unwrap().to_owned(),
    }
}

#[test]
fn reasons_of_dead_letters() {
    let rows = tables(&read("docs/consumers.md")).remove("Dead letters").unwrap();
    let coded = Reason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect();
    assert_same("docs/consumers.md, dead letters", &rows.iter().map(|row| quoted(row, 0)).collect(), &coded);
}

const PAGES: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "docs/consumers.md",
    "docs/reference.md",
    "docs/replay.md",
    "docs/waitwhile.md",
    "docs/waitlistplus.md",
];

/// A whole settings file is one that describes an endpoint; its secrets are not on this machine.
#[test]
fn the_settings_that_the_pages_show_are_right() {
    for page in PAGES {
        let text = read(page);
        let shown = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for toml in shown.filter(|toml| toml.contains("[[endpoint]]")) {
            let wrong = settings::parse(toml, page, settings::no_environment()).err().map_or(Vec::new(), |invalid| invalid.0);
            let wrong: Vec<_> = wrong.iter().filter(|mistake| !mistake.key.ends_with("secret_files")).collect();
            assert!(wrong.is_empty(), "{wrong:#?}");
        }
    }
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let anchor = |line: &str| {
        let kept = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-").chars().filter(|c| kept(*c)).collect::<String>()
    };
    for page in PAGES {
        let text = read(page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|link| !link.contains("://"));
        for link in links {
            let (path, wanted) = link.split_once('#').unwrap_or((link, ""));
            let target = Path::new(page).parent().unwrap().join(path);
            let target = read(if path.is_empty() { page } else { target.to_str().unwrap() });
            let found = target.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == wanted);
            assert!(wanted.is_empty() || found, "{page}: {link}");
        }
    }
}
