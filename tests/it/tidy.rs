//! What a machine can check of the house's rules. Each rule is a table and the test that reads it; what is allowed in spite of
//! a rule stands beside it, with the reason.

use crate::source::{Function, Source, Word, all};

/// The floors, lowest first. A room knows only the rooms of the floors below it.
const FLOORS: &[&[&str]] = &[
    &["timestamp", "delivery", "event", "metrics", "shutdown", "telemetry", "table", "planted"],
    &["providers", "journal", "kafka", "routing", "envelope"],
    &["relay", "ingress"],
    &["server"],
    &["settings"],
    &["app", "simulation"],
    &["cli"],
    &["main"],
];

/// Rooms that may know one of their own floor: who, whom, and why.
const NEIGHBORS: &[(&str, &str, &str)] = &[
    ("event", "timestamp", "an event has times"),
    ("envelope", "providers", "an envelope carries of the vendor's payload what its provider lets it"),
    ("envelope", "routing", "an envelope has a topic and a key"),
    ("journal", "kafka", "a journal's checkpoint is a group offset"),
    ("kafka", "envelope", "a transaction takes envelopes"),
];

/// A word of the code, and where alone it may stand: paths that start so.
const PLACES: &[(&str, &[&str])] = &[
    ("StatusCode", &["src/server/error.rs"]),
    // The tests ask a real one.
    ("prometheus", &["src/metrics", "tests/"]),
    // The commands write what they make for a person, and read what a person names.
    ("fs", &["src/settings", "src/journal/disk", "src/app/control.rs", "src/cli", "tests/"]),
    ("env", &["src/settings", "src/cli", "src/simulation", "tests/"]),
];

const STATUSES: &[&str] = &["401", "403", "404", "405", "408", "413", "503"];

/// Words that say nothing, or that the design's table of words has a better one for.
const TYPE_ENDINGS: &[&str] = &["Manager", "Helper", "Util", "Utils", "Service", "Handler", "Impl", "Worker", "Pump"];

const UNFINISHED: &[&str] = &["TODO", "FIXME", "todo!(", "unimplemented!(", "dbg!(", "#[ignore"];

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARS_MAX: usize = 140;

/// Longer functions, as "path name", with the reason. Under 3 % of all may stand here.
const LONG_FUNCTIONS: &[(&str, &str)] = &[("src/metrics.rs new", "the list of all metrics, one after the other")];

/// Functions with a bool parameter, as "path name", with the reason.
const BOOL_PARAMETERS: &[(&str, &str)] = &[];

/// Fails with the whole list of what breaks the rule.
fn check<T: ToString>(rule: &str, found: impl IntoIterator<Item = T>) {
    let found: Vec<String> = found.into_iter().map(|one| one.to_string()).collect();
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn may_know(room: &str, other: &str) -> bool {
    room == other || floor(other) < floor(room) || NEIGHBORS.iter().any(|(who, whom, _)| (*who, *whom) == (room, other))
}

/// The identifier that a text starts with, or nothing.
fn identifier(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Each file's words that `is_found` picks, as "path:line" and what stands there.
fn words<'a>(is_found: impl Fn(&Source, &Word) -> bool + Copy + 'a) -> impl Iterator<Item = String> + 'a {
    all().iter().flat_map(move |source| {
        let found = source.words().filter(move |word| is_found(source, word));
        found.map(|word| format!("{}:{} {}{:.40}", source.path, word.line, word.text, word.rest))
    })
}

/// Each file's lines that `is_found` picks, as "path:line".
fn lines<'a>(is_found: impl Fn(&str) -> bool + Copy + 'a) -> impl Iterator<Item = String> + 'a {
    all().iter().flat_map(move |source| {
        let found = source.text.lines().zip(1..).filter(move |(line, _)| is_found(line));
        found.map(|(_, number)| format!("{}:{number}", source.path))
    })
}

/// Each function that `is_found` picks and no exception names, as "path name".
fn functions<'a>(is_found: impl Fn(&Function) -> bool + Copy + 'a, excused: &'a [(&str, &str)]) -> impl Iterator<Item = String> + 'a {
    let named = |source: &Source, function: &Function| format!("{} {}", source.path, function.name);
    let found =
        all().iter().flat_map(move |source| source.functions().into_iter().filter(is_found).map(move |function| named(source, &function)));
    found.filter(|name| !excused.iter().any(|(excused, _)| excused == name))
}

#[test]
fn every_room_has_a_floor_and_knows_only_floors_below() {
    let rooms = || all().iter().filter_map(|source| source.room()).filter(|room| *room != "lib");
    check("a room without a floor", rooms().filter(|room| floor(room).is_none()));
    check(
        "a room that knows one not below it",
        words(|source, word| {
            let Some(other) = word.rest.strip_prefix("::").map(identifier) else { return false };
            let is_upward = |room| floor(room).is_some() && floor(other).is_some() && !may_know(room, other);
            ["crate", "waitbridge"].contains(&word.text) && source.room().is_some_and(is_upward)
        }),
    );
}

#[test]
fn what_is_kept_in_one_place_stands_nowhere_else() {
    let misplaced = PLACES.iter().flat_map(|(what, places)| {
        words(move |source, word| {
            word.text == *what && !word.rest.starts_with('!') && !places.iter().any(|place| source.path.starts_with(place))
        })
    });
    check("a word outside its place", misplaced);
}

#[test]
fn only_the_servers_errors_hold_a_status_number() {
    let is_status =
        |source: &Source, word: &Word| source.room().is_some() && source.path != "src/server/error.rs" && STATUSES.contains(&word.text);
    check("a status number outside src/server/error.rs", words(is_status));
}

#[test]
fn files_functions_and_lines_are_short() {
    let files = all().iter().map(|source| (&source.path, source.code.lines().count()));
    let long = files.filter(|(_, lines)| *lines > FILE_LINES_MAX).map(|(path, lines)| format!("{path} {lines}"));
    check(&format!("a file with more than {FILE_LINES_MAX} lines before its tests"), long);

    let is_long = |function: &Function| function.lines > FUNCTION_LINES_MAX;
    check(&format!("a function with more than {FUNCTION_LINES_MAX} lines"), functions(is_long, LONG_FUNCTIONS));
    assert!(LONG_FUNCTIONS.len() * 100 < functions(|_| true, &[]).count() * 3, "3 % of the functions are long");

    check(&format!("a line with more than {LINE_CHARS_MAX} characters"), lines(|line| line.chars().count() > LINE_CHARS_MAX));
}

#[test]
fn types_are_named_for_what_they_are() {
    let is_empty = |_: &Source, word: &Word| {
        let name = identifier(word.rest.trim_start());
        ["struct", "enum", "trait", "type"].contains(&word.text) && TYPE_ENDINGS.iter().any(|ending| name.ends_with(ending))
    };
    check(&format!("a type's name that ends in one of {TYPE_ENDINGS:?}"), words(is_empty));
}

#[test]
fn nothing_is_left_unfinished_or_unchecked() {
    let found = lines(|line| UNFINISHED.iter().any(|what| line.contains(what)));
    check(&format!("one of {UNFINISHED:?}"), found.filter(|place| !place.starts_with("tests/it/tidy.rs")));
}

#[test]
fn no_parameter_is_a_bool() {
    let has_bool = |function: &Function| function.parameters.split(',').any(|one| one.trim_end().ends_with(": bool"));
    check("a bool parameter, where an enum would say what it means", functions(has_bool, BOOL_PARAMETERS));
}

#[test]
fn every_module_opens_with_what_it_is_for() {
    check(
        "a module that does not open with `//!`",
        all().iter().filter(|source| !source.text.starts_with("//!")).map(|source| &source.path),
    );
}
