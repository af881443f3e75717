//! Bugs that tests plant, to see that the simulation catches them. Does not exist outside of tests.
//!
//! Most are planted at the seams (`simulation/process`); three had to be planted where the thing is done.

use std::cell::Cell;

/// One wrong way to build this house, each of which somebody has built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The checkpoint is committed apart from the records, and first.
    CheckpointBeforeTheRecords,
    /// What a batch teaches is known before the batch is committed.
    MemoryMergedBeforeTheCommit,
    /// The memory of a life begins empty.
    MemoryNotRebuilt,
    /// Readers see what is written, be it synced or not.
    ReadPastTheSyncedEnd,
    /// A start begins behind the last record it finds, and nothing more.
    SeqGivenTwice,
    /// New names are not made durable.
    DirectoryNotSynced,
    /// A sync says that all is well, and does nothing.
    SyncSkipped,
    /// A sync that failed is taken for one that did not.
    FailedSyncIgnored,
    /// A record that Kafka refuses is left out of its transaction.
    RefusedSendIgnored,
    /// The name on the checkpoint is not looked at.
    OwnerNotCompared,
    /// The local mark is asked first.
    MarkWinsOverTheCheckpoint,
    /// No checkpoint is taken for a checkpoint of 0.
    AbsentIsZero,
    /// Delivered is what is handed to Kafka, not what Kafka has committed.
    AdvancedBeforeTheCommit,
    /// A commit without an answer is taken for done.
    UnknownCommitTakenForDone,
    /// After an abort the next batch follows the aborted one.
    NotRewoundAfterAnAbort,
    /// After an error the relay goes on from where it thinks it was.
    CheckpointNotReadBack,
}

pub const ALL: [Bug; 16] = [
    Bug::CheckpointBeforeTheRecords,
    Bug::MemoryMergedBeforeTheCommit,
    Bug::MemoryNotRebuilt,
    Bug::ReadPastTheSyncedEnd,
    Bug::SeqGivenTwice,
    Bug::DirectoryNotSynced,
    Bug::SyncSkipped,
    Bug::FailedSyncIgnored,
    Bug::RefusedSendIgnored,
    Bug::OwnerNotCompared,
    Bug::MarkWinsOverTheCheckpoint,
    Bug::AbsentIsZero,
    Bug::AdvancedBeforeTheCommit,
    Bug::UnknownCommitTakenForDone,
    Bug::NotRewoundAfterAnAbort,
    Bug::CheckpointNotReadBack,
];

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// On this thread, until the next one.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}
