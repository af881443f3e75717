//! The upper half of the simulated fleet: deliveries that come to a replica, and what its append comes to.
//!
//! 200 is answered only when the topic has it. Whoever gets no answer tries again, at another replica as it happens. Knows
//! nothing of relays.

use super::super::broker::Scene;
use super::super::deliveries::Sent;
use super::super::process::lock;
use super::{Run, Seat};
use crate::planted::{self, Bug};

/// An append that ran out of its time arrives within this, or never.
const LATE_MS: u64 = 8_000;

/// An append whose writer was told that it failed, and that arrives nevertheless.
pub(super) struct Late {
    pub(super) due_ms: i64,
    pub(super) process: u64,
    pub(super) written_ms: i64,
    pub(super) sent: Sent,
}

impl Run {
    pub(super) fn deliver(&mut self) {
        let how_many = (1 + self.below(6)).min(self.deliveries_left);
        let Some(seat) = self.any_up() else { return };
        self.deliveries_left -= how_many;
        (0..how_many).for_each(|_| self.accept(seat));
    }

    /// One whose machine does not stand still.
    pub(super) fn any_up(&self) -> Option<usize> {
        let now_ms = self.ground().now_ms();
        let up = |seat: &usize| matches!(&self.seats[*seat], Seat::Up(held) if held.frozen_until_ms <= now_ms);
        let up: Vec<usize> = (0..self.seats.len()).filter(up).collect();
        if up.is_empty() { None } else { Some(up[self.below(up.len() as u64) as usize]) }
    }

    pub(super) fn accept(&mut self, seat: usize) {
        let Seat::Up(held) = &self.seats[seat] else { unreachable!("it was chosen so") };
        let (replica, sent) = (held.replica.clone(), self.ground().next_sent());
        if let Some(event_id) = sent.said.event_id
            && *self.took.entry(event_id).or_insert(seat) != seat
        {
            self.ground().hit("retry elsewhere");
        }
        let (accept_id, written_ms) = (sent.accept_id, replica.now_ms());
        match self.below(20) {
            0 if replica.reaches_kafka() => {
                self.ground().hit("append unanswered");
                self.append(sent, written_ms);
            }
            2.. if replica.reaches_kafka() => {
                self.append(sent, written_ms);
                lock(&self.ground().ledger).accepted(accept_id);
            }
            even if even % 2 == 0 => {
                let due_ms = self.ground().now_ms() + self.below(LATE_MS) as i64;
                self.late.push(Late { due_ms, process: replica.process, written_ms, sent });
            }
            _ => {
                self.ground().hit("append unheard");
                if planted::is(Bug::AnsweredBeforeTheReport) {
                    let mut ledger = lock(&self.ground().ledger);
                    ledger.sent(sent);
                    ledger.accepted(accept_id);
                }
            }
        }
    }

    fn append(&self, sent: Sent, written_ms: i64) {
        let partition = self.fleet.partition_of(sent.tenant);
        let mut raw = lock(&self.fleet.raw);
        let (offset, received_ms) = raw.append(partition, written_ms, sent.record());
        lock(&self.ground().ledger).appended(sent, raw.era(), offset, received_ms);
    }

    pub(super) fn late_appends(&mut self, now_ms: i64) {
        let due: Vec<Late> = self.late.extract_if(.., |late| late.due_ms <= now_ms).collect();
        for Late { sent, written_ms, .. } in due {
            self.ground().hit("appended late");
            self.append(sent, written_ms);
        }
    }
}
