//! A process's client of the model Kafka, with the world's turn at each call, and its clock.
//!
//! Knows of the process only what [`Scene`] says: the same for one with a disk and for one of a fleet.

use std::time::Duration;

use super::ground::Ground;
use super::kafka::{self, CALL_MS, Cluster, Mishap, Producer};
use super::process::lock;
use crate::envelope::Outgoing;
use crate::kafka::{Broker, Cause, Checkpoint, Class, Fault};
use crate::planted::{self, Bug};
use crate::relay::Clock;

/// What a group fences a commit of offsets by: the member and its generation. A client that has no place has none, and the
/// broker takes any offset from such a one.
pub type Membership = Option<(u64, u64)>;

/// What stands around a simulated process.
pub trait Scene: Clone + Send + 'static {
    fn ground(&self) -> &Ground;

    /// The world's; it may be the process's last.
    fn turn(&self);

    /// Only this process waits.
    fn wait_ms(&self, ms: i64);

    fn now_ms(&self) -> i64;

    fn transactional_id(&self) -> u64;

    fn reaches_kafka(&self) -> bool;

    /// The transactional id expired in a quiet week; told once.
    fn id_is_forgotten(&self) -> bool;

    fn membership(&self) -> Result<Membership, Fault>;

    /// As of the moment at which the broker looks.
    fn is_member(&self, membership: Membership) -> bool;

    /// As this process takes it.
    fn seen(&self, checkpoint: Checkpoint) -> Checkpoint {
        checkpoint
    }

    fn has_committed(&self) {}
}

pub struct SimulatedBroker<S> {
    scene: S,
    producer: Option<Producer>,
    /// What became of the records that were sent; told when somebody waits for it.
    sent: Result<(), Fault>,
}

const ANY: &[Mishap] =
    &[Mishap::Unheard, Mishap::AnswerLost, Mishap::AppendedAnswerLost, Mishap::Refused, Mishap::Fatal, Mishap::FatalDone];

impl<S: Scene> SimulatedBroker<S> {
    pub fn new(scene: S) -> SimulatedBroker<S> {
        SimulatedBroker { scene, producer: None, sent: Ok(()) }
    }

    /// The world's turn, then whether Kafka is there, then the call, with its mishap.
    fn call<T>(
        &mut self,
        away: Class,
        call: impl FnOnce(&mut Producer, &mut Cluster, i64, Option<Mishap>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.scene.turn();
        let ground = self.scene.ground();
        if !self.scene.reaches_kafka() {
            ground.hit("kafka away");
            self.scene.wait_ms(CALL_MS);
            return Err(kafka::fault(away, Cause::Unreachable));
        }
        let mishap = ground.mishap(ANY);
        let mut cluster = lock(&ground.cluster);
        if cluster.time_out(ground.now_ms()) {
            ground.hit("coordinator timed out");
        }
        let producer = self.producer.as_mut().ok_or_else(|| kafka::fault(Class::Fatal, Cause::State))?;
        if self.scene.id_is_forgotten() {
            producer.forget();
        }
        call(producer, &mut cluster, ground.now_ms(), mishap)
    }
}

impl<S: Scene> Broker for SimulatedBroker<S> {
    fn build(&mut self) -> Result<(), Fault> {
        self.scene.turn();
        self.producer = Some(Producer::new(self.scene.transactional_id()));
        Ok(())
    }

    fn init(&mut self) -> Result<(), Fault> {
        self.call(Class::Retriable, |producer, cluster, _, mishap| producer.init(cluster, mishap))
    }

    fn cluster_id(&mut self) -> Option<String> {
        Some(lock(&self.scene.ground().cluster).id.to_string())
    }

    fn committed(&mut self, _topic: &str, partition: i32) -> Result<Option<Checkpoint>, Fault> {
        let found = self.call(Class::Retriable, |_, cluster, _, mishap| kafka::committed(cluster, partition, mishap))?;
        Ok(found.map(|found| self.scene.seen(found)))
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.scene.turn();
        self.producer.as_mut().ok_or_else(|| kafka::fault(Class::Fatal, Cause::State))?.begin()
    }

    fn send(&mut self, records: &[Outgoing]) -> Result<(), Fault> {
        self.sent = self.call(Class::Abortable, |producer, cluster, now_ms, mishap| producer.publish(cluster, records, now_ms, mishap));
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Fault> {
        self.scene.turn();
        std::mem::replace(&mut self.sent, Ok(()))
    }

    fn send_offsets(&mut self, checkpoints: &[Checkpoint]) -> Result<(), Fault> {
        if planted::is(Bug::CheckpointBeforeTheRecords) {
            let sent = checkpoints.iter().map(|checkpoint| (checkpoint.partition, checkpoint.clone()));
            lock(&self.scene.ground().cluster).checkpoints.extend(sent);
        }
        let (scene, membership) = (self.scene.clone(), self.scene.membership()?);
        self.call(Class::Retriable, |producer, cluster, now_ms, mishap| {
            if !scene.is_member(membership) {
                scene.ground().hit("stale generation refused");
                return Err(producer.refused(Cause::Other, ""));
            }
            producer.send_offsets(cluster, checkpoints, now_ms, mishap)
        })
    }

    fn commit(&mut self) -> Result<(), Fault> {
        let scene = self.scene.clone();
        let commit =
            |producer: &mut Producer, cluster: &mut Cluster, _, mishap| producer.commit(cluster, mishap, &mut lock(&scene.ground().dice));
        let ended = self.call(Class::Retriable, commit);
        match ended {
            Err(Fault { class: Class::Retriable, .. }) if planted::is(Bug::UnknownCommitTakenForDone) => {
                let id = self.scene.transactional_id();
                self.producer = Some(Producer::taking_over(&mut lock(&self.scene.ground().cluster), id));
                Ok(())
            }
            Ok(()) => {
                self.scene.has_committed();
                Ok(())
            }
            failed => failed,
        }
    }

    fn abort(&mut self) -> Result<(), Fault> {
        self.call(Class::Retriable, |producer, cluster, _, mishap| producer.abort(cluster, mishap))
    }
}

/// Time that passes only when somebody waits for it, or the world says so.
pub struct SimulatedClock<S>(pub S);

impl<S: Scene> Clock for SimulatedClock<S> {
    fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }

    fn sleep(&self, time: Duration) {
        self.0.wait_ms(time.as_millis() as i64);
    }
}
