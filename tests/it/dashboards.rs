//! Dashboards and alerts before a real Prometheus, which scrapes a waitbridge on a disk and a replica of a fleet, under deliveries and
//! faults: each query gives data, and the panels of a fault move when it happens.
//!
//! That an alert fires when it should, and not else, is promtool's to test (`dashboards/prometheus/*.test.yml`).

mod boards;
mod faults;
mod scene;

use std::time::{Duration, Instant};

use boards::{Board, Query, Values};
use faults::{FAULTS, Fault, Move, ON_DISK, Way};
use scene::Scene;

use crate::prometheus::{Prometheus, Series, now};

/// A panel sees a fault after a scrape or two; what librdkafka tells comes every ten seconds.
const MOVED_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// What an alert waits for longer than a test may take, and what is put in its place here. Each looks at minutes, hours or a week as at
/// so many seconds; that it does so with its real times is promtool's to test.
const SHORTENED: &[(&str, &[(&str, &str)])] = &[
    ("Restarting", &[(">= 3", ">= 1")]),
    ("EndpointFailing", &[("259200 - 900", "259200")]),
    ("EndpointFailing", &[("259200 - 21600", "259200")]),
    ("EndpointSilent", &[("[1h]", "[3s]"), ("[1d]", "[3s]"), ("offset 1w", "offset 10s"), (">= 20", "> 0")]),
    ("BacklogOld", &[("> 900", "> 1")]),
    ("JournalFilling", &[("[30m]", "[10s]")]),
    ("RetentionNear", &[(">= 0.8", ">= 0.5")]),
    ("RelayBlocked", &[("[5m:30s]", "[4s:1s]"), (">= 9", ">= 3")]),
    ("SecretUnused", &[("7 * 86400", "5")]),
];

/// Alerts of what does not happen here, and why not: promtool alone shows that they fire.
const NOT_HERE: &[(&str, &str)] = &[("CertificateExpires", "nobody here listens with TLS")];

#[test]
fn every_query_of_the_boards_and_rules_gives_data_and_faults_move_their_panels() {
    let mut scene = Scene::start();
    let (began, boards) = (now(), boards::all());
    scene.wait_until_calm();
    let mut problems = Vec::new();
    FAULTS.iter().for_each(|fault| problems.extend(still_after(&mut scene, &boards, fault)));
    problems.extend(panels_without_data(&scene, &boards, began));
    problems.extend(panels_of_others(&scene, &boards, began));
    problems.extend(rules_without_data(&scene.prometheus, began));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    eprintln!("{} boards, {} faults: {:.0} s", boards.len(), FAULTS.len(), now() - began);
}

/// Lets it happen, and names the panels that do not show it in their time.
fn still_after(scene: &mut Scene, boards: &[Board], fault: &Fault) -> Vec<String> {
    let happens = now();
    let before: Vec<Option<f64>> = fault.moves.iter().map(|one| shown(scene, boards, one, happens)).collect();
    (fault.happens)(scene);
    let mut still: Vec<(&Move, Option<f64>)> = fault.moves.iter().zip(before).collect();
    let deadline = Instant::now() + MOVED_WITHIN;
    while !still.is_empty() && Instant::now() < deadline {
        still.retain(|(one, before)| !has_moved(one.way, *before, shown(scene, boards, one, happens)));
        std::thread::sleep(POLL);
    }
    still.iter().map(|(one, before)| format!("{}: {}, {} {:?}: still {before:?}", fault.what, one.board, one.panel, one.labels)).collect()
}

/// What a panel has shown since a moment in the series that are meant: the highest, or of what falls the lowest.
fn shown(scene: &Scene, boards: &[Board], one: &Move, since: f64) -> Option<f64> {
    let board = boards.iter().find(|board| board.title == one.board).unwrap_or_else(|| panic!("no board {}", one.board));
    let values = board.values(&scene.prometheus, &[]);
    let queries: Vec<_> = board.queries.iter().filter(|query| query.panel == one.panel).collect();
    assert!(!queries.is_empty(), "{}: no panel {}", one.board, one.panel);
    let named = |value| if value == ON_DISK { scene.instances[0].as_str() } else { value };
    let labels: Vec<_> = one.labels.iter().map(|(name, value)| (*name, named(*value))).collect();
    let series = queries.iter().flat_map(|query| scene.prometheus.since(since, &query.filled(&values)));
    let numbers = series.filter(|series| series.carries(&labels)).flat_map(|series| series.numbers().collect::<Vec<_>>());
    match one.way {
        Way::Up => numbers.reduce(f64::max),
        Way::Down => numbers.reduce(f64::min),
    }
}

fn has_moved(way: Way, before: Option<f64>, after: Option<f64>) -> bool {
    match (way, before, after) {
        (Way::Up, Some(before), Some(after)) => after > before,
        (Way::Up, None, Some(after)) => after > 0.0,
        (Way::Down, Some(before), Some(after)) => after < before,
        (_, _, None) | (Way::Down, None, _) => false,
    }
}

/// Over all that has happened: each query gives a number, and series with the labels that its legend names.
fn panels_without_data(scene: &Scene, boards: &[Board], began: f64) -> Vec<String> {
    let mut problems = Vec::new();
    for board in boards {
        let values = board.values(&scene.prometheus, &[]);
        problems.extend(wrong(board, &scene.prometheus, &values, began, |query, series| {
            let nameless = query.legend.iter().find(|label| !series.iter().any(|series| series.labels.contains_key(*label)));
            let nameless = nameless.filter(|_| query.panel != OF_ALERTS).map(|label| format!("no series has the label {label}"));
            if has_number(series) { nameless } else { Some(NO_DATA.to_owned()) }
        }));
    }
    problems
}

/// Only alerts that wait for nothing fire here, and they have not all the labels that alerts have.
const OF_ALERTS: &str = "Alerts that fire";
const NO_DATA: &str = "gives no number";

/// Whatever is chosen, nobody else's series are shown; also not those of other things that the same Prometheus scrapes.
fn panels_of_others(scene: &Scene, boards: &[Board], began: f64) -> Vec<String> {
    let mut problems = Vec::new();
    let one_each =
        scene.instances.iter().map(|instance| (vec![("instance", instance.as_str()), ("endpoint", "waitwhile")], vec![instance]));
    for (chosen, shown) in one_each.chain([(Vec::new(), scene.instances.iter().collect())]) {
        for board in boards {
            let values = board.values(&scene.prometheus, &chosen);
            problems.extend(wrong(board, &scene.prometheus, &values, began, |_, series| {
                let instances = series.iter().filter_map(|series| series.labels.get("instance"));
                instances
                    .into_iter()
                    .find(|instance| !shown.contains(instance))
                    .map(|instance| format!("shows {instance}, and {chosen:?} is chosen"))
            }));
        }
    }
    problems
}

/// What Prometheus refuses, and what is wrong with its answer.
fn wrong(
    board: &Board,
    prometheus: &Prometheus,
    values: &Values,
    began: f64,
    why: impl Fn(&Query, &[Series]) -> Option<String>,
) -> Vec<String> {
    let problem = |query: &Query| {
        let expr = query.filled(values);
        let why = prometheus.range(&expr, began, now()).map_or_else(Some, |series| why(query, &series))?;
        Some(format!("{}, {}: {expr}: {why}", board.title, query.panel))
    };
    board.queries.iter().filter_map(problem).collect()
}

fn has_number(series: &[Series]) -> bool {
    series.iter().any(|series| series.numbers().next().is_some())
}

/// Over all that has happened.
fn rules_without_data(prometheus: &Prometheus, began: f64) -> Vec<String> {
    let mut unused: Vec<_> = SHORTENED.iter().collect();
    let mut problems = Vec::new();
    for rule in prometheus.rules() {
        let mut query = rule.query.clone();
        let fits =
            |(alert, changes): &(&str, &[(&str, &str)])| *alert == rule.name && changes.iter().all(|(from, _)| rule.query.contains(from));
        if let Some(at) = unused.iter().position(|shortened| fits(shortened)) {
            query = unused.remove(at).1.iter().fold(query, |query, (from, to)| query.replace(from, to));
        }
        match prometheus.range(&query, began, now()) {
            Ok(series) if has_number(&series) && rule.health == "ok" => {}
            Ok(_) if rule.health == "ok" && NOT_HERE.iter().any(|(alert, _)| *alert == rule.name) => {}
            Ok(_) => problems.push(format!("{}: {query} {NO_DATA} (health {} {})", rule.name, rule.health, rule.last_error)),
            Err(error) => problems.push(format!("{}: {query}: {error}", rule.name)),
        }
    }
    problems.extend(unused.iter().map(|(alert, changes)| format!("{alert}: no rule has what is to be shortened: {changes:?}")));
    problems
}
