//! What the kafka journal needs beside what both kinds do.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::sections::{HOUR_MS, duration, name, topic};
use crate::journal::kafka::{Options, Safety};
use crate::table::{Flag, Table};

/// Linux tells it here; elsewhere a replica is known by its folder alone.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// Where the journal is.
#[derive(Debug, Clone)]
pub enum Kind {
    Disk,
    Kafka(Fleet),
}

/// The kafka journal's own settings.
#[derive(Debug, Clone)]
pub struct Fleet {
    pub group: String,
    pub delivery_timeout: Duration,
    /// The largest delivery, with its head.
    pub record_bytes_max: u64,
    /// What this replica calls itself, the same over restarts.
    pub replica: String,
    pub options: Options,
}

impl Fleet {
    pub(super) fn read(table: &mut Table, dir: &Path, window_ms: u64, record_bytes_max: u64) -> Fleet {
        let raw_topic = topic(table, "raw_topic", "waitbridge.raw.v1");
        let group = name(table, "group", "waitbridge");
        let delivery_timeout = duration(table, "delivery_timeout", 1000..=HOUR_MS, "60s");
        let safety = if table.flag("unsafe_replication", Flag::Off) { Safety::Waived } else { Safety::Required };
        let options = Options { raw_topic, safety, retention_ms: window_ms + 24 * HOUR_MS };
        Fleet { group, delivery_timeout, record_bytes_max, replica: replica(dir), options }
    }
}

/// A pod of a StatefulSet keeps its host's name, so that its successor ends its open transaction at once. Two replicas on one
/// host have two folders.
fn replica(dir: &Path) -> String {
    let host = fs::read_to_string(HOSTNAME).unwrap_or_default();
    let place = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let digest = Sha256::digest(place.as_os_str().as_encoded_bytes());
    let place: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{place}", host.trim())
}
