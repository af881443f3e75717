//! What was sent, held against what was answered and what came out of the broker.

use std::collections::{BTreeMap, HashMap};

use super::story::{Nature, Vendor};
use crate::cli::deliver::Answer;
use crate::cli::tail::line::kind_of;
use crate::kafka::follow::Followed;

/// A delivery that was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub vendor: Vendor,
    pub nature: Nature,
}

#[derive(Default)]
pub struct Ledger {
    sent: BTreeMap<Nature, u64>,
    as_expected: BTreeMap<Nature, u64>,
    pub answers: BTreeMap<(Vendor, String), u64>,
    accepted: HashMap<String, Nature>,
    out: HashMap<String, Out>,
    pub out_by_kind: BTreeMap<String, u64>,
    pub out_bytes: u64,
    latencies_ms: Vec<i64>,
    /// Of those that should come out, how many have.
    came_out: usize,
    expected_out: usize,
}

/// What came out under one accept id.
#[derive(Debug, Clone, Copy, Default)]
struct Out {
    events: u32,
    stale: u32,
    dead_letters: u32,
}

/// How one kind of delivery fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    pub sent: u64,
    pub answered_right: u64,
    pub came_out_right: u64,
}

pub const NATURES: [Nature; 4] = [Nature::Genuine, Nature::Repeat, Nature::Late, Nature::Forged];

impl Ledger {
    pub fn answered(&mut self, sent: Sent, answer: Answer) {
        let Sent { vendor, nature } = sent;
        *self.sent.entry(nature).or_default() += 1;
        *self.answers.entry((vendor, answer.label().to_owned())).or_default() += 1;
        if answer.has_status(expected_status(sent)) {
            *self.as_expected.entry(nature).or_default() += 1;
        }
        if let Answer::Accepted(accept_id) = answer {
            if comes_out(nature) {
                self.expected_out += 1;
                self.came_out += usize::from(self.out.contains_key(&accept_id));
            }
            self.accepted.insert(accept_id, nature);
        }
    }

    /// A record, and the time of now.
    pub fn read(&mut self, record: &Followed, now_ms: i64) {
        let header = |name: &str| record.header(name).unwrap_or_default();
        let is_event = record.header("ce_type").is_some();
        let accept_id = header(if is_event { "ce_acceptid" } else { "wb_acceptid" }).to_owned();
        if let Some(received) = crate::timestamp::Timestamp::parse(header("ce_receivedtime")) {
            self.latencies_ms.push(now_ms - received.ms());
        }
        self.out_bytes += record.value.as_ref().map_or(0, Vec::len) as u64;
        *self.out_by_kind.entry(kind_of(record)).or_default() += 1;
        if !self.out.contains_key(&accept_id) && self.accepted.get(&accept_id).is_some_and(|nature| comes_out(*nature)) {
            self.came_out += 1;
        }
        let out = self.out.entry(accept_id).or_default();
        out.events += u32::from(is_event);
        out.dead_letters += u32::from(!is_event);
        out.stale += u32::from(header("ce_stale") == "true");
    }

    /// Whether all that should come out has, as far as it is answered.
    pub fn is_all_out(&self) -> bool {
        self.came_out == self.expected_out
    }

    pub fn row(&self, nature: Nature) -> Row {
        let count = |counts: &BTreeMap<Nature, u64>| counts.get(&nature).copied().unwrap_or(0);
        let accepted = self.accepted.iter().filter(|(_, known)| **known == nature);
        let right = accepted.filter(|(id, _)| is_right(nature, self.out.get(*id).copied().unwrap_or_default())).count() as u64;
        let (sent, answered_right) = (count(&self.sent), count(&self.as_expected));
        // A forged one has no accept id under which it could come out.
        let came_out_right = if nature == Nature::Forged { answered_right } else { right };
        Row { sent, answered_right, came_out_right }
    }

    /// What came out that nobody was told to have been accepted.
    pub fn unknown(&self) -> usize {
        self.out.keys().filter(|id| !self.accepted.contains_key(*id)).count()
    }

    pub fn is_right(&self) -> bool {
        let is_right = |row: Row| row.sent == row.answered_right && row.sent == row.came_out_right;
        NATURES.into_iter().all(|nature| is_right(self.row(nature))) && self.unknown() == 0
    }

    /// From the 200 to the reader: the median, and what 99 of 100 stay below.
    pub fn latency_ms(&self) -> Option<(i64, i64)> {
        let mut sorted = self.latencies_ms.clone();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied();
        Some((at(50)?, at(99)?))
    }
}

fn comes_out(nature: Nature) -> bool {
    matches!(nature, Nature::Genuine | Nature::Late)
}

fn is_right(nature: Nature, out: Out) -> bool {
    let Out { events, stale, dead_letters } = out;
    let expected = match nature {
        Nature::Genuine => (1, 0, 0),
        Nature::Late => (1, 1, 0),
        Nature::Repeat | Nature::Forged => (0, 0, 0),
    };
    (events, stale, dead_letters) == expected
}

/// A signature that is wrong is told; a URL with a wrong token is as if it did not exist.
fn expected_status(sent: Sent) -> &'static str {
    match (sent.nature, sent.vendor) {
        (Nature::Genuine | Nature::Repeat | Nature::Late, _) => "200",
        (Nature::Forged, Vendor::Waitwhile) => "401",
        (Nature::Forged, Vendor::WaitlistPlus) => "404",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: bool = true;
    const WRONG: bool = false;

    fn record(headers: &[(&str, &str)]) -> Followed {
        let headers = headers.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Followed { headers, value: Some(b"{}".to_vec()), ..Followed::default() }
    }

    fn out(marks: &[(&str, &str)]) -> Followed {
        record(&[&[("ce_type", "t"), ("ce_acceptid", "A")], marks].concat())
    }

    #[track_caller]
    fn check(nature: Nature, status: &str, read: &[Followed], expected: bool) {
        let answer = if status == "200" { Answer::Accepted("A".to_owned()) } else { Answer::Other(status.to_owned()) };
        let mut ledger = Ledger::default();
        ledger.answered(Sent { vendor: Vendor::Waitwhile, nature }, answer);
        read.iter().for_each(|record| ledger.read(record, 0));
        assert_eq!(ledger.is_right(), expected, "{nature:?} {status}");
    }

    #[test]
    fn each_kind_has_its_answer_and_its_end() {
        const STALE: &[(&str, &str)] = &[("ce_stale", "true")];
        let dead_letter = || record(&[("wb_reason", "expired"), ("wb_acceptid", "A")]);
        check(Nature::Genuine, "200", &[out(&[])], RIGHT);
        check(Nature::Genuine, "200", &[], WRONG);
        check(Nature::Genuine, "200", &[out(&[]), out(&[])], WRONG);
        check(Nature::Genuine, "200", &[out(STALE)], WRONG);
        check(Nature::Genuine, "200", &[dead_letter()], WRONG);
        check(Nature::Genuine, "503 journal_full", &[], WRONG);
        check(Nature::Late, "200", &[out(STALE)], RIGHT);
        check(Nature::Late, "200", &[out(&[])], WRONG);
        check(Nature::Repeat, "200", &[], RIGHT);
        check(Nature::Repeat, "200", &[out(&[])], WRONG);
        check(Nature::Forged, "401 signature_mismatch", &[], RIGHT);
        check(Nature::Forged, "404 not_found", &[], WRONG);
        check(Nature::Forged, "200", &[], WRONG);
        check(Nature::Forged, "401 signature_mismatch", &[out(&[])], WRONG);
    }

    #[test]
    fn what_comes_out_before_its_answer_counts_as_well() {
        let mut ledger = Ledger::default();
        ledger.read(&out(&[]), 0);
        assert_eq!(ledger.unknown(), 1);
        ledger.answered(Sent { vendor: Vendor::WaitlistPlus, nature: Nature::Genuine }, Answer::Accepted("A".to_owned()));
        assert!(ledger.is_all_out() && ledger.is_right());
        ledger.answered(Sent { vendor: Vendor::WaitlistPlus, nature: Nature::Genuine }, Answer::Accepted("B".to_owned()));
        assert!(!ledger.is_all_out());
    }
}
