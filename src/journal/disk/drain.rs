//! A folder whose deliveries are to come out with nothing more going in.
//!
//! One whose journal was given up for another kind is published as its own next start would: under its name, from its checkpoint.
//! Of a copy that lost its checkpoint to another, what only this copy holds is published under a name of its own, and the folder
//! stays closed for everything else.
//!
//! What the two share is the other's to publish. Where that ends is known from the name on the checkpoint, if the other
//! has not started again since; else everything that this copy accepted in its last life and did not deliver is taken for its
//! own. So nothing is lost; what was accepted before the copy was made, and not delivered by then, may come twice.

use std::sync::Arc;

use uuid::Uuid;

use super::disowned::{DISOWNED, Record};
use super::inspect::inspect;
use super::recovery::{Parts, hold_folder, text_of};
use super::storage::{LocalFolder, Storage, write_whole};
use super::{DiskSource, OpenError, Options, wall_clock};
use crate::metrics::Metrics;

/// Holds the UUID of the drain of a copy, made once: a drain that was killed goes on where it was.
const DRAIN: &str = "drain";

/// A folder that can be emptied.
pub struct Drain {
    pub source: DiskSource,
    pub id: Uuid,
}

/// Opens a folder that holds a journal, and that no process uses.
pub fn open(options: Options, metrics: Arc<Metrics>) -> Result<Drain, OpenError> {
    let dir = options.dir.clone();
    // Makes nothing where there is none.
    inspect(&dir)?;
    let io = |source| OpenError::Io { path: dir.clone(), source };
    let storage: Arc<dyn Storage> = Arc::new(LocalFolder::at(&dir).map_err(io)?);
    let disowned = text_of(&*storage, &options, DISOWNED)?;
    let Parts { log, source, .. } = hold_folder(storage.clone(), wall_clock(), options, metrics)?;
    let Some(disowned) = disowned else { return Ok(Drain { source, id: log.id }) };
    let record = Record::decode(&disowned);
    let id = match text_of(&*storage, &log.options, DRAIN)?.and_then(|text| text.trim().parse().ok()) {
        Some(id) => id,
        None => made(&*storage).map_err(io)?,
    };
    let until = log.state().next;
    Ok(Drain { source: source.draining(record.own_from(until)), id })
}

fn made(storage: &dyn Storage) -> std::io::Result<Uuid> {
    let id = Uuid::new_v4();
    write_whole(storage, DRAIN, format!("{id}\n").as_bytes())?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Folder, go_on};
    use super::*;
    use crate::journal::{Position, ReadLimit, Source};

    const ALL: ReadLimit = ReadLimit { records_max: 1000, bytes_max: 1 << 20 };

    fn drained(folder: &Folder) -> Vec<String> {
        let options = Options { dir: folder.0.clone(), ..folder.options() };
        let mut drain = open(options, Arc::new(Metrics::new())).unwrap_or_else(|error| panic!("{error}"));
        go_on(&mut drain.source, None);
        let mut out = Vec::new();
        drain.source.read(ALL, std::time::Duration::ZERO, &mut out).unwrap();
        out.into_iter().map(|stored| String::from_utf8(stored.bytes).unwrap()).collect()
    }

    #[test]
    fn what_a_copy_accepted_itself_comes_out_and_nothing_that_the_winner_has() {
        let folder = Folder::new();
        let mut start = folder.open();
        let delivered = start.append("delivered");
        go_on(&mut start.source, None);
        start.source.advance(Position { partition: 0, offset: delivered + 1 }, "cluster");
        let shared = start.append("both have it, and the winner publishes it");
        let held = shared + 1;
        start.append("mine");
        start.append("mine too");
        start.source.disown(&format!("{}/{held}", Uuid::new_v4()));
        drop(start);
        assert_eq!(drained(&folder), ["mine", "mine too"]);
        assert_eq!(drained(&folder), ["mine", "mine too"], "until its checkpoint says more");
    }

    #[test]
    fn where_the_winner_has_started_again_nothing_is_lost() {
        for winner in ["boot/99999999999999999", "boot", ""] {
            let folder = Folder::new();
            let mut start = folder.open();
            for text in ["a", "b"] {
                start.append(text);
            }
            start.source.disown(winner);
            drop(start);
            assert_eq!(drained(&folder), ["a", "b"], "{winner:?}");
        }
    }

    #[test]
    fn a_folder_that_was_not_disowned_comes_out_under_its_own_name_and_one_without_a_journal_is_left_alone() {
        let folder = Folder::new();
        let mut start = folder.open();
        let delivered = start.append("delivered");
        go_on(&mut start.source, None);
        start.source.advance(Position { partition: 0, offset: delivered + 1 }, "cluster");
        start.append("left");
        let id = start.id;
        assert!(matches!(open(folder.options(), Arc::default()), Err(OpenError::Locked { .. })), "while it is in use");
        drop(start);
        assert_eq!(drained(&folder), ["left"]);
        assert_eq!(open(folder.options(), Arc::default()).map(|drain| drain.id).ok(), Some(id));
        let none = Folder::new();
        assert!(open(none.options(), Arc::default()).is_err());
        assert!(!none.0.join("id").exists());
    }
}
