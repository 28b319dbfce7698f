//! What this broker is to a partition, as the image says.

use std::time::Duration;

use control::image::{ClusterImage, PartitionImage};
use control::record::BrokerId;
use engine::replica::{Leader, PartitionState, Replica};
use engine::types::{BrokerEpoch, PartitionEpoch, ReplicaId};

use crate::shard::Node;

pub enum Role {
    Leader(Box<Leader>),
    /// Of another broker, or of nobody while the partition has no leader.
    Follower,
}

/// What came of a new image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChange {
    None,
    BecameLeader,
    BecameFollower,
}

/// What the image says of a partition that this broker has a replica of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleFacts {
    pub own: ReplicaId,
    pub lag_max: Duration,
    pub leads: bool,
    pub state: PartitionState,
}

impl RoleFacts {
    pub fn of(node: &Node, image: &ClusterImage, partition: &PartitionImage, min_insync: u32) -> RoleFacts {
        let replica = |id: &BrokerId| {
            let broker = image.broker(*id);
            Replica {
                id: ReplicaId(id.0),
                broker_epoch: broker.map(|broker| BrokerEpoch(broker.epoch.0)),
                is_active: broker.is_some_and(|broker| broker.is_active()),
            }
        };
        RoleFacts {
            own: ReplicaId(node.id.0),
            lag_max: Duration::from_millis(node.config.replication.lag_max_ms),
            leads: partition.leader == Some(node.id),
            state: PartitionState {
                leader_epoch: partition.leader_epoch,
                partition_epoch: PartitionEpoch(partition.partition_epoch.0),
                replicas: partition.replicas.iter().map(replica).collect(),
                isr: partition.isr.iter().map(|id| ReplicaId(id.0)).collect(),
                min_insync: min_insync as usize,
            },
        }
    }

    /// Of a partition that has one replica, this one.
    #[cfg(test)]
    pub fn alone(leader_epoch: i32) -> RoleFacts {
        let own = ReplicaId(0);
        RoleFacts {
            own,
            lag_max: Duration::MAX,
            leads: true,
            state: PartitionState {
                leader_epoch: engine::types::LeaderEpoch(leader_epoch),
                partition_epoch: PartitionEpoch(0),
                replicas: vec![Replica {
                    id: own,
                    broker_epoch: None,
                    is_active: true,
                }],
                isr: vec![own],
                min_insync: 1,
            },
        }
    }
}
