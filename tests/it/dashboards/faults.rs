//! What goes wrong, one after the other, and the panels that must show it.

use super::scene::Scene;

pub struct Fault {
    pub what: &'static str,
    pub happens: fn(&mut Scene),
    pub moves: &'static [Move],
}

/// The series of a panel that carry these labels, taken together, move so.
pub struct Move {
    pub board: &'static str,
    pub panel: &'static str,
    pub labels: &'static [(&'static str, &'static str)],
    pub way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// Stands for the name that Prometheus gives it.
pub const ON_DISK: &str = "the instance with a disk";

const OVERVIEW: &str = "waitbridge: Overview";
const ENDPOINTS: &str = "waitbridge: Endpoints";
const JOURNAL: &str = "waitbridge: Journal and Kafka";
const EVENTS: &str = "waitbridge: Events";

const fn up(board: &'static str, panel: &'static str, labels: &'static [(&'static str, &'static str)]) -> Move {
    Move { board, panel, labels, way: Way::Up }
}

const fn down(board: &'static str, panel: &'static str) -> Move {
    Move { board, panel, labels: &[], way: Way::Down }
}

/// In this order: each leaves behind what the next ones need.
pub const FAULTS: &[Fault] = &[
    Fault {
        what: "an endpoint accepts one delivery and falls silent",
        happens: Scene::one_with_basic,
        moves: &[up(ENDPOINTS, "Accepted", &[("endpoint", "basic")]), up(ENDPOINTS, "Secrets in use", &[("endpoint", "basic")])],
    },
    Fault {
        what: "a signature is made for another URL",
        happens: Scene::signature_for_another_url,
        moves: &[
            up(ENDPOINTS, "Refused, by reason", &[("endpoint", "waitwhile"), ("outcome", "signature_mismatch")]),
            up(ENDPOINTS, "Why signatures did not match", &[("endpoint", "waitwhile"), ("cause", "url_slash")]),
            up(ENDPOINTS, "Last refused", &[("endpoint", "waitwhile")]),
            up(OVERVIEW, "Answers", &[("outcome", "signature_mismatch")]),
        ],
    },
    Fault {
        what: "a delivery names no endpoint of ours",
        happens: Scene::unknown_endpoint,
        moves: &[
            up(ENDPOINTS, "Refused, by reason", &[("endpoint", "unknown"), ("outcome", "not_found")]),
            up(OVERVIEW, "Answers", &[("outcome", "not_found")]),
        ],
    },
    Fault {
        what: "a hook refuses all that its vendor sends",
        happens: Scene::failing_hook,
        moves: &[up(OVERVIEW, "Failing for", &[("endpoint", "island")]), down(ENDPOINTS, "Hours until Waitwhile switches it off")],
    },
    Fault {
        what: "a body is no JSON",
        happens: Scene::malformed_body,
        moves: &[
            up(EVENTS, "Dead letters", &[("vendor", "waitlistplus"), ("reason", "not_json")]),
            up(OVERVIEW, "Alerts that fire", &[("alertname", "DeadLetters"), ("reason", "not_json")]),
        ],
    },
    Fault {
        what: "an event comes twice",
        happens: Scene::repeat,
        moves: &[up(EVENTS, "Repeats", &[("vendor", "waitwhile"), ("basis", "id")])],
    },
    Fault {
        what: "an event comes after a newer one of its visit",
        happens: Scene::stale,
        moves: &[up(EVENTS, "Stale", &[("vendor", "waitwhile")])],
    },
    Fault {
        what: "an event is larger than a record may be",
        happens: Scene::large_payload,
        moves: &[up(EVENTS, "Payloads left out", &[("vendor", "waitwhile")])],
    },
    Fault {
        what: "senders dawdle",
        happens: Scene::dawdling_senders,
        moves: &[up(ENDPOINTS, "In flight", &[]), up(ENDPOINTS, "Bytes in flight", &[])],
    },
    Fault {
        what: "the settings get a mistake",
        happens: Scene::mistake_in_the_settings,
        moves: &[down(OVERVIEW, "Settings"), down(JOURNAL, "Settings last read")],
    },
    Fault {
        what: "a topic is missing",
        happens: Scene::event_for_a_missing_topic,
        moves: &[
            up(OVERVIEW, "Relay waits", &[("reason", "unknown_topic")]),
            up(JOURNAL, "Relay waits for", &[("reason", "unknown_topic")]),
            up(OVERVIEW, "Backlog", &[]),
            up(JOURNAL, "Undelivered", &[]),
            up(OVERVIEW, "Oldest undelivered", &[]),
            up(JOURNAL, "Oldest undelivered", &[]),
            up(JOURNAL, "Transactions", &[("result", "aborted")]),
        ],
    },
    Fault {
        what: "the journal is full",
        happens: Scene::full_journal,
        moves: &[
            down(OVERVIEW, "Journal takes deliveries"),
            up(OVERVIEW, "Answers", &[("outcome", "journal_full")]),
            down(JOURNAL, "Hours until full"),
        ],
    },
    Fault { what: "a shutdown", happens: Scene::shutdown, moves: &[up(OVERVIEW, "Draining", &[])] },
    Fault { what: "an instance is down", happens: Scene::ended, moves: &[down(OVERVIEW, "Running")] },
    Fault {
        what: "it starts with a small memory on a damaged disk, its checkpoint is gone, and the missing topic has other partitions",
        happens: Scene::damaged_start,
        moves: &[
            down(OVERVIEW, "Up for"),
            up(JOURNAL, "Damaged records", &[("instance", ON_DISK)]),
            up(JOURNAL, "Checkpoint missing", &[("instance", ON_DISK)]),
            up(OVERVIEW, "Accept to commit", &[]),
            up(EVENTS, "Accept to commit", &[]),
            up(OVERVIEW, "Partitions differ", &[]),
            up(JOURNAL, "Topics whose partitions differ", &[]),
            down(EVENTS, "How far back it looks"),
        ],
    },
    Fault {
        what: "another producer takes its transactional id",
        happens: Scene::fenced,
        moves: &[up(JOURNAL, "Producer rebuilds", &[("cause", "fenced")])],
    },
    Fault {
        what: "it is killed, and its disk is put back to an older state",
        happens: Scene::rolled_back,
        moves: &[up(JOURNAL, "Rollbacks", &[("instance", ON_DISK)])],
    },
    Fault {
        what: "in a fleet, what is not published comes near the raw topic's retention",
        happens: Scene::old_in_the_raw_topic,
        moves: &[up(JOURNAL, "Raw topic's retention used", &[])],
    },
];
