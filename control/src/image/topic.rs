//! A topic and its partitions, as the controller has decided them.

use std::sync::Arc;

use engine::planted::{self, Bug};
use engine::types::LeaderEpoch;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::record::{
    BrokerId, DirectoryId, LEADER_UNCHANGED, NO_LEADER, PartitionChangeRecord, PartitionEpoch, PartitionId,
    PartitionRecord, RECOVERY_STATE_UNCHANGED,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    pub name: Arc<str>,
    pub id: Uuid,
    /// Ids count from 0 without gaps once the records that created them are all applied.
    ///
    /// Persistent: an ISR change in a topic of 10,000 partitions copies the dozen nodes above the partition, and not the other 9,999
    /// pointers. That takes 64 bytes a partition (a node and an entry), where a `BTreeMap` takes 25 of many and 144 of a single one.
    pub partitions: RedBlackTreeMapSync<PartitionId, Arc<PartitionImage>>,
}

impl TopicImage {
    pub fn partition_count(&self) -> usize {
        self.partitions.size()
    }

    /// Replicas of the first partition: what Kafka calls the topic's replication factor.
    pub fn replication_factor(&self) -> usize {
        self.partitions
            .values()
            .next()
            .map_or(0, |partition| partition.replicas.len())
    }

    /// Topics the brokers keep for themselves; clients see them marked.
    pub fn is_internal(&self) -> bool {
        matches!(
            &*self.name,
            "__consumer_offsets" | "__transaction_state" | "__share_group_state"
        )
    }
}

/// Whether the leader's log is the partition's history, or what an unclean election left of it (KIP-704).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LeaderRecovery {
    #[default]
    Recovered,
    Recovering,
}

impl LeaderRecovery {
    pub(crate) fn from_wire(state: i8) -> Self {
        match state {
            1 => LeaderRecovery::Recovering,
            _ => LeaderRecovery::Recovered,
        }
    }

    pub(crate) fn to_wire(self) -> i8 {
        match self {
            LeaderRecovery::Recovered => 0,
            LeaderRecovery::Recovering => 1,
        }
    }
}

/// State of one partition. Holds: the leader is in the ISR, the ISR is within the replicas, and there is one directory
/// per replica (or none at all in logs from before directories had ids).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PartitionImage {
    /// The preferred leader first.
    pub replicas: Vec<BrokerId>,
    pub directories: Vec<DirectoryId>,
    pub isr: Vec<BrokerId>,
    pub removing_replicas: Vec<BrokerId>,
    pub adding_replicas: Vec<BrokerId>,
    /// Left the ISR while it was too small to move the high watermark, so nothing acknowledged is missing there.
    pub eligible_leader_replicas: Vec<BrokerId>,
    pub last_known_elr: Vec<BrokerId>,
    pub leader: Option<BrokerId>,
    pub leader_recovery: LeaderRecovery,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
}

impl PartitionImage {
    pub(super) fn from_record(record: &PartitionRecord) -> Self {
        PartitionImage {
            replicas: record.replicas.clone(),
            directories: record.directories.clone(),
            isr: record.isr.clone(),
            removing_replicas: record.removing_replicas.clone(),
            adding_replicas: record.adding_replicas.clone(),
            eligible_leader_replicas: record.eligible_leader_replicas.clone().unwrap_or_default(),
            last_known_elr: record.last_known_elr.clone().unwrap_or_default(),
            leader: leader(record.leader),
            leader_recovery: LeaderRecovery::from_wire(record.leader_recovery_state),
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
        }
    }

    /// The record that would create the partition as it is now.
    pub fn to_record(&self, topic_id: Uuid, partition_id: PartitionId) -> PartitionRecord {
        let unless_empty = |brokers: &Vec<BrokerId>| (!brokers.is_empty()).then(|| brokers.clone());
        PartitionRecord {
            partition_id,
            topic_id,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            removing_replicas: self.removing_replicas.clone(),
            adding_replicas: self.adding_replicas.clone(),
            leader: self.leader.unwrap_or(NO_LEADER),
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories: self.directories.clone(),
            leader_recovery_state: self.leader_recovery.to_wire(),
            eligible_leader_replicas: unless_empty(&self.eligible_leader_replicas),
            last_known_elr: unless_empty(&self.last_known_elr),
            unknown_tags: Vec::new(),
        }
    }

    /// The partition after a change. Every change counts the partition epoch up; naming a leader, even the same one,
    /// counts the leader epoch up.
    pub(crate) fn changed(&self, change: &PartitionChangeRecord) -> Self {
        let mut next = self.clone();
        if let Some(replicas) = &change.replicas {
            next.directories = replicas
                .iter()
                .map(|replica| self.directory_of(*replica).unwrap_or(DirectoryId::UNASSIGNED))
                .collect();
            next.replicas.clone_from(replicas);
        }
        if let Some(directories) = change.directories.as_ref().filter(|list| !list.is_empty()) {
            next.directories.clone_from(directories);
        }
        let lists = [
            (&mut next.isr, &change.isr),
            (&mut next.removing_replicas, &change.removing_replicas),
            (&mut next.adding_replicas, &change.adding_replicas),
            (
                &mut next.eligible_leader_replicas,
                &change.eligible_leader_replicas,
            ),
            (&mut next.last_known_elr, &change.last_known_elr),
        ];
        for (list, change) in lists {
            if let Some(change) = change {
                list.clone_from(change);
            }
        }
        if change.leader != LEADER_UNCHANGED {
            next.leader = leader(change.leader);
            if !planted::is(Bug::LeaderEpochNotBumped) {
                next.leader_epoch = LeaderEpoch(self.leader_epoch.0.saturating_add(1));
            }
        }
        if change.leader_recovery_state != RECOVERY_STATE_UNCHANGED {
            next.leader_recovery = LeaderRecovery::from_wire(change.leader_recovery_state);
        }
        next.partition_epoch = PartitionEpoch(self.partition_epoch.0.saturating_add(1));
        next
    }

    /// Where a replica lies; `None` for a broker that is none.
    pub(crate) fn directory_of(&self, replica: BrokerId) -> Option<DirectoryId> {
        let position = self.replicas.iter().position(|other| *other == replica)?;
        self.directories.get(position).copied()
    }
}

fn leader(id: BrokerId) -> Option<BrokerId> {
    (id.0 >= 0).then_some(id)
}
