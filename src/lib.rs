//! waitbridge takes the webhooks of two waitlist vendors and puts them, as common events, on Kafka.
//!
//! It is a small house with one durable line through the middle. Above the line we answer the vendor;
//! below it we work until the event is in its topic. The modules stand here in reading order: the words, the
//! upper floor, the line, the lower floor, and what builds and runs them; `ARCHITECTURE.md` is the map.

pub mod delivery;
pub mod event;
pub mod timestamp;
pub mod table;
pub mod metrics;
pub mod shutdown;
pub mod telemetry;
pub mod providers;
pub mod routing;
pub mod envelope;
pub mod kafka;
pub mod journal;
pub mod relay;
pub mod ingress;
pub mod server;
pub mod settings;
pub mod app;
pub mod cli;
