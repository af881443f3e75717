//! A bound of our own around a call that has none.
//!
//! `rd_kafka_send_offsets_to_transaction` takes a time-out and, up to librdkafka 2.14 at least, does not keep it: when the group's
//! coordinator has left the cluster's metadata it waits until that very broker is back (confluentinc/librdkafka#5456, #5511).
//! A call that is left behind keeps what it owns until it returns; what it then still does is fenced.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What `call` returns, or nothing when it takes longer.
pub(super) fn within<T: Send + 'static>(limit: Duration, call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, answer) = mpsc::channel();
    let called = thread::Builder::new().name("kafka-call".to_owned()).spawn(move || drop(done.send(call())));
    called.ok().and_then(|_| answer.recv_timeout(limit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_returns_is_answered_and_one_that_does_not_is_left_behind() {
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
        let (hold, held) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(10), move || held.recv().is_err()), None);
        drop(hold);
    }
}
