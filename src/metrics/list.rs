//! How a metric is made and registered, for the list of all of them, and how series are dropped again.

use std::collections::HashMap;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use prometheus::{Opts, Registry};

use super::TRANSACTION_RESULTS;

/// Makes metrics and registers them; a name twice or a bad label is a mistake in the list above.
pub(super) struct List {
    pub(super) registry: Registry,
}

impl List {
    /// With what moves by itself, or never.
    pub(super) fn new() -> List {
        let list = List { registry: Registry::new() };
        let build = list.gauges("build_info", "The running build; always 1.", &["version", "revision"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), option_env!("WAITBRIDGE_REVISION").unwrap_or("unknown")]).set(1);
        #[cfg(target_os = "linux")]
        list.add(prometheus::process_collector::ProcessCollector::for_self());
        list
    }

    /// Both results exist from the start.
    pub(super) fn transactions(&self) -> IntCounterVec {
        let transactions = self.counters("relay_transactions_total", "Transactions by how they ended.", &["result"]);
        TRANSACTION_RESULTS.iter().for_each(|result| drop(transactions.with_label_values(&[*result])));
        transactions
    }

    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(format!("waitbridge_{name}"), help)
    }

    fn buckets(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
        HistogramOpts::from(List::opts(name, help)).buckets(buckets.to_vec())
    }

    fn add<M: Collector + 'static>(&self, metric: M) {
        self.registry.register(Box::new(metric)).expect("the list of metrics is well formed");
    }

    fn added<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric = metric.expect("the list of metrics is well formed");
        self.add(metric.clone());
        metric
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.added(IntCounter::with_opts(List::opts(name, help)))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.added(IntCounterVec::new(List::opts(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.added(IntGauge::with_opts(List::opts(name, help)))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.added(IntGaugeVec::new(List::opts(name, help), labels))
    }

    pub(super) fn number(&self, name: &str, help: &str) -> Gauge {
        self.added(Gauge::with_opts(List::opts(name, help)))
    }

    pub(super) fn stamps(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.added(GaugeVec::new(List::opts(name, help), labels))
    }

    pub(super) fn endpoint_stamps(&self, name: &str, help: &str) -> GaugeVec {
        self.stamps(name, help, &["endpoint"])
    }

    pub(super) fn time(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.added(Histogram::with_opts(List::buckets(name, help, buckets)))
    }

    pub(super) fn times(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.added(HistogramVec::new(List::buckets(name, help, buckets), labels))
    }
}

/// Drops the series of endpoints that are gone.
pub(super) fn drop_series<B: MetricVecBuilder>(series: &MetricVec<B>, is_gone: &impl Fn(&str) -> bool) {
    for metric in series.collect().iter().flat_map(|family| family.get_metric()) {
        let labels: HashMap<&str, &str> = metric.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
        if labels.get("endpoint").is_some_and(|endpoint| is_gone(endpoint)) {
            // Another reading may have dropped it already.
            let _ = series.remove(&labels);
        }
    }
}
