//! A model of the consumer group: who is a member, whose a partition is, and what each member's client knows of that.
//!
//! Cooperative, as the product asks for: a partition is taken from a member only when that member's process asks what changed.
//! The client talks to the coordinator by itself (`beat`); its process learns of it by its own calls. Knows no records.

use std::collections::{BTreeMap, BTreeSet};

use super::super::broker::Membership;
use crate::kafka::group::Change;

/// Unheard for so long, a member is taken for dead.
const SESSION_MS: i64 = 6_000;

#[derive(Debug, Default)]
pub struct Group {
    partitions: i32,
    generation: u64,
    /// Nothing has changed since then.
    divided: u64,
    joined: u64,
    members: BTreeMap<u64, Member>,
    clients: BTreeMap<u64, Client>,
}

/// As the coordinator knows it.
#[derive(Debug)]
struct Member {
    heard_ms: i64,
    owns: BTreeSet<i32>,
    /// Of these: what it has to give back.
    asked_back: BTreeSet<i32>,
}

/// As its own client knows it.
#[derive(Debug, Default)]
struct Client {
    member: Option<u64>,
    generation: u64,
    /// What its process has been told, or will be.
    ours: BTreeSet<i32>,
    /// What its process has been told.
    told: BTreeSet<i32>,
    untold: Vec<Change>,
    /// It was taken for dead, and its process has not been told.
    lost: bool,
}

impl Group {
    pub fn new(partitions: i32) -> Group {
        Group { partitions, ..Group::default() }
    }

    pub fn enter(&mut self, process: u64) {
        self.clients.insert(process, Client::default());
    }

    /// In good order.
    pub fn leave(&mut self, process: u64) {
        let member = self.clients.remove(&process).and_then(|client| client.member);
        if member.is_some_and(|member| self.members.remove(&member).is_some()) {
            self.generation += 1;
        }
    }

    /// Nobody tells the coordinator.
    pub fn vanish(&mut self, process: u64) {
        self.clients.remove(&process);
    }

    pub fn hear(&mut self, process: u64, now_ms: i64) {
        let member = self.clients.get(&process).and_then(|client| client.member);
        if let Some(member) = member.and_then(|member| self.members.get_mut(&member)) {
            member.heard_ms = now_ms;
        }
    }

    /// The client asks the coordinator how things stand.
    pub fn beat(&mut self, process: u64, now_ms: i64) {
        let Some(client) = self.clients.get_mut(&process) else { return };
        match client.member {
            None if client.lost => {}
            None => {
                self.joined += 1;
                self.generation += 1;
                client.member = Some(self.joined);
                self.members.insert(self.joined, Member { heard_ms: now_ms, owns: BTreeSet::new(), asked_back: BTreeSet::new() });
            }
            Some(member) => match self.members.get_mut(&member) {
                None => client.lose(),
                Some(member) => {
                    // What its process never heard of goes back at once.
                    let heard_of = |partition: &i32| client.ours.contains(partition) || client.told.contains(partition);
                    let unheard_of: BTreeSet<i32> = member.asked_back.iter().filter(|partition| !heard_of(partition)).copied().collect();
                    self.generation += u64::from(!unheard_of.is_empty());
                    member.owns.retain(|partition| !unheard_of.contains(partition));
                    member.asked_back.retain(|partition| !unheard_of.contains(partition));
                    client.learn(self.generation, member);
                }
            },
        }
    }

    /// The client itself has heard nothing for too long.
    pub fn give_up(&mut self, process: u64) {
        self.clients.get_mut(&process).into_iter().for_each(Client::lose);
    }

    /// A coordinator that comes back gives everybody its time anew.
    pub fn renew(&mut self, now_ms: i64) {
        self.members.values_mut().for_each(|member| member.heard_ms = now_ms);
    }

    /// How many were taken for dead.
    pub fn expire(&mut self, now_ms: i64) -> usize {
        let before = self.members.len();
        self.members.retain(|_, member| now_ms - member.heard_ms <= SESSION_MS);
        self.generation += u64::from(self.members.len() < before);
        before - self.members.len()
    }

    /// Gives what is free to those who have least, and asks back what somebody has too much of.
    pub fn divide(&mut self) {
        if self.divided == self.generation {
            return;
        }
        self.divided = self.generation;
        let owned: BTreeSet<i32> = self.members.values().flat_map(|member| &member.owns).copied().collect();
        for free in (0..self.partitions).filter(|partition| !owned.contains(partition)) {
            if let Some(member) = self.members.values_mut().min_by_key(|member| member.owns.len()) {
                member.owns.insert(free);
                self.generation += 1;
            }
        }
        let least = self.members.values().map(Member::keeps).min().unwrap_or(0);
        if let Some(member) = self.members.values_mut().find(|member| member.keeps() > least + 1) {
            let last = member.owns.iter().rev().find(|partition| !member.asked_back.contains(partition)).copied();
            member.asked_back.extend(last);
            self.generation += 1;
        }
    }

    /// Whoever has this partition has to give it back.
    pub fn ask_back(&mut self, partition: i32) -> bool {
        let owner = self.members.values_mut().find(|member| member.owns.contains(&partition));
        let asked = owner.is_some_and(|member| member.asked_back.insert(partition));
        self.generation += u64::from(asked);
        asked
    }

    /// What its process is told. What has left in the end, it has given back; in between it may have come anew.
    pub fn changes(&mut self, process: u64) -> Vec<Change> {
        let Some(client) = self.clients.get_mut(&process) else { return Vec::new() };
        client.lost = false;
        let changes = std::mem::take(&mut client.untold);
        let mut left = BTreeSet::new();
        for change in &changes {
            match change {
                Change::Came(partition) => (client.told.insert(*partition), left.remove(partition)),
                Change::Left(partition) => (client.told.remove(partition), left.insert(*partition)),
            };
        }
        if let Some(member) = client.member.and_then(|member| self.members.get_mut(&member)) {
            left.retain(|partition| member.asked_back.remove(partition));
            member.owns.retain(|partition| !left.contains(partition));
            self.generation += left.len() as u64;
        }
        changes
    }

    /// As its client has it at the moment.
    pub fn membership(&self, process: u64) -> Membership {
        self.clients.get(&process).and_then(|client| client.member.map(|member| (member, client.generation)))
    }

    pub fn has_lost(&self, process: u64) -> bool {
        self.clients.get(&process).is_some_and(|client| client.lost)
    }

    /// The broker takes any offset from a client that never joined.
    pub fn takes(&self, membership: Membership) -> bool {
        membership.is_none_or(|(member, generation)| self.members.contains_key(&member) && generation == self.generation)
    }
}

impl Member {
    fn keeps(&self) -> usize {
        self.owns.len() - self.asked_back.len()
    }
}

impl Client {
    fn learn(&mut self, generation: u64, member: &Member) {
        self.generation = generation;
        let kept: BTreeSet<i32> = member.owns.difference(&member.asked_back).copied().collect();
        self.untold.extend(kept.difference(&self.ours).map(|partition| Change::Came(*partition)));
        self.untold.extend(self.ours.difference(&kept).map(|partition| Change::Left(*partition)));
        self.ours = kept;
    }

    /// What it had is no longer its own, whatever it was about to tell.
    fn lose(&mut self) {
        self.member = None;
        self.lost = !self.told.is_empty();
        self.untold = self.told.iter().map(|partition| Change::Left(*partition)).collect();
        self.ours.clear();
    }
}
