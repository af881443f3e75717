//! How long the certificate of the public listener is still valid, and what of the settings is not wise.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Notes;
use crate::settings::Settings;

const DAY_MS: i64 = 86_400_000;
/// Who renews in time has more left.
const DAYS_WANTED: i64 = 7;
const ADVICE: &str = "put a new one into server.tls_cert_file and server.tls_key_file: it is taken within ten seconds";

pub(super) fn look(settings: &Settings, notes: &mut Notes) {
    for caution in &settings.cautions {
        notes.warning(caution.key.clone(), caution.wanted.clone());
    }
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    if let Some(expires) = settings.server.tls.as_ref().and_then(|certificate| certificate.expires) {
        let shown = expires.shown().as_str()[..10].to_owned();
        match (expires.ms() - now_ms).div_euclid(DAY_MS) {
            ..0 => notes.problem(format!("the certificate has expired, on {shown}: no vendor delivers"), ADVICE),
            days @ 0..DAYS_WANTED => notes.warning(format!("the certificate expires on {shown}, in {days} days"), ADVICE),
            days => notes.fine(format!("the certificate is valid until {shown}, for {days} days")),
        }
    }
}
