//! A cluster that keeps nothing: for a replay that only counts.

use crate::envelope::Outgoing;
use crate::kafka::{Broker, Checkpoint, Fault};

pub struct Nowhere;

impl Broker for Nowhere {
    fn build(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn init(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn cluster_id(&mut self) -> Option<String> {
        None
    }

    fn committed(&mut self, _topic: &str, _partition: i32) -> Result<Option<Checkpoint>, Fault> {
        Ok(None)
    }

    fn begin(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn send(&mut self, _records: &[Outgoing]) -> Result<(), Fault> {
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn send_offsets(&mut self, _checkpoints: &[Checkpoint]) -> Result<(), Fault> {
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn abort(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
