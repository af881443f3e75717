//! How an explanation is told: to people, and to scripts.

use serde_json::{Value, json};

use super::becomes::{Shown, ShownRecord};
use super::signature::Checked;
use crate::cli::tail::mask::masked;
use crate::providers::Pending;
use crate::providers::endpoints::Endpoint;

/// Whether people's data is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personal {
    Shown,
    Masked,
}

impl Personal {
    /// A record's value; in structured mode the data is a part of it.
    pub fn shown(self, mut value: Value) -> Value {
        if self == Personal::Shown {
            return value;
        }
        match value.get("specversion") {
            Some(_) => value["data"] = masked(&value["data"]),
            None => value = masked(&value),
        }
        value
    }
}

pub fn object(endpoint: &Endpoint, checked: Option<&Checked>, shown: &Shown) -> Value {
    let mut all = json!(shown);
    all["endpoint"] = json!(endpoint.name);
    all["vendor"] = json!(endpoint.vendor);
    all["tenant"] = json!(endpoint.tenant);
    all["pending"] = json!(endpoint.pending == Pending::Yes);
    all["signature"] = json!(checked);
    all
}

pub fn page(endpoint: &Endpoint, checked: Option<&Checked>, shown: &Shown) -> String {
    let mut lines = vec![row("endpoint", &format!("{} ({}, tenant {})", endpoint.name, endpoint.vendor, endpoint.tenant))];
    if endpoint.pending == Pending::Yes {
        lines.push(row("", "it is pending: every delivery is answered 503 endpoint_pending until pending is false"));
    }
    lines.extend(checked.map(|checked| row("signature", &signature(checked))));
    let letter = shown.reason.zip(shown.advice).map(|(reason, advice)| format!("a dead letter, {reason}: {advice}"));
    lines.push(row("becomes", letter.as_deref().unwrap_or("an event")));
    lines.extend(shown.records.iter().flat_map(record));
    if !shown.left_out.is_empty() {
        lines.push(format!("\nof the vendor's data these keys do not go on in the payload: {}", shown.left_out.join(", ")));
    }
    if !shown.depends.is_empty() {
        lines.push("\nit depends on the deliveries before:".to_owned());
        lines.extend(shown.depends.iter().map(|what| format!("  - {what}")));
    }
    lines.join("\n")
}

fn row(name: &str, what: &str) -> String {
    format!("{name:<12}{what}")
}

fn signature(checked: &Checked) -> String {
    match (checked.secret, &checked.cause, &checked.advice) {
        (Some(secret), ..) => format!("verified, with file {secret} of secret_files"),
        (_, Some(cause), Some(advice)) => format!("NOT verified ({cause}): {advice}"),
        _ => "NOT verified".to_owned(),
    }
}

fn record(record: &ShownRecord) -> Vec<String> {
    let mut lines = vec![String::new(), row("topic", &record.topic), row("key", &record.key), "headers".to_owned()];
    lines.extend(record.headers.iter().map(|(name, value)| format!("  {name:<18}{value}")));
    lines.push(match &record.value {
        Some(value) => format!("value ({} bytes)\n{value:#}", record.value_bytes),
        None if record.value_bytes > 0 => row("value", &format!("the body as it is ({} bytes)", record.value_bytes)),
        None => row("value", "null"),
    });
    lines
}
