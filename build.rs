//! Tells a release its commit, where git knows it and WAITBRIDGE_REVISION does not say it. Other builds do without: each commit would
//! make them anew.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=WAITBRIDGE_REVISION");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if is_release && env::var_os("WAITBRIDGE_REVISION").is_none() {
        tell();
    }
}

fn tell() {
    // A source that only lies in somebody's repository has a prefix there, and no commit of its own.
    let is_own = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
    let revision = git(&["describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]);
    if let (true, Some(revision)) = (is_own, revision) {
        println!("cargo:rustc-env=WAITBRIDGE_REVISION={revision}");
    }
    // The first changes with each commit, the second with what is not committed.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    for path in log.iter().map(String::as_str).chain(["src"]).filter(|path| Path::new(path).exists()) {
        println!("cargo:rerun-if-changed={path}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let told = Command::new("git").args(arguments).output().ok().filter(|told| told.status.success())?;
    Some(String::from_utf8(told.stdout).ok()?.trim_end().to_owned())
}
