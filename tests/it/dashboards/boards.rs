//! The boards as Grafana reads them: their queries, with the variables filled in as Grafana does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::prometheus::Prometheus;

/// At a scrape a second: four of them, as Grafana has it.
const RATE_INTERVAL: [(&str, &str); 2] = [("__rate_interval", "4s"), ("__rate_interval_ms", "4000")];
/// Of the time that is shown.
const RANGE: (&str, &str) = ("__range", "10m");

pub struct Board {
    pub title: String,
    pub queries: Vec<Query>,
    variables: Vec<Value>,
}

pub struct Query {
    pub panel: String,
    expr: String,
    /// The labels that its legend names.
    pub legend: Vec<String>,
}

pub type Values = BTreeMap<String, String>;

pub fn all() -> Vec<Board> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let files = fs::read_dir(folder).expect("dashboards").map(|entry| entry.expect("an entry").path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.map(|path| Board::new(&serde_json::from_str(&fs::read_to_string(path).expect("a board")).expect("JSON"))).collect()
}

impl Board {
    fn new(board: &Value) -> Board {
        let panels = list(&board["panels"]).iter();
        let queries = panels.flat_map(|panel| list(&panel["targets"]).iter().map(|target| Query::new(panel, target)));
        Board { title: text(&board["title"]), queries: queries.collect(), variables: list(&board["templating"]["list"]).clone() }
    }

    /// What stands for each variable: what is chosen of it, else all. Those that come later may use those before.
    pub fn values(&self, prometheus: &Prometheus, chosen: &[(&str, &str)]) -> Values {
        let mut values: Values =
            RATE_INTERVAL.into_iter().chain([RANGE]).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for variable in self.variables.iter().filter(|variable| variable["type"] == "query") {
            let name = text(&variable["name"]);
            let found = found(prometheus, &fill(&text(&variable["query"]["query"]), &values));
            assert!(!found.is_empty(), "{}: nothing to choose from for ${name}", self.title);
            let one = chosen.iter().find(|(wanted, _)| *wanted == name).map(|(_, value)| escaped(value));
            let all = || variable["allValue"].as_str().map_or_else(|| one_of(&found), str::to_owned);
            values.insert(name, one.unwrap_or_else(all));
        }
        values
    }
}

impl Query {
    fn new(panel: &Value, target: &Value) -> Query {
        let legend = text(&target["legendFormat"]);
        let legend = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::to_owned);
        Query { panel: text(&panel["title"]), expr: text(&target["expr"]), legend: legend.collect() }
    }

    pub fn filled(&self, values: &Values) -> String {
        fill(&self.expr, values)
    }
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Of `label_values(selector, label)`.
fn found(prometheus: &Prometheus, query: &str) -> Vec<String> {
    let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let (selector, label) = inner.and_then(|inner| inner.rsplit_once(", ")).unwrap_or_else(|| panic!("no label_values: {query}"));
    prometheus.label_values(selector, label)
}

/// In a text of PromQL that is a regular expression.
fn escaped(value: &str) -> String {
    value.replace('.', r"\\.")
}

fn one_of(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| escaped(value)).collect();
    if let [value] = values.as_slice() { value.clone() } else { format!("({})", values.join("|")) }
}

fn fill(expr: &str, values: &Values) -> String {
    let mut parts = expr.split('$');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len());
        let value = values.get(&part[..end]).unwrap_or_else(|| panic!("a variable that is not known, ${}, in {expr}", &part[..end]));
        filled += value;
        filled += &part[end..];
    }
    filled
}
