//! How the process ends: the stages that everyone can see, and the bell that wakes who sleeps.
//!
//! Knows no signal and no server: `app` rings, the listeners and the relay listen.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where in its life the process is; it only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Serving = 0,
    /// Unready, but still accepting: load balancers need a moment to notice.
    Settling = 1,
    /// Nothing new is accepted.
    Draining = 2,
}

#[derive(Debug, Default)]
pub struct Stages(AtomicU8);

impl Stages {
    pub fn now(&self) -> Stage {
        match self.0.load(Ordering::Acquire) {
            0 => Stage::Serving,
            1 => Stage::Settling,
            _ => Stage::Draining,
        }
    }

    pub fn enter(&self, stage: Stage) {
        self.0.fetch_max(stage as u8, Ordering::AcqRel);
    }
}

/// Tells a thread to come to an end, and until when it may take.
#[derive(Debug, Default)]
pub struct Stop {
    deadline: Mutex<Option<Instant>>,
    rung: Condvar,
}

impl Stop {
    pub fn request(&self, deadline: Instant) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.rung.notify_all();
    }

    pub fn is_requested(&self) -> bool {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether the time that was left is used up.
    pub fn is_overdue(&self) -> bool {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Sleeps, but no longer than until a stop is requested.
    pub fn sleep(&self, time: Duration) {
        let guard = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.rung.wait_timeout_while(guard, time, |deadline| deadline.is_none()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_stage_never_goes_back() {
        let stages = Stages::default();
        stages.enter(Stage::Draining);
        stages.enter(Stage::Settling);
        assert_eq!(stages.now(), Stage::Draining);
    }

    #[test]
    fn a_stop_wakes_the_sleeper() {
        let stop = Arc::new(Stop::default());
        let sleeper = std::thread::spawn({
            let stop = stop.clone();
            move || stop.sleep(Duration::from_secs(3600))
        });
        stop.request(Instant::now());
        sleeper.join().unwrap();
        assert!(stop.is_overdue());
    }
}
