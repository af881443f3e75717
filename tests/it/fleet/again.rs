//! What could come again from a fleet and does not: a vendor's retry on another replica, and everything after a quiet week.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::bridge::Bridge;
use crate::kafka::{self, Kafka, client, unique};
use crate::reader::Reader;
use crate::repeats;
use crate::replicas::{FLOWING, Replicas};
use crate::troubles::EVERYTHING_EXPIRES;

fn deliver(bridge: &Bridge, id: &str) {
    repeats::deliver(bridge, id, &[("state", "WAITING"), ("customerId", "c")]);
}

/// Of these replicas.
fn settle(fleet: &Replicas) {
    fleet.get(0).wait_until("nothing is left", FLOWING, |_| fleet.undelivered() == 0.0);
}

/// The ids in their topic: so many, and nothing behind them.
fn ids(kafka: &Kafka, fleet: &Replicas, count: usize) -> Vec<String> {
    let mut reader = Reader::new(kafka.bootstrap(), &[&fleet.topics.person]);
    let mut read = reader.read_until(count, FLOWING);
    settle(fleet);
    read.extend(reader.read_to_end());
    read.iter().map(|record| record.header("ce_id").unwrap().to_owned()).collect()
}

/// Until an offset that a group without members commits now is gone: as old as it is then everything that nobody kept.
fn wait_a_quiet_week(kafka: &Kafka, topic: &str) {
    let nobody = unique("nobody");
    let consumer: BaseConsumer = client(kafka.bootstrap()).set("group.id", &nobody).create().unwrap();
    let mut offset = TopicPartitionList::new();
    offset.add_partition_offset(topic, 0, Offset::Offset(0)).unwrap();
    consumer.commit(&offset, CommitMode::Sync).unwrap();
    kafka.wait_until_offsets_expire(topic, &nobody);
}

/// Whichever has the partition: each is killed once.
#[test]
fn a_vendors_retry_on_another_replica_is_one_event_also_when_the_first_was_killed_between() {
    let kafka = kafka::shared();
    let mut fleet = Replicas::new(kafka, kafka.bootstrap(), 2, 6, "");
    fleet.start_all();
    [0, 1].into_iter().for_each(|replica| deliver(fleet.get(replica), "at once"));
    for replica in [0, 1] {
        deliver(fleet.get(replica), "later");
        settle(&fleet);
    }
    for (first, id) in [(0, "the first died"), (1, "the other died")] {
        deliver(fleet.get(first), id);
        fleet.kill(first);
        deliver(fleet.get(1 - first), id);
        fleet.start(first);
        deliver(fleet.get(first), id);
    }
    (0..2).for_each(|replica| deliver(fleet.get(replica), "at once"));
    (0..2).for_each(|replica| deliver(fleet.get(replica), "last"));
    assert_eq!(ids(kafka, &fleet, 5), ["at once", "later", "the first died", "the other died", "last"]);
    (0..2).for_each(|replica| assert_eq!(fleet.terminate(replica), 0));
}

/// Transactional ids and producer ids are gone then; the offsets of a group that has members are not.
#[test]
fn a_fleet_idle_for_a_quiet_week_publishes_what_comes_then_once_and_nothing_again() {
    let kafka = Kafka::start(EVERYTHING_EXPIRES);
    let mut idle = Replicas::new(&kafka, kafka.bootstrap(), 2, 6, "");
    let mut lone = Replicas::new(&kafka, kafka.bootstrap(), 1, 6, "");
    idle.start_all();
    lone.start(0);
    for fleet in [&idle, &lone] {
        deliver(fleet.get(0), "before");
        // Committed, and not only not yet seen to wait: nobody finds its partition without a checkpoint from now on.
        assert_eq!(ids(&kafka, fleet, 1), ["before"]);
    }
    let missing = |bridge: &Bridge| bridge.metric("waitbridge_checkpoint_missing_total");
    // A partition that comes to it with the first record and before the first commit has none.
    let before = missing(idle.get(1));
    wait_a_quiet_week(&kafka, &idle.raw_topic);
    deliver(idle.get(1), "after");
    assert_eq!(ids(&kafka, &idle, 2), ["before", "after"]);
    // Another one takes over where the first was.
    assert_eq!(idle.terminate(0), 0);
    deliver(idle.get(1), "alone");
    idle.start(0);
    deliver(idle.get(0), "after");
    assert_eq!(ids(&kafka, &idle, 3), ["before", "after", "alone"]);
    lone.kill(0);
    lone.start(0);
    deliver(lone.get(0), "after");
    assert_eq!(ids(&kafka, &lone, 2), ["before", "after"]);
    assert_eq!([idle.get(0), idle.get(1), lone.get(0)].map(missing), [0.0, before, 0.0]);
}
