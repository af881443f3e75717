//! The thin binary: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

/// Also librdkafka's. A batch is thousands of small pieces that are made together and freed together: with glibc's, a backlog takes
/// a third more CPU.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    waitbridge::cli::run(waitbridge::cli::Arguments::parse())
}
