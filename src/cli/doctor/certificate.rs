//! How long the certificate of the public listener is still valid.

use super::Notes;
use crate::cli::show::now_ms;
use crate::settings::Settings;

const DAY_MS: i64 = 86_400_000;
/// Who renews in time has more left.
const DAYS_WANTED: i64 = 7;
const ADVICE: &str = "put a new one into server.tls_cert_file and server.tls_key_file: it is taken within ten seconds";

pub(super) fn look(settings: &Settings, notes: &mut Notes) {
    if let Some(expires) = settings.server.tls.as_ref().and_then(|certificate| certificate.expires) {
        let shown = expires.shown().as_str()[..10].to_owned();
        match (expires.ms() - now_ms()).div_euclid(DAY_MS) {
            ..0 => notes.problem(format!("the certificate has expired, on {shown}: no vendor delivers"), ADVICE),
            days @ 0..DAYS_WANTED => notes.warning(format!("the certificate expires on {shown}, in {days} days"), ADVICE),
            days => notes.fine(format!("the certificate is valid until {shown}, for {days} days")),
        }
    }
}
