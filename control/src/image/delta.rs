//! What changed between two images, so that nobody has to compare them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use super::{ClusterImage, ConfigMap, ConfigResource, TopicImage};
use crate::record::{BrokerId, PartitionId};

/// Changes from one image to a later one. Values are in the later image; what is gone is in here.
///
/// A topic that was created and deleted in between leaves no trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// Topics created or changed.
    pub topics: BTreeMap<Uuid, TopicDelta>,
    /// Topics of the earlier image that are gone, as they were last.
    pub topics_deleted: BTreeMap<Uuid, Arc<TopicImage>>,
    /// Resources whose configs were set or taken away; a deleted topic's too.
    pub configs: BTreeSet<ConfigResource>,
    /// Brokers registered, changed or forgotten.
    pub brokers: BTreeSet<BrokerId>,
    /// Features whose level changed.
    pub features: BTreeSet<String>,
    pub producer_ids: bool,
    /// ACLs, credentials, tokens or quotas changed.
    pub security: bool,
}

/// Changes of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDelta {
    pub name: Arc<str>,
    pub created: bool,
    pub partitions_added: BTreeSet<PartitionId>,
    /// Partitions of the earlier image with another state.
    pub partitions_changed: BTreeSet<PartitionId>,
}

impl Delta {
    pub fn is_empty(&self) -> bool {
        *self == Delta::default()
    }

    /// What it takes to come from one image to another that is not made from it: a snapshot. Looks at everything.
    pub fn between(before: &ClusterImage, after: &ClusterImage) -> Delta {
        let mut delta = Delta::default();
        for topic in before.topics().filter(|topic| after.topic(topic.id).is_none()) {
            delta.topic_deleted(topic.id, topic.clone());
        }
        for topic in after.topics() {
            let known = before.topic(topic.id);
            if known.is_none() {
                delta.topic_created(topic.id, &topic.name);
            }
            for (id, partition) in &topic.partitions {
                match known.and_then(|known| known.partitions.get(id)) {
                    None => delta.partition_added(topic.id, &topic.name, *id),
                    Some(same) if same == partition => {}
                    Some(_) => delta.partition_changed(topic.id, &topic.name, *id),
                }
            }
        }
        let configs = |image: &ClusterImage| -> BTreeMap<ConfigResource, Arc<ConfigMap>> {
            let configs = image.configs();
            configs
                .map(|(resource, map)| (resource.clone(), map.clone()))
                .collect()
        };
        let (old, new) = (configs(before), configs(after));
        let resources = old.keys().chain(new.keys());
        let changed = resources.filter(|resource| old.get(resource) != new.get(resource));
        delta.configs.extend(changed.cloned());
        let ids = before.brokers().keys().chain(after.brokers().keys());
        delta
            .brokers
            .extend(ids.filter(|id| before.broker(**id) != after.broker(**id)));
        let names = before.features().keys().chain(after.features().keys());
        let levels = names.filter(|name| before.features().get(*name) != after.features().get(*name));
        delta.features.extend(levels.cloned());
        delta.producer_ids = before.next_producer_id() != after.next_producer_id();
        // What has no image of its own cannot be compared; looking at it again costs little.
        delta.security = true;
        delta
    }

    /// Topics that are new.
    pub fn topics_created(&self) -> impl Iterator<Item = (Uuid, &TopicDelta)> {
        self.topics
            .iter()
            .filter(|(_, topic)| topic.created)
            .map(|(id, topic)| (*id, topic))
    }

    /// Adds what happened after: `self` then spans both.
    pub fn merge(&mut self, later: Delta) {
        for (id, topic) in later.topics_deleted {
            self.topic_deleted(id, topic);
        }
        for (id, topic) in later.topics {
            let mine = self.topic(id, &topic.name);
            mine.created |= topic.created;
            mine.partitions_added.extend(topic.partitions_added);
            let changed = topic.partitions_changed.difference(&mine.partitions_added);
            mine.partitions_changed.extend(changed);
        }
        self.configs.extend(later.configs);
        self.brokers.extend(later.brokers);
        self.features.extend(later.features);
        self.producer_ids |= later.producer_ids;
        self.security |= later.security;
    }

    pub(super) fn topic_created(&mut self, id: Uuid, name: &Arc<str>) {
        self.topic(id, name).created = true;
    }

    pub(super) fn topic_deleted(&mut self, id: Uuid, topic: Arc<TopicImage>) {
        let was_created = self.topics.remove(&id).is_some_and(|topic| topic.created);
        if !was_created {
            self.topics_deleted.insert(id, topic);
        }
    }

    pub(super) fn partition_added(&mut self, id: Uuid, name: &Arc<str>, partition: PartitionId) {
        self.topic(id, name).partitions_added.insert(partition);
    }

    pub(super) fn partition_changed(&mut self, id: Uuid, name: &Arc<str>, partition: PartitionId) {
        let topic = self.topic(id, name);
        if !topic.partitions_added.contains(&partition) {
            topic.partitions_changed.insert(partition);
        }
    }

    fn topic(&mut self, id: Uuid, name: &Arc<str>) -> &mut TopicDelta {
        self.topics.entry(id).or_insert_with(|| TopicDelta {
            name: Arc::clone(name),
            created: false,
            partitions_added: BTreeSet::new(),
            partitions_changed: BTreeSet::new(),
        })
    }
}
