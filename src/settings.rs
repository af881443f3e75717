//! The settings: the only reader of files and environment. Every mistake is reported at once.
//!
//! The `config` crate merges the file, the environment and the folder of endpoints; a walk of our own over the
//! result names each key, what is wrong with it and what would be right. What comes out is typed by the rooms
//! that use it; nothing here is used by them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, File, FileFormat, Source, Value};

use crate::table::{InForce, Mistake, Mistakes, Table};

mod disk;
mod endpoints;
mod files;
mod fleet;
mod publishing;
mod sections;
mod sockets;
mod tls;
pub mod watch;

use disk::Disk;
use endpoints::Told;
pub use fleet::{Fleet, Kind};
pub use sections::{JournalSettings, KafkaSettings, LogSettings, ServerSettings};
use watch::{Said, Watch};

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
    /// Where they come from, if they come from a file.
    pub watch: Option<Watch>,
    /// All of it as it holds, for those who want to see it.
    pub in_force: InForce,
    /// What is no mistake, but should be changed.
    pub cautions: Vec<Mistake>,
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
    let disk = Disk::default();
    let (settings, said) = read_file(&found, &disk)?;
    Ok(Settings { watch: Some(Watch::new(found, disk.trail(), said)), ..settings })
}

/// The same from a text: `origin` names it in mistakes.
pub fn parse(text: &str, origin: &str, environment: Environment) -> Result<Settings, Invalid> {
    parse_with(text, origin, environment, &Disk::default()).map(|(settings, _)| settings)
}

fn read_file(file: &Path, disk: &Disk) -> Result<(Settings, Said), Invalid> {
    let origin = file.display().to_string();
    let text = disk.text(file).map_err(|why| one(&origin, "file", format!("cannot be read: {why}")))?;
    parse_with(&text, &origin, environment(), disk)
}

fn parse_with(text: &str, origin: &str, environment: Environment, disk: &Disk) -> Result<(Settings, Said), Invalid> {
    check_variables(&environment)?;
    let said = Named::read(text, origin).map_err(|error| one(origin, "syntax", syntax(&error)))?;
    let merged = Config::builder().add_source(said).add_source(environment).build();
    let values = merged.and_then(|merged| merged.collect()).map_err(|error| one(ENVIRONMENT, "variables", error.to_string()))?;
    read(values.into_iter().collect(), origin, disk)
}

/// What the config crate calls it.
const ENVIRONMENT: &str = "the environment";

pub fn environment() -> Environment {
    Environment::with_prefix("WAITBRIDGE").prefix_separator("__").separator("__")
}

/// For settings that the environment must not change.
pub fn no_environment() -> Environment {
    environment().source(Some(config::Map::new()))
}

fn read(values: BTreeMap<String, Value>, origin: &str, disk: &Disk) -> Result<(Settings, Said), Invalid> {
    let mistakes = Mistakes::default();
    let mut others = values.clone();
    others.retain(|key, _| !endpoints::KEYS.contains(&key.as_str()));
    let mut root = Table::new("", origin, values, &mistakes, disk);
    let server = sections::server(&mut root);
    let journal = sections::journal(&mut root, &server);
    let (relay, prepare) = sections::relay(&mut root, &journal);
    let kafka = sections::kafka(&mut root, &prepare, &journal);
    let log = sections::log(&mut root);
    let told = endpoints::read(&mut root, disk);
    root.finish();
    let (in_force, cautions) = (mistakes.in_force(), mistakes.cautions());
    let mistakes = mistakes.into_list();
    if !mistakes.is_empty() {
        return Err(Invalid(mistakes));
    }
    let (endpoints, said) = told.into_iter().map(Told::into_parts).unzip();
    let (properties, others) = watch::other_facts(&others, &disk.trail());
    let said = Said { endpoints: said, properties, others };
    Ok((Settings { server, journal, relay, prepare, kafka, log, endpoints, watch: None, in_force, cautions }, said))
}

fn check_variables(environment: &Environment) -> Result<(), Invalid> {
    let variables = environment.collect().map_err(|error| one(ENVIRONMENT, "variables", error.to_string()))?;
    match variables.keys().find(|key| key.split('.').next() == Some("endpoint")) {
        Some(key) => {
            Err(one(ENVIRONMENT, key, "endpoints cannot come from the environment; write them into the file, or a file in endpoints_dir"))
        }
        None => Ok(()),
    }
}

/// Without the line itself: somebody may have put a secret there.
fn syntax(error: &ConfigError) -> String {
    let text = error.to_string();
    let told = text.lines().filter(|line| !line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|'));
    told.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ")
}

fn one(origin: &str, key: &str, wanted: impl Into<String>) -> Invalid {
    Invalid(vec![Mistake { origin: origin.to_owned(), key: key.to_owned(), wanted: wanted.into() }])
}

/// What a TOML text says, under a name of its own, so that every value knows where it comes from.
#[derive(Debug, Clone)]
struct Named(config::Map<String, Value>);

impl Named {
    fn read(text: &str, origin: &str) -> Result<Named, ConfigError> {
        let values = File::from_str(text, FileFormat::Toml).collect()?;
        Ok(Named(values.into_iter().map(|(key, value)| (key, named(value, origin))).collect()))
    }
}

impl Source for Named {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Only the outermost value of a file says where it stands; tables inside take it from there.
fn named(value: Value, origin: &str) -> Value {
    Value::new(Some(&origin.to_owned()), value.kind)
}

#[cfg(test)]
mod tests;
