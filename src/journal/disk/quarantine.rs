//! Where the bytes go that cannot be read: kept for a human, bounded, and never in the way. Knows no record.

use super::storage::Storage;

pub const FOLDER: &str = "quarantine";
const FILES_MAX: usize = 256;
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Keeps what it can; an error here must not hold up what is whole.
pub fn keep(storage: &dyn Storage, name: &str, bytes: &[u8]) {
    let path = format!("{FOLDER}/{name}");
    let kept = storage.make_dir(FOLDER).and_then(|()| storage.list(FOLDER)).and_then(|names| {
        if names.len() >= FILES_MAX || names.iter().any(|known| known == name) {
            return Ok(());
        }
        let file = storage.create(&path)?;
        file.write_at(bytes, 0)?;
        file.sync_data()?;
        storage.sync_dir(FOLDER)
    });
    if let Err(error) = kept {
        tracing::warn!(path, %error, "damaged bytes could not be kept");
    }
}
