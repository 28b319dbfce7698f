//! What happens to a replica, and what it does.

use bytes::Bytes;
use engine::types::Offset;

use super::admin::{ChangeError, VoterChange};
use super::core::ElectionState;
use super::entry::Entry;
use super::message::{LeaderView, Request, Response};
use super::voters::VoterSet;
use crate::record::{BrokerId, ControllerEpoch};
use crate::store::SnapshotId;

/// The host's name for a request it was asked; comes back with the answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

#[derive(Clone, Debug)]
pub enum Event {
    /// Nothing but that time has passed.
    Tick,
    Asked {
        id: RequestId,
        request: Request,
    },
    Answered {
        from: BrokerId,
        /// What was asked.
        request: Request,
        response: Response,
    },
    Unanswered {
        to: BrokerId,
        request: Request,
        why: NoAnswer,
    },
    /// All that [`Action::Append`] of this number said, and all before it, is durable.
    Written {
        write: u64,
    },
    /// This replica has made a snapshot, and keeps the log from `log_start` on.
    SnapshotWritten {
        id: SnapshotId,
        log_start: Offset,
    },
    /// The log was replaced by the snapshot. `None` if it names no voters.
    SnapshotInstalled {
        id: SnapshotId,
        voters: Option<VoterSet>,
    },
    /// The snapshot that was fetched cannot be used.
    SnapshotUnusable {
        id: SnapshotId,
    },
    /// The process that led this epoch is known to be gone.
    Suspect(ControllerEpoch),
    /// Stop leading this epoch.
    Resign(ControllerEpoch),
    Change {
        id: RequestId,
        change: VoterChange,
    },
}

/// Why a request has no answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// Nobody listens there: the process is gone.
    Refused,
    /// Anything else; it may have arrived.
    Lost,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// First of its list, if there is one.
    Persist(ElectionState),
    Append {
        write: u64,
        entries: Vec<Entry>,
    },
    /// Cut off everything from this offset on.
    Truncate {
        end_offset: Offset,
    },
    Ask {
        to: BrokerId,
        request: Request,
    },
    Answer {
        id: RequestId,
        response: Response,
    },
    /// Answer a Fetch with batches from `from` on, as many as are convenient, none at or past `end`; none is fine when they
    /// are equal.
    AnswerRecords {
        id: RequestId,
        view: LeaderView,
        high_watermark: Offset,
        from: Offset,
        end: Offset,
    },
    /// Answer a FetchSnapshot with a part of this snapshot.
    AnswerSnapshot {
        id: RequestId,
        view: LeaderView,
        snapshot: SnapshotId,
        position: u64,
    },
    /// Keep this part; the first one is at position 0 and begins anew.
    StoreSnapshot {
        id: SnapshotId,
        position: u64,
        bytes: Bytes,
    },
    /// Put the log behind this snapshot, which is complete; then [`Event::SnapshotInstalled`].
    InstallSnapshot {
        id: SnapshotId,
    },
    AnswerChange {
        id: RequestId,
        result: Result<(), ChangeError>,
    },
    /// This cannot be: the quorum's promises are broken, by a lost disk or a mistake. The process must stop.
    Fault(String),
}
