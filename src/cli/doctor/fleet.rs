//! What a replica of a fleet needs beside what any waitbridge does: its folder, a raw topic that is safe, checkpoints that fit it
//! and outlive a quiet time, a group that works.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::Notes;
use super::cluster::advice;
use crate::app::control;
use crate::cli::journal::fleet::{inspect, stat::wrong};
use crate::cli::show::{age, count, since_ms};
use crate::journal::disk::inspect::Stat;
use crate::journal::kafka::inspect::Partition;
use crate::journal::kafka::{Safety, is_safe};
use crate::kafka::cluster::{Cluster, Overview};
use crate::kafka::compare::{Found, Standing};
use crate::kafka::topics::Role;
use crate::settings::{Fleet, Settings};

/// Of a unix socket's path, on Linux.
const SOCKET_PATH_BYTES_MAX: usize = 107;
const OLD: Duration = Duration::from_secs(60);
const OFFSETS_RETENTION: &str = "offsets.retention.minutes";
const MINUTE_MS: u64 = 60_000;

/// `left`: of the disk journal that the folder held before.
pub(super) fn folder(dir: &Path, left: Option<&Stat>) -> Notes {
    let mut notes = Notes::of("journal");
    match fs::metadata(dir).map(|_| tempfile::tempfile_in(dir)) {
        Ok(Ok(_)) => notes.fine(format!("{} takes the lock and the control socket; the journal itself is in Kafka", dir.display())),
        Ok(Err(error)) => {
            notes.problem(format!("nothing can be made in {}: {error}", dir.display()), "give the folder to the service's user")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => notes
            .warning(format!("{} is not there", dir.display()), "the first start makes it; its parent must let the service's user do so"),
        Err(error) => notes.problem(format!("{}: {error}", dir.display()), "give the folder to the service's user"),
    }
    let socket = control::socket(dir);
    if socket.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES_MAX {
        let said = format!("{} is too long for a socket", socket.display());
        notes.warning(said, "replay and reload need it: set a shorter journal.dir");
    }
    if let Some(stat) = left.filter(|stat| stat.oldest_undelivered.is_some()) {
        let records = count(stat.undelivered.records, "record");
        notes.problem(
            format!("a disk journal in {} holds {records} that Kafka does not have", dir.display()),
            "the service will not start: empty it with `waitbridge journal drain --dir`, or set another journal.dir",
        );
    }
    notes
}

pub(super) fn look(notes: &mut Notes, settings: &Settings, of: &Fleet, cluster: &Cluster, overview: &Overview) {
    let topics = cluster.topics().unwrap_or_default();
    let raw = topics.into_iter().find(|(spec, _)| spec.role == Role::Raw);
    if let Some((spec, Standing::There(found))) = raw {
        safety(notes, of, &spec.name, &found);
        partitions(notes, settings, of);
        offsets(notes, of, cluster, overview);
    }
    notes.fine(format!("this replica's transactional id is {}-{}", settings.kafka.prefix, of.replica));
}

fn safety(notes: &mut Notes, of: &Fleet, topic: &str, found: &Found) {
    match (is_safe(found), of.options.safety) {
        (Ok(()), _) => notes.fine(format!("topic {topic} keeps {} copies of each record: a broker may be lost", found.replication)),
        (Err(why), Safety::Waived) => {
            notes.warning(format!("topic {topic} is not safe: {why}"), "waived by journal.unsafe_replication: for trials only")
        }
        (Err(why), Safety::Required) => notes.problem(
            format!("topic {topic} is not safe: {why}"),
            "nothing is accepted: add copies; on a single broker, for trials, journal.unsafe_replication = true",
        ),
    }
}

fn partitions(notes: &mut Notes, settings: &Settings, of: &Fleet) {
    let seen = inspect(&settings.kafka, of).map(|mut inspection| (inspection.partitions(), inspection.members()));
    match seen {
        Ok((Ok(partitions), Ok(members))) => {
            let (members, all) = (count(members.len(), "member"), count(partitions.len(), "partition"));
            notes.fine(format!("group {} has {members} for {all}", of.group));
            partitions.iter().for_each(|found| partition(notes, found));
        }
        Ok((Err(fault), _) | (_, Err(fault))) => notes.problem(format!("the checkpoints cannot be read: {fault}"), advice(&fault)),
        Err(error) => notes.problem(format!("{error:#}"), "correct [kafka.properties]"),
    }
}

fn partition(notes: &mut Notes, found: &Partition) {
    let name = format!("partition {}", found.partition);
    if let Some(wrong) = wrong(&found.fit) {
        notes.problem(format!("{name}: {wrong}"), "see docs/runbook.md, \"The raw topic was made anew\"");
    }
    let waited = found.oldest_undelivered_ms.map(since_ms).unwrap_or_default();
    let lag = format!("{name}: {} not published", count(found.undelivered(), "record"));
    match found.undelivered() {
        0 => notes.fine(format!("{name}: all of it is published, up to {}", found.end)),
        _ if waited > OLD => notes.warning(format!("{lag}; the oldest for {}", age(waited)), "see `waitbridge status` on each replica"),
        _ => notes.fine(lag),
    }
}

/// A group without members loses its offsets after this: then all that the raw topic holds would come again.
fn offsets(notes: &mut Notes, of: &Fleet, cluster: &Cluster, overview: &Overview) {
    let told = overview.brokers.iter().filter_map(|broker| cluster.broker_setting(broker.id, OFFSETS_RETENTION)?.parse::<u64>().ok());
    let Some(minutes) = told.min() else { return };
    let (kept, wanted) = (Duration::from_millis(minutes * MINUTE_MS), Duration::from_millis(of.options.retention_ms));
    let said = format!("checkpoints outlive the fleet for {} ({OFFSETS_RETENTION})", age(kept));
    if kept < wanted {
        let advice = format!("the raw topic keeps {}: a fleet that was off for longer publishes what is left again; raise it", age(wanted));
        notes.warning(said, advice);
    } else {
        notes.fine(said);
    }
}
