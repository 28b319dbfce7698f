//! Bugs that can be switched on, to prove that the simulation finds them. Without the feature `planted-bugs` all of this
//! compiles away.

/// A mistake somebody could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A commit resolves before its sync.
    AcknowledgeBeforeSync,
    /// After a failed sync the log goes on, and the next one succeeds.
    SyncErrorRetried,
    /// A failed write-back is left to the sync, which hears nothing of it.
    WriteBackErrorIgnored,
    /// The directory entry of a new segment is not synced before its records count.
    DirectoryNotSyncedAfterRoll,
    /// Recovery believes batches whose CRC is wrong.
    CrcSkippedInRecovery,
    /// What was written to a segment before it was closed is not synced.
    ClosedSegmentNotSynced,
    /// The snapshot written at a roll has no producers in it.
    ProducersLostOnRoll,
    /// A compacted segment takes the place of its sources before it is on the disk.
    CompactionNotSynced,
    /// A start throws a finished compaction away whose sources are gone.
    CompactionDiscarded,
    /// The recovery point that is written down is the end of the log.
    RecoveryPointAhead,
    /// The torn end of a segment stays behind the batches that are whole.
    TornTailKept,
    /// Old segments go before the entry of the new one is on the disk.
    RetentionBeforeDirectorySync,
    /// New leader epochs are not written with the commit.
    EpochsNotWritten,
    /// The marker of a clean stop outlives the start.
    CleanMarkerKept,
    /// A duplicate is answered although its first copy is not on the disk.
    DuplicateNotCommitted,
    /// A file of the journal is written over before a checkpoint freed it.
    JournalReusedBeforeCheckpoint,
    /// Replay brings back what was truncated.
    JournalResetIgnored,
    /// Replay takes an earlier journal's frames for its own.
    JournalIdentityNotChecked,
    /// The files of a journal are voided by their names, not the oldest first.
    JournalVoidedByName,
    /// A write of the journal counts although one before it is on its way.
    JournalAcknowledgedOutOfOrder,
    /// A failed write of the journal counts as done.
    JournalErrorIgnored,
    /// A journaled batch is acknowledged although one before it is only in the page cache.
    JournalGapIgnored,
    /// A checkpoint frees the journal without syncing segments.
    CheckpointWithoutSync,
    /// The journal is voided before what was replayed is synced.
    ReplayNotSynced,
    /// The last stable offset is where the newest open transaction begins, not the oldest.
    LastStableFromNewest,
    /// Producer snapshots do not say which transactions are open.
    OpenTransactionsNotInSnapshot,
    /// The entry of an aborted transaction is not synced with its marker.
    TransactionIndexNotSynced,
    /// A start believes the transaction indexes that a crash left.
    TransactionIndexNotRestored,
    /// A log that was cut keeps its entries of the markers that were cut off.
    TransactionIndexNotCut,
    /// A start reads the producers from a snapshot behind what was synced before the journal's replay.
    SnapshotBehindReplay,
    /// Compaction takes what is not decided for committed.
    UndecidedCompacted,
    /// For compaction an aborted record takes the place of a committed one.
    AbortedRecordsMapped,
    /// Compaction takes a marker before the batches of its transaction.
    MarkerBeforeBatches,

    /// A leader takes members out of the ISR for itself, without waiting for the controller.
    ShrinkWithoutAnswer,
    /// While the ISR grows, the high watermark waits for its old members only.
    PendingMembersNotCounted,
    /// The high watermark waits for all members of the ISR but one.
    OneMemberNotCounted,
    /// Whoever asks counts as the follower, whatever life of its broker it is.
    BrokerEpochNotChecked,
    /// A follower that went another way appends what the leader has behind it.
    DivergenceIgnored,
    /// A follower cuts its log at its high watermark instead of where the epochs part.
    TruncateByHighWatermark,
    /// A follower asks from the end of its log, not from the end of what is on its disk.
    FollowerNotDurable,
    /// A leader counts the fetch of a follower that follows in an earlier epoch.
    OldEpochFetchAccepted,
    /// Followers do not learn of producers' sequences.
    ProducersNotFollowed,
    /// acks=all is answered when the leader has it.
    AcknowledgedByLeaderAlone,
    /// acks=all is taken with fewer replicas than min.insync.replicas.
    MinInsyncIgnored,
    /// Consumers read up to the end of the log.
    ReadPastHighWatermark,
    /// A new leader takes all that it has for committed.
    HighWatermarkFromLogEnd,
    /// A follower does not note the leader epochs of what it appends.
    EpochsNotFollowed,
    /// Any live replica is elected.
    UncleanElection,
    /// A new leader has no new epoch.
    LeaderEpochNotBumped,
    /// A change of the ISR counts whatever state it began from.
    PartitionEpochNotChecked,
    /// Whoever was in sync in an earlier life may join the ISR.
    IsrEpochsNotChecked,
    /// A controller writes although another one has taken over.
    FenceNotChecked,
    /// Who waited at a leader that was deposed is answered by what the next leader commits.
    DeposedAcknowledges,
}

impl Bug {
    /// Those the simulation must find.
    pub const ALL: &[Bug] = &[
        Bug::AcknowledgeBeforeSync,
        Bug::SyncErrorRetried,
        Bug::WriteBackErrorIgnored,
        Bug::DirectoryNotSyncedAfterRoll,
        Bug::CrcSkippedInRecovery,
        Bug::ClosedSegmentNotSynced,
        Bug::ProducersLostOnRoll,
        Bug::CompactionNotSynced,
        Bug::CompactionDiscarded,
        Bug::RecoveryPointAhead,
        Bug::TornTailKept,
        Bug::EpochsNotWritten,
        Bug::CleanMarkerKept,
        Bug::DuplicateNotCommitted,
        Bug::JournalReusedBeforeCheckpoint,
        Bug::JournalResetIgnored,
        Bug::JournalIdentityNotChecked,
        Bug::JournalErrorIgnored,
        Bug::JournalGapIgnored,
        Bug::CheckpointWithoutSync,
        Bug::ReplayNotSynced,
        Bug::LastStableFromNewest,
        Bug::OpenTransactionsNotInSnapshot,
        Bug::TransactionIndexNotSynced,
        Bug::TransactionIndexNotRestored,
        Bug::TransactionIndexNotCut,
        Bug::UndecidedCompacted,
        Bug::AbortedRecordsMapped,
        Bug::MarkerBeforeBatches,
    ];

    /// Those the simulation of whole clusters must find.
    pub const OF_CLUSTERS: &[Bug] = &[
        Bug::ShrinkWithoutAnswer,
        Bug::OneMemberNotCounted,
        Bug::DivergenceIgnored,
        Bug::TruncateByHighWatermark,
        Bug::ProducersNotFollowed,
        Bug::AcknowledgedByLeaderAlone,
        Bug::MinInsyncIgnored,
        Bug::ReadPastHighWatermark,
        Bug::EpochsNotFollowed,
        Bug::UncleanElection,
        Bug::LeaderEpochNotBumped,
        Bug::FenceNotChecked,
        Bug::DeposedAcknowledges,
    ];

    /// Those it has not found within 600 seeds: it lacks the schedule, or another rule stands in for the one that is left out.
    pub const UNSEEN_OF_CLUSTERS: &[Bug] = &[
        Bug::HighWatermarkFromLogEnd,
        Bug::PendingMembersNotCounted,
        Bug::BrokerEpochNotChecked,
        Bug::FollowerNotDurable,
        Bug::OldEpochFetchAccepted,
        Bug::PartitionEpochNotChecked,
        Bug::IsrEpochsNotChecked,
    ];

    /// Those it does not find within 1,000 seeds: what they break needs a workload it does not have yet.
    pub const UNSEEN: &[Bug] = &[
        Bug::RetentionBeforeDirectorySync,
        Bug::JournalAcknowledgedOutOfOrder,
        Bug::JournalVoidedByName,
        Bug::SnapshotBehindReplay,
    ];
}

#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn is(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub use switch::{is, plant};

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Switches one bug on for this thread, or all off.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }
}
