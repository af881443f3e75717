//! What the contract says that each delivery must become: an independent model, deliberately simple.
//!
//! It is written from contract sections 3 to 6 and knows nothing of the product's code; quoted sentences are the contract's.
//! It is asked about one delivery after the other, in accept order, and keeps what it has seen in plain maps.

mod envelope;
mod said;
pub mod values;
mod waitlistplus;
mod waitwhile;
mod window;

use serde_json::Value;

pub use window::Window;

use super::json::{self, Json, Node};
use said::Said;

/// The settings that change what comes out.
#[derive(Debug, Clone)]
pub struct Settings {
    pub endpoints: Vec<Endpoint>,
    pub routes: Routes,
    pub envelope: Mode,
    pub payload: Payload,
    pub notes: Shown,
    pub message_bodies: Shown,
    pub dead_letter_bodies: Shown,
    /// `privacy.ids = "hmac"`, with this key.
    pub id_key: Option<Vec<u8>>,
    pub value_max: usize,
    pub json_depth_max: usize,
    /// `None` for "0s".
    pub expired_after_ms: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct Endpoint {
    pub name: &'static str,
    pub vendor: Vendor,
    pub tenant: &'static str,
    pub auth: &'static str,
    pub time_zone: &'static str,
    pub birth_date_format: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    Waitwhile,
    WaitlistPlus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Person,
    Location,
}

/// `routes`: block and location go only to "location".
#[derive(Debug, Clone)]
pub struct Routes {
    pub person: Vec<Topic>,
    pub visit: Vec<Topic>,
    pub message: Vec<Topic>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Binary,
    Structured,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    None,
    Redacted,
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Yes,
    No,
}

/// One delivery that was answered 200; `received_ms` is what the run found out, and it has checked it.
pub struct Accepted<'a> {
    pub endpoint: &'a Endpoint,
    pub accept_id: &'a str,
    pub received_ms: i64,
    pub traceparents: &'a [String],
    pub body: &'a [u8],
}

#[derive(Debug)]
pub enum Outcome {
    Published(Published),
    DeadLetter { reason: &'static str, key: String, value: Option<Vec<u8>>, headers: Vec<(String, String)> },
    Repeat { basis: &'static str },
}

#[derive(Debug)]
pub struct Published {
    /// A key for each topic.
    pub places: Vec<(Topic, String)>,
    /// In binary mode they are all the headers; in structured mode they stand, without `ce_`, beside the data.
    pub attributes: Vec<(String, String)>,
    /// Without its payload.
    pub data: Value,
    /// Each member that stays: its key and its value, as the vendor wrote them.
    pub payload: Option<Vec<(String, String)>>,
    pub event_type: &'static str,
    pub version_ms: i64,
    pub omitted: Omitted,
    pub stale: Stale,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Omitted {
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    Yes,
    No,
}

impl Vendor {
    pub fn name(self) -> &'static str {
        match self {
            Vendor::Waitwhile => "waitwhile",
            Vendor::WaitlistPlus => "waitlistplus",
        }
    }
}

/// What becomes of a delivery, and what the window then knows.
pub fn expect(settings: &Settings, window: &mut Window, delivery: &Accepted) -> Outcome {
    let wrapper = match wrapper(settings, delivery.body) {
        Ok(wrapper) => wrapper,
        Err(reason) => return dead_letter(settings, delivery, reason),
    };
    let said = match delivery.endpoint.vendor {
        Vendor::Waitwhile => waitwhile::said(settings, delivery, &wrapper),
        Vendor::WaitlistPlus => waitlistplus::said(settings, delivery, &wrapper),
    };
    let said = match said {
        Ok(said) => said,
        Err(reason) => return dead_letter(settings, delivery, reason),
    };
    if let Some(basis) = window.repeats(delivery, &said) {
        if basis == "id" && !is_expired(settings, delivery, &said) {
            window.learn_again(settings, delivery, &said);
        }
        return Outcome::Repeat { basis };
    }
    if is_expired(settings, delivery, &said) {
        return dead_letter(settings, delivery, "expired");
    }
    match envelope::wrap(settings, window, delivery, &said) {
        Some(published) => {
            window.learn(settings, delivery, &said, &published);
            Outcome::Published(published)
        }
        None => dead_letter(settings, delivery, "too_large"),
    }
}

/// "Dead letter reasons in this order: `not_json` (invalid UTF-8), `too_deep`, `not_json` (syntax), `unknown_shape` (no object;
/// `type` absent, empty or no string; `data` no object)."
fn wrapper(settings: &Settings, body: &[u8]) -> Result<Node, &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| "not_json")?;
    // "A leading BOM is skipped."
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if json::depth(text) > settings.json_depth_max {
        return Err("too_deep");
    }
    let wrapper = json::parse(&json::without_lone_surrogates(text)).ok_or("not_json")?;
    let has_type = values::text(wrapper.get("type")).is_some();
    let has_data = wrapper.get("data").is_some_and(|data| matches!(data.json, Json::Object(_)));
    if has_type && has_data { Ok(wrapper) } else { Err("unknown_shape") }
}

/// "Waitwhile `created` older than this at receipt: dead letter `expired`; "0s" = off."
fn is_expired(settings: &Settings, delivery: &Accepted, said: &Said) -> bool {
    match (settings.expired_after_ms, said.wrapper_created_ms) {
        (Some(after), Some(created)) => delivery.received_ms - created > after,
        _ => false,
    }
}

/// "Dead letter: value = the body as received" or, by `dead_letter_bodies`, null; "exactly these headers"; "`too_large` (null value)".
/// `value_max` is "of a record's value",
/// of a dead letter's too.
fn dead_letter(settings: &Settings, delivery: &Accepted, reason: &'static str) -> Outcome {
    let endpoint = delivery.endpoint;
    let shows_body = settings.dead_letter_bodies == Shown::Yes;
    let reason = if shows_body && delivery.body.len() > settings.value_max { "too_large" } else { reason };
    let headers = [
        ("wb_reason", reason.to_owned()),
        ("wb_vendor", endpoint.vendor.name().to_owned()),
        ("wb_tenant", endpoint.tenant.to_owned()),
        ("wb_endpoint", endpoint.name.to_owned()),
        ("wb_acceptid", delivery.accept_id.to_owned()),
        ("wb_receivedtime", values::written(delivery.received_ms)),
    ];
    Outcome::DeadLetter {
        reason,
        key: format!("{}/{}", endpoint.vendor.name(), endpoint.tenant),
        value: (shows_body && reason != "too_large").then(|| delivery.body.to_vec()),
        headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
    }
}
