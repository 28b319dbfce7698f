//! Changes of the voters that operators ask for (KIP-853).

use thiserror::Error;

use super::replica::ReplicaKey;
use super::voters::Voter;
use crate::record::BrokerId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoterChange {
    Add(AddVoter),
    Remove(RemoveVoter),
    Update(UpdateVoter),
}

/// Makes an observer that follows the log a voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddVoter {
    pub voter: Voter,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveVoter {
    pub key: ReplicaKey,
}

/// A voter says where it is reached now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateVoter {
    pub voter: Voter,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChangeError {
    #[error("this node is not the leader of the quorum")]
    NotLeader,
    #[error("{0} is a voter already")]
    Duplicate(ReplicaKey),
    #[error("{0} is not a voter")]
    NotFound(ReplicaKey),
    #[error("node {0} is the last voter")]
    LastVoter(BrokerId),
    #[error("the quorum has as many voters as it may have")]
    TooMany,
    /// Another change is on its way, or the leader is new.
    #[error("the quorum is not ready for a change of its voters, try again")]
    NotReady,
    #[error("{0} has not caught up with the log in time")]
    Behind(ReplicaKey),
    #[error("the change was not committed in time")]
    TimedOut,
}
