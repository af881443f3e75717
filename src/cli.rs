//! The commands, one file each, and their exit codes: 0 ok, 1 failure, 2 usage or settings, 3 problems found,
//! 4 journal locked or owned by another.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};

use crate::journal::disk::OpenError;
use crate::settings::Invalid;

mod check;
mod deliver;
mod demo;
mod doctor;
mod explain;
mod health;
mod journal;
mod reload;
mod replay;
mod samples;
mod schema;
mod send;
pub mod serve;
mod show;
mod status;
mod stop;
mod tail;
mod token;
mod topics;

#[derive(Parser)]
#[command(name = "waitbridge", version = VERSION.as_str(), about, long_about = LONG_ABOUT, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const LONG_ABOUT: &str = "waitbridge takes the webhooks of two waitlist vendors, Waitwhile and WaitlistPlus, and puts them, \
as common CloudEvents, on Kafka: nothing lost, nothing twice, in order for each key.\n\n\
Begin with `waitbridge demo`: it needs nothing to be set up.";

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    Send(Box<send::Send>),
    Tail(tail::Tail),
    Check(check::Check),
    Explain(explain::Explain),
    Health(health::Health),
    Token(token::Token),
    Schema(schema::Schema),
    Journal(journal::Journal),
    Replay(replay::Replay),
    Reload(reload::Reload),
    Topics(topics::Topics),
    Status(status::Status),
    Doctor(doctor::Doctor),
}

/// Where the settings are.
#[derive(clap::Args)]
struct ConfigFile {
    /// The settings file; without it ./waitbridge.toml, then /etc/waitbridge/waitbridge.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The exit codes that mean more than "it failed".
const SETTINGS: u8 = 2;
const PROBLEMS: u8 = 3;
const NOT_OURS: u8 = 4;

pub fn run(arguments: Arguments) -> ExitCode {
    let ended = match arguments.command {
        Command::Serve(serve) => serve.run(),
        Command::Demo(demo) => demo.run(),
        Command::Send(send) => send.run(),
        Command::Tail(tail) => tail.run(),
        Command::Check(check) => check.run(),
        Command::Explain(explain) => explain.run(),
        Command::Health(health) => health.run(),
        Command::Token(token) => token.run(),
        Command::Schema(schema) => schema.run(),
        Command::Journal(journal) => journal.run(),
        Command::Replay(replay) => replay.run(),
        Command::Reload(reload) => reload.run(),
        Command::Topics(topics) => topics.run(),
        Command::Status(status) => status.run(),
        Command::Doctor(doctor) => doctor.run(),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("waitbridge: {}", format!("{error:#}").trim_end());
        ExitCode::from(code_of(&error))
    })
}

fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<Invalid>() {
        return SETTINGS;
    }
    match error.downcast_ref::<OpenError>() {
        Some(OpenError::Locked { .. } | OpenError::Disowned { .. } | OpenError::Undelivered { .. }) => NOT_OURS,
        _ => 1,
    }
}

/// Version and, where the build was told it, the commit.
static VERSION: LazyLock<String> = LazyLock::new(|| match option_env!("WAITBRIDGE_REVISION") {
    Some(revision) => format!("{} ({revision})", env!("CARGO_PKG_VERSION")),
    None => env!("CARGO_PKG_VERSION").to_owned(),
});
