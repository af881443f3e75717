//! For tests: endpoints from settings as text, with files that are not on any disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Config, FileFormat};

use super::{Carry, PayloadRule, Pending, Provider, Rules, vendor};
use crate::table::{Files, Mistakes, Table};

/// Secrets by path.
pub struct Shelf(pub &'static [(&'static str, &'static str)]);

impl Files for Shelf {
    fn contents(&self, path: &str) -> Result<Vec<u8>, String> {
        let found = self.0.iter().find(|(known, _)| *known == path);
        found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| "no such file".to_owned())
    }
}

const SHELF: Shelf = Shelf(&[
    ("/secret", "whsec_test_0123456789\n"),
    ("/other-secret", "another secret"),
    ("/padded", " whsec_test_0123456789\n\n"),
    ("/encoded", "d2hzZWNfdGVzdF8wMTIzNDU2Nzg5\n"),
    ("/empty", "\n"),
    ("/basic", "user:pass:word\n"),
    ("/other-basic", "zoë:"),
    ("/no-colon", "user"),
]);

/// The contract's own settings of each vendor.
pub const WAITWHILE: &str = r#"
    public_urls = ["https://hooks.example.com/webhooks/waitwhile"]
    secret_files = ["/secret"]
"#;
pub const WAITLISTPLUS: &str = r#"
    token_sha256 = ["28151a8c44694a7d7260bde2973509a5dc1f99579e9f817184d5af8a9b340b23"]
    time_zone = "America/Chicago"
    birth_date_format = "M/D/YYYY"
"#;

/// The contract's defaults.
pub const RULES: Rules = Rules { payload: PayloadRule::Redacted, notes: Carry::Off, message_bodies: Carry::Off, json_depth_max: 64 };

/// Builds an endpoint; the mistakes as `key: what would be right`.
pub fn build(vendor_name: &str, settings: &str, pending: Pending) -> (Option<Arc<dyn Provider>>, Vec<String>) {
    let config = Config::builder().add_source(config::File::from_str(settings, FileFormat::Toml)).build().unwrap();
    let values: BTreeMap<_, _> = config.cache.into_table().unwrap().into_iter().collect();
    let mistakes = Mistakes::default();
    let mut table = Table::new("endpoint[0]", "test", values, &mistakes, &SHELF);
    let provider = (vendor(vendor_name).unwrap().build)(&mut table, pending);
    table.finish();
    let told = |mistake: crate::table::Mistake| format!("{}: {}", mistake.key.trim_start_matches("endpoint[0]."), mistake.wanted);
    (provider, mistakes.into_list().into_iter().map(told).collect())
}

/// An endpoint whose settings have no mistake.
pub fn provider(vendor_name: &str, settings: &str) -> Arc<dyn Provider> {
    let (provider, mistakes) = build(vendor_name, settings, Pending::No);
    assert_eq!(mistakes, Vec::<String>::new());
    provider.unwrap()
}

/// One delivery, and what it must become.
pub struct Sample {
    pub name: &'static str,
    pub body: &'static str,
    pub expected: &'static str,
}

impl Sample {
    pub fn vendor(&self) -> &'static str {
        self.name.split('-').next().expect("split gives at least one part")
    }
}

macro_rules! sample {
    ($name:literal) => {
        Sample {
            name: $name,
            body: include_str!(concat!("../../tests/samples/", $name, ".json")),
            expected: include_str!(concat!("../../tests/samples/expected/", $name, ".json")),
        }
    };
}

pub const SAMPLES: &[Sample] = &[
    sample!("waitlistplus-AddPerson"),
    sample!("waitlistplus-DeletePerson-id-only"),
    sample!("waitlistplus-DeletePerson"),
    sample!("waitlistplus-UpdatePerson-odd-fields"),
    sample!("waitlistplus-UpdatePerson"),
    sample!("waitwhile-location-status.updated"),
    sample!("waitwhile-message.created-visit-only"),
    sample!("waitwhile-message.created"),
    sample!("waitwhile-message.updated"),
    sample!("waitwhile-unknown-type"),
    sample!("waitwhile-visit.created-block"),
    sample!("waitwhile-visit.created"),
    sample!("waitwhile-visit.removed-id-only"),
    sample!("waitwhile-visit.removed"),
    sample!("waitwhile-visit.updated-anonymized"),
    sample!("waitwhile-visit.updated-booking-no-show"),
    sample!("waitwhile-visit.updated-stale"),
    sample!("waitwhile-visit.updated"),
];

/// A seeded source of chance (SplitMix64): a failure comes again.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Less than `below`.
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % below as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }

    /// A body with one to three small wounds.
    pub fn mutated(&mut self, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        for _ in 0..=self.roll(3) {
            let at = self.roll(body.len() + 1);
            let to = (at + self.roll(12)).min(body.len());
            match self.roll(4) {
                0 => drop(body.splice(at..to, [])),
                1 => drop(body.splice(at..at, self.pick(SPLINTERS).bytes())),
                2 => drop(body.splice(at..to, self.pick(SPLINTERS).bytes())),
                _ => {
                    let copied = body[at..to].to_vec();
                    let at = self.roll(body.len() + 1);
                    drop(body.splice(at..at, copied));
                }
            }
        }
        body
    }
}

/// What JSON is made of, and what it is not made of.
const SPLINTERS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "\\",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "\\u0061",
    "0",
    "-",
    "1e5",
    "1.0",
    ".",
    "true",
    "null",
    "9223372036854775808",
    "\"\"",
    "\"x\":",
    "[[[[",
    "{}",
    "[]",
    " ",
    "\n",
    "\u{1}",
    "é",
    "\u{feff}",
    "\"id\":7,",
    "\"data\":{",
    "\"tags\":",
    "\"2026-01-01T00:00:00Z\"",
    "-1",
];
