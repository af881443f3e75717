//! `waitbridge journal list`: a line for each record. Never a body, and never a personal value.

use std::io::{BufWriter, Write, stdout};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::json;

use super::fleet::list::{self as fleet, Form, Wanted};
use super::{Folder, Seen};
use crate::cli::show::{Reader, line, moment, parse_moment};
use crate::delivery::Record;
use crate::journal::disk::inspect::{Entry, Inspection, Sight, Since};

/// Lists the records, oldest first: when, from which endpoint, how proven, whether it is published; never a body
///
/// Of a fleet partition after partition, each in its order.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    waitbridge journal list --dir /var/lib/waitbridge --from 2h --endpoint clinic\n  \
    waitbridge journal list --config waitbridge.toml --undelivered --limit 20 --json")]
pub struct List {
    #[command(flatten)]
    folder: Folder,
    /// Received at or after: RFC 3339, or how long ago such as 2h
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    from: Option<i64>,
    /// Received before
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    to: Option<i64>,
    /// Of this endpoint only
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Kafka journal: of this partition of the raw topic only
    #[arg(long, value_name = "N", conflicts_with = "dir")]
    partition: Option<i32>,
    /// Only what is not published yet; a disk journal's by the local mark
    #[arg(long)]
    undelivered: bool,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// One JSON object a line, for scripts
    #[arg(long)]
    json: bool,
}

impl List {
    pub fn run(self) -> Result<ExitCode> {
        match self.folder.inspect()? {
            Seen::Disk(_) if self.partition.is_some() => bail!("a disk journal has no partitions: leave --partition out"),
            Seen::Disk(inspection) => self.list(&inspection)?,
            Seen::Fleet { mut inspection, .. } => fleet::list(&mut inspection, &self.wanted())?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            partition: self.partition,
            from_ms: self.from,
            to_ms: self.to,
            endpoint: self.endpoint.as_deref(),
            delivered: if self.undelivered { fleet::Delivered::No } else { fleet::Delivered::Either },
            limit: self.limit.unwrap_or(u64::MAX),
            form: if self.json { Form::Objects } else { Form::Rows },
        }
    }

    fn list(&self, inspection: &Inspection) -> Result<()> {
        let delivered = inspection.marked().map_or(0, |(next, _)| next);
        let since = Since { seq: if self.undelivered { delivered } else { 0 }, received_ms: self.from.unwrap_or(i64::MIN) };
        let mut out = BufWriter::new(stdout().lock());
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut shown = if self.json { Reader::Listens } else { line(&mut out, HEADINGS)? };
        inspection.walk(since, &mut |sight| {
            if left == 0 || shown == Reader::Left {
                return Ok(ControlFlow::Break(()));
            }
            let Sight::Record(entry) = sight else { return Ok(ControlFlow::Continue(())) };
            if self.to.is_some_and(|to| entry.place.received_ms >= to) {
                return Ok(ControlFlow::Break(()));
            }
            let record = Record::decode(entry.bytes);
            if self.wants(record.as_ref()) {
                left -= 1;
                shown = line(&mut out, &self.shown(&entry, record.as_ref(), Delivered::of(&entry, delivered)))?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if shown == Reader::Listens {
            out.flush()?;
        }
        Ok(())
    }

    fn wants(&self, record: Option<&Record>) -> bool {
        self.endpoint.as_deref().is_none_or(|endpoint| record.is_some_and(|record| record.endpoint == endpoint))
    }

    fn shown(&self, entry: &Entry, record: Option<&Record>, delivered: Delivered) -> String {
        if self.json { object(entry, record, delivered) } else { row(entry, record, delivered) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivered {
    Yes,
    No,
}

impl Delivered {
    fn of(entry: &Entry, next: u64) -> Delivered {
        if entry.place.seq < next { Delivered::Yes } else { Delivered::No }
    }
}

const HEADINGS: &str = "seq               received                  accept id                             vendor        tenant / endpoint  \
    proof  bytes  in Kafka";

fn row(entry: &Entry, record: Option<&Record>, delivered: Delivered) -> String {
    let (seq, received) = (entry.place.seq, moment(entry.place.received_ms));
    let kept = if delivered == Delivered::Yes { "yes" } else { "no" };
    let Some(record) = record else {
        return format!("{seq:<17} {received}  unknown content, {} bytes  {kept}", entry.bytes.len());
    };
    let Record { accept_id, vendor, tenant, endpoint, auth, body, .. } = record;
    let place = format!("{tenant} / {endpoint}");
    format!("{seq:<17} {received}  {accept_id}  {vendor:<12}  {place:<17}  {:<5}  {:<5}  {kept}", auth.as_str(), body.len())
}

fn object(entry: &Entry, record: Option<&Record>, delivered: Delivered) -> String {
    json!({
        "seq": entry.place.seq,
        "received": moment(entry.place.received_ms),
        "accept_id": record.map(|record| record.accept_id.to_string()),
        "vendor": record.map(|record| record.vendor),
        "tenant": record.map(|record| record.tenant),
        "endpoint": record.map(|record| record.endpoint),
        "proof": record.map(|record| record.auth.as_str()),
        "bytes": record.map_or(entry.bytes.len(), |record| record.body.len()),
        "delivered": delivered == Delivered::Yes,
    })
    .to_string()
}
