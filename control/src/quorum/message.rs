//! What replicas say to each other: the quorum's part of Kafka's requests and responses.

use bytes::Bytes;
use engine::types::Offset;

use super::entry::Entry;
use super::replica::ReplicaKey;
use crate::config::Endpoint;
use crate::record::{BrokerId, ControllerEpoch};
use crate::store::SnapshotId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Vote(VoteRequest),
    BeginQuorumEpoch(BeginQuorumEpoch),
    EndQuorumEpoch(EndQuorumEpoch),
    Fetch(FetchRequest),
    FetchSnapshot(FetchSnapshotRequest),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteRequest {
    /// The epoch the candidate is in; with `pre_vote` the one it would leave.
    pub epoch: ControllerEpoch,
    pub candidate: ReplicaKey,
    /// Whom it takes the receiver for; `None` from versions that do not say.
    pub voter: Option<ReplicaKey>,
    pub last_epoch: ControllerEpoch,
    /// End of the candidate's log.
    pub end_offset: Offset,
    /// Only asks whether a vote would be given (KIP-996).
    pub pre_vote: bool,
}

/// "I lead."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginQuorumEpoch {
    pub epoch: ControllerEpoch,
    pub leader: BrokerId,
    pub endpoint: Option<Endpoint>,
    pub voter: Option<ReplicaKey>,
}

/// "I lead no longer."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndQuorumEpoch {
    pub epoch: ControllerEpoch,
    pub leader: BrokerId,
    /// Whose log is longest comes first.
    pub successors: Vec<ReplicaKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    pub epoch: ControllerEpoch,
    pub replica: ReplicaKey,
    /// Everything below is on the follower's disk: asking for more is the acknowledgement.
    pub offset: Offset,
    /// Of the record before `offset`.
    pub last_epoch: ControllerEpoch,
    /// What the follower knows to be committed (KIP-1166); the leader answers at once when it knows more.
    pub high_watermark: Offset,
    /// Tells the asker which answer is whose; not sent. A doubled Fetch would otherwise go round for ever: each of the two
    /// answers makes another Fetch, which makes the leader answer the one before it.
    pub number: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSnapshotRequest {
    pub epoch: ControllerEpoch,
    pub replica: ReplicaKey,
    pub id: SnapshotId,
    pub position: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    Vote(VoteResponse),
    BeginQuorumEpoch(PlainResponse),
    EndQuorumEpoch(PlainResponse),
    Fetch(FetchResponse),
    FetchSnapshot(FetchSnapshotResponse),
}

impl Response {
    pub fn view(&self) -> &LeaderView {
        match self {
            Response::Vote(response) => &response.view,
            Response::BeginQuorumEpoch(response) | Response::EndQuorumEpoch(response) => &response.view,
            Response::Fetch(response) => &response.view,
            Response::FetchSnapshot(response) => &response.view,
        }
    }
}

/// Who leads, as far as the sender knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderView {
    pub epoch: ControllerEpoch,
    pub leader: Option<BrokerId>,
    pub endpoint: Option<Endpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteResponse {
    pub view: LeaderView,
    pub refusal: Option<Refusal>,
    pub granted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainResponse {
    pub view: LeaderView,
    pub refusal: Option<Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchResponse {
    pub view: LeaderView,
    pub high_watermark: Offset,
    pub outcome: FetchOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    Records(Vec<Entry>),
    /// The asker's log has left the leader's: the leader's `epoch`, the last one not after the asker's, ends at `end_offset`.
    Diverging {
        epoch: ControllerEpoch,
        end_offset: Offset,
    },
    /// The log no longer has it, this snapshot does.
    Snapshot(SnapshotId),
    Refused(Refusal),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSnapshotResponse {
    pub view: LeaderView,
    pub part: Result<SnapshotPart, Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    pub id: SnapshotId,
    /// Of the whole snapshot.
    pub size_bytes: u64,
    pub position: u64,
    pub bytes: Bytes,
}

/// Why not. Each is an error of Kafka's protocol.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    FencedLeaderEpoch,
    UnknownLeaderEpoch,
    NotLeader,
    /// The request is for another replica of this id.
    InvalidVoterKey,
    InvalidRequest,
    SnapshotNotFound,
    PositionOutOfRange,
    /// The log could not be read.
    Storage,
}
