//! waitbridge takes the webhooks of two waitlist vendors and puts them, as common events, on Kafka.
//!
//! It is a small house with one durable line through the middle. Above the line we answer the vendor;
//! below it we work until the event is in its topic. The modules stand here in reading order: the words, the
//! upper floor, the line, the lower floor, and what builds and runs them; `ARCHITECTURE.md` is the map.

// What prints must bear that its reader leaves: `cli::show`.
#![cfg_attr(not(test), warn(clippy::print_stdout))]

pub mod delivery;
pub mod event;
pub mod timestamp;

pub mod ingress;
pub mod providers;
pub mod server;

pub mod journal;

pub mod envelope;
pub mod kafka;
pub mod relay;
pub mod routing;

pub mod app;
pub mod cli;
pub mod settings;

pub mod metrics;
pub mod shutdown;
pub mod table;
pub mod telemetry;

#[cfg(test)]
mod planted;
#[cfg(test)]
mod simulation;
