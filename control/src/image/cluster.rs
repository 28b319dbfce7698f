//! The image itself and everything that can be asked of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::types::{Offset, ProducerId};
use rpds::RedBlackTreeMapSync;
use uuid::Uuid;

use super::kept::KeptRecords;
use super::replica_index::ReplicaIndex;
use super::{BrokerImage, ConfigMap, ConfigResource, PartitionImage, TopicImage};
use crate::record::{BrokerId, ControllerEpoch, DirectoryId, PartitionId};

/// Up to where the metadata log is contained in an image: the offset of the last record and its controller's epoch.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataPosition {
    pub offset: Offset,
    pub epoch: ControllerEpoch,
}

impl MetadataPosition {
    /// Before the first record.
    pub const START: MetadataPosition = MetadataPosition {
        offset: Offset(-1),
        epoch: ControllerEpoch(0),
    };
}

/// The cluster after some record of the metadata log. Immutable; a clone costs a handful of reference counts, and a
/// changed copy shares everything that did not change: a change of a partition costs the same few nodes however many
/// partitions its topic or the cluster has (`tests/image_cost` counts them).
///
/// Ordered trees rather than hash maps: the same records then give the same walk in every process and every simulated
/// run, and no name a client chooses can make a lookup slow. A lookup among 100,000 topics is 17 comparisons, which the
/// data path pays once per topic and image, because shards keep what they found.
///
/// Holds: every topic is found under its name and its id; `partition_count` is the sum over all topics.
#[derive(Clone, Debug)]
pub struct ClusterImage {
    pub(super) cluster_id: Arc<str>,
    pub(super) position: MetadataPosition,
    pub(super) topics: RedBlackTreeMapSync<Uuid, Arc<TopicImage>>,
    pub(super) topic_ids: RedBlackTreeMapSync<Arc<str>, Uuid>,
    /// Names that contain '.' or '_', under their form with all dots as underscores.
    pub(super) collisions: RedBlackTreeMapSync<String, Vec<Arc<str>>>,
    pub(super) partition_count: usize,
    pub(super) replicas: ReplicaIndex,
    pub(super) configs: RedBlackTreeMapSync<ConfigResource, Arc<ConfigMap>>,
    pub(super) features: Arc<BTreeMap<String, i16>>,
    pub(super) brokers: Arc<BTreeMap<BrokerId, Arc<BrokerImage>>>,
    pub(super) next_producer_id: ProducerId,
    pub(super) kept: KeptRecords,
}

impl ClusterImage {
    /// The cluster before its first record.
    pub fn empty(cluster_id: &str) -> Self {
        ClusterImage {
            cluster_id: cluster_id.into(),
            position: MetadataPosition::START,
            topics: RedBlackTreeMapSync::new_sync(),
            topic_ids: RedBlackTreeMapSync::new_sync(),
            collisions: RedBlackTreeMapSync::new_sync(),
            partition_count: 0,
            replicas: ReplicaIndex::default(),
            configs: RedBlackTreeMapSync::new_sync(),
            features: Arc::default(),
            brokers: Arc::default(),
            next_producer_id: ProducerId(0),
            kept: KeptRecords::default(),
        }
    }

    /// The same cluster, known to be that of this position of the log.
    pub fn at(mut self, position: MetadataPosition) -> Self {
        debug_assert!(
            position >= self.position,
            "images grow: {position:?} after {:?}",
            self.position
        );
        self.position = position;
        self
    }

    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    pub fn position(&self) -> MetadataPosition {
        self.position
    }

    pub fn topic(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    pub fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.topic_ids.get(name).copied()
    }

    /// All topics by ascending name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topic_ids.values().filter_map(|id| self.topics.get(id))
    }

    /// All topics from `name` on, ascending: the pages of DescribeTopicPartitions.
    pub fn topics_from<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<TopicImage>> {
        self.topic_ids
            .range::<str, _>((std::ops::Bound::Included(name), std::ops::Bound::Unbounded))
            .filter_map(|(_, id)| self.topics.get(id))
    }

    pub fn topic_count(&self) -> usize {
        self.topics.size()
    }

    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    pub fn partition(&self, topic_id: Uuid, partition: PartitionId) -> Option<&Arc<PartitionImage>> {
        self.topics.get(&topic_id)?.partitions.get(&partition)
    }

    /// The partitions `broker` has a replica of.
    pub fn partitions_of(
        &self,
        broker: BrokerId,
    ) -> impl Iterator<Item = (&Arc<TopicImage>, PartitionId, &Arc<PartitionImage>)> {
        let replicas = self.replicas.of_broker(broker);
        replicas.filter_map(|(topic, id)| self.found(topic, id))
    }

    /// How many replicas `broker` has in a directory.
    pub fn replica_count(&self, broker: BrokerId, directory: DirectoryId) -> usize {
        self.replicas.in_directory(broker, directory)
    }

    /// The partitions nobody leads.
    pub fn leaderless_partitions(
        &self,
    ) -> impl Iterator<Item = (&Arc<TopicImage>, PartitionId, &Arc<PartitionImage>)> {
        let leaderless = self.replicas.leaderless();
        leaderless.filter_map(|(topic, id)| self.found(topic, id))
    }

    fn found(
        &self,
        topic: Uuid,
        id: PartitionId,
    ) -> Option<(&Arc<TopicImage>, PartitionId, &Arc<PartitionImage>)> {
        let topic = self.topics.get(&topic)?;
        Some((topic, id, topic.partitions.get(&id)?))
    }

    /// A topic that differs from `name` only in dots for underscores; `name` itself when it exists.
    pub fn colliding_topic(&self, name: &str) -> Option<&str> {
        let others = self.collisions.get(&collision_key(name)?)?;
        others.first().map(|other| &**other)
    }

    /// What was set on the resource itself; `None` when nothing is.
    pub fn config(&self, resource: &ConfigResource) -> Option<&Arc<ConfigMap>> {
        self.configs.get(resource)
    }

    /// All resources with configs, by kind and name.
    pub fn configs(&self) -> impl Iterator<Item = (&ConfigResource, &Arc<ConfigMap>)> {
        self.configs.iter()
    }

    /// Finalized feature levels by name.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerImage>> {
        self.brokers.get(&id)
    }

    /// All registered brokers by ascending id, the fenced ones too.
    pub fn brokers(&self) -> &BTreeMap<BrokerId, Arc<BrokerImage>> {
        &self.brokers
    }

    /// Brokers that may lead and follow partitions.
    pub fn active_brokers(&self) -> impl Iterator<Item = &Arc<BrokerImage>> {
        self.brokers.values().filter(|broker| broker.is_active())
    }

    /// Records that the cluster was given, that every snapshot keeps, and that change nothing here: by kind, how many. Kafka, too,
    /// acts on access control entries only where `authorizer.class.name` says so.
    pub fn kept_without_effect(&self) -> BTreeMap<&'static str, usize> {
        self.kept.without_effect()
    }

    /// The first producer id no broker has been given.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }
}

/// Metrics of older versions could not tell '.' from '_', so Kafka lets no two topics differ only in that. `None` for a
/// name without either, which can collide with nothing.
pub(super) fn collision_key(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}
