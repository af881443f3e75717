//! The one integration binary: the real program, real sockets, a real Kafka.
//!
//! First stand the fixtures, then what is tested with them. `tests/run` prepares the machine and runs it all.

mod bridge;
mod cluster;
mod foreign;
mod http;
mod kafka;
mod load;
mod process;
mod prometheus;
mod proxy;
mod reader;
mod repeats;
mod replicas;
mod source;
mod world;

mod activation;
mod asyncapi;
mod consumers;
mod dashboards;
mod explain;
mod fixtures;
mod fleet;
mod kills;
mod lives;
mod look;
mod migration;
mod model;
mod ops;
mod privacy;
mod proofs;
mod reference;
mod reload;
mod replay;
mod samples;
mod secure;
mod signatures;
mod situations;
mod smuggling;
mod statuses;
mod tidy;
mod tls;
mod troubles;
