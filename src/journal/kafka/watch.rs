//! Says whether an append may be answered 200: whether Kafka was ever reached, whether the raw topic keeps enough copies, and
//! whether it keeps them long enough for what is not delivered. Also shows the backlog.
//!
//! Looks from outside, on a thread of its own; it may wait for Kafka, and nobody waits for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::{error, info, warn};

use super::backlog::Backlogs;
use super::{AppendError, Options};
use crate::kafka::append::Appender;
use crate::kafka::compare::{self, Found};
use crate::kafka::fleet::Survey;
use crate::kafka::raw::RawTopic;
use crate::kafka::{Cause, Class, Fault};
use crate::metrics::Metrics;

/// Copies of a record without which a broker's end may lose it.
const REPLICATION_MIN: i32 = 3;
const INSYNC_MIN: i64 = 2;
/// Before retention takes what is not delivered, nothing more is taken.
const RETENTION_MARGIN_MS: i64 = 24 * 3_600_000;
/// How finely it is told how long undelivered records have waited.
const WAIT_STEPS: i64 = 20;

const TURN: Duration = Duration::from_millis(500);
const SURVEY_EVERY: Duration = Duration::from_secs(10);
const COMPLAIN_EVERY: Duration = Duration::from_secs(30);

/// Whether a raw topic with fewer copies will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    Required,
    Waived,
}

/// Whether an append would be taken now. Ready stays ready: an outage is told by each append's own answer.
#[derive(Debug, Default)]
pub(super) struct State(Mutex<Standing>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Standing {
    /// Kafka was never reached.
    #[default]
    NotYet,
    Taking,
    Full,
    Unsafe,
    Closed,
}

impl State {
    pub(super) fn writable(&self) -> Result<(), AppendError> {
        match self.now() {
            Standing::Taking => Ok(()),
            Standing::Full => Err(AppendError::Full),
            Standing::NotYet | Standing::Unsafe | Standing::Closed => Err(AppendError::Unavailable),
        }
    }

    pub(super) fn close(&self) {
        self.enter(Standing::Closed);
    }

    fn now(&self) -> Standing {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was closed stays so.
    fn enter(&self, standing: Standing) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != Standing::Closed {
            *now = standing;
        }
    }
}

pub(super) struct Watch {
    options: Options,
    survey: Survey,
    appender: Arc<Appender>,
    state: Arc<State>,
    backlogs: Arc<Backlogs>,
    metrics: Arc<Metrics>,
    surveyed: Option<Instant>,
    complained: Option<Instant>,
}

impl Watch {
    pub(super) fn new(
        options: Options,
        survey: Survey,
        appender: Arc<Appender>,
        state: Arc<State>,
        backlogs: Arc<Backlogs>,
        metrics: Arc<Metrics>,
    ) -> Watch {
        metrics.journal_is_not_writable();
        Watch { options, survey, appender, state, backlogs, metrics, surveyed: None, complained: None }
    }

    pub(super) fn run(mut self) {
        while self.state.now() != Standing::Closed {
            self.appender.keep();
            if self.surveyed.is_none_or(|at| at.elapsed() >= SURVEY_EVERY) {
                self.look();
            }
            self.show();
            std::thread::sleep(TURN);
        }
    }

    /// Until the first good one, looks again at each turn.
    fn look(&mut self) {
        match self.surveyed() {
            Ok(standing) => self.enter(standing),
            Err(fault) => self.complain(&fault),
        }
    }

    fn surveyed(&mut self) -> Result<Standing, Fault> {
        let topic = self.options.raw_topic.clone();
        let missing = |cause, detail: &str| Fault { class: Class::Retriable, cause, topic: Some(topic.clone()), detail: detail.to_owned() };
        let found = match self.survey.standing()? {
            Some((_, compare::Standing::There(found))) => found,
            Some((_, compare::Standing::Hidden)) => {
                return Err(missing(Cause::NotAuthorized, "grant the rights to it that `waitbridge doctor --acls` prints"));
            }
            Some((_, compare::Standing::Missing)) | None => {
                return Err(missing(Cause::UnknownTopic, "make the raw topic: `waitbridge topics --create`"));
            }
        };
        if self.options.safety == Safety::Required
            && let Err(why) = is_safe(&found)
        {
            error!(topic, why, "the raw topic is not safe, so nothing is accepted; journal.unsafe_replication = true waives this");
            return Ok(Standing::Unsafe);
        }
        let used = self.retention_used(&found)?;
        self.metrics.journal_retention_used(used);
        Ok(if used < 1.0 { Standing::Taking } else { Standing::Full })
    }

    /// Which share of the time that a record may wait the oldest undelivered one has waited; from 1 on the topic's retention is near.
    fn retention_used(&mut self, found: &Found) -> Result<f64, Fault> {
        let retention_ms = number(found, "retention.ms").unwrap_or(self.options.retention_ms as i64);
        if retention_ms < 0 {
            return Ok(0.0);
        }
        let wait_max_ms = (retention_ms - RETENTION_MARGIN_MS).max(retention_ms / 2);
        let mut most = 0;
        for partition in 0..found.partitions {
            let steps = self.steps_waited(partition, wait_max_ms)?;
            if steps == WAIT_STEPS {
                warn!(
                    partition,
                    "undelivered records come near the raw topic's retention: nothing more is accepted until they are delivered"
                );
            }
            most = most.max(steps);
        }
        Ok(most as f64 / WAIT_STEPS as f64)
    }

    /// Asks only which record was the first since a time, which is told also where none may be read. What flows takes one question.
    fn steps_waited(&mut self, partition: i32, wait_max_ms: i64) -> Result<i64, Fault> {
        let now_ms = now_ms();
        let there = self.survey.raw().bounds(partition)?;
        let next = self.survey.committed(partition)?.map_or(there.start, |checkpoint| checkpoint.next);
        for step in 1..=WAIT_STEPS {
            let young = self.survey.raw().since(partition, now_ms - wait_max_ms * step / WAIT_STEPS)?.unwrap_or(there.end);
            if next >= young {
                return Ok(step - 1);
            }
        }
        Ok(WAIT_STEPS)
    }

    fn enter(&mut self, standing: Standing) {
        let was_writable = self.state.writable().is_ok();
        self.state.enter(standing);
        self.surveyed = (standing != Standing::Unsafe).then(Instant::now);
        match self.state.writable() {
            Ok(()) => {
                self.metrics.journal_is_writable();
                if !was_writable {
                    info!(topic = self.options.raw_topic, "the raw topic is there and safe: accepting");
                }
            }
            Err(_) => self.metrics.journal_is_not_writable(),
        }
    }

    fn complain(&mut self, fault: &Fault) {
        // After the first good one an outage is told by each append.
        if self.state.writable().is_ok() {
            self.surveyed = Some(Instant::now());
        }
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            self.complained = Some(Instant::now());
            let topic = fault.topic.as_deref().unwrap_or("");
            warn!(topic, reason = fault.cause.as_str(), detail = fault.detail, "the journal waits for kafka");
        }
    }

    fn show(&mut self) {
        for partition in self.backlogs.partitions() {
            let Ok(there) = self.survey.raw().bounds(partition) else { break };
            self.backlogs.ends(partition, there.end);
        }
    }
}

/// Whether a record of it outlives a broker; or why not.
pub fn is_safe(found: &Found) -> Result<(), String> {
    if found.replication < REPLICATION_MIN {
        return Err(format!("it has {} copies, and {REPLICATION_MIN} are needed", found.replication));
    }
    match number(found, "min.insync.replicas") {
        Some(insync) if insync >= INSYNC_MIN => Ok(()),
        Some(insync) => Err(format!("min.insync.replicas is {insync}, and {INSYNC_MIN} are needed")),
        None => Err("its min.insync.replicas is not shown to us: grant the right to describe its configs".to_owned()),
    }
}

fn number(found: &Found, key: &str) -> Option<i64> {
    found.config.as_ref()?.get(key)?.parse().ok()
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(replication: i32, insync: Option<&str>) -> Found {
        let config = insync.map(|insync| [("min.insync.replicas".to_owned(), insync.to_owned())].into());
        Found { partitions: 6, replication, leaderless: 0, config }
    }

    #[test]
    fn a_raw_topic_with_too_few_copies_is_refused() {
        for (replication, insync, is_ok) in
            [(3, Some("2"), true), (5, Some("3"), true), (2, Some("2"), false), (3, Some("1"), false), (3, None, false)]
        {
            assert_eq!(is_safe(&found(replication, insync)).is_ok(), is_ok, "{replication} {insync:?}");
        }
    }

    #[test]
    fn what_is_closed_takes_nothing_any_more() {
        let state = State::default();
        assert_eq!(state.writable(), Err(AppendError::Unavailable));
        state.enter(Standing::Taking);
        assert_eq!(state.writable(), Ok(()));
        state.enter(Standing::Full);
        assert_eq!(state.writable(), Err(AppendError::Full));
        state.close();
        state.enter(Standing::Taking);
        assert_eq!(state.writable(), Err(AppendError::Unavailable));
    }
}
