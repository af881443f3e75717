//! `waitbridge journal stat` of a fleet: each partition of the raw topic, and how far its events are published.

use anyhow::Result;
use serde_json::{Value, json};

use crate::cli::show::{Color, age, count, moment, paint, since_ms};
use crate::journal::kafka::inspect::{Fit, Inspection, Partition};
use crate::kafka::Checkpoint;
use crate::kafka::cluster::GroupMember;

pub struct Stat {
    topic: String,
    group: String,
    partitions: Vec<Partition>,
    members: Vec<GroupMember>,
}

impl Stat {
    pub fn of(inspection: &mut Inspection, group: &str) -> Result<Stat> {
        let (partitions, members) = (inspection.partitions()?, inspection.members()?);
        Ok(Stat { topic: inspection.topic().to_owned(), group: group.to_owned(), partitions, members })
    }

    pub fn object(&self) -> Value {
        json!({
            "kind": "kafka",
            "topic": self.topic,
            "group": self.group,
            "members": self.members.iter().map(|member| json!({"host": member.host, "partitions": member.partitions})).collect::<Vec<_>>(),
            "undelivered_records": self.undelivered(),
            "oldest_undelivered_age_seconds": self.oldest_ms().map(|ms| since_ms(ms).as_secs()),
            "partitions": self.partitions.iter().map(object).collect::<Vec<_>>(),
        })
    }

    pub fn page(&self) -> String {
        let mut page = format!("journal      the topic {}, {}\n", self.topic, count(self.partitions.len(), "partition"));
        page += &format!("group        {}, {}\n", self.group, count(self.members.len(), "member"));
        for GroupMember { host, partitions } in &self.members {
            page += &format!("             {host}: partitions {partitions:?}\n");
        }
        let oldest = self.oldest_ms().map(|ms| format!("; the oldest for {}", age(since_ms(ms)))).unwrap_or_default();
        page += &format!("undelivered  {}{oldest}\n\n{HEADINGS}\n", count(self.undelivered(), "record"));
        for partition in &self.partitions {
            page += &row(partition);
        }
        page
    }

    fn undelivered(&self) -> u64 {
        self.partitions.iter().map(Partition::undelivered).sum()
    }

    fn oldest_ms(&self) -> Option<i64> {
        self.partitions.iter().filter_map(|partition| partition.oldest_undelivered_ms).min()
    }
}

const HEADINGS: &str = "partition       first         end  checkpoint  undelivered  oldest         accept id before the checkpoint";

fn row(found: &Partition) -> String {
    let Partition { partition, first, end, checkpoint, fit, oldest_undelivered_ms } = found;
    let (at, before) = match checkpoint {
        Some(Checkpoint { next, metadata, .. }) => (next.to_string(), metadata.as_str()),
        None => ("none".to_owned(), ""),
    };
    let oldest = oldest_undelivered_ms.map_or("-".to_owned(), |ms| age(since_ms(ms)));
    let mut row = format!("{partition:>9}  {first:>10}  {end:>10}  {at:>10}  {:>11}  {oldest:<13}  {before}\n", found.undelivered());
    if let Some(wrong) = wrong(fit) {
        row += &format!("           {}\n", paint(Color::Red, &wrong));
    }
    row
}

/// In a sentence, what is wrong with a checkpoint.
pub fn wrong(fit: &Fit) -> Option<String> {
    match fit {
        Fit::Fits => None,
        Fit::Lost { records } => Some(format!("{} not delivered, and taken by retention", count(*records, "record"))),
        Fit::Other { accept_id } => {
            Some(format!("the record before the checkpoint is {accept_id}: the topic was made anew, and is published from its start"))
        }
        Fit::Beyond => Some("the topic ends before the checkpoint: it was made anew, and is published from its start".to_owned()),
    }
}

pub fn code(fit: &Fit) -> Option<&'static str> {
    match fit {
        Fit::Fits => None,
        Fit::Lost { .. } => Some("records_lost"),
        Fit::Other { .. } => Some("other_topic"),
        Fit::Beyond => Some("beyond_end"),
    }
}

fn object(found: &Partition) -> Value {
    let checkpoint = |checkpoint: &Checkpoint| json!({"next": checkpoint.next, "accept_id": checkpoint.metadata});
    json!({
        "partition": found.partition,
        "first": found.first,
        "end": found.end,
        "checkpoint": found.checkpoint.as_ref().map(checkpoint),
        "wrong": code(&found.fit),
        "undelivered_records": found.undelivered(),
        "oldest_undelivered": found.oldest_undelivered_ms.map(moment),
        "oldest_undelivered_age_seconds": found.oldest_undelivered_ms.map(|ms| since_ms(ms).as_secs()),
    })
}
