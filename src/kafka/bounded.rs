//! A bound of our own around a call that has none.
//!
//! `rd_kafka_send_offsets_to_transaction` takes a time-out and, up to librdkafka 2.14 at least, does not keep it: when the group's
//! coordinator has left the cluster's metadata it waits until that very broker is back (confluentinc/librdkafka#5456, #5511).
//! A call that is left behind keeps what it owns until it returns; what it then still does is fenced.

use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

type Call = Box<dyn FnOnce() + Send>;

/// A thread that makes one call after the other. One that does not return keeps the thread, and the next call gets a new one.
#[derive(Default)]
pub(super) struct Bounded(Option<Sender<Call>>);

impl Bounded {
    /// What `call` returns, or nothing when it takes longer.
    pub(super) fn within<T: Send + 'static>(&mut self, limit: Duration, call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, answer) = mpsc::channel();
        let call = Box::new(move || drop(done.send(call())));
        let asked = self.thread().and_then(|calls| calls.send(call).ok());
        let answered = asked.and_then(|()| answer.recv_timeout(limit).ok());
        if answered.is_none() {
            self.0 = None;
        }
        answered
    }

    fn thread(&mut self) -> Option<&Sender<Call>> {
        if self.0.is_none() {
            let (calls, asked) = mpsc::channel::<Call>();
            let made = thread::Builder::new().name("kafka-call".to_owned()).spawn(move || asked.iter().for_each(|call| call()));
            self.0 = made.ok().map(|_| calls);
        }
        self.0.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_returns_is_answered_and_one_that_does_not_is_left_behind() {
        let mut bounded = Bounded::default();
        assert_eq!(bounded.within(Duration::from_secs(60), || 7), Some(7));
        let (hold, held) = mpsc::channel::<()>();
        assert_eq!(bounded.within(Duration::from_millis(10), move || held.recv().is_err()), None);
        assert_eq!(bounded.within(Duration::from_secs(60), || 8), Some(8), "the next one does not wait behind it");
        drop(hold);
    }
}
