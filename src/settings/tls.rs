//! The certificate of the public listener, from its files.

use crate::server::tls::{Flaw, Identity, chain, private_key};
use crate::table::Table;

const CERTIFICATE: &str = "tls_cert_file";
const KEY: &str = "tls_key_file";
/// With their section. While there is a certificate, another one is taken without a restart.
pub const KEYS: [&str; 2] = ["server.tls_cert_file", "server.tls_key_file"];

/// `None` if none is named, or one is wrong.
pub fn identity(table: &mut Table) -> Option<Identity> {
    let (chain_file, key_file) = (table.text(CERTIFICATE, ""), table.text(KEY, ""));
    for (one, other) in [((CERTIFICATE, &chain_file), (KEY, &key_file)), ((KEY, &key_file), (CERTIFICATE, &chain_file))] {
        if !one.1.is_empty() && other.1.is_empty() {
            table.mistake(one.0, format!("needs server.{} beside it: a certificate and its private key go together", other.0));
        }
    }
    let chain = parsed(table, CERTIFICATE, &chain_file, chain);
    let key = parsed(table, KEY, &key_file, private_key);
    if key.is_some() && table.is_open_to_all(&key_file) {
        table.caution(KEY, format!("every user of this machine may read the file {key_file}: take that away, with chmod o-r"));
    }
    let (about, file, flaw) = match Identity::new(chain?, key?) {
        Ok(identity) => return Some(identity),
        Err(Flaw::CertificateBroken) => (CERTIFICATE, chain_file, Flaw::CertificateBroken),
        Err(flaw) => (KEY, key_file, flaw),
    };
    table.mistake(about, format!("the file {file} {flaw}"));
    None
}

fn parsed<T>(table: &Table, key: &str, file: &str, parse: fn(&[u8]) -> Result<T, Flaw>) -> Option<T> {
    if file.is_empty() {
        return None;
    }
    let bytes = table.secret_file(key, file)?;
    parse(&bytes).map_err(|flaw| table.mistake(key, format!("the file {file} {flaw}"))).ok()
}
