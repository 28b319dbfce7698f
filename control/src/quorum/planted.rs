//! Bugs that can be switched on, to prove that the simulation finds them. Without the feature `planted-bugs` all of this
//! compiles away.

/// A mistake somebody could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A vote is answered without having been written down.
    VoteNotPersisted,
    /// The leader counts its own log before it is synced.
    LeaderCountsUnsynced,
    /// A follower asks for more, and so acknowledges, before it has synced.
    FollowerAcksUnsynced,
    /// A leader commits an earlier epoch's records because a majority has them (Raft, section 5.4.2).
    CommitsOlderEpoch,
    /// Any answer to a vote counts as a vote (openraft 0.10.0-alpha.2).
    UngrantedVoteCounts,
    /// A vote is given to a candidate whose log is shorter.
    LogNotCompared,
    /// A second candidate of the same epoch gets a vote too.
    VotesTwice,
    /// A leader sends records without comparing what the asker has before them.
    DivergenceIgnored,
    /// After a restart a leader goes on leading the epoch whose unsynced records it lost.
    LeadsAfterRestart,
    /// The high watermark of an answer is taken for the own log, however short that is.
    HighWatermarkPastEnd,
    /// A snapshot that is installed leaves the voters of the log before it in force (openraft #1808).
    VotersSurviveSnapshot,
    /// Voters that were cut off stay in force.
    VotersSurviveTruncation,
    /// A change of the voters begins before the last one is committed.
    OverlappingChanges,
    /// A change of the voters begins before the leader has committed anything in its epoch (Ongaro, 2015).
    ChangeBeforeFirstCommit,
    /// A Fetch of an earlier epoch counts as an acknowledgement.
    StaleFetchCounts,
}

impl Bug {
    /// Those the simulation must find.
    pub const ALL: &[Bug] = &[
        Bug::VoteNotPersisted,
        Bug::LeaderCountsUnsynced,
        Bug::FollowerAcksUnsynced,
        Bug::CommitsOlderEpoch,
        Bug::UngrantedVoteCounts,
        Bug::LogNotCompared,
        Bug::VotesTwice,
        Bug::DivergenceIgnored,
        Bug::LeadsAfterRestart,
        Bug::HighWatermarkPastEnd,
        Bug::VotersSurviveSnapshot,
        Bug::VotersSurviveTruncation,
        Bug::OverlappingChanges,
        Bug::ChangeBeforeFirstCommit,
        Bug::StaleFetchCounts,
    ];
}

#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub(crate) const fn is(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub(crate) use switch::is;
#[cfg(feature = "planted-bugs")]
pub use switch::plant;

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    pub(crate) fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Switches one bug on for this thread, or all off.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }
}
