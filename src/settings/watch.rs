//! Settings that were read from a file, so that they can be read again: whether anything has changed, and what.
//!
//! Endpoints and their secrets, the certificate, and what is handed to librdkafka, can change while the process runs; every other key
//! waits for a restart and is only named. Knows no clock and no signal. What it keeps of secrets is their digest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{Value, ValueKind};
use serde::{Deserialize, Serialize};

use super::disk::{Disk, Trail};
use super::{Invalid, one, read_file, tls};
use crate::providers::endpoints::Endpoint;
use crate::server::tls::Identity;
use crate::table::Mistake;

/// Keys and values, flat. A file that is named counts with what it holds.
pub type Facts = BTreeMap<String, String>;

/// What the settings say, to be held against what they say later.
#[derive(Debug, Clone, Default)]
pub struct Said {
    pub endpoints: BTreeMap<String, Facts>,
    /// What is handed to librdkafka.
    pub properties: Facts,
    /// All other keys.
    pub others: Facts,
}

pub struct Watch {
    file: PathBuf,
    trail: Trail,
    /// Of what is in force.
    said: Said,
}

/// Names of endpoints, and of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
    /// Keys of the certificate.
    pub certificate: Vec<String>,
    /// Keys of what is handed to librdkafka.
    pub properties: Vec<String>,
    /// Keys that differ from those in force and need a restart.
    pub waiting: Vec<String>,
}

/// What can change while the process runs, as it is now.
pub struct Again {
    pub endpoints: Vec<Endpoint>,
    pub tls: Option<Identity>,
    pub properties: Vec<(String, String)>,
    pub cautions: Vec<Mistake>,
    pub changes: Changes,
}

/// What one look at the disk found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Same,
    Changed,
}

impl Watch {
    pub fn new(file: PathBuf, trail: Trail, said: Said) -> Watch {
        Watch { file, trail, said }
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What changes between two looks, with `pause` in between, is being written: that is left for a later look.
    pub fn look(&self, pause: impl FnOnce()) -> Look {
        let now = self.trail.again();
        if now == self.trail {
            return Look::Same;
        }
        pause();
        if self.trail.again() == now { Look::Changed } else { Look::Same }
    }

    /// All of it as it is now. Whatever comes of it, only what changes later is news to `look`.
    pub fn read_again(&mut self) -> Result<Again, Invalid> {
        if let Some(stream) = self.trail.stream() {
            let why = format!("{} is no regular file: it cannot be read again; restart instead", stream.display());
            return Err(one(&self.file.display().to_string(), "file", why));
        }
        let disk = Disk::default();
        let read = read_file(&self.file, &disk);
        self.trail = disk.trail();
        let (settings, said) = read?;
        let changes = Changes::between(&self.said, &said);
        self.said.take(said, &changes.certificate);
        let properties = settings.kafka.properties.now().to_vec();
        let (endpoints, tls, cautions) = (settings.endpoints, settings.server.tls, settings.cautions);
        Ok(Again { endpoints, tls, properties, cautions, changes })
    }
}

impl Said {
    /// From now on in force.
    fn take(&mut self, mut said: Said, keys: &[String]) {
        (self.endpoints, self.properties) = (said.endpoints, said.properties);
        self.others.retain(|key, _| !keys.contains(key));
        said.others.retain(|key, _| keys.contains(key));
        self.others.append(&mut said.others);
    }

    fn has_certificate(&self) -> bool {
        self.others.iter().any(|(key, value)| tls::KEYS.contains(&key.as_str()) && !value.starts_with("\"\""))
    }
}

impl Changes {
    fn between(before: &Said, after: &Said) -> Changes {
        let (old, new) = (&before.endpoints, &after.endpoints);
        let stays_tls = before.has_certificate() && after.has_certificate();
        let is_taken = |key: &String| stays_tls && tls::KEYS.contains(&key.as_str());
        let (certificate, waiting) = differing(&before.others, &after.others).into_iter().partition(is_taken);
        let names = |of: &BTreeMap<String, Facts>, pick: &dyn Fn(&str) -> bool| of.keys().filter(|name| pick(name)).cloned().collect();
        Changes {
            added: names(new, &|name| !old.contains_key(name)),
            removed: names(old, &|name| !new.contains_key(name)),
            changed: names(new, &|name| old.get(name).is_some_and(|facts| Some(facts) != new.get(name))),
            certificate,
            properties: differing(&before.properties, &after.properties),
            waiting,
        }
    }
}

fn differing(before: &Facts, after: &Facts) -> Vec<String> {
    let mut keys: Vec<String> = before.keys().chain(after.keys()).filter(|key| before.get(*key) != after.get(*key)).cloned().collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Of the keys that do not tell of endpoints: those that go to librdkafka, and all others.
pub fn other_facts(values: &BTreeMap<String, Value>, trail: &Trail) -> (Facts, Facts) {
    facts(values, trail).into_iter().partition(|(key, _)| PROPERTIES.iter().any(|table| key.starts_with(table)))
}

const PROPERTIES: &[&str] = &["kafka.properties.", "kafka.property_files."];

pub fn facts(values: &BTreeMap<String, Value>, trail: &Trail) -> Facts {
    let mut facts = Facts::new();
    values.iter().for_each(|(key, value)| add(&mut facts, key.clone(), value, trail));
    facts
}

fn add(facts: &mut Facts, key: String, value: &Value, trail: &Trail) {
    match &value.kind {
        ValueKind::Table(inner) => inner.iter().for_each(|(name, value)| add(facts, format!("{key}.{name}"), value, trail)),
        ValueKind::Array(items) => drop(facts.insert(key, items.iter().map(|item| shown(item, trail)).collect::<Vec<_>>().join(","))),
        _ => drop(facts.insert(key, shown(value, trail))),
    }
}

fn shown(value: &Value, trail: &Trail) -> String {
    let text = value.kind.to_string();
    let print = trail.print(&text);
    print.map_or_else(|| format!("{text:?}"), |print| format!("{text:?} {print}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::settings;

    /// A folder with settings, and the watch over it.
    struct Home {
        dir: TempDir,
        watch: Watch,
    }

    const ENDPOINT: &str = "[[endpoint]]\nname = \"NAME\"\nvendor = \"waitlistplus\"\ntenant = \"t\"\nbasic_files = [\"FILE\"]\n";

    impl Home {
        fn new() -> Home {
            let dir = tempfile::tempdir().unwrap();
            let endpoint = ENDPOINT.replace("NAME", "a").replace("FILE", dir.path().join("basic").to_str().unwrap());
            fs::write(dir.path().join("basic"), "user:old").unwrap();
            fs::create_dir(dir.path().join("more")).unwrap();
            let folder = dir.path().join("more").display().to_string();
            let file = dir.path().join("waitbridge.toml");
            fs::write(&file, format!("endpoints_dir = \"{folder}\"\n[kafka.property_files]\n{endpoint}")).unwrap();
            let watch = settings::load(Some(&file)).unwrap_or_else(|invalid| panic!("{invalid}")).watch.unwrap();
            Home { dir, watch }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.dir.path().join(name), text).unwrap();
        }

        fn edit(&self, from: &str, to: &str) {
            let text = fs::read_to_string(self.watch.file()).unwrap();
            assert!(text.contains(from));
            fs::write(self.watch.file(), text.replace(from, to)).unwrap();
        }

        /// A new certificate with a new key.
        fn certify(&self) {
            let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
            self.write("cert", &cert.pem());
            self.write("key", &signing_key.serialize_pem());
        }

        /// What a look and a reading tell: added, removed, changed, properties, waiting.
        #[track_caller]
        fn check(&mut self, expected: [&[&str]; 5]) {
            assert_eq!(self.watch.look(|| {}), Look::Changed);
            let Again { changes, .. } = self.watch.read_again().unwrap_or_else(|invalid| panic!("{invalid}"));
            let Changes { added, removed, changed, certificate, properties, waiting } = changes;
            assert!(certificate.is_empty(), "{certificate:?}");
            assert_eq!([added, removed, changed, properties, waiting].map(|names| names.join(" ")), expected.map(|names| names.join(" ")));
            assert_eq!(self.watch.look(|| {}), Look::Same);
        }
    }

    #[test]
    fn what_changes_is_told_by_the_names_of_endpoints() {
        let mut home = Home::new();
        assert_eq!(home.watch.look(|| {}), Look::Same);
        let basic = home.dir.path().join("basic").display().to_string();
        home.write("more/b.toml", &ENDPOINT.replace("NAME", "b").replace("FILE", &basic));
        home.check([&["b"], &[], &[], &[], &[]]);
        home.write("basic", "user:new");
        home.check([&[], &[], &["a", "b"], &[], &[]]);
        fs::rename(home.dir.path().join("more/b.toml"), home.dir.path().join("more/c.toml")).unwrap();
        home.check([&[], &[], &[], &[], &[]]);
        fs::remove_file(home.dir.path().join("more/c.toml")).unwrap();
        home.check([&[], &["b"], &[], &[], &[]]);
    }

    #[test]
    fn other_keys_are_named_until_they_are_as_they_were() {
        let mut home = Home::new();
        home.edit("[kafka.property_files]\n", "[server]\nworkers = 2\n[kafka]\nprefix = \"other\"\n[kafka.property_files]\n");
        home.check([&[], &[], &[], &[], &["kafka.prefix", "server.workers"]]);
        home.edit("workers = 2", "");
        home.check([&[], &[], &[], &[], &["kafka.prefix"]]);
    }

    #[test]
    fn what_librdkafka_is_handed_is_told_once_and_its_files_too() {
        let mut home = Home::new();
        home.write("password", "old");
        home.write("ca", "no certificate, and nobody uses it");
        let (password, ca) = (home.dir.path().join("password"), home.dir.path().join("ca"));
        let (password, ca) = (password.display(), ca.display());
        let given = format!(
            "[kafka.properties]\n\"security.protocol\" = \"sasl_plaintext\"\n\"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"u\"\n\
                \"ssl.ca.location\" = \"{ca}\"\n[kafka.property_files]\n\"sasl.password\" = \"{password}\"\n"
        );
        home.edit("[kafka.property_files]\n", &given);
        let keys = ["sasl.mechanism", "sasl.username", "security.protocol", "ssl.ca.location"].map(|key| format!("kafka.properties.{key}"));
        let password = "kafka.property_files.sasl.password";
        home.check([&[], &[], &[], &[&keys.each_ref().map(String::as_str)[..], &[password]].concat(), &[]]);
        home.write("password", "new");
        home.check([&[], &[], &[], &[password], &[]]);
        home.write("ca", "another");
        home.check([&[], &[], &[], &["kafka.properties.ssl.ca.location"], &[]]);
    }

    #[test]
    fn another_certificate_is_taken_but_tls_is_switched_by_a_restart_only() {
        let mut home = Home::new();
        home.certify();
        let named = ["cert", "key"].map(|name| format!("tls_{name}_file = \"{}\"\n", home.dir.path().join(name).display())).concat();
        home.edit("[kafka.property_files]\n", &format!("[server]\n{named}[kafka.property_files]\n"));
        home.check([&[], &[], &[], &[], &tls::KEYS]);
        home.watch = settings::load(Some(home.watch.file())).unwrap_or_else(|invalid| panic!("{invalid}")).watch.unwrap();
        for _ in 0..2 {
            home.certify();
            assert_eq!(home.watch.look(|| {}), Look::Changed);
            let again = home.watch.read_again().unwrap_or_else(|invalid| panic!("{invalid}"));
            assert!(again.tls.is_some());
            assert_eq!((again.changes.certificate, again.changes.waiting), (tls::KEYS.map(str::to_owned).to_vec(), Vec::new()));
        }
        home.edit(&named, "");
        home.check([&[], &[], &[], &[], &tls::KEYS]);
    }

    #[test]
    fn a_bad_file_is_news_once_and_mending_it_is_news_again() {
        let mut home = Home::new();
        home.write("basic", "no colon");
        assert_eq!(home.watch.look(|| {}), Look::Changed);
        let said = home.watch.read_again().err().expect("it is bad").to_string();
        assert!(said.contains("basic_files") && !said.contains("no colon"), "{said}");
        assert_eq!(home.watch.look(|| {}), Look::Same, "not told again");
        home.write("basic", "user:old");
        home.check([&[], &[], &[], &[], &[]]);
    }

    #[test]
    fn what_is_being_written_is_left_for_a_later_look() {
        let home = Home::new();
        home.write("basic", "us");
        assert_eq!(home.watch.look(|| home.write("basic", "user:new")), Look::Same);
        assert_eq!(home.watch.look(|| {}), Look::Changed);
    }
}
