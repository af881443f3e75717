//! What the metrics say at a moment, as plain figures, for `/status`: nothing is counted twice.

use std::collections::BTreeMap;

use super::{Metrics, now_seconds};

/// All series at one moment, by name.
pub struct Figures {
    series: BTreeMap<String, Vec<Series>>,
    /// Computed as at a scrape.
    pub oldest_undelivered_age_seconds: f64,
    now_seconds: f64,
}

struct Series {
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    pub fn figures(&self) -> Figures {
        let mut all: BTreeMap<String, Vec<Series>> = BTreeMap::new();
        for family in self.registry.gather() {
            let name = family.name().trim_start_matches("waitbridge_").to_owned();
            let series = family.get_metric().iter().map(|metric| Series {
                labels: metric.get_label().iter().map(|label| (label.name().to_owned(), label.value().to_owned())).collect(),
                // A series is of one kind, and the other one's value is 0.
                value: metric.get_counter().get_value() + metric.get_gauge().get_value(),
            });
            all.entry(name).or_default().extend(series);
        }
        Figures { series: all, oldest_undelivered_age_seconds: self.oldest_undelivered_age_seconds(), now_seconds: now_seconds() }
    }
}

impl Figures {
    /// The sum of all series of this name that carry these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|series| series.value).sum()
    }

    /// The same, for each value of one label; what is 0 is left out.
    pub fn by(&self, name: &str, labels: &[(&str, &str)], label: &str) -> BTreeMap<String, f64> {
        let mut all = BTreeMap::new();
        for series in self.matching(name, labels).filter(|series| series.value != 0.0) {
            if let Some((_, value)) = series.labels.iter().find(|(known, _)| known == label) {
                *all.entry(value.clone()).or_default() += series.value;
            }
        }
        all
    }

    /// The moment that a gauge of a time stands at, in milliseconds since 1970; none while it is 0.
    pub fn moment_ms(&self, name: &str, labels: &[(&str, &str)]) -> Option<i64> {
        Some(self.sum(name, labels)).filter(|seconds| *seconds > 0.0 && *seconds <= self.now_seconds + 1.0).map(|at| (at * 1000.0) as i64)
    }

    fn matching<'a>(&'a self, name: &str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = &'a Series> {
        let carries =
            |series: &Series, (name, value): &(&str, &str)| series.labels.iter().any(|(known, found)| known == name && found == value);
        self.series.get(name).into_iter().flatten().filter(move |series| labels.iter().all(|label| carries(series, label)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn figures_are_what_was_counted() {
        let metrics = Metrics::new();
        for outcome in ["accepted", "accepted", "signature_mismatch"] {
            metrics.delivery_answered("clinic", "waitwhile", outcome, Duration::ZERO);
        }
        metrics.delivery_answered("other", "waitwhile", "accepted", Duration::ZERO);
        metrics.endpoint_accepted("clinic", "waitwhile", 1, 10);
        let figures = metrics.figures();
        assert_eq!(figures.sum("deliveries_total", &[("endpoint", "clinic")]), 3.0);
        assert_eq!(figures.sum("deliveries_total", &[("endpoint", "clinic"), ("outcome", "accepted")]), 2.0, "all labels count");
        assert_eq!(figures.sum("deliveries_total", &[("endpoint", "nobody")]), 0.0);
        let by = figures.by("deliveries_total", &[("endpoint", "clinic")], "outcome");
        assert_eq!(by, BTreeMap::from([("accepted".to_owned(), 2.0), ("signature_mismatch".to_owned(), 1.0)]));
        let moment = |name: &str, labels: &[(&str, &str)]| figures.moment_ms(name, labels).is_some();
        assert!(moment("endpoint_last_accepted_timestamp_seconds", &[("endpoint", "clinic")]));
        assert!(moment("endpoint_secret_last_used_timestamp_seconds", &[("endpoint", "clinic"), ("secret", "1")]));
        assert!(!moment("endpoint_failing_since_timestamp_seconds", &[("endpoint", "clinic")]), "0 is no moment");
        assert!(!moment("endpoint_last_accepted_timestamp_seconds", &[("endpoint", "other")]));
    }
}
