//! Several partitions on a model Kafka: transactions abort, and the checkpoint of one partition or another cannot be had then.

use std::collections::BTreeMap;

use super::*;

const PARTITIONS: i32 = 3;

#[test]
fn a_partition_whose_checkpoint_cannot_be_had_after_an_abort_is_not_published_from() {
    for seed in 1..=200 {
        let kafka = Arc::new(Mutex::new(Several { chance: Chance(seed), ..Several::default() }));
        assert_eq!(relay(&kafka).run(), Ended::Stopped, "seed {seed}");
        let kafka = kafka.lock().unwrap();
        for partition in 0..PARTITIONS {
            let prefix = format!("{partition}-");
            let published: Vec<String> = bodies(&kafka.log).into_iter().filter(|body| body.starts_with(&prefix)).collect();
            let expected: Vec<String> = (0..RECORDS).map(|offset| format!("{prefix}{offset}")).collect();
            assert_eq!(published, expected, "seed {seed}");
        }
    }
}

fn relay(kafka: &Arc<Mutex<Several>>) -> Relay<Topic, Arc<Mutex<Several>>> {
    let (stop, now_ms) = (Arc::new(Stop::default()), Arc::new(Mutex::new(0)));
    let records = (0..PARTITIONS).map(|partition| (0..RECORDS).map(|offset| record(&format!("{partition}-{offset}"))).collect());
    let came = (0..PARTITIONS).map(Assignment::Assigned).collect();
    let source = Topic { came, records: records.collect(), followed: BTreeMap::new(), now_ms: now_ms.clone(), stop: stop.clone() };
    let limits = Limits { batch_max: 5, ..limits() };
    let prepare = trial::prepare(&["e"], "waitwhile", "t", normalize);
    let (status, metrics) = (Arc::new(Status::default()), Arc::new(Metrics::new()));
    Relay::new(source, kafka.clone(), prepare, limits, Box::new(Told(now_ms)), stop, status, metrics)
}

/// A clock that goes on while the source waits.
struct Told(Arc<Mutex<i64>>);

impl Clock for Told {
    fn now_ms(&self) -> i64 {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        *self.0.lock().unwrap() += time.as_millis() as i64;
    }
}

/// A raw topic in memory. It asks for the stop when all of it was read.
struct Topic {
    came: Vec<Assignment>,
    records: Vec<Vec<Vec<u8>>>,
    /// The next record of each partition that is read.
    followed: BTreeMap<i32, u64>,
    now_ms: Arc<Mutex<i64>>,
    stop: Arc<Stop>,
}

impl Topic {
    fn stored(&self, partition: i32, offset: u64) -> Stored {
        let bytes = self.records[partition as usize][offset as usize].clone();
        Stored { position: Position { partition, offset }, received_ms: 1, bytes }
    }
}

impl Source for Topic {
    fn assignments(&mut self) -> Vec<Assignment> {
        std::mem::take(&mut self.came)
    }

    fn owner(&self) -> Option<&str> {
        None
    }

    fn checkpoint_at(&self, partition: i32) -> (String, i32) {
        ("raw".to_owned(), partition)
    }

    fn resume(&mut self, partition: i32, checkpoint: Option<&Checkpoint>) -> Result<Position, ReadError> {
        self.rest(partition);
        Ok(Position { partition, offset: checkpoint.map_or(0, |checkpoint| checkpoint.next) })
    }

    fn go_on_at(&mut self, position: Position) -> Result<(), ReadError> {
        self.followed.insert(position.partition, position.offset);
        Ok(())
    }

    fn rest(&mut self, partition: i32) {
        self.followed.remove(&partition);
    }

    fn read(&mut self, limit: ReadLimit, wait: Duration, out: &mut Vec<Stored>) -> Result<(), ReadError> {
        *self.now_ms.lock().unwrap() += wait.as_millis() as i64;
        if !wait.is_zero() && self.followed.len() == PARTITIONS as usize && self.followed.values().all(|next| *next == RECORDS) {
            self.stop.request(Instant::now() + Duration::from_secs(3600));
        }
        let due = self.followed.iter().flat_map(|(partition, next)| (*next..RECORDS).map(|offset| (*partition, offset)));
        for (partition, offset) in due.take(limit.records_max).collect::<Vec<_>>() {
            out.push(self.stored(partition, offset));
            self.followed.insert(partition, offset + 1);
        }
        Ok(())
    }

    fn review(&mut self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError> {
        let mut past = (past.from..past.until.offset).map(|offset| self.stored(past.until.partition, offset));
        let _ = past.try_for_each(|stored| tell(&[stored]));
        Ok(())
    }

    fn checkpoint(&self, next: Position) -> Checkpoint {
        Checkpoint { topic: "raw".to_owned(), partition: next.partition, next: next.offset, metadata: String::new() }
    }

    fn advance(&mut self, _next: Position, _cluster_id: &str) {}

    fn disown(&mut self, _winner: &str) {}
}

#[derive(Default)]
struct Several {
    chance: Chance,
    log: Vec<Outgoing>,
    open: Vec<Outgoing>,
    pending: Vec<Checkpoint>,
    checkpoints: BTreeMap<i32, Checkpoint>,
}

impl Broker for Arc<Mutex<Several>> {
    fn build(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn init(&mut self) -> Result<(), Fault> {
        self.abort()
    }

    fn cluster_id(&mut self) -> Option<String> {
        None
    }

    fn committed(&mut self, _topic: &str, partition: i32) -> Result<Option<Checkpoint>, Fault> {
        let mut kafka = self.lock().unwrap();
        match kafka.chance.below(3) {
            0 => Err(Model::fault(Class::Retriable)),
            _ => Ok(kafka.checkpoints.get(&partition).cloned()),
        }
    }

    fn begin(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn send(&mut self, records: &[Outgoing]) -> Result<(), Fault> {
        self.lock().unwrap().open = records.to_vec();
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Fault> {
        let mut kafka = self.lock().unwrap();
        if kafka.chance.below(4) == 0 { Err(Model::fault(Class::Abortable)) } else { Ok(()) }
    }

    fn send_offsets(&mut self, checkpoints: &[Checkpoint]) -> Result<(), Fault> {
        self.lock().unwrap().pending = checkpoints.to_vec();
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        let mut kafka = self.lock().unwrap();
        let (open, pending) = (std::mem::take(&mut kafka.open), std::mem::take(&mut kafka.pending));
        kafka.log.extend(open);
        kafka.checkpoints.extend(pending.into_iter().map(|checkpoint| (checkpoint.partition, checkpoint)));
        Ok(())
    }

    fn abort(&mut self) -> Result<(), Fault> {
        let mut kafka = self.lock().unwrap();
        (kafka.open, kafka.pending) = Default::default();
        Ok(())
    }
}
