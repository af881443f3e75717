//! `waitbridge journal list` of a fleet: partition after partition, each in its order. Never a body.

use std::io::{BufWriter, Write, stdout};
use std::ops::ControlFlow;

use anyhow::Result;
use serde_json::json;

use crate::cli::show::{Reader, line, moment};
use crate::delivery::Record;
use crate::journal::kafka::inspect::{Inspection, Partition};
use crate::kafka::raw::Raw;

/// Which records, and how they are shown.
pub struct Wanted<'a> {
    pub partition: Option<i32>,
    /// Received at or after, and before.
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    pub endpoint: Option<&'a str>,
    pub delivered: Delivered,
    pub limit: u64,
    pub form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    Either,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Rows,
    Objects,
}

pub fn list(inspection: &mut Inspection, wanted: &Wanted) -> Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    let mut left = wanted.limit;
    let mut shown = if wanted.form == Form::Rows { line(&mut out, HEADINGS) } else { Ok(Reader::Listens) };
    for found in inspection.partitions()?.into_iter().filter(|found| wanted.partition.is_none_or(|number| number == found.partition)) {
        let from = first(inspection, wanted, &found)?;
        inspection.walk(found.partition, from..found.end, &mut |raw| {
            if left == 0 || !matches!(shown, Ok(Reader::Listens)) {
                return ControlFlow::Break(());
            }
            let record = Record::decode(&raw.value);
            if wanted.wants(&raw, record.as_ref()) {
                left -= 1;
                shown = line(&mut out, &wanted.shown(&raw, record.as_ref(), found.next()));
            }
            ControlFlow::Continue(())
        })?;
    }
    if shown? == Reader::Listens {
        out.flush()?;
    }
    Ok(())
}

fn first(inspection: &mut Inspection, wanted: &Wanted, found: &Partition) -> Result<u64> {
    let since = match wanted.from_ms {
        Some(from_ms) => inspection.since(found, from_ms)?,
        None => found.first,
    };
    Ok(if wanted.delivered == Delivered::No { since.max(found.next()) } else { since })
}

impl Wanted<'_> {
    fn wants(&self, raw: &Raw, record: Option<&Record>) -> bool {
        let is_in_time = self.from_ms.is_none_or(|from| raw.written_ms >= from) && self.to_ms.is_none_or(|to| raw.written_ms < to);
        is_in_time && self.endpoint.is_none_or(|endpoint| record.is_some_and(|record| record.endpoint == endpoint))
    }

    fn shown(&self, raw: &Raw, record: Option<&Record>, next: u64) -> String {
        let is_delivered = raw.offset < next;
        match self.form {
            Form::Objects => object(raw, record, is_delivered.into()).to_string(),
            Form::Rows => row(raw, record, if is_delivered { "yes" } else { "no" }),
        }
    }
}

const HEADINGS: &str = "partition  offset      received                  accept id                             vendor        \
    tenant / endpoint  proof  bytes  published";

fn row(raw: &Raw, record: Option<&Record>, published: &str) -> String {
    let Raw { partition, offset, written_ms, value } = raw;
    let place = format!("{partition:>9}  {offset:<10}  {}", moment(*written_ms));
    let Some(record) = record else { return format!("{place}  unknown content, {} bytes  {published}", value.len()) };
    let Record { accept_id, vendor, tenant, endpoint, auth, body, .. } = record;
    let of = format!("{tenant} / {endpoint}");
    format!("{place}  {accept_id}  {vendor:<12}  {of:<17}  {:<5}  {:<5}  {published}", auth.as_str(), body.len())
}

fn object(raw: &Raw, record: Option<&Record>, delivered: serde_json::Value) -> serde_json::Value {
    json!({
        "partition": raw.partition,
        "offset": raw.offset,
        "received": moment(raw.written_ms),
        "accept_id": record.map(|record| record.accept_id.to_string()),
        "vendor": record.map(|record| record.vendor),
        "tenant": record.map(|record| record.tenant),
        "endpoint": record.map(|record| record.endpoint),
        "proof": record.map(|record| record.auth.as_str()),
        "bytes": record.map_or(raw.value.len(), |record| record.body.len()),
        "delivered": delivered,
    })
}
