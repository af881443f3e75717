//! `waitbridge journal verify` of a fleet: what is no record of ours, and checkpoints that the raw topic speaks against.
//! Checksums are Kafka's own, which its brokers and clients check.

use std::ops::ControlFlow;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::stat::{code, wrong};
use crate::cli::show::{Color, bytes, count, paint};
use crate::delivery::Record;
use crate::journal::kafka::inspect::{Fit, Inspection};

/// What was read, and what is wrong with it.
#[derive(Default)]
pub struct Verdict {
    records: u64,
    bytes: u64,
    flaws: Vec<Flaw>,
}

struct Flaw {
    partition: i32,
    offset: u64,
    kind: Kind,
}

enum Kind {
    /// The record is no delivery of a form that this version knows.
    Content,
    Checkpoint(Fit),
}

pub fn verify(inspection: &mut Inspection) -> Result<Verdict> {
    let partitions = inspection.partitions()?;
    let progress = ProgressBar::new(partitions.iter().map(|found| found.end - found.first).sum());
    progress.set_style(ProgressStyle::with_template("{bar:40} {pos} of {len} records, {per_sec}")?);
    let mut verdict = Verdict::default();
    for found in partitions {
        let partition = found.partition;
        if code(&found.fit).is_some() {
            verdict.flaws.push(Flaw { partition, offset: found.next(), kind: Kind::Checkpoint(found.fit) });
        }
        inspection.walk(partition, found.first..found.end, &mut |raw| {
            progress.inc(1);
            verdict.records += 1;
            verdict.bytes += raw.value.len() as u64;
            if Record::decode(&raw.value).is_none() {
                verdict.flaws.push(Flaw { partition, offset: raw.offset, kind: Kind::Content });
            }
            ControlFlow::Continue(())
        })?;
    }
    progress.finish_and_clear();
    Ok(verdict)
}

impl Verdict {
    pub fn flaws(&self) -> usize {
        self.flaws.len()
    }

    pub fn object(&self) -> Value {
        let flaw = |flaw: &Flaw| json!({"partition": flaw.partition, "offset": flaw.offset, "kind": flaw.kind.code()});
        json!({"records": self.records, "bytes": self.bytes, "damages": self.flaws.iter().map(flaw).collect::<Vec<_>>()})
    }

    pub fn page(&self) -> String {
        let read = format!("{}, {}", count(self.records, "record"), bytes(self.bytes));
        if self.flaws.is_empty() {
            return format!("{read}: {}", paint(Color::Green, "all whole"));
        }
        let lines: Vec<String> = self.flaws.iter().map(sentence).collect();
        format!("{}\n{read} were read; {}", lines.join("\n"), paint(Color::Red, &count(self.flaws.len(), "damage")))
    }
}

impl Kind {
    fn code(&self) -> &'static str {
        match self {
            Kind::Content => "content",
            Kind::Checkpoint(fit) => code(fit).unwrap_or("checkpoint"),
        }
    }
}

fn sentence(flaw: &Flaw) -> String {
    let Flaw { partition, offset, kind } = flaw;
    let what = match kind {
        Kind::Content => "no delivery of a form that this version knows: it becomes a dead letter".to_owned(),
        Kind::Checkpoint(fit) => wrong(fit).unwrap_or_default(),
    };
    format!("partition {partition} at {offset}: {what}")
}
