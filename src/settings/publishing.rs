//! The sections that say what of a delivery is published, where and how.

use crate::envelope::Mode;
use crate::providers::{Carry, PayloadRule, Rules};
use crate::routing::{Ids, Routes, Target};
use crate::table::{Flag, Table};

pub struct Privacy {
    pub rules: Rules,
    pub ids: Ids,
    pub dead_letter_bodies: Carry,
}

pub fn privacy(root: &mut Table) -> Privacy {
    let mut table = root.table("privacy");
    let payload_words = [("none", PayloadRule::None), ("redacted", PayloadRule::Redacted), ("full", PayloadRule::Full)];
    let payload = table.choice("payload", &payload_words, PayloadRule::Redacted);
    let notes = carry(&mut table, "notes", Flag::Off);
    let message_bodies = carry(&mut table, "message_bodies", Flag::Off);
    let dead_letter_bodies = carry(&mut table, "dead_letter_bodies", Flag::On);
    let hides_ids = table.choice("ids", &[("plain", false), ("hmac", true)], false);
    let key_file = table.text("id_key_file", "");
    let ids = if hides_ids { hidden_ids(&table, &key_file) } else { Ids::Plain };
    table.finish();
    // A payload would show the very ids that are to be hidden.
    let payload = if hides_ids { PayloadRule::None } else { payload };
    Privacy { rules: Rules { payload, notes, message_bodies, json_depth_max: 0 }, ids, dead_letter_bodies }
}

fn hidden_ids(table: &Table, key_file: &str) -> Ids {
    if key_file.is_empty() {
        table.mistake("id_key_file", "is required by ids = \"hmac\": a file with the key, at least 16 bytes");
        return Ids::Plain;
    }
    match table.secret_file("id_key_file", key_file) {
        Some(key) if key.len() >= 16 => Ids::hmac(&key),
        Some(_) => {
            table.mistake("id_key_file", "the key must have at least 16 bytes");
            Ids::Plain
        }
        None => Ids::Plain,
    }
}

fn carry(table: &mut Table, key: &str, default: Flag) -> Carry {
    if table.flag(key, default) { Carry::On } else { Carry::Off }
}

pub fn routes(root: &mut Table) -> Routes {
    let mut table = root.table("routes");
    let routes = Routes {
        person: targets(&mut table, "person", &["person"]),
        visit: targets(&mut table, "visit", &["person"]),
        message: targets(&mut table, "message", &["person"]),
        block: targets(&mut table, "block", &["location"]),
        location: targets(&mut table, "location", &["location"]),
    };
    for (key, targets) in [("block", &routes.block), ("location", &routes.location)] {
        if targets != &[Target::Location] {
            table.mistake(key, "may only go to \"location\": it names no person");
        }
    }
    table.finish();
    routes
}

fn targets(table: &mut Table, key: &str, default: &[&str]) -> Vec<Target> {
    let parse = |word: &str| match word {
        "person" => Some(Target::Person),
        "location" => Some(Target::Location),
        _ => None,
    };
    let words = table.list(key, default);
    let targets: Vec<Target> = words.iter().filter_map(|word| parse(word)).collect();
    let distinct = targets.first() != targets.get(1);
    if targets.is_empty() || targets.len() < words.len() || targets.len() > 2 || !distinct {
        table.mistake(key, "must name one or both of \"person\" and \"location\", each once");
    }
    targets
}

pub fn mode(root: &mut Table) -> Mode {
    let mut table = root.table("envelope");
    let mode = table.choice("mode", &[("binary", Mode::Binary), ("structured", Mode::Structured)], Mode::Binary);
    table.finish();
    mode
}
