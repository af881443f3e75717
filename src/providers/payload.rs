//! What the settings let through of a vendor's `data`.
//!
//! The lists name the keys of both vendors: what must not go on must not go on, whoever sends it. Knows no event.

use super::json::Object;
use super::{Carry, PayloadRule, Rules};
use crate::event::{Kind, Text};

/// Capabilities, addresses and name fragments.
const NEVER: &[&str] = &["publicId", "remoteIp", "ngrams", "PersonGUID"];
const NOTES: &[&str] = &["notes", "Notes"];
const MESSAGE: &[&str] = &["body", "error", "recipient"];

/// As JSON text; `None` if the settings omit it.
pub fn payload<'a>(data: &Object<'a>, kind: Kind, rules: &Rules) -> Option<Text<'a>> {
    match rules.payload {
        PayloadRule::None => None,
        PayloadRule::Full => Some(Text::Borrowed(data.bytes())),
        PayloadRule::Redacted => Some(data.without(|key| is_dropped(key, kind, rules))),
    }
}

fn is_dropped(key: &str, kind: Kind, rules: &Rules) -> bool {
    NEVER.contains(&key)
        || rules.notes == Carry::Off && NOTES.contains(&key)
        || rules.message_bodies == Carry::Off && kind == Kind::Message && MESSAGE.contains(&key)
}
