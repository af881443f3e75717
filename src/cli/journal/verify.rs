//! `waitbridge journal verify`: reads every record of every segment and names each damage.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{Folder, Seen, fleet};
use crate::cli::show::{self, Color, bytes, count, paint};
use crate::delivery::Record;
use crate::journal::disk::inspect::{Flaw, FlawKind, Inspection, Sight, Since};

/// Reads every record and checks it; names each damage by its place; exit 3 if there is any
///
/// Of a fleet: records of the raw topic that no version of ours wrote, and checkpoints whose accept id is not that of the record before
/// them.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  waitbridge journal verify --dir /var/lib/waitbridge")]
pub struct Verify {
    #[command(flatten)]
    folder: Folder,
    /// One JSON object, for scripts
    #[arg(long)]
    json: bool,
}

/// What was read, and what is wrong with it.
#[derive(Default)]
struct Verdict {
    records: u64,
    bytes: u64,
    flaws: Vec<Flaw>,
}

impl Verify {
    pub fn run(self) -> Result<ExitCode> {
        let (object, page, flaws) = match self.folder.inspect()? {
            Seen::Disk(inspection) => {
                let verdict = verify(&inspection)?;
                (verdict.object(), verdict.page(), verdict.flaws.len())
            }
            Seen::Fleet { mut inspection, .. } => {
                let verdict = fleet::verify::verify(&mut inspection)?;
                (verdict.object(), verdict.page(), verdict.flaws())
            }
        };
        if self.json { show::json(&object) } else { show::page(&page) }?;
        Ok(show::exit_for(flaws))
    }
}

fn verify(inspection: &Inspection) -> Result<Verdict> {
    let progress = ProgressBar::new(inspection.file_bytes());
    progress.set_style(ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}")?);
    let mut verdict = Verdict { flaws: inspection.outer_flaws(), ..Verdict::default() };
    inspection.walk(Since::default(), &mut |sight| {
        match sight {
            Sight::Record(entry) => {
                progress.inc(entry.frame_bytes);
                verdict.records += 1;
                verdict.bytes += entry.bytes.len() as u64;
                if Record::decode(entry.bytes).is_none() {
                    verdict.flaws.push(Flaw::unknown(&entry));
                }
            }
            Sight::Flaw(flaw) => verdict.flaws.push(flaw),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    progress.finish_and_clear();
    Ok(verdict)
}

impl Verdict {
    fn object(&self) -> Value {
        let flaw = |flaw: &Flaw| {
            let Flaw { segment, offset, seq, records, kind } = flaw;
            json!({"segment": segment, "offset": offset, "seq": seq, "records": records, "kind": kind.code()})
        };
        json!({"records": self.records, "bytes": self.bytes, "damages": self.flaws.iter().map(flaw).collect::<Vec<_>>()})
    }

    fn page(&self) -> String {
        let read = format!("{}, {}", count(self.records, "record"), bytes(self.bytes));
        if self.flaws.is_empty() {
            return format!("{read}: {}", paint(Color::Green, "all whole"));
        }
        let lines: Vec<String> = self.flaws.iter().map(sentence).collect();
        format!("{}\n{read} are whole; {}", lines.join("\n"), paint(Color::Red, &count(self.flaws.len(), "damage")))
    }
}

fn sentence(flaw: &Flaw) -> String {
    let Flaw { segment, offset, seq, records, kind } = flaw;
    let what = match kind {
        FlawKind::Checksum => {
            format!("{} from seq {seq} on cannot be read: the bytes are not those that were written", count(*records, "record"))
        }
        FlawKind::Missing => format!("{} from seq {seq} on missing: durable once, and the file ends before", count(*records, "record")),
        FlawKind::SegmentHeader => "the segment's header is damaged; its records are read all the same".to_owned(),
        FlawKind::Foreign => "belongs to another journal, or had another name: waitbridge will not start with it".to_owned(),
        FlawKind::IdMissing => "is missing, or no UUID: restore it; waitbridge will not start without".to_owned(),
        FlawKind::Content => format!("the record of seq {seq} is whole, but no delivery of a form that this version knows"),
    };
    format!("{segment} at {offset}: {what}")
}
