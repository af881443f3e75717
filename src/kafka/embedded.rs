//! A Kafka broker inside this process, for `demo`: nothing to install, nothing kept.
//!
//! It is librdkafka's own test broker. It keeps at most 5 MiB a partition, forgets a checkpoint committed in a
//! transaction and ignores `read_committed`: right for a look at what comes out, wrong for any claim.

use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// What a partition keeps; then it drops the oldest.
pub const PARTITION_BYTES_MAX: u64 = 5 << 20;

pub struct Embedded {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Embedded {
    /// Starts one broker with the given topics and their numbers of partitions.
    pub fn start(topics: &[(&str, i32)]) -> KafkaResult<Embedded> {
        let cluster = MockCluster::new(1)?;
        for (name, partitions) in topics {
            cluster.create_topic(name, *partitions, 1)?;
        }
        Ok(Embedded { cluster })
    }

    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
