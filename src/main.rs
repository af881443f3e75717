//! The thin binary: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    waitbridge::cli::run(waitbridge::cli::Arguments::parse())
}
