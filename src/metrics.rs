//! Every metric of waitbridge in one list (name, help, labels, buckets), and the verbs that move them.
//!
//! No type of the `prometheus` crate leaves this room, and no label value comes from a delivery: only from
//! settings and closed enums, so the number of series is bounded. Units are in the names; all names carry the
//! prefix `waitbridge_`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Encoder, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use prometheus::{Registry, TextEncoder};

mod figures;
mod list;

pub use figures::Figures;
use list::{List, drop_series};

/// From the answer of a page cache to a disk in trouble.
const FAST_SECONDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 8.0];
/// From a quiet broker to a Kafka outage of hours.
const SLOW_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0, 21600.0];
const BYTES: &[f64] = &[256.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 65536.0, 262144.0, 524288.0];
const RECORDS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

const COMMITTED: &str = "committed";
const ABORTED: &str = "aborted";
const TRANSACTION_RESULTS: [&str; 2] = [COMMITTED, ABORTED];

/// The endpoint of what named none of the settings.
const UNKNOWN: &str = "unknown";

/// The text format that [`Metrics::render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub struct Metrics {
    registry: Registry,
    deliveries: IntCounterVec,
    delivery_duration: HistogramVec,
    delivery_bytes: HistogramVec,
    deliveries_in_flight: IntGauge,
    bodies_in_flight_bytes: IntGauge,
    endpoint_last_accepted: GaugeVec,
    endpoint_last_rejected: GaugeVec,
    endpoint_failing_since: GaugeVec,
    endpoint_secret_last_used: GaugeVec,
    signature_diagnoses: IntCounterVec,
    journal_append: Histogram,
    journal_sync: Histogram,
    journal_batch: Histogram,
    journal_undelivered_records: IntGauge,
    journal_undelivered_bytes: IntGauge,
    journal_bytes: IntGauge,
    journal_bytes_max: IntGauge,
    journal_writable: IntGauge,
    journal_oldest_age: Gauge,
    journal_retention_used: Gauge,
    journal_damaged: IntCounter,
    journal_rollbacks: IntCounter,
    checkpoint_missing: IntCounter,
    published: IntCounterVec,
    repeated: IntCounterVec,
    stale: IntCounterVec,
    dead_letters: IntCounterVec,
    payloads_omitted: IntCounterVec,
    event_latency: HistogramVec,
    memory_entries: IntGauge,
    window_coverage: Gauge,
    transactions: IntCounterVec,
    transaction_duration: Histogram,
    blocked: IntGaugeVec,
    rebuilds: IntCounterVec,
    brokers_connected: IntGauge,
    config_successful: IntGauge,
    config_read: Gauge,
    partitions_mismatch: IntGaugeVec,
    draining: IntGauge,
    certificate_expires: GaugeVec,
    /// Receipt of the oldest undelivered record in milliseconds since 1970; 0 = none. Its age is computed at the scrape.
    oldest_undelivered_ms: AtomicI64,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    pub fn new() -> Metrics {
        let list = List::new();
        Metrics {
            deliveries: list.counters(
                "deliveries_total",
                "Deliveries answered, by outcome: accepted, or the error's code.",
                &["endpoint", "vendor", "outcome"],
            ),
            delivery_duration: list.times("delivery_duration_seconds", "From the request's head to its answer.", &["vendor"], FAST_SECONDS),
            delivery_bytes: list.times("delivery_bytes", "Size of accepted bodies.", &["vendor"], BYTES),
            deliveries_in_flight: list.gauge("deliveries_in_flight", "Deliveries being read or waiting for the journal."),
            bodies_in_flight_bytes: list.gauge("bodies_in_flight_bytes", "Body bytes that have arrived and have no answer yet."),
            endpoint_last_accepted: list
                .endpoint_stamps("endpoint_last_accepted_timestamp_seconds", "When this endpoint last accepted a delivery."),
            endpoint_last_rejected: list
                .endpoint_stamps("endpoint_last_rejected_timestamp_seconds", "When this endpoint last refused a delivery."),
            endpoint_failing_since: list.endpoint_stamps(
                "endpoint_failing_since_timestamp_seconds",
                "First refusal that carried a signature or credentials since the last acceptance; 0 = not failing.",
            ),
            endpoint_secret_last_used: list.stamps(
                "endpoint_secret_last_used_timestamp_seconds",
                "When this secret last verified a delivery.",
                &["endpoint", "secret"],
            ),
            signature_diagnoses: list.counters(
                "signature_diagnoses_total",
                "Signatures that did not match and were looked into, by the cause that was found; at most one in ten seconds.",
                &["endpoint", "cause"],
            ),
            journal_append: list.time("journal_append_duration_seconds", "From handing a record over until it is durable.", FAST_SECONDS),
            journal_sync: list.time("journal_sync_duration_seconds", "One write and sync of the journal.", FAST_SECONDS),
            journal_batch: list.time("journal_batch_records", "Records that shared one sync.", RECORDS),
            journal_undelivered_records: list.gauge(
                "journal_undelivered_records",
                "Records that are durable but not yet in Kafka; of a fleet, in the partitions that this replica has.",
            ),
            journal_undelivered_bytes: list.gauge("journal_undelivered_bytes", "Bytes that are durable but not yet in Kafka."),
            journal_bytes: list.gauge("journal_bytes", "Bytes that the journal's segments take on disk."),
            journal_bytes_max: list.gauge("journal_bytes_max", "Bytes that the journal may take (journal.size_max)."),
            journal_writable: list.gauge("journal_writable", "1 if an append would be taken now."),
            journal_oldest_age: list
                .number("journal_oldest_undelivered_age_seconds", "Age of the oldest record that is not yet in Kafka; 0 = none."),
            journal_retention_used: list.number(
                "journal_retention_used_ratio",
                "Share of the time that records may wait in the raw topic which the oldest undelivered one has waited; at 1 nothing \
                    more is accepted. In twentieths; on a disk 0.",
            ),
            journal_damaged: list.counter("journal_damaged_records_total", "Records that could not be read back and were set aside."),
            journal_rollbacks: list.counter("journal_rollbacks_total", "Starts on a disk older than its checkpoint in Kafka."),
            checkpoint_missing: list.counter("checkpoint_missing_total", "Times the checkpoint was absent and the local mark was used."),
            published: list.counters("events_published_total", "Events committed to a topic.", &["topic", "type"]),
            repeated: list.counters(
                "events_repeated_total",
                "Deliveries that repeat what is published already, by what told so; not published again.",
                &["vendor", "basis"],
            ),
            stale: list.counters("events_stale_total", "Events committed as older than what was known of their subject.", &["vendor"]),
            dead_letters: list.counters("dead_letters_total", "Deliveries committed as dead letters.", &["vendor", "reason"]),
            payloads_omitted: list.counters("payloads_omitted_total", "Events sent without payload because of their size.", &["vendor"]),
            event_latency: list.times("event_latency_seconds", "From acceptance to the commit in Kafka.", &["topic"], SLOW_SECONDS),
            memory_entries: list.gauge("memory_entries", "Entries in the memory of the journal's window."),
            window_coverage: list.number(
                "window_coverage_seconds",
                "How far back the memory is complete: journal.window, less if relay.memory_max is too small for it.",
            ),
            transactions: list.transactions(),
            transaction_duration: list.time("relay_transaction_duration_seconds", "From begin to commit.", FAST_SECONDS),
            blocked: list.gauges("relay_blocked", "1 while the relay waits for this.", &["topic", "reason"]),
            rebuilds: list.counters("kafka_producer_rebuilds_total", "Producers dropped and built anew.", &["cause"]),
            brokers_connected: list.gauge("kafka_brokers_connected", "Brokers with a connection that is up."),
            config_successful: list.gauge("config_last_reload_successful", "1 if the settings could be used when they were last read."),
            config_read: list.number("config_last_reload_timestamp_seconds", "When the settings were last read, at the start or later."),
            partitions_mismatch: list.gauges(
                "topic_partitions_mismatch",
                "1 if this topic has another number of partitions than when this process saw it first (its keys have moved), or than the \
                    other event topic (the two cannot be joined).",
                &["topic"],
            ),
            draining: list.gauge("draining", "1 while shutting down."),
            certificate_expires: list.stamps(
                "tls_certificate_expires_timestamp_seconds",
                "When the certificate of the public listener expires, or the first of its chain; absent without TLS.",
                &[],
            ),
            oldest_undelivered_ms: AtomicI64::new(0),
            registry: list.registry,
        }
    }

    /// The whole list in Prometheus' text format.
    pub fn render(&self) -> Vec<u8> {
        self.journal_oldest_age.set(self.oldest_undelivered_age_seconds());
        let mut out = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut out).expect("writing to memory does not fail");
        out
    }

    /// Makes an endpoint's series exist from the start, so that a rate over them is right from the first delivery on.
    pub fn endpoint_known(&self, endpoint: &str, vendor: &str) {
        self.deliveries.with_label_values(&[endpoint, vendor, "accepted"]);
        self.stale.with_label_values(&[vendor]);
        self.payloads_omitted.with_label_values(&[vendor]);
        self.endpoint_failing_since.with_label_values(&[endpoint]);
    }

    /// Drops the series of endpoints that are no more: nobody mends what they say, and names may come without end.
    pub fn keep_endpoints(&self, names: &BTreeSet<&str>) {
        let is_gone = |endpoint: &str| endpoint != UNKNOWN && !names.contains(endpoint);
        drop_series(&self.deliveries, &is_gone);
        drop_series(&self.signature_diagnoses, &is_gone);
        for stamps in
            [&self.endpoint_last_accepted, &self.endpoint_last_rejected, &self.endpoint_failing_since, &self.endpoint_secret_last_used]
        {
            drop_series(stamps, &is_gone);
        }
    }

    pub fn config_loaded(&self) {
        self.config_successful.set(1);
        self.config_read.set(now_seconds());
    }

    pub fn config_refused(&self) {
        self.config_successful.set(0);
        self.config_read.set(now_seconds());
    }

    pub fn certificate_expires(&self, at_ms: i64) {
        self.certificate_expires.with_label_values(&[] as &[&str]).set(at_ms as f64 / 1000.0);
    }

    /// Counts a delivery as in flight for as long as the guard lives, also when its sender goes away.
    pub fn delivery_started(&self) -> InFlight {
        self.deliveries_in_flight.inc();
        InFlight(self.deliveries_in_flight.clone())
    }

    /// `outcome` is `accepted` or an error's code.
    pub fn delivery_answered(&self, endpoint: &str, vendor: &str, outcome: &str, took: Duration) {
        self.deliveries.with_label_values(&[endpoint, vendor, outcome]).inc();
        self.delivery_duration.with_label_values(&[vendor]).observe(took.as_secs_f64());
    }

    pub fn endpoint_accepted(&self, endpoint: &str, vendor: &str, secret: usize, body_bytes: usize) {
        let now = now_seconds();
        self.endpoint_last_accepted.with_label_values(&[endpoint]).set(now);
        self.endpoint_failing_since.with_label_values(&[endpoint]).set(0.0);
        self.endpoint_secret_last_used.with_label_values(&[endpoint, &secret.to_string()]).set(now);
        self.delivery_bytes.with_label_values(&[vendor]).observe(body_bytes as f64);
    }

    pub fn endpoint_rejected(&self, endpoint: &str) {
        self.endpoint_last_rejected.with_label_values(&[endpoint]).set(now_seconds());
    }

    /// A refusal of something that carried a signature or credentials: a vendor that meant us, and failed.
    pub fn endpoint_failing(&self, endpoint: &str) {
        let since = self.endpoint_failing_since.with_label_values(&[endpoint]);
        if since.get() == 0.0 {
            since.set(now_seconds());
        }
    }

    /// `cause` is a word of a closed enum.
    pub fn signature_diagnosed(&self, endpoint: &str, cause: &str) {
        self.signature_diagnoses.with_label_values(&[endpoint, cause]).inc();
    }

    pub fn body_bytes_arrived(&self, bytes: usize) {
        self.bodies_in_flight_bytes.add(bytes as i64);
    }

    pub fn body_bytes_answered(&self, bytes: usize) {
        self.bodies_in_flight_bytes.sub(bytes as i64);
    }

    pub fn journal_appended(&self, took: Duration) {
        self.journal_append.observe(took.as_secs_f64());
    }

    pub fn journal_synced(&self, records: usize, took: Duration) {
        self.journal_batch.observe(records as f64);
        self.journal_sync.observe(took.as_secs_f64());
    }

    /// `oldest_received_ms`: receipt of the oldest undelivered record, if there is one.
    pub fn journal_backlog(&self, records: u64, bytes: u64, oldest_received_ms: Option<i64>) {
        self.journal_undelivered_records.set(records as i64);
        self.journal_undelivered_bytes.set(bytes as i64);
        self.oldest_undelivered_ms.store(oldest_received_ms.unwrap_or(0), Ordering::Relaxed);
    }

    pub fn journal_retention_used(&self, share: f64) {
        self.journal_retention_used.set(share);
    }

    pub fn journal_size(&self, bytes: u64, bytes_max: u64) {
        self.journal_bytes.set(bytes as i64);
        self.journal_bytes_max.set(bytes_max as i64);
    }

    pub fn journal_is_writable(&self) {
        self.journal_writable.set(1);
    }

    pub fn journal_is_not_writable(&self) {
        self.journal_writable.set(0);
    }

    pub fn journal_record_damaged(&self) {
        self.journal_records_damaged(1);
    }

    pub fn journal_records_damaged(&self, records: u64) {
        self.journal_damaged.inc_by(records);
    }

    pub fn journal_rolled_back(&self) {
        self.journal_rollbacks.inc();
    }

    pub fn checkpoint_was_missing(&self) {
        self.checkpoint_missing.inc();
    }

    pub fn event_published(&self, topic: &str, kind: &str, latency: Duration) {
        self.published.with_label_values(&[topic, kind]).inc();
        self.event_latency.with_label_values(&[topic]).observe(latency.as_secs_f64());
    }

    pub fn event_repeated(&self, vendor: &str, basis: &str) {
        self.repeated.with_label_values(&[vendor, basis]).inc();
    }

    pub fn event_stale(&self, vendor: &str) {
        self.stale.with_label_values(&[vendor]).inc();
    }

    pub fn memory(&self, entries: usize, coverage_ms: i64) {
        self.memory_entries.set(entries as i64);
        self.window_coverage.set(coverage_ms as f64 / 1000.0);
    }

    pub fn dead_letter_published(&self, vendor: &str, reason: &str) {
        self.dead_letters.with_label_values(&[vendor, reason]).inc();
    }

    pub fn payload_omitted(&self, vendor: &str) {
        self.payloads_omitted.with_label_values(&[vendor]).inc();
    }

    pub fn transaction_committed(&self, took: Duration) {
        self.transactions.with_label_values(&[COMMITTED]).inc();
        self.transaction_duration.observe(took.as_secs_f64());
    }

    pub fn transaction_aborted(&self) {
        self.transactions.with_label_values(&[ABORTED]).inc();
    }

    /// The relay waits: `topic` is a topic of the settings, or empty for the whole cluster.
    pub fn relay_blocked(&self, topic: &str, reason: &str) {
        self.blocked.with_label_values(&[topic, reason]).set(1);
    }

    pub fn relay_flows(&self) {
        self.blocked.reset();
    }

    pub fn producer_rebuilt(&self, cause: &str) {
        self.rebuilds.with_label_values(&[cause]).inc();
    }

    pub fn brokers_connected(&self, brokers: usize) {
        self.brokers_connected.set(brokers as i64);
    }

    pub fn topic_partitions_fit(&self, topic: &str) {
        self.partitions_mismatch.with_label_values(&[topic]).set(0);
    }

    pub fn topic_partitions_differ(&self, topic: &str) {
        self.partitions_mismatch.with_label_values(&[topic]).set(1);
    }

    pub fn draining_started(&self) {
        self.draining.set(1);
    }

    fn oldest_undelivered_age_seconds(&self) -> f64 {
        match self.oldest_undelivered_ms.load(Ordering::Relaxed) {
            0 => 0.0,
            oldest_ms => (now_seconds() - oldest_ms as f64 / 1000.0).max(0.0),
        }
    }
}

pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn now_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_the_oldest_is_counted_at_the_scrape() {
        let metrics = Metrics::new();
        let hour_ago_ms = (now_seconds() as i64 - 3600) * 1000;
        metrics.journal_backlog(3, 300, Some(hour_ago_ms));
        let age = metrics.oldest_undelivered_age_seconds();
        assert!((3600.0..3605.0).contains(&age), "{age}");
        metrics.journal_backlog(0, 0, None);
        assert_eq!(metrics.oldest_undelivered_age_seconds(), 0.0);
    }

    #[test]
    fn endpoints_that_are_gone_leave_no_series_and_the_others_keep_theirs() {
        let metrics = Metrics::new();
        for endpoint in ["kept", "gone", UNKNOWN] {
            metrics.endpoint_known(endpoint, "v");
            metrics.delivery_answered(endpoint, "v", "not_found", Duration::ZERO);
            metrics.endpoint_accepted(endpoint, "v", 0, 1);
            metrics.endpoint_rejected(endpoint);
            metrics.signature_diagnosed(endpoint, "unknown");
        }
        metrics.keep_endpoints(&BTreeSet::from(["kept"]));
        let text = String::from_utf8(metrics.render()).unwrap();
        let count = |endpoint: &str| text.matches(&format!("endpoint=\"{endpoint}\"")).count();
        assert_eq!((count("kept"), count("gone"), count(UNKNOWN)), (7, 0, 7), "{text}");
    }

    #[test]
    fn every_name_carries_the_prefix() {
        let metrics = Metrics::new();
        metrics.endpoint_known("a", "b");
        let text = String::from_utf8(metrics.render()).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("waitbridge_") || line.starts_with("process_"), "{line}");
        }
    }
}
