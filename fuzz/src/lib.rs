//! What the targets have in common: endpoints with known secrets, and a second opinion on what the product computes,
//! which shares no line with it.

use std::path::{Path, PathBuf};

use waitbridge::settings::{Settings, no_environment, parse};

pub mod normalized;
pub mod second;

pub const SECRETS: [&str; 2] = ["whsec_test_0123456789", "another secret"];
pub const URLS: [&str; 2] = ["https://hooks.example.com/old", "https://hooks.example.com/webhooks/waitwhile"];
pub const TOKEN: &str = "wb_2f1d7c0a9b8e4d53a1c6e0f7b2d4986c";
pub const BASIC: &str = "vendor:pass:word";

const ENDPOINTS: &str = r#"
[[endpoint]]
name = "waitwhile"
vendor = "waitwhile"
tenant = "acme"
public_urls = ["https://hooks.example.com/old", "https://hooks.example.com/webhooks/waitwhile"]
secret_files = ["secret-0", "secret-1"]
[[endpoint]]
name = "sunshine"
vendor = "waitlistplus"
tenant = "sunshine"
token_sha256 = ["28151a8c44694a7d7260bde2973509a5dc1f99579e9f817184d5af8a9b340b23"]
basic_files = ["basic"]
time_zone = "America/Chicago"
birth_date_format = "M/D/YYYY"
"#;

/// Both vendors' endpoints, and whatever else `more` says.
pub fn settings(more: &str) -> Settings {
    let folder = secrets_folder();
    let named = |text: &str, file: &str| text.replace(&format!("\"{file}\""), &format!("\"{}\"", folder.join(file).display()));
    let text = ["secret-0", "secret-1", "basic"].iter().fold(format!("{more}{ENDPOINTS}"), |text, file| named(&text, file));
    parse(&text, "fuzz", no_environment()).expect("these settings are right")
}

/// A folder of this process, with the secrets in it.
pub fn secrets_folder() -> PathBuf {
    let folder = process_folder();
    let contents = [("secret-0", SECRETS[0]), ("secret-1", SECRETS[1]), ("basic", BASIC)];
    for (file, content) in contents {
        std::fs::write(folder.join(file), content).expect("a file in the folder of temporary files");
    }
    folder
}

/// Empty the first time; libFuzzer ends a process in too many ways for it to be removed by us: `fuzz/run` does.
pub fn process_folder() -> PathBuf {
    let folder: &Path = &std::env::temp_dir();
    let folder = folder.join(format!("waitbridge-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of temporary files");
    folder
}
