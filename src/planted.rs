//! Bugs that tests plant, to see that the simulation catches them. Does not exist outside of tests.
//!
//! Most are planted at the seams (`simulation/process`); five had to be planted where the thing is done.

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
    /// What was prepared ahead is published behind a batch that failed.
    AheadKeptAfterAFailure,
    /// What is prepared ahead knows nothing of the batch that Kafka has.
    AheadPreparedApart,
    /// A checkpoint is read while an open transaction would move it.
    UnstableCheckpointRead,
    /// 200 is answered before the raw topic has it.
    AnsweredBeforeTheReport,
    /// One that the group took for dead commits as if it had never joined: nothing fences it.
    StaleGroupMetadata,
    /// The accept id of the checkpoint is not compared.
    RecreatedTopicSkipped,
    /// A partition that left is read and published on.
    RevokedPartitionPublished,
    /// Of a partition that comes back, what its former stay taught is taken for known.
    OtherStaysMemory,
    /// A receipt is what the clock of its replica said.
    ReceiptOfEachClock,
}

pub const OF_A_DISK: [Bug; 18] = [
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
    Bug::AheadKeptAfterAFailure,
    Bug::AheadPreparedApart,
];

pub const OF_A_FLEET: [Bug; 16] = [
    Bug::CheckpointBeforeTheRecords,
    Bug::MemoryMergedBeforeTheCommit,
    Bug::MemoryNotRebuilt,
    Bug::RefusedSendIgnored,
    Bug::UnknownCommitTakenForDone,
    Bug::NotRewoundAfterAnAbort,
    Bug::CheckpointNotReadBack,
    Bug::AheadKeptAfterAFailure,
    Bug::AheadPreparedApart,
    Bug::UnstableCheckpointRead,
    Bug::AnsweredBeforeTheReport,
    Bug::StaleGroupMetadata,
    Bug::RecreatedTopicSkipped,
    Bug::RevokedPartitionPublished,
    Bug::OtherStaysMemory,
    Bug::ReceiptOfEachClock,
];

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// On this thread, until the next one.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// On this thread: whoever starts another hands it on.
pub fn planted() -> Option<Bug> {
    PLANTED.get()
}

pub fn is(bug: Bug) -> bool {
    planted() == Some(bug)
}
