//! A topic as it is against what it should be: what breaks a promise, and what is only worth knowing.
//!
//! Knows no client: what is found comes from `cluster`.

use std::collections::BTreeMap;

use super::topics::{CLEANUP_POLICY, Role, SEGMENT_MS, Spec};

/// What the cluster has under a topic's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Missing,
    /// It may be there: we may not look.
    Hidden,
    There(Found),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub partitions: i32,
    /// Of the partition that has the fewest copies.
    pub replication: i32,
    /// Partitions that nobody leads now.
    pub leaderless: i32,
    /// By Kafka's names; none where we may not look.
    pub config: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub weight: Weight,
    /// What differs, by Kafka's name.
    pub what: &'static str,
    pub found: String,
    pub wanted: String,
    /// Why it matters, and what to do.
    pub advice: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Problem,
    /// Worth knowing; nothing breaks.
    Note,
}

/// All of the topics, each with what differs. Numbers of partitions are a note, since to change them would move keys; but two
/// topics that are to be joined must have the same.
pub fn compare(topics: &[(Spec, Standing)]) -> Vec<Vec<Difference>> {
    let joined = |(spec, standing): &(Spec, Standing)| match standing {
        Standing::There(found) if spec.role.is_joined() => Some(found.partitions),
        _ => None,
    };
    let counts: Vec<i32> = topics.iter().filter_map(joined).collect();
    topics
        .iter()
        .map(|(spec, standing)| match standing {
            Standing::Missing => vec![problem("topic", "missing", &spec.name, "make it: `waitbridge topics --create`")],
            Standing::Hidden => {
                vec![problem("topic", "not shown to us", &spec.name, "grant the rights that `waitbridge doctor --acls` prints")]
            }
            Standing::There(found) => there(spec, found, &counts),
        })
        .collect()
}

fn there(spec: &Spec, found: &Found, joined: &[i32]) -> Vec<Difference> {
    let mut all = Vec::new();
    let (partitions, wanted) = (found.partitions, spec.partitions);
    if spec.role.is_joined() && joined.iter().any(|other| *other != partitions) {
        all.push(problem("partitions", partitions, "as the other event topic", "the two cannot be joined: give both the same number"));
    } else if partitions != wanted {
        all.push(note("partitions", partitions, wanted, "keep it: another number would move keys to other partitions"));
    }
    if found.replication < spec.replication {
        all.push(problem("replication", found.replication, spec.replication, "a broker's loss may lose events: add replicas"));
    }
    if found.leaderless > 0 {
        all.push(problem("leaders", format!("{} partitions without", found.leaderless), "none", "a broker is down, or just starting"));
    }
    match &found.config {
        None => {
            all.push(note("settings", "not shown to us", "describable", "grant the right to describe its configs to have them checked"))
        }
        Some(config) => all.extend(config_differences(spec, found, config)),
    }
    all
}

fn config_differences(spec: &Spec, found: &Found, config: &BTreeMap<String, String>) -> Vec<Difference> {
    let text = |key: &str| config.get(key).map_or("", String::as_str);
    let number = |key: &str| text(key).parse::<i64>().ok();
    let mut all = Vec::new();
    if text("cleanup.policy") != CLEANUP_POLICY {
        let advice = "compaction drops events that a consumer has not read yet, and refuses records without a key";
        all.push(problem("cleanup.policy", text("cleanup.policy"), CLEANUP_POLICY, advice));
    }
    let (kept, wanted) = (number("retention.ms").unwrap_or(-1), spec.retention_ms as i64);
    if (0..wanted).contains(&kept) {
        let advice = match spec.role {
            Role::Raw => "deliveries that wait for longer are lost, and the window is shorter: raise it",
            _ => "a consumer that was away for longer misses events",
        };
        all.push(problem("retention.ms", kept, wanted, advice));
    } else if kept != wanted {
        all.push(note("retention.ms", kept, wanted, "people's data is kept for longer"));
    }
    if number("segment.ms").is_none_or(|ms| ms > SEGMENT_MS as i64) {
        all.push(note("segment.ms", text("segment.ms"), SEGMENT_MS, "records are kept for up to this much longer than retention.ms"));
    }
    all.extend(insync_difference(spec, found, number("min.insync.replicas").unwrap_or(1)));
    if number("max.message.bytes").is_none_or(|bytes| bytes < spec.message_bytes_max as i64) {
        let advice = match spec.role {
            Role::Raw => "larger deliveries are refused: raise it, or lower server.body_max",
            _ => "larger events become dead letters: raise it, or lower relay.value_max",
        };
        all.push(problem("max.message.bytes", text("max.message.bytes"), spec.message_bytes_max, advice));
    }
    all
}

fn insync_difference(spec: &Spec, found: &Found, insync: i64) -> Option<Difference> {
    let wanted = spec.min_insync();
    if insync > i64::from(found.replication) {
        return Some(problem("min.insync.replicas", insync, wanted, "more than there are replicas: nothing can be written"));
    }
    if insync < i64::from(wanted) {
        return Some(problem("min.insync.replicas", insync, wanted, "an event may have one copy only when its broker dies"));
    }
    None
}

fn problem(what: &'static str, found: impl ToString, wanted: impl ToString, advice: &'static str) -> Difference {
    Difference { weight: Weight::Problem, what, found: found.to_string(), wanted: wanted.to_string(), advice }
}

fn note(what: &'static str, found: impl ToString, wanted: impl ToString, advice: &'static str) -> Difference {
    Difference { weight: Weight::Note, ..problem(what, found, wanted, advice) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(role: Role) -> Spec {
        let name = role.setting().to_owned();
        Spec { role, name, partitions: 12, replication: 3, retention_ms: 604_800_000, message_bytes_max: 1_048_588 }
    }

    fn found() -> Found {
        let config = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "604800000"),
            ("segment.ms", "86400000"),
            ("min.insync.replicas", "2"),
            ("max.message.bytes", "1048588"),
        ];
        let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Found { partitions: 12, replication: 3, leaderless: 0, config: Some(config.into()) }
    }

    fn check(change: impl FnOnce(&mut Found), expected: &[(Weight, &str)]) {
        let mut found = found();
        change(&mut found);
        let all = compare(&[(spec(Role::Person), Standing::There(found))]).remove(0);
        let seen: Vec<(Weight, &str)> = all.iter().map(|difference| (difference.weight, difference.what)).collect();
        assert_eq!(seen, expected, "{all:?}");
    }

    fn set(key: &'static str, value: &'static str) -> impl FnOnce(&mut Found) {
        move |found| drop(found.config.as_mut().unwrap().insert(key.to_owned(), value.to_owned()))
    }

    #[test]
    fn what_breaks_a_promise_is_a_problem_and_the_rest_a_note() {
        use Weight::{Note, Problem};
        check(|_| {}, &[]);
        check(|found| found.partitions = 3, &[(Note, "partitions")]);
        check(|found| found.replication = 2, &[(Problem, "replication")]);
        check(|found| found.replication = 1, &[(Problem, "replication"), (Problem, "min.insync.replicas")]);
        check(|found| found.replication = 5, &[]);
        check(|found| found.leaderless = 1, &[(Problem, "leaders")]);
        check(|found| found.config = None, &[(Note, "settings")]);
        check(set("cleanup.policy", "compact"), &[(Problem, "cleanup.policy")]);
        check(set("cleanup.policy", "compact,delete"), &[(Problem, "cleanup.policy")]);
        check(set("retention.ms", "86400000"), &[(Problem, "retention.ms")]);
        check(set("retention.ms", "-1"), &[(Note, "retention.ms")]);
        check(set("segment.ms", "604800000"), &[(Note, "segment.ms")]);
        check(set("min.insync.replicas", "1"), &[(Problem, "min.insync.replicas")]);
        check(set("max.message.bytes", "20000"), &[(Problem, "max.message.bytes")]);
        check(set("max.message.bytes", "9000000"), &[]);
    }

    #[test]
    fn what_is_not_there_is_a_problem_and_event_topics_must_have_equal_partitions() {
        let fewer = Found { partitions: 6, ..found() };
        let topics = [
            (spec(Role::Person), Standing::There(found())),
            (spec(Role::Location), Standing::There(fewer)),
            (spec(Role::DeadLetter), Standing::Missing),
            (spec(Role::Checkpoint), Standing::Hidden),
        ];
        for (differences, what) in compare(&topics).iter().zip(["partitions", "partitions", "topic", "topic"]) {
            assert_eq!(differences.len(), 1, "{differences:?}");
            assert_eq!((differences[0].weight, differences[0].what), (Weight::Problem, what));
        }
    }
}
