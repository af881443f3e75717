//! Any text as settings: an answer or mistakes, and no secret in either.
#![no_main]

use std::sync::LazyLock;

use waitbridge::settings::{no_environment, parse};
use waitbridge_fuzz::{BASIC, SECRETS, secrets_folder};

/// Files are named relative to the folder with the secrets.
static FOLDER: LazyLock<()> = LazyLock::new(|| std::env::set_current_dir(secrets_folder()).expect("the folder of the secrets"));
/// Somebody wrote a secret into the file itself.
const INLINE: &str = "hunter2-hunter2";
/// Where: nowhere, or on a line of its own behind whatever comes.
const TAILS: [&str; 4] = [
    "",
    "\nsecret = \"hunter2-hunter2\"\n",
    "\n[[endpoint]]\nsecret = hunter2-hunter2\n",
    "\n[kafka.properties]\n\"sasl.password\" = \"hunter2-hunter2\"\n",
];

libfuzzer_sys::fuzz_target!(|text: &str| {
    LazyLock::force(&FOLDER);
    let tail = TAILS[text.len() % TAILS.len()];
    tells_nothing(&said(&format!("{text}{tail}")));
});

fn said(text: &str) -> String {
    match parse(text, "waitbridge.toml", no_environment()) {
        Ok(settings) => settings.in_force.to_toml(),
        Err(mistakes) => {
            assert!(!mistakes.0.is_empty(), "what is wrong is named");
            mistakes.to_string()
        }
    }
}

fn tells_nothing(said: &str) {
    for secret in SECRETS.iter().chain([&BASIC, &INLINE]) {
        assert!(!said.contains(secret), "a secret in {said}");
    }
}
