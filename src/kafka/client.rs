//! What every client of ours is set to, before the settings' own properties.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::Options;

const SOCKET_TIMEOUT_MAX_MS: u64 = 10_000;

pub(super) fn client_config(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", options.brokers.join(","))
        .set("client.id", &options.prefix)
        // The library wants no request to outlast a transaction.
        .set("socket.timeout.ms", SOCKET_TIMEOUT_MAX_MS.min(options.transaction_timeout_ms).to_string())
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "2000")
        .set("topic.metadata.refresh.interval.ms", "60000")
        .set("allow.auto.create.topics", "false")
        // OpenSSL is linked in, and does not know where this system keeps its certificates.
        .set("ssl.ca.location", "probe")
        .set_log_level(RDKafkaLogLevel::Warning);
    for (key, value) in options.properties.now().iter() {
        config.set(key, value);
    }
    config
}

/// Reads offsets of its group, and only what is committed.
pub(super) fn consumer_config(options: &Options) -> ClientConfig {
    let mut config = client_config(options);
    config
        .set("group.id", &options.group)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error");
    config
}
