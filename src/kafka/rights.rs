//! The rights that waitbridge needs in Kafka, by its settings: one list, that is printed for those who grant them and tried by the doctor.
//!
//! Each is needed: without it something fails. What a right brings along is not listed: Read and Write let one describe, too. Knows no
//! client; `trial` does.

use super::Options;
use super::topics::Role;

pub mod trial;

/// To do one thing with one resource, or with all whose names begin so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    pub operation: Operation,
    pub resource: Resource,
    pub pattern: Pattern,
    pub name: String,
    pub purpose: Purpose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Write,
    Read,
    Create,
    DescribeConfigs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Topic,
    Group,
    TransactionalId,
    Cluster,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    Literal,
    Prefixed,
}

/// What does not work without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Serve,
    Replay,
    Tail,
    Doctor,
}

impl Operation {
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Write => "Write",
            Operation::Read => "Read",
            Operation::Create => "Create",
            Operation::DescribeConfigs => "DescribeConfigs",
        }
    }
}

impl Resource {
    pub fn as_str(self) -> &'static str {
        match self {
            Resource::Topic => "topic",
            Resource::Group => "group",
            Resource::TransactionalId => "transactional-id",
            Resource::Cluster => "cluster",
        }
    }
}

impl Pattern {
    pub fn as_str(self) -> &'static str {
        match self {
            Pattern::Literal => "literal",
            Pattern::Prefixed => "prefixed",
        }
    }
}

impl Purpose {
    pub const ALL: &[Purpose] = &[Purpose::Serve, Purpose::Replay, Purpose::Tail, Purpose::Doctor];

    /// The commands that need it.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Serve => "serve",
            Purpose::Replay => "replay",
            Purpose::Tail => "tail and replay --dead-letters",
            Purpose::Doctor => "doctor and topics",
        }
    }
}

/// The name by which Kafka knows the cluster as a resource.
const CLUSTER: &str = "kafka-cluster";

/// All of them, in the order of their purposes.
pub fn rights(options: &Options) -> Vec<Right> {
    use Purpose::{Doctor, Replay, Serve, Tail};
    let named = |wanted: fn(Role) -> bool| options.topics.iter().filter(move |spec| wanted(spec.role)).map(|spec| spec.name.as_str());
    let topics = |purpose, operation, wanted| named(wanted).map(move |name| literal(purpose, operation, Resource::Topic, name));
    let mut all: Vec<Right> = Vec::new();
    all.extend(topics(Serve, Operation::Write, |role| role != Role::Checkpoint));
    // To commit the offset of a topic's partition is to read the topic.
    all.extend(topics(Serve, Operation::Read, |role| matches!(role, Role::Checkpoint | Role::Raw)));
    all.extend(topics(Serve, Operation::DescribeConfigs, |role| role == Role::Raw));
    all.push(prefixed(Serve, Operation::Write, Resource::TransactionalId, &options.prefix));
    if is_fleet(options) {
        all.push(literal(Serve, Operation::Read, Resource::Group, &options.group));
    }
    let purpose = if is_fleet(options) { Replay } else { Serve };
    all.push(prefixed(purpose, Operation::Read, Resource::Group, groups(options)));
    all.extend(options.create.iter().map(|spec| literal(Serve, Operation::Create, Resource::Topic, &spec.name)));
    all.extend(topics(Tail, Operation::Read, is_published));
    all.extend(topics(Doctor, Operation::DescribeConfigs, |role| role != Role::Raw));
    if is_fleet(options) {
        all.push(literal(Doctor, Operation::DescribeConfigs, Resource::Cluster, CLUSTER));
    }
    all.sort_by_key(|right| Purpose::ALL.iter().position(|purpose| *purpose == right.purpose));
    all
}

/// Of a fleet all topics are there but a disk journal's.
fn is_fleet(options: &Options) -> bool {
    options.topics.iter().any(|spec| spec.role == Role::Raw)
}

/// What the names of our groups begin with: a disk journal's and those of replays.
fn groups(options: &Options) -> &str {
    if is_fleet(options) { &options.group } else { &options.prefix }
}

fn is_published(role: Role) -> bool {
    matches!(role, Role::Person | Role::Location | Role::DeadLetter)
}

fn literal(purpose: Purpose, operation: Operation, resource: Resource, name: &str) -> Right {
    Right { operation, resource, pattern: Pattern::Literal, name: name.to_owned(), purpose }
}

/// All names that begin with this one and a dash: of journals, replicas and replays.
fn prefixed(purpose: Purpose, operation: Operation, resource: Resource, name: &str) -> Right {
    Right { operation, resource, pattern: Pattern::Prefixed, name: format!("{name}-"), purpose }
}
