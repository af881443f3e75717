//! The settings: the only reader of files and environment. Every mistake is reported at once.
//!
//! The `config` crate merges the file, the environment and the folder of endpoints; a walk of our own over the
//! result names each key, what is wrong with it and what would be right. What comes out is typed by the rooms
//! that use it; nothing here is used by them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat, Source, Value};

use crate::table::{Files, InForce, Mistake, Mistakes, Table};

mod endpoints;
mod sections;

pub use sections::{JournalSettings, KafkaSettings, LogSettings, ServerSettings};

use crate::providers::endpoints::Endpoint;
use crate::relay::{self, prepare};

/// Looked for in this order when no file is named.
pub const DEFAULT_FILES: &[&str] = &["./waitbridge.toml", "/etc/waitbridge/waitbridge.toml"];

pub struct Settings {
    pub server: ServerSettings,
    pub journal: JournalSettings,
    pub relay: relay::Limits,
    pub prepare: prepare::Settings,
    pub kafka: KafkaSettings,
    pub log: LogSettings,
    pub endpoints: Vec<Endpoint>,
    /// All of it as it holds, for those who want to see it.
    pub in_force: InForce,
}

/// Why there are no settings: all that is wrong, a line each.
#[derive(Debug)]
pub struct Invalid(pub Vec<Mistake>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = if self.0.len() == 1 { "thing is" } else { "things are" };
        writeln!(f, "the settings cannot be used; {} {things} wrong:", self.0.len())?;
        self.0.iter().try_for_each(|mistake| writeln!(f, "  {mistake}"))
    }
}

impl std::error::Error for Invalid {}

/// Reads the named file, or the first default one that exists, and the environment (`WAITBRIDGE__…`).
pub fn load(file: Option<&Path>) -> Result<Settings, Invalid> {
    let found = match file {
        Some(file) => file.to_owned(),
        None => DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.exists()).ok_or_else(|| {
            one("settings", "--config", format!("there is no {}; name a file with --config", DEFAULT_FILES.join(" and no ")))
        })?,
    };
    let text =
        std::fs::read_to_string(&found).map_err(|error| one(&found.display().to_string(), "file", format!("cannot be read: {error}")))?;
    parse(&text, &found.display().to_string(), environment())
}

/// The same from a text: `origin` names it in mistakes.
pub fn parse(text: &str, origin: &str, environment: Environment) -> Result<Settings, Invalid> {
    let merged = Config::builder().add_source(Named::new(text, origin)).add_source(environment).build();
    let values = merged.and_then(|merged| merged.collect()).map_err(|error| one(origin, "syntax", error.to_string()))?;
    read(values.into_iter().collect(), origin)
}

pub fn environment() -> Environment {
    Environment::with_prefix("WAITBRIDGE").prefix_separator("__").separator("__")
}

/// For settings that the environment must not change.
pub fn no_environment() -> Environment {
    environment().source(Some(config::Map::new()))
}

fn read(values: BTreeMap<String, Value>, origin: &str) -> Result<Settings, Invalid> {
    let mistakes = Mistakes::default();
    let mut root = Table::new("", origin, values, &mistakes, &Disk);
    let server = sections::server(&mut root);
    let journal = sections::journal(&mut root, &server);
    let (relay, prepare) = sections::relay(&mut root, &journal);
    let kafka = sections::kafka(&mut root, &prepare);
    let log = sections::log(&mut root);
    let endpoints = endpoints::read(&mut root);
    root.finish();
    let in_force = mistakes.in_force();
    let mistakes = mistakes.into_list();
    if !mistakes.is_empty() {
        return Err(Invalid(mistakes));
    }
    Ok(Settings { server, journal, relay, prepare, kafka, log, endpoints, in_force })
}

fn one(origin: &str, key: &str, wanted: impl Into<String>) -> Invalid {
    Invalid(vec![Mistake { origin: origin.to_owned(), key: key.to_owned(), wanted: wanted.into() }])
}

/// TOML text under a name of its own, so that every value knows where it comes from.
#[derive(Debug, Clone)]
struct Named {
    text: String,
    origin: String,
}

impl Named {
    fn new(text: &str, origin: &str) -> Named {
        Named { text: text.to_owned(), origin: origin.to_owned() }
    }
}

impl Source for Named {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, Value>, config::ConfigError> {
        let values = File::from_str(&self.text, FileFormat::Toml).collect()?;
        Ok(values.into_iter().map(|(key, value)| (key, named(value, &self.origin))).collect())
    }
}

/// Only the outermost value of a file says where it stands; tables inside take it from there.
fn named(value: Value, origin: &str) -> Value {
    Value::new(Some(&origin.to_owned()), value.kind)
}

struct Disk;

impl Files for Disk {
    fn contents(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| error.kind().to_string())
    }
}

#[cfg(test)]
mod tests;
