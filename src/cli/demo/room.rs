//! How much a demo makes, and how much the embedded broker keeps: beyond that it drops the oldest, and what is dropped
//! could no longer be shown to be there.

use std::time::Duration;

use crate::kafka::embedded::PARTITION_BYTES_MAX;

/// Of the fullest partition: the two locations' statuses have two keys, which may meet in one partition.
const FULLEST_BYTES_PER_DELIVERY: f64 = 800.0;

/// How many deliveries the broker keeps the events of.
pub fn deliveries_max() -> f64 {
    PARTITION_BYTES_MAX as f64 / FULLEST_BYTES_PER_DELIVERY
}

/// Nothing if it fits, else what to choose instead.
pub fn refusal(duration: Duration, rate: f64) -> Option<String> {
    let (seconds, max) = (duration.as_secs_f64(), deliveries_max());
    let count = seconds * rate;
    (count > max).then(|| {
        format!(
            "the demo's broker keeps about 5 MiB a partition and then drops the oldest: room for about {max:.0} deliveries,\n\
            not for {count:.0}. Choose --duration {:.0}ms at this rate, or --rate {:.3} for this long.\n\
            For more, run `waitbridge serve` on a Kafka of your own, and `waitbridge send --count {count:.0} --rate {rate}`.",
            (max / rate * 1000.0).floor(),
            (max / seconds * 1000.0).floor() / 1000.0,
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::story::{Delivery, Story, Vendor};
    use super::*;
    use crate::envelope::trial::case_of;

    /// What a record takes beside its own bytes when it is alone in its batch.
    const BATCH_BYTES: usize = 100;

    #[test]
    fn a_delivery_of_the_story_takes_as_much_room_as_is_counted_on() {
        for seed in 0..4 {
            let mut story = Story::new(seed);
            let count = 1000;
            let mut bytes: HashMap<String, usize> = HashMap::new();
            for turn in 0..count {
                let Delivery { vendor, body, .. } = story.next(1_774_000_000_000 + turn * 50);
                let vendor = if vendor == Vendor::Waitwhile { "waitwhile" } else { "waitlistplus" };
                for record in case_of(vendor).records(&body).unwrap() {
                    let headers: usize = record.headers.iter().map(|(name, text)| name.len() + text.len()).sum();
                    let size = record.key.len() + headers + record.value.unwrap().len() + BATCH_BYTES;
                    *bytes.entry(record.topic.to_string()).or_default() += size;
                }
            }
            let fullest = bytes["waitlist.location.v1"].max(bytes["waitlist.person.v1"] / 4) as f64 / count as f64;
            assert!((0.5..1.0).contains(&(fullest / FULLEST_BYTES_PER_DELIVERY)), "seed {seed}: {fullest:.0} bytes a delivery, {bytes:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        assert_eq!(refusal(Duration::from_secs(30), 20.0), None);
        assert_eq!(refusal(minutes(5), 20.0), None);
        let told = refusal(minutes(10), 5000.0).unwrap();
        let chosen = |option: &str| told.split(option).nth(1).unwrap().split_whitespace().next().unwrap();
        let shorter = Duration::from_millis(chosen("--duration").trim_end_matches("ms").parse().unwrap());
        assert_eq!(refusal(shorter, 5000.0), None, "{told}");
        assert_eq!(refusal(minutes(10), chosen("--rate").parse().unwrap()), None, "{told}");
    }
}
