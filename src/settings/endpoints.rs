//! The endpoints: those of the settings file, and those of the files in `endpoints_dir`.

use std::collections::BTreeMap;
use std::path::Path;

use super::disk::Disk;
use super::sections::network;
use super::watch::{Facts, facts};
use super::{Named, syntax};
use crate::providers::endpoints::Endpoint;
use crate::providers::{Pending, VENDORS, vendor};
use crate::table::{Flag, Table};

/// The keys that are read here. They can change while the process runs.
pub const KEYS: &[&str] = &["endpoint", "endpoints_dir"];

/// An endpoint, what the settings say of it, and where.
pub struct Told {
    endpoint: Endpoint,
    facts: Facts,
    origin: String,
}

impl Told {
    /// With the name beside what is said under it.
    pub fn into_parts(self) -> (Endpoint, (String, Facts)) {
        let name = self.endpoint.name.clone();
        (self.endpoint, (name, self.facts))
    }
}

/// As people write a secret into the settings themselves.
const INLINE: &[&str] = &["secret", "secrets", "token", "tokens", "basic", "user", "password"];

pub fn read(root: &mut Table, disk: &Disk) -> Vec<Told> {
    let mut endpoints = endpoints_of(root, disk);
    let dir = root.text("endpoints_dir", "");
    if !dir.is_empty() {
        let files = disk.toml_files(Path::new(&dir)).unwrap_or_else(|why| {
            root.mistake("endpoints_dir", format!("{dir} cannot be read: {why}"));
            Vec::new()
        });
        files.iter().for_each(|file| endpoints.extend(read_file(root, disk, file)));
    }
    check_names(root, &endpoints);
    endpoints
}

fn read_file(root: &Table, disk: &Disk, file: &Path) -> Vec<Told> {
    let origin = file.display().to_string();
    let said = disk.text(file).and_then(|text| Named::read(&text, &origin).map_err(|error| syntax(&error)));
    match said {
        Ok(Named(values)) => {
            let mut table = Table::new("", &origin, values.into_iter().collect::<BTreeMap<_, _>>(), root.mistakes(), disk);
            let endpoints = endpoints_of(&mut table, disk);
            table.finish();
            endpoints
        }
        Err(why) => {
            root.mistake("endpoints_dir", format!("{origin} cannot be read: {why}"));
            Vec::new()
        }
    }
}

fn endpoints_of(table: &mut Table, disk: &Disk) -> Vec<Told> {
    let told = |table: Table| {
        let (values, origin) = (table.values().clone(), table.origin().to_owned());
        let endpoint = endpoint(table)?;
        Some(Told { endpoint, facts: facts(&values, &disk.trail()), origin })
    };
    table.tables("endpoint").into_iter().filter_map(told).collect()
}

fn endpoint(mut table: Table) -> Option<Endpoint> {
    let name = table.required_text("name").filter(|name| is_name(&table, "name", name));
    let tenant = table.required_text("tenant").filter(|name| is_name(&table, "tenant", name));
    let pending = if table.flag("pending", Flag::Off) { Pending::Yes } else { Pending::No };
    let allow_from = table.parsed_list("allow_from", &[], "a network such as \"203.0.113.0/24\", or an address", network);
    let vendor_name = table.required_text("vendor")?;
    let Some(vendor) = vendor(&vendor_name) else {
        let names: Vec<String> = VENDORS.iter().map(|vendor| format!("\"{}\"", vendor.name)).collect();
        table.mistake("vendor", format!("must be one of {}", names.join(", ")));
        return None;
    };
    let provider = (vendor.build)(&mut table, pending);
    let from_files = "secrets come from files only: name one in secret_files or basic_files, or a token's hash in token_sha256";
    INLINE.iter().for_each(|key| table.refuse(key, from_files));
    table.finish();
    Some(Endpoint { name: name?, vendor: vendor.name, tenant: tenant?, pending, allow_from, provider: provider? })
}

/// `^[a-z0-9][a-z0-9_-]{0,62}$`
fn is_name(table: &Table, key: &str, name: &str) -> bool {
    let letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = name.len() <= 63 && name.bytes().next().is_some_and(letter) && name.bytes().all(|c| letter(c) || c == b'_' || c == b'-');
    if !fits {
        table.mistake(key, "must be 1 to 63 of a-z 0-9 _ -, and begin with a letter or digit");
    }
    fits
}

fn check_names(root: &Table, all: &[Told]) {
    for (index, told) in all.iter().enumerate() {
        let name = &told.endpoint.name;
        if let Some(earlier) = all[..index].iter().find(|earlier| earlier.endpoint.name == *name) {
            let wanted = format!("two endpoints have the name \"{name}\" (the other one in {}); each needs its own", earlier.origin);
            root.mistakes().note(&told.origin, "endpoint", wanted);
        }
    }
}
