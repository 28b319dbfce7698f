//! What a replica is at the moment.
//!
//! ```text
//!               silence              majority would vote        majority voted
//! Unattached ------------> Prospective -------------> Candidate -------------> Leader
//!     ^  ^ \                  |   ^                       |                      |
//!     |  |  \ leader known    |   | silence, suspicion    | no majority          | majority silent, asked to
//!     |  |   `------------> Follower                      |                      v
//!     |  `------------------------------------------------'                   Resigned
//!     `---------------------------------------------------------------------------'
//! ```
//! A greater epoch makes any of them Unattached or Follower. Observers are Unattached or Followers only.

use std::collections::BTreeSet;

use reactor::Instant;

use super::leader::Leading;
use crate::record::BrokerId;
use crate::store::SnapshotId;

#[derive(Clone, Debug)]
pub(super) enum Role {
    /// No leader of this epoch is known.
    Unattached {
        /// When a voter becomes prospective.
        deadline: Instant,
        /// When some voter is asked who leads.
        discover: Instant,
    },
    Follower(Following),
    /// Asks who would vote for it (KIP-996).
    Prospective(Campaign),
    Candidate(Campaign),
    Leader(Box<Leading>),
    /// Led this epoch, and does not any more.
    Resigned {
        deadline: Instant,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Following {
    /// When a voter stops believing in the leader.
    pub(super) deadline: Instant,
    /// The leader's last answer.
    pub(super) heard: Option<Instant>,
    /// Its process is said to be dead.
    pub(super) suspected: bool,
    pub(super) fetching: Fetching,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Fetching {
    /// To be sent at this time.
    Due(Instant),
    /// Sent then, not answered yet.
    Asked(Instant),
    /// What came is on its way to the disk.
    Writing(u64),
    /// A snapshot comes in parts; the next one is due then, or was asked for then.
    SnapshotDue(SnapshotId, u64, Instant),
    SnapshotAsked(SnapshotId, u64, Instant),
    /// The host puts the snapshot in place.
    Installing(SnapshotId),
}

#[derive(Clone, Debug)]
pub(super) struct Campaign {
    pub(super) deadline: Instant,
    pub(super) granted: BTreeSet<BrokerId>,
    pub(super) refused: BTreeSet<BrokerId>,
}
