//! `waitbridge journal stat`: the journal in figures.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Folder, Seen, fleet};
use crate::cli::show::{self, Color, age, bytes, count, moment, paint, since_ms};
use crate::journal::disk::FORMAT_VERSION;
use crate::journal::disk::inspect::{self, Holder, Inspection, Place};

/// Shows what the journal holds, how far it is published, and who uses it
///
/// Of a disk journal by the local mark; of a fleet's for each partition of the raw topic, by the checkpoint in Kafka.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  waitbridge journal stat --config waitbridge.toml")]
pub struct Stat {
    #[command(flatten)]
    folder: Folder,
    /// One JSON object, for scripts
    #[arg(long)]
    json: bool,
}

impl Stat {
    pub fn run(self) -> Result<ExitCode> {
        match self.folder.inspect()? {
            Seen::Disk(inspection) => {
                let stat = inspection.stat()?;
                if self.json { show::json(&object(&inspection, &stat)) } else { show::page(&page(&inspection, &stat)) }
            }
            Seen::Fleet { mut inspection, group } => {
                let stat = fleet::stat::Stat::of(&mut inspection, &group)?;
                if self.json { show::json(&stat.object()) } else { show::page(&stat.page()) }
            }
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn object(inspection: &Inspection, stat: &inspect::Stat) -> Value {
    let place = |place: Option<Place>| place.map(|place| json!({"seq": place.seq, "received": moment(place.received_ms)}));
    json!({
        "id": inspection.id.map(|id| id.to_string()),
        "dir": inspection.dir(),
        "format": FORMAT_VERSION,
        "segments": stat.segments,
        "bytes": stat.file_bytes,
        "records": stat.held.records,
        "record_bytes": stat.held.bytes,
        "first": place(stat.first),
        "last": place(stat.last),
        "mark": inspection.marked().map(|(position, cluster)| json!({"position": position, "cluster": cluster})),
        "undelivered_records": stat.undelivered.records,
        "undelivered_bytes": stat.undelivered.bytes,
        "oldest_undelivered": place(stat.oldest_undelivered),
        "oldest_undelivered_age_seconds": stat.oldest_undelivered.map(|place| since_ms(place.received_ms).as_secs()),
        "quarantined_files": stat.quarantined_files,
        "lock": lock_word(stat.holder),
        "pid": if let Holder::Process(pid) = stat.holder { Some(pid) } else { None },
        "disowned": stat.disowned,
    })
}

fn lock_word(holder: Holder) -> &'static str {
    match holder {
        Holder::Process(_) => "held",
        Holder::Nobody => "free",
        Holder::Unknown => "unknown",
    }
}

fn page(inspection: &Inspection, stat: &inspect::Stat) -> String {
    let mut page = String::new();
    let mut row = |name: &str, value: String| page.push_str(&format!("{name:<13}{value}\n"));
    let place = |place: Option<Place>| place.map_or("none".to_owned(), |place| format!("{}, seq {}", moment(place.received_ms), place.seq));
    row("journal", inspection.id.map_or("has lost its id file".to_owned(), |id| id.to_string()));
    row("folder", inspection.dir().display().to_string());
    row("used by", user(stat.holder));
    if let Some(disowned) = &stat.disowned {
        row("disowned", format!("another process owns its checkpoint; it will not be opened again ({disowned})"));
    }
    row("on disk", format!("{} in {}, format {FORMAT_VERSION}", bytes(stat.file_bytes), count(stat.segments, "segment")));
    row("records", format!("{}, {}", stat.held.records, bytes(stat.held.bytes)));
    row("first", place(stat.first));
    row("last", place(stat.last));
    row("in Kafka", inspection.marked().map_or("nothing yet, by the local mark".to_owned(), mark));
    row("undelivered", undelivered(stat));
    row("quarantined", quarantined(stat.quarantined_files));
    page
}

fn user(holder: Holder) -> String {
    match holder {
        Holder::Process(pid) => format!("process {pid}"),
        Holder::Nobody => "nobody that this machine shows".to_owned(),
        Holder::Unknown => "unknown: this system does not tell".to_owned(),
    }
}

fn mark((position, cluster): (u64, &str)) -> String {
    format!("all before seq {position}, by the local mark (cluster {cluster})")
}

fn quarantined(files: usize) -> String {
    if files == 0 {
        "nothing".to_owned()
    } else {
        paint(Color::Yellow, &format!("{} with bytes that could not be read", count(files, "file")))
    }
}

fn undelivered(stat: &inspect::Stat) -> String {
    let oldest = stat.oldest_undelivered.map(|oldest| format!("; the oldest for {}", age(since_ms(oldest.received_ms))));
    format!("{}, {}{}", count(stat.undelivered.records, "record"), bytes(stat.undelivered.bytes), oldest.unwrap_or_default())
}
