//! Small conversions between the quorum's words and the protocol's.

use control::config::Endpoint;
use control::quorum::{ChangeError, LeaderView, Refusal, ReplicaKey};
use control::record::{BrokerId, ControllerEpoch, DirectoryId};
use kafka_protocol::messages as kafka;
use net::error::ErrorCode;
use uuid::Uuid;

pub(super) fn node(id: BrokerId) -> kafka::BrokerId {
    kafka::BrokerId(id.0)
}

pub(super) fn optional_node(id: Option<BrokerId>) -> kafka::BrokerId {
    kafka::BrokerId(id.map_or(-1, |id| id.0))
}

pub(super) fn key(id: kafka::BrokerId, directory: Uuid) -> ReplicaKey {
    ReplicaKey::new(BrokerId(id.0), DirectoryId(directory))
}

/// What an answer says of the leader.
pub(super) fn view(leader: kafka::BrokerId, epoch: i32, endpoint: Option<Endpoint>) -> LeaderView {
    let leader = (leader.0 >= 0).then_some(BrokerId(leader.0));
    LeaderView {
        epoch: ControllerEpoch(epoch),
        leader,
        endpoint: endpoint.filter(|_| leader.is_some()),
    }
}

pub(super) fn code(refusal: Option<Refusal>) -> i16 {
    let code = match refusal {
        None => ErrorCode::None,
        Some(Refusal::FencedLeaderEpoch) => ErrorCode::FencedLeaderEpoch,
        Some(Refusal::UnknownLeaderEpoch) => ErrorCode::UnknownLeaderEpoch,
        Some(Refusal::NotLeader) => ErrorCode::NotLeaderOrFollower,
        Some(Refusal::InvalidVoterKey) => ErrorCode::InvalidVoterKey,
        Some(Refusal::InvalidRequest) => ErrorCode::InvalidRequest,
        Some(Refusal::SnapshotNotFound) => ErrorCode::SnapshotNotFound,
        Some(Refusal::PositionOutOfRange) => ErrorCode::PositionOutOfRange,
        Some(Refusal::Storage) => ErrorCode::KafkaStorageError,
    };
    code.code()
}

pub(super) fn refusal(code: i16) -> Option<Refusal> {
    match ErrorCode::from_code(code) {
        ErrorCode::None => None,
        ErrorCode::FencedLeaderEpoch => Some(Refusal::FencedLeaderEpoch),
        ErrorCode::UnknownLeaderEpoch => Some(Refusal::UnknownLeaderEpoch),
        ErrorCode::NotLeaderOrFollower => Some(Refusal::NotLeader),
        ErrorCode::InvalidVoterKey => Some(Refusal::InvalidVoterKey),
        ErrorCode::SnapshotNotFound => Some(Refusal::SnapshotNotFound),
        ErrorCode::PositionOutOfRange => Some(Refusal::PositionOutOfRange),
        ErrorCode::KafkaStorageError => Some(Refusal::Storage),
        _ => Some(Refusal::InvalidRequest),
    }
}

/// Of a change of the voters, as Kafka's leaders answer.
pub(super) fn change_code(error: &ChangeError) -> ErrorCode {
    match error {
        ChangeError::NotLeader => ErrorCode::NotLeaderOrFollower,
        ChangeError::Duplicate(_) => ErrorCode::DuplicateVoter,
        ChangeError::NotFound(_) => ErrorCode::VoterNotFound,
        ChangeError::LastVoter(_) | ChangeError::TooMany => ErrorCode::InvalidRequest,
        ChangeError::NotReady | ChangeError::Behind(_) | ChangeError::TimedOut => ErrorCode::RequestTimedOut,
    }
}
