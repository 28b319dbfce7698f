//! Records into an image: the only way an image changes.

use std::sync::Arc;

use engine::types::ProducerId;
use rpds::RedBlackTreeMapSync;
use thiserror::Error;
use uuid::Uuid;

use super::cluster::collision_key;
use super::{
    BrokerImage, ClusterImage, ConfigMap, ConfigResource, Delta, PartitionImage, ResourceKind, TopicImage,
};
use crate::record::{
    BrokerEpoch, BrokerId, BrokerRegistrationChangeRecord, ClearElrRecord, ConfigRecord, FeatureLevelRecord,
    PartitionChangeRecord, PartitionId, PartitionRecord, ProducerIdsRecord, Record, RegisterBrokerRecord,
    RemoveTopicRecord, TopicRecord, UnregisterBrokerRecord, UuidText,
};

/// A record that does not fit the image it is replayed into: the log is not the one the image came from, or was written
/// by a version that knows more. Either way a broker must not go on with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    #[error("{kind} about topic {}, which does not exist", UuidText(*.topic_id))]
    UnknownTopic { kind: &'static str, topic_id: Uuid },
    #[error("change of partition {partition} of topic {name}, which does not exist")]
    UnknownPartition { name: Arc<str>, partition: PartitionId },
    #[error("topic {name} is created twice")]
    TopicExists { name: String },
    #[error("partition {partition} of topic {name}")]
    NegativePartition { name: Arc<str>, partition: PartitionId },
    #[error("{kind} about broker {id}, which is not registered")]
    UnknownBroker { kind: &'static str, id: BrokerId },
    #[error("{kind} about broker {id} with epoch {found}, registered with epoch {expected}")]
    BrokerEpoch {
        kind: &'static str,
        id: BrokerId,
        expected: BrokerEpoch,
        found: BrokerEpoch,
    },
    #[error("next producer id {found} after {expected}")]
    ProducerIds { expected: ProducerId, found: ProducerId },
    #[error("config of resource type {0}, which is unknown")]
    ResourceType(i8),
    #[error("{0} outside the metadata log")]
    Transaction(&'static str),
    #[error("record of api key {api_key} and version {version}, which this version does not know")]
    UnknownRecord { api_key: u16, version: u16 },
}

impl ClusterImage {
    /// The image after `records`, and what they changed. All of them or none: on an error `self` is what it was.
    ///
    /// The position stays; [`ClusterImage::at`] sets it where the log's offsets are known.
    pub fn apply<'a>(
        &self,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Result<(ClusterImage, Delta), ApplyError> {
        let mut image = self.clone();
        let mut delta = Delta::default();
        for record in records {
            image.replay(record, &mut delta)?;
        }
        Ok((image, delta))
    }

    fn replay(&mut self, record: &Record, delta: &mut Delta) -> Result<(), ApplyError> {
        let kind = record.kind();
        match record {
            Record::Topic(record) => self.create_topic(record, delta),
            Record::Partition(record) => self.put_partition(kind, record, delta),
            Record::PartitionChange(record) => self.change_partition(kind, record, delta),
            Record::RemoveTopic(record) => self.remove_topic(kind, record, delta),
            Record::ClearElr(record) => {
                self.clear_elr(record, delta);
                Ok(())
            }
            Record::Config(record) => self.set_config(record, delta),
            Record::FeatureLevel(record) => {
                self.set_feature(record, delta);
                Ok(())
            }
            Record::ProducerIds(record) => self.advance_producer_ids(record, delta),
            Record::RegisterBroker(record) => {
                self.register_broker(record, delta);
                Ok(())
            }
            Record::UnregisterBroker(record) => self.unregister_broker(kind, record, delta),
            Record::BrokerRegistrationChange(record) => self.change_broker(kind, record, delta),
            Record::FenceBroker(record) => self.fence(kind, record.id, record.epoch, 1, delta),
            Record::UnfenceBroker(record) => self.fence(kind, record.id, record.epoch, -1, delta),
            Record::AccessControlEntry(_)
            | Record::RemoveAccessControlEntry(_)
            | Record::UserScramCredential(_)
            | Record::RemoveUserScramCredential(_)
            | Record::DelegationToken(_)
            | Record::RemoveDelegationToken(_)
            | Record::ClientQuota(_) => {
                delta.security |= self.kept.replay(record);
                Ok(())
            }
            Record::RegisterController(_) => {
                self.kept.replay(record);
                Ok(())
            }
            Record::NoOp(_) | Record::ZkMigrationState(_) => Ok(()),
            Record::BeginTransaction(_) | Record::EndTransaction(_) | Record::AbortTransaction(_) => {
                Err(ApplyError::Transaction(kind))
            }
            Record::Opaque(record) => Err(ApplyError::UnknownRecord {
                api_key: record.api_key,
                version: record.version,
            }),
        }
    }

    fn create_topic(&mut self, record: &TopicRecord, delta: &mut Delta) -> Result<(), ApplyError> {
        let name: Arc<str> = record.name.as_str().into();
        if self.topic_ids.contains_key(&name) || self.topics.contains_key(&record.topic_id) {
            return Err(ApplyError::TopicExists {
                name: record.name.clone(),
            });
        }
        if let Some(key) = collision_key(&name) {
            let mut names = self.collisions.get(&key).cloned().unwrap_or_default();
            names.push(Arc::clone(&name));
            self.collisions.insert_mut(key, names);
        }
        self.topic_ids.insert_mut(Arc::clone(&name), record.topic_id);
        delta.topic_created(record.topic_id, &name);
        self.topics.insert_mut(
            record.topic_id,
            Arc::new(TopicImage {
                name,
                id: record.topic_id,
                partitions: RedBlackTreeMapSync::new_sync(),
            }),
        );
        Ok(())
    }

    /// The topic to change in place. Shared with an older image it is copied first, which costs its name, its id and the root of its
    /// partitions: those it has are shared until they change.
    fn topic_mut(&mut self, kind: &'static str, topic_id: Uuid) -> Result<&mut TopicImage, ApplyError> {
        self.topics
            .get_mut(&topic_id)
            .map(Arc::make_mut)
            .ok_or(ApplyError::UnknownTopic { kind, topic_id })
    }

    fn put_partition(
        &mut self,
        kind: &'static str,
        record: &PartitionRecord,
        delta: &mut Delta,
    ) -> Result<(), ApplyError> {
        let id = record.partition_id;
        let topic = self.topic_mut(kind, record.topic_id)?;
        if id.index().is_none() {
            let name = Arc::clone(&topic.name);
            return Err(ApplyError::NegativePartition { name, partition: id });
        }
        let image = Arc::new(PartitionImage::from_record(record));
        let before = topic.partitions.get(&id).cloned();
        topic.partitions.insert_mut(id, Arc::clone(&image));
        if before.is_none() {
            delta.partition_added(record.topic_id, &topic.name, id);
            self.partition_count += 1;
        } else {
            delta.partition_changed(record.topic_id, &topic.name, id);
        }
        self.replicas.put(record.topic_id, id, before.as_deref(), &image);
        Ok(())
    }

    fn change_partition(
        &mut self,
        kind: &'static str,
        record: &PartitionChangeRecord,
        delta: &mut Delta,
    ) -> Result<(), ApplyError> {
        let id = record.partition_id;
        let topic = self.topic_mut(kind, record.topic_id)?;
        let Some(partition) = topic.partitions.get_mut(&id) else {
            let name = Arc::clone(&topic.name);
            return Err(ApplyError::UnknownPartition { name, partition: id });
        };
        let after = Arc::new(partition.changed(record));
        let before = std::mem::replace(partition, Arc::clone(&after));
        delta.partition_changed(record.topic_id, &topic.name, id);
        self.replicas.put(record.topic_id, id, Some(&before), &after);
        Ok(())
    }

    fn remove_topic(
        &mut self,
        kind: &'static str,
        record: &RemoveTopicRecord,
        delta: &mut Delta,
    ) -> Result<(), ApplyError> {
        let topic_id = record.topic_id;
        let Some(topic) = self.topics.get(&topic_id).cloned() else {
            return Err(ApplyError::UnknownTopic { kind, topic_id });
        };
        self.topics.remove_mut(&topic_id);
        self.topic_ids.remove_mut(&topic.name);
        self.partition_count -= topic.partition_count();
        self.replicas.forget(&topic);
        if let Some(key) = collision_key(&topic.name) {
            let mut names = self.collisions.get(&key).cloned().unwrap_or_default();
            names.retain(|name| *name != topic.name);
            if names.is_empty() {
                self.collisions.remove_mut(&key);
            } else {
                self.collisions.insert_mut(key, names);
            }
        }
        let resource = ConfigResource::topic(&topic.name);
        if self.configs.remove_mut(&resource) {
            delta.configs.insert(resource);
        }
        delta.topic_deleted(topic_id, topic);
        Ok(())
    }

    fn clear_elr(&mut self, record: &ClearElrRecord, delta: &mut Delta) {
        let ids: Vec<Uuid> = match record.topic_name.as_str() {
            "" => self.topics.keys().copied().collect(),
            // The topic may have been deleted since; Kafka lets that pass.
            name => self.topic_ids.get(name).copied().into_iter().collect(),
        };
        for id in ids {
            let has_elr = |partition: &PartitionImage| {
                !partition.eligible_leader_replicas.is_empty() || !partition.last_known_elr.is_empty()
            };
            let partitions = self.topics.get(&id).map(|topic| topic.partitions.iter());
            let touched: Vec<PartitionId> = partitions
                .into_iter()
                .flatten()
                .filter(|(_, partition)| has_elr(partition))
                .map(|(partition_id, _)| *partition_id)
                .collect();
            if touched.is_empty() {
                continue;
            }
            let Some(topic) = self.topics.get_mut(&id).map(Arc::make_mut) else {
                continue;
            };
            for partition_id in touched {
                if let Some(partition) = topic.partitions.get_mut(&partition_id) {
                    let partition = Arc::make_mut(partition);
                    partition.eligible_leader_replicas.clear();
                    partition.last_known_elr.clear();
                    delta.partition_changed(id, &topic.name, partition_id);
                }
            }
        }
    }

    fn set_config(&mut self, record: &ConfigRecord, delta: &mut Delta) -> Result<(), ApplyError> {
        let kind = ResourceKind::from_id(record.resource_type)
            .ok_or(ApplyError::ResourceType(record.resource_type))?;
        let resource = ConfigResource::new(kind, &record.resource_name);
        match &record.value {
            Some(value) => {
                if !self.configs.contains_key(&resource) {
                    self.configs.insert_mut(resource.clone(), Arc::default());
                }
                if let Some(configs) = self.configs.get_mut(&resource) {
                    Arc::make_mut(configs).insert(record.name.clone(), value.clone());
                }
            }
            None => {
                let mut emptied = false;
                if let Some(configs) = self.configs.get_mut(&resource) {
                    let configs: &mut ConfigMap = Arc::make_mut(configs);
                    configs.remove(&record.name);
                    emptied = configs.is_empty();
                }
                if emptied {
                    self.configs.remove_mut(&resource);
                }
            }
        }
        delta.configs.insert(resource);
        Ok(())
    }

    fn set_feature(&mut self, record: &FeatureLevelRecord, delta: &mut Delta) {
        let features = Arc::make_mut(&mut self.features);
        match record.feature_level {
            0 => features.remove(&record.name),
            level => features.insert(record.name.clone(), level),
        };
        delta.features.insert(record.name.clone());
    }

    fn advance_producer_ids(
        &mut self,
        record: &ProducerIdsRecord,
        delta: &mut Delta,
    ) -> Result<(), ApplyError> {
        // Going back would give one id to two producers, and the brokers would take the second one's records for
        // duplicates of the first one's.
        if record.next_producer_id < self.next_producer_id {
            return Err(ApplyError::ProducerIds {
                expected: self.next_producer_id,
                found: record.next_producer_id,
            });
        }
        self.next_producer_id = record.next_producer_id;
        delta.producer_ids = true;
        Ok(())
    }

    fn register_broker(&mut self, record: &RegisterBrokerRecord, delta: &mut Delta) {
        let broker = Arc::new(BrokerImage::from_record(record));
        Arc::make_mut(&mut self.brokers).insert(record.broker_id, broker);
        delta.brokers.insert(record.broker_id);
    }

    fn unregister_broker(
        &mut self,
        kind: &'static str,
        record: &UnregisterBrokerRecord,
        delta: &mut Delta,
    ) -> Result<(), ApplyError> {
        self.registered(kind, record.broker_id, record.broker_epoch)?;
        Arc::make_mut(&mut self.brokers).remove(&record.broker_id);
        delta.brokers.insert(record.broker_id);
        Ok(())
    }

    fn change_broker(
        &mut self,
        kind: &'static str,
        record: &BrokerRegistrationChangeRecord,
        delta: &mut Delta,
    ) -> Result<(), ApplyError> {
        let broker = self.registered(kind, record.broker_id, record.broker_epoch)?;
        let changed = Arc::new(broker.changed(record));
        Arc::make_mut(&mut self.brokers).insert(record.broker_id, changed);
        delta.brokers.insert(record.broker_id);
        Ok(())
    }

    fn fence(
        &mut self,
        kind: &'static str,
        id: BrokerId,
        epoch: BrokerEpoch,
        fenced: i8,
        delta: &mut Delta,
    ) -> Result<(), ApplyError> {
        let change = BrokerRegistrationChangeRecord {
            broker_id: id,
            broker_epoch: epoch,
            fenced,
            ..BrokerRegistrationChangeRecord::default()
        };
        self.change_broker(kind, &change, delta)
    }

    fn registered(
        &self,
        kind: &'static str,
        id: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<&BrokerImage, ApplyError> {
        let broker = self
            .brokers
            .get(&id)
            .ok_or(ApplyError::UnknownBroker { kind, id })?;
        if broker.epoch == epoch {
            Ok(broker)
        } else {
            Err(ApplyError::BrokerEpoch {
                kind,
                id,
                expected: broker.epoch,
                found: epoch,
            })
        }
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
