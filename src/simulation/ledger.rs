//! What was sent, what was answered 200, what the topics hold; and the judge over it, independent of the product and
//! deliberately simple: it reads the whole list again for every question.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use uuid::Uuid;

use super::deliveries::{DEAD, PERSON, Sent, VENDOR};
use super::{BODY_REPEAT_MS, ENDPOINT_REPEAT_MS, WINDOW_MS};
use crate::envelope::Outgoing;

/// So much of the journal a life reads again (`memory::Limits::review_ms`).
const REVIEW_MS: i64 = WINDOW_MS + if BODY_REPEAT_MS > ENDPOINT_REPEAT_MS { BODY_REPEAT_MS } else { ENDPOINT_REPEAT_MS };

/// One delivery in the order in which it reached a journal.
pub struct Entry {
    pub sent: Sent,
    pub accepted: bool,
    /// Seq and receipt time as the journal gives them back.
    pub stored: Option<(u64, i64)>,
    /// Of the journal: what was in the one before is not remembered.
    era: u64,
    /// The journal that held it has lost it, or keeps it where nobody publishes from.
    pub excused: bool,
}

/// What a topic's readers see, by its place in the log.
pub type Committed = BTreeMap<u64, Outgoing>;

/// Whether every life could read again all that the lives before it knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    Whole,
    Damaged,
}

#[derive(Default)]
pub struct Ledger {
    pub entries: Vec<Entry>,
    by_accept_id: BTreeMap<Uuid, usize>,
    /// Visits and persons of which a journal has lost something that it knew: what repeats among them is open.
    pub doubtful: BTreeSet<u64>,
    /// Of clusters that are no more: what they held, and from which seq on their successor may hold it again.
    pub replaced: Vec<(Committed, u64)>,
}

impl Entry {
    fn says_as(&self, other: &Entry) -> bool {
        let (one, two) = (&self.sent, &other.sent);
        let same_id = one.said.event_id.is_some() && one.said.event_id == two.said.event_id;
        let same_words =
            (one.said.word, one.cast, one.said.data, one.said.version_ms) == (two.said.word, two.cast, two.said.data, two.said.version_ms);
        same_id || same_words
    }
}

/// What must become of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Published { key: String, stale: bool },
    Repeated,
    Dead(&'static str),
}

/// What was read from the journal says this of its delivery.
#[derive(Debug, Clone, Copy)]
struct Fact {
    received_ms: i64,
    version_ms: i64,
}

impl Ledger {
    pub fn sent(&mut self, sent: Sent) {
        self.by_accept_id.insert(sent.accept_id, self.entries.len());
        self.entries.push(Entry { sent, accepted: false, stored: None, era: 0, excused: false });
    }

    /// The journal holds it, whoever is told.
    pub fn appended(&mut self, sent: Sent, era: u64, offset: u64, received_ms: i64) {
        self.by_accept_id.insert(sent.accept_id, self.entries.len());
        self.entries.push(Entry { sent, accepted: false, stored: Some((offset, received_ms)), era, excused: false });
    }

    /// The journal is no more: what is not published yet may never be.
    pub fn era_ends(&mut self, era: u64, committed: &Committed) {
        let published: BTreeSet<Uuid> = committed.values().map(accept_id_of).collect();
        for entry in self.entries.iter_mut().filter(|entry| entry.era == era) {
            entry.excused |= !published.contains(&entry.sent.accept_id);
        }
    }

    pub fn accepted(&mut self, accept_id: Uuid) {
        self.entry(accept_id).accepted = true;
    }

    /// The journal gave this record back.
    pub fn read(&mut self, accept_id: Uuid, seq: u64, received_ms: i64) {
        let entry = self.entry(accept_id);
        let before = entry.stored.replace((seq, received_ms));
        assert!(before.is_none_or(|before| before == (seq, received_ms)), "{accept_id} moved from {before:?} to {seq}, {received_ms}");
    }

    /// The journal that is read no longer holds these: they may be lost, and so is what they taught.
    pub fn forget(&mut self, these: Range<usize>) {
        for entry in &mut self.entries[these] {
            entry.excused = true;
            self.doubtful.insert(entry.sent.cast);
        }
    }

    fn entry(&mut self, accept_id: Uuid) -> &mut Entry {
        &mut self.entries[self.by_accept_id[&accept_id]]
    }

    /// Everything that the promises say, of the topics of the last cluster and of those before it.
    pub fn judge(&self, committed: &Committed, damages: usize, window: Window) -> Result<(), String> {
        let mut everywhere: BTreeMap<Uuid, &Outgoing> = BTreeMap::new();
        let mut allowed_again = 0;
        let clusters = self.replaced.iter().map(|(records, from)| (records, *from)).chain([(committed, u64::MAX)]);
        for (records, again_from) in clusters {
            let here = self.once_and_in_order(records)?;
            for (accept_id, record) in here {
                let index = self.by_accept_id[&accept_id];
                let seq = self.entries[index].stored.map_or(0, |(seq, _)| seq);
                if everywhere.insert(accept_id, record).is_some() && seq < allowed_again {
                    return Err(format!("#{index} is in the new cluster again, though the mark knew of it"));
                }
            }
            allowed_again = again_from;
        }
        self.nothing_lost(&everywhere, damages)?;
        if window == Window::Whole { self.as_expected(&everywhere) } else { Ok(()) }
    }

    fn once_and_in_order<'r>(&self, records: &'r Committed) -> Result<BTreeMap<Uuid, &'r Outgoing>, String> {
        let mut here = BTreeMap::new();
        let mut last: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for record in records.values() {
            let accept_id = accept_id_of(record);
            let index = *self.by_accept_id.get(&accept_id).ok_or("an event that nobody sent")?;
            if here.insert(accept_id, record).is_some() {
                return Err(format!("#{index} is published twice"));
            }
            let before = last.insert((&record.topic, &record.key), index);
            if before.is_some_and(|before| before > index) {
                return Err(format!("#{index} comes after {before:?} on {}", record.key));
            }
        }
        Ok(here)
    }

    /// A flipped bit may cost one record; one that was read may be a repeat, if there is another that says the same.
    fn nothing_lost(&self, everywhere: &BTreeMap<Uuid, &Outgoing>, damages: usize) -> Result<(), String> {
        let may_repeat =
            |index: usize, entry: &Entry| entry.stored.is_some() && self.entries[..index].iter().any(|other| other.says_as(entry));
        let is_missing = |(index, entry): &(usize, &Entry)| {
            let is_there = everywhere.contains_key(&entry.sent.accept_id) || may_repeat(*index, entry);
            entry.accepted && !entry.excused && !is_there
        };
        let missing: Vec<usize> = self.entries.iter().enumerate().filter(is_missing).map(|(index, _)| index).collect();
        if missing.len() <= damages { Ok(()) } else { Err(format!("answered 200 and lost: {missing:?}, with {damages} damages")) }
    }

    fn as_expected(&self, everywhere: &BTreeMap<Uuid, &Outgoing>) -> Result<(), String> {
        let mut casts: BTreeMap<(u64, u64), Vec<(usize, &Entry)>> = BTreeMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            if entry.stored.is_some() && !self.doubtful.contains(&entry.sent.cast) {
                casts.entry((entry.era, entry.sent.cast)).or_default().push((index, entry));
            }
        }
        for told in casts.values() {
            for Expected { index, fate, or_key } in fates(told) {
                let entry = &self.entries[index];
                let found = everywhere.get(&entry.sent.accept_id).map_or(Fate::Repeated, |record| fate_of(record));
                // What Kafka refuses for its size is not known to be so by a later life.
                let is_open =
                    (entry.sent.said.word == "huge" && found == Fate::Repeated) || found.is_but_for_the_key(&fate, or_key.as_deref());
                if found != fate && !is_open && !entry.excused {
                    return Err(format!("#{index} {:?}: expected {fate:?}, found {found:?}", entry.sent));
                }
            }
        }
        Ok(())
    }
}

fn accept_id_of(record: &Outgoing) -> Uuid {
    let is_it = |name: &str| name == "ce_acceptid" || name == "wb_acceptid";
    record.headers.iter().find(|(name, _)| is_it(name)).and_then(|(_, id)| id.parse().ok()).expect("every record names it")
}

fn fate_of(record: &Outgoing) -> Fate {
    if &*record.topic == DEAD {
        let reason = record.headers.iter().find(|(name, _)| *name == "wb_reason").map_or("", |(_, reason)| reason);
        let known = ["too_large", "normalize_failed", "unknown_type"].into_iter().find(|known| *known == reason);
        return Fate::Dead(known.unwrap_or("another reason"));
    }
    assert_eq!(&*record.topic, PERSON);
    Fate::Published { key: record.key.clone(), stale: record.headers.iter().any(|(name, _)| *name == "ce_stale") }
}

/// What must come of a delivery.
struct Expected {
    index: usize,
    fate: Fate,
    /// A life that began later may have taken this key: it cannot know that the visit that named the person was late.
    or_key: Option<String>,
}

impl Fate {
    fn is_but_for_the_key(&self, other: &Fate, key: Option<&str>) -> bool {
        match (self, other) {
            (Fate::Published { key: mine, stale }, Fate::Published { stale: others, .. }) => stale == others && Some(mine.as_str()) == key,
            _ => false,
        }
    }
}

/// The contract's section 6 for the deliveries about one visit and its person, one after the other.
fn fates(told: &[(usize, &Entry)]) -> Vec<Expected> {
    let mut fates = Vec::new();
    let mut seen: BTreeMap<u64, i64> = BTreeMap::new();
    let mut data: BTreeMap<String, (i64, &str)> = BTreeMap::new();
    let mut body: Option<(i64, u64)> = None;
    let mut facts: BTreeMap<String, Vec<Fact>> = BTreeMap::new();
    let mut person: Option<i64> = None;
    // The receipts of a late visit that named the person, and of the last one that was newer.
    let mut late: Option<(i64, i64)> = None;
    for (index, entry) in told {
        let mut is = |fate, or_key| fates.push(Expected { index: *index, fate, or_key });
        let Entry { sent, stored, .. } = entry;
        let (_, now_ms) = stored.expect("only what was read is judged");
        let said = &sent.said;
        let dead = match said.word {
            "huge" => Some("too_large"),
            "poison" => Some("normalize_failed"),
            "strange" => Some("unknown_type"),
            _ => None,
        };
        if let Some(reason) = dead {
            is(Fate::Dead(reason), None);
            continue;
        }
        let text = said.body(sent.cast);
        let text_of_data = text.splitn(3, ' ').nth(2).expect("three words and more").to_owned();
        let is_in = |at_ms: i64, window_ms: i64| now_ms - at_ms <= window_ms;
        let seen_id = said.event_id.is_some_and(|id| seen.get(&id).is_some_and(|at_ms| is_in(*at_ms, WINDOW_MS)));
        let same_data = data.get(&text_of_data).is_some_and(|(at_ms, by)| is_in(*at_ms, ENDPOINT_REPEAT_MS) && *by != sent.endpoint);
        let same_body = body.is_some_and(|(at_ms, data)| is_in(at_ms, BODY_REPEAT_MS) && data == said.data);
        let repeats = seen_id || (said.event_id.is_some() && same_data) || (said.event_id.is_none() && same_body);
        let subject = facts.entry(said.subject(sent.cast)).or_default();
        let newer =
            |fact: &Fact| is_in(fact.received_ms, WINDOW_MS) && said.version_ms.is_some_and(|version_ms| fact.version_ms > version_ms);
        let newest_ms = subject.iter().filter(|fact| newer(fact)).map(|fact| fact.received_ms).max();
        let stale = newest_ms.is_some();
        // The person whom the visit named last.
        let known = person.is_some_and(|at_ms| is_in(at_ms, WINDOW_MS));
        if seen_id || !repeats {
            if let Some(id) = said.event_id {
                seen.insert(id, now_ms);
            }
            subject.push(Fact { received_ms: now_ms, version_ms: said.version_ms.unwrap_or(now_ms) });
            if said.word == "visit" && said.names_person && !stale {
                person = Some(now_ms);
            }
            if let Some(newest_ms) = newest_ms.filter(|_| said.word == "visit" && said.names_person) {
                late = Some((now_ms, newest_ms));
            }
        }
        if repeats {
            is(Fate::Repeated, None);
            continue;
        }
        data.insert(text_of_data, (now_ms, sent.endpoint));
        if said.event_id.is_none() {
            body = Some((now_ms, said.data));
        }
        let (prefix, cast) = (format!("{VENDOR}/{}", sent.tenant), sent.cast);
        let person_key = format!("{prefix}/person/P{cast}");
        let is_not_known_late = |(late_ms, newest_ms): &(i64, i64)| is_in(*late_ms, WINDOW_MS) && *newest_ms < now_ms - REVIEW_MS;
        let or_key = late.filter(is_not_known_late).map(|_| person_key.clone());
        let key = if said.names_person || known { person_key } else { format!("{prefix}/visit/V{cast}") };
        is(Fate::Published { key, stale }, or_key);
    }
    fates
}
