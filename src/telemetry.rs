//! Structured logs, and a panic hook that keeps contents out of them.
//!
//! A line names endpoints, codes, accept ids and vendors' own ids; never names, contact values or bodies.

use std::io::stdout;

use tracing::{Level, error};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Text,
}

/// To be called once; a second call changes nothing.
pub fn start(format: Format, level: Level) {
    let ours = Targets::new().with_target("waitbridge", level).with_default(LevelFilter::WARN);
    let lines = match format {
        Format::Json => fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(stdout).boxed(),
        Format::Text => fmt::layer().with_ansi(false).with_target(false).with_writer(stdout).boxed(),
    };
    let started = registry().with(lines.with_filter(ours)).try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            // The message of a panic may hold a value of a delivery: its place is enough to find it.
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            error!(place, "panic");
        }));
    }
}
