//! Which partitions a broker has, how many in which of its directories, and which have no leader: so that the coming and going of a
//! broker costs what the broker has, and not what the cluster has.

use std::collections::BTreeSet;

use rpds::RedBlackTreeMapSync;
use uuid::Uuid;

use super::{PartitionImage, TopicImage};
use crate::record::{BrokerId, DirectoryId, PartitionId};

/// A set of partitions, 64 neighbours to an entry: a bit for each replica of the cluster where topics are large, and a change that
/// copies no other's.
type Partitions = RedBlackTreeMapSync<Neighbours, u64>;

/// The partitions of a topic from `64 * number` on, below `64 * (number + 1)`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Neighbours {
    topic: Uuid,
    number: i32,
}

impl Neighbours {
    fn of(topic: Uuid, id: PartitionId) -> (Neighbours, u64) {
        let number = id.0.div_euclid(64);
        (Neighbours { topic, number }, 1 << id.0.rem_euclid(64))
    }
}

/// Holds: every replica of every partition is listed under its broker, once, and counted in its directory, once; nothing else is. No
/// entry is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplicaIndex {
    by_broker: RedBlackTreeMapSync<BrokerId, Partitions>,
    directories: RedBlackTreeMapSync<(BrokerId, DirectoryId), usize>,
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
        let directories_before = before.map_or(&[][..], |partition| &partition.directories);
        if replicas_before != after.replicas || directories_before != after.directories {
            before.into_iter().for_each(|partition| self.uncount(partition));
            self.count(after);
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
        let mut entries = BTreeSet::new();
        for (id, partition) in &topic.partitions {
            let (neighbours, _) = Neighbours::of(topic.id, *id);
            entries.extend(partition.replicas.iter().map(|broker| (*broker, neighbours)));
            self.leaderless.remove_mut(&neighbours);
            self.uncount(partition);
        }
        for (broker, neighbours) in entries {
            let Some(partitions) = self.by_broker.get_mut(&broker) else {
                continue;
            };
            partitions.remove_mut(&neighbours);
            if partitions.is_empty() {
                self.by_broker.remove_mut(&broker);
            }
        }
    }

    pub(super) fn of_broker(&self, broker: BrokerId) -> impl Iterator<Item = (Uuid, PartitionId)> {
        self.by_broker.get(&broker).into_iter().flat_map(all)
    }

    pub(super) fn in_directory(&self, broker: BrokerId, directory: DirectoryId) -> usize {
        self.directories.get(&(broker, directory)).copied().unwrap_or(0)
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

    fn count(&mut self, partition: &PartitionImage) {
        for place in places(partition) {
            let count = self.directories.get(&place).copied().unwrap_or(0);
            self.directories.insert_mut(place, count + 1);
        }
    }

    fn uncount(&mut self, partition: &PartitionImage) {
        for place in places(partition) {
            match self.directories.get(&place).copied() {
                Some(count) if count > 1 => self.directories.insert_mut(place, count - 1),
                Some(_) | None => {
                    self.directories.remove_mut(&place);
                }
            }
        }
    }
}

fn places(partition: &PartitionImage) -> impl Iterator<Item = (BrokerId, DirectoryId)> {
    let replicas = partition.replicas.iter().copied();
    replicas.zip(partition.directories.iter().copied())
}

fn all(partitions: &Partitions) -> impl Iterator<Item = (Uuid, PartitionId)> {
    partitions.iter().flat_map(|(neighbours, bits)| {
        let set = (0..64).filter(|bit| *bits & 1 << bit != 0);
        set.map(|bit| (neighbours.topic, PartitionId(neighbours.number * 64 + bit)))
    })
}

fn insert(partitions: &mut Partitions, topic: Uuid, id: PartitionId) {
    let (neighbours, bit) = Neighbours::of(topic, id);
    let bits = partitions.get(&neighbours).copied().unwrap_or(0);
    partitions.insert_mut(neighbours, bits | bit);
}

fn remove(partitions: &mut Partitions, topic: Uuid, id: PartitionId) {
    let (neighbours, bit) = Neighbours::of(topic, id);
    match partitions.get(&neighbours).map(|bits| bits & !bit) {
        Some(0) => {
            partitions.remove_mut(&neighbours);
        }
        Some(left) => partitions.insert_mut(neighbours, left),
        None => {}
    }
}
