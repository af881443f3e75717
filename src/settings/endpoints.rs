//! The endpoints: those of the settings file, and those of the files in `endpoints_dir`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::Source;

use super::sections::network;
use super::{Disk, Named};
use crate::providers::endpoints::Endpoint;
use crate::providers::{Pending, VENDORS, vendor};
use crate::table::{Flag, Table};

pub fn read(root: &mut Table) -> Vec<Endpoint> {
    let tables = root.tables("endpoint");
    let mut endpoints: Vec<Endpoint> = tables.into_iter().filter_map(endpoint).collect();
    let dir = root.text("endpoints_dir", "");
    if !dir.is_empty() {
        for file in files_in(root, Path::new(&dir)) {
            endpoints.extend(read_file(root, &file));
        }
    }
    check_names(root, &endpoints);
    endpoints
}

fn files_in(root: &Table, dir: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(dir).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    let mut files: Vec<PathBuf> = listed.unwrap_or_else(|error: std::io::Error| {
        root.mistake("endpoints_dir", format!("{} cannot be read: {}", dir.display(), error.kind()));
        Vec::new()
    });
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

fn read_file(root: &Table, file: &Path) -> Vec<Endpoint> {
    let origin = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| error.kind().to_string());
    let values = text.and_then(|text| Named::new(&text, &origin).collect().map_err(|error| error.to_string()));
    match values {
        Ok(values) => {
            let mut table = Table::new("", &origin, values.into_iter().collect::<BTreeMap<_, _>>(), root.mistakes(), &Disk);
            let endpoints = table.tables("endpoint").into_iter().filter_map(endpoint).collect();
            table.finish();
            endpoints
        }
        Err(why) => {
            root.mistake("endpoints_dir", format!("{origin} cannot be read: {why}"));
            Vec::new()
        }
    }
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

fn check_names(root: &Table, endpoints: &[Endpoint]) {
    for (index, endpoint) in endpoints.iter().enumerate() {
        if endpoints[..index].iter().any(|earlier| earlier.name == endpoint.name) {
            root.mistake("endpoint", format!("two endpoints have the name \"{}\"; each needs its own", endpoint.name));
        }
    }
}
