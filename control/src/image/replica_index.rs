//! Which partitions a broker has, and which have no leader: so that the coming and going of a broker costs what the
//! broker has, and not what the cluster has.

use std::collections::BTreeSet;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use uuid::Uuid;

use super::{PartitionImage, TopicImage};
use crate::record::{BrokerId, PartitionId};

/// Partitions by topic. Ascending numbers rather than tree nodes: 4 bytes for each replica of the cluster.
type Partitions = RedBlackTreeMapSync<Uuid, Arc<Vec<PartitionId>>>;

/// Holds: every replica of every partition is listed under its broker, once, and nothing else is.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplicaIndex {
    by_broker: RedBlackTreeMapSync<BrokerId, Partitions>,
    leaderless: Partitions,
}

impl ReplicaIndex {
    /// A partition is new, or has changed.
    pub(super) fn put(
        &mut self,
        topic: Uuid,
        id: PartitionId,
        before: Option<&PartitionImage>,
        after: &PartitionImage,
    ) {
        let replicas_before = before.map_or(&[][..], |partition| &partition.replicas);
        if replicas_before != after.replicas {
            for broker in replicas_before {
                if !after.replicas.contains(broker) {
                    self.take(*broker, topic, id);
                }
            }
            for broker in &after.replicas {
                if !replicas_before.contains(broker) {
                    if !self.by_broker.contains_key(broker) {
                        self.by_broker.insert_mut(*broker, Partitions::new_sync());
                    }
                    if let Some(partitions) = self.by_broker.get_mut(broker) {
                        insert(partitions, topic, id);
                    }
                }
            }
        }
        let was_leaderless = before.is_some_and(|partition| partition.leader.is_none());
        match (was_leaderless, after.leader.is_none()) {
            (false, true) => insert(&mut self.leaderless, topic, id),
            (true, false) => remove(&mut self.leaderless, topic, id),
            (true, true) | (false, false) => {}
        }
    }

    /// A topic is gone with its partitions.
    pub(super) fn forget(&mut self, topic: &TopicImage) {
        self.leaderless.remove_mut(&topic.id);
        let brokers: BTreeSet<BrokerId> = topic
            .partitions
            .values()
            .flat_map(|partition| partition.replicas.iter().copied())
            .collect();
        for broker in brokers {
            let Some(partitions) = self.by_broker.get_mut(&broker) else {
                continue;
            };
            partitions.remove_mut(&topic.id);
            if partitions.is_empty() {
                self.by_broker.remove_mut(&broker);
            }
        }
    }

    pub(super) fn of_broker(&self, broker: BrokerId) -> impl Iterator<Item = (Uuid, PartitionId)> {
        self.by_broker.get(&broker).into_iter().flat_map(all)
    }

    pub(super) fn leaderless(&self) -> impl Iterator<Item = (Uuid, PartitionId)> {
        all(&self.leaderless)
    }

    fn take(&mut self, broker: BrokerId, topic: Uuid, id: PartitionId) {
        let Some(partitions) = self.by_broker.get_mut(&broker) else {
            return;
        };
        remove(partitions, topic, id);
        if partitions.is_empty() {
            self.by_broker.remove_mut(&broker);
        }
    }
}

fn all(partitions: &Partitions) -> impl Iterator<Item = (Uuid, PartitionId)> {
    partitions
        .iter()
        .flat_map(|(topic, ids)| ids.iter().map(|id| (*topic, *id)))
}

fn insert(partitions: &mut Partitions, topic: Uuid, id: PartitionId) {
    if !partitions.contains_key(&topic) {
        partitions.insert_mut(topic, Arc::default());
    }
    if let Some(ids) = partitions.get_mut(&topic)
        && let Err(position) = ids.binary_search(&id)
    {
        Arc::make_mut(ids).insert(position, id);
    }
}

fn remove(partitions: &mut Partitions, topic: Uuid, id: PartitionId) {
    let Some(ids) = partitions.get_mut(&topic) else {
        return;
    };
    if let Ok(position) = ids.binary_search(&id) {
        Arc::make_mut(ids).remove(position);
    }
    if ids.is_empty() {
        partitions.remove_mut(&topic);
    }
}
