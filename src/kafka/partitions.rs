//! Whether the topics have the numbers of partitions that their readers count on.
//!
//! librdkafka tells them with its statistics, so watching costs no call. A topic is known once something was sent to it.

use std::collections::BTreeMap;

use super::topics::Spec;
use crate::metrics::Metrics;

/// What was seen of each topic: at first, and last.
pub(super) struct Partitions {
    topics: BTreeMap<String, Seen>,
}

struct Seen {
    joined: Joined,
    first: Option<usize>,
    last: Option<usize>,
}

/// Whether readers may join this topic with the others of this kind, partition by partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joined {
    Yes,
    No,
}

impl Partitions {
    pub fn of(specs: &[Spec]) -> Partitions {
        let seen = |spec: &Spec| Seen { joined: if spec.role.is_joined() { Joined::Yes } else { Joined::No }, first: None, last: None };
        Partitions { topics: specs.iter().map(|spec| (spec.name.clone(), seen(spec))).collect() }
    }

    /// Takes in what a topic has now. Others than ours, and what is not known at the moment, change nothing.
    pub fn see(&mut self, topic: &str, partitions: usize) {
        if let Some(seen) = self.topics.get_mut(topic).filter(|_| partitions > 0) {
            seen.first.get_or_insert(partitions);
            seen.last = Some(partitions);
        }
    }

    pub fn show(&self, metrics: &Metrics) {
        for (topic, seen) in &self.topics {
            if self.differs(seen) { metrics.topic_partitions_differ(topic) } else { metrics.topic_partitions_fit(topic) }
        }
    }

    fn differs(&self, seen: &Seen) -> bool {
        let is_other = |other: &Seen| other.joined == Joined::Yes && other.last.is_some_and(|partitions| Some(partitions) != seen.last);
        let unlike_others = seen.joined == Joined::Yes && seen.last.is_some() && self.topics.values().any(is_other);
        seen.first != seen.last || unlike_others
    }
}

#[cfg(test)]
mod tests {
    use super::super::topics::Role;
    use super::*;

    #[test]
    fn a_number_that_changes_or_differs_from_the_joined_topic_is_told() {
        let spec =
            |role, name: &str| Spec { role, name: name.to_owned(), partitions: 12, replication: 1, retention_ms: 1, message_bytes_max: 1 };
        let specs = [spec(Role::Person, "person"), spec(Role::Location, "location"), spec(Role::DeadLetter, "letter")];
        // What is seen, one after the other; which topics differ then.
        type Row<'a> = (&'a [(&'a str, usize)], &'a [&'a str]);
        let rows: [Row; 7] = [
            (&[], &[]),
            (&[("person", 6)], &[]),
            (&[("person", 6), ("location", 6), ("letter", 1), ("another", 3)], &[]),
            (&[("person", 6), ("location", 3)], &["location", "person"]),
            (&[("person", 6), ("location", 6), ("person", 12)], &["location", "person"]),
            (&[("letter", 1), ("letter", 2)], &["letter"]),
            (&[("person", 6), ("person", 0)], &[]),
        ];
        for (seen, expected) in rows {
            let mut partitions = Partitions::of(&specs);
            seen.iter().for_each(|(topic, count)| partitions.see(topic, *count));
            let differing: Vec<&str> =
                partitions.topics.iter().filter(|(_, seen)| partitions.differs(seen)).map(|(topic, _)| topic.as_str()).collect();
            assert_eq!(differing, expected, "{seen:?}");
        }
    }
}
