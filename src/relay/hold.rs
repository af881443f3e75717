//! An event of an endpoint that this replica does not know yet: the replica that took it may have newer settings. It waits a
//! while, and with it all that comes after it in its partition; then it is a dead letter.

use std::collections::BTreeMap;

use tracing::info;

use super::Relay;
use crate::journal::{Position, ReadError, Source, Stored};
use crate::kafka::Broker;

/// How often to look whether the endpoint is known now.
const LOOK_EVERY_MS: i64 = 500;

impl<S: Source, B: Broker> Relay<S, B> {
    /// What of the batch can be published now; first, those whose time to look has come read on.
    pub(super) fn hold_back(&mut self, mut batch: Vec<Stored>) -> Result<Vec<Stored>, ReadError> {
        let now_ms = self.clock.now_ms();
        for position in self.partitions.waited(now_ms) {
            self.source.go_on_at(position)?;
            self.partitions.flows(position);
        }
        let mut held: BTreeMap<i32, Position> = BTreeMap::new();
        for stored in batch.iter().filter(|stored| self.waits_for_its_endpoint(stored)) {
            held.entry(stored.position.partition).or_insert(stored.position);
        }
        for position in held.values() {
            info!(partition = position.partition, offset = position.offset, "an event waits for its endpoint to become known here");
            self.source.rest(position.partition);
            self.partitions.wait(*position, now_ms + LOOK_EVERY_MS);
        }
        batch.retain(|stored| held.get(&stored.position.partition).is_none_or(|held| stored.position < *held));
        Ok(batch)
    }

    pub(super) fn waits_for_its_endpoint(&self, stored: &Stored) -> bool {
        let is_young = self.clock.now_ms() - stored.received_ms < self.limits.endpoint_unknown_wait_ms;
        is_young && !self.prepare.knows_endpoint(stored)
    }
}
