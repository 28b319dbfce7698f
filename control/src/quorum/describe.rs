//! What DescribeQuorum tells.

use engine::types::Offset;
use reactor::Instant;

use super::core::Core;
use super::replica::ReplicaKey;
use super::role::Role;
use super::voters::VoterSet;
use crate::record::{BrokerId, ControllerEpoch};

/// The quorum as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub leader: BrokerId,
    pub epoch: ControllerEpoch,
    pub high_watermark: Offset,
    pub voters: Vec<ReplicaState>,
    pub observers: Vec<ReplicaState>,
    /// With their endpoints.
    pub voter_set: VoterSet,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    pub key: ReplicaKey,
    /// -1 if it was not heard of in this epoch.
    pub end_offset: Offset,
    pub fetched_at: Option<Instant>,
    pub caught_up_at: Option<Instant>,
}

impl Core {
    /// `None` if this replica does not lead.
    pub fn describe(&self, now: Instant) -> Option<Description> {
        let Role::Leader(leading) = &self.role else {
            return None;
        };
        let own = ReplicaState {
            key: self.node,
            end_offset: self.log.end(),
            fetched_at: Some(now),
            caught_up_at: Some(now),
        };
        let state = |key: ReplicaKey| match leading.replicas.get(&key.id) {
            _ if key.matches(&self.node) => own.clone(),
            Some(progress) if progress.key.matches(&key) => ReplicaState {
                key: progress.key,
                end_offset: progress.durable,
                fetched_at: Some(progress.fetched_at),
                caught_up_at: progress.caught_up_at,
            },
            _ => ReplicaState {
                key,
                end_offset: Offset::NONE,
                fetched_at: None,
                caught_up_at: None,
            },
        };
        let observers = leading
            .replicas
            .values()
            .map(|progress| progress.key)
            .filter(|key| !self.voters().contains(key));
        Some(Description {
            leader: self.node.id,
            epoch: self.epoch,
            high_watermark: self.high_watermark,
            voters: self.voters().iter().map(|voter| state(voter.key)).collect(),
            observers: observers.map(state).collect(),
            voter_set: self.voters().clone(),
        })
    }

    /// Whether it leads and has committed a record of its epoch: from then on it knows all that was ever committed.
    pub fn is_ready(&self) -> bool {
        match &self.role {
            Role::Leader(leading) => self.high_watermark > leading.epoch_start,
            _ => false,
        }
    }
}
