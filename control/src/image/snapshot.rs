//! An image as the records that lead to it, for snapshots of the metadata log.

use super::ClusterImage;
use crate::record::{ConfigRecord, FeatureLevelRecord, ProducerIdsRecord, Record, TopicRecord};

/// The feature Kafka writes first: it says how to read the rest.
const METADATA_VERSION: &str = "metadata.version";

impl ClusterImage {
    /// Records that make an empty image equal to this one. Equal images give equal records, in Kafka's order: features,
    /// brokers, topics, configs, producer ids, everything else.
    pub fn to_records(&self) -> Vec<Record> {
        let mut records = Vec::with_capacity(self.record_count_estimate());
        let is_first = |name: &String| name == METADATA_VERSION;
        let (first, others): (Vec<_>, Vec<_>) = self.features.iter().partition(|(name, _)| is_first(name));
        for (name, level) in first.into_iter().chain(others) {
            records.push(Record::from(FeatureLevelRecord {
                name: name.clone(),
                feature_level: *level,
                ..FeatureLevelRecord::default()
            }));
        }
        records.extend(self.brokers.values().map(|broker| broker.to_record().into()));
        for topic in self.topics() {
            records.push(Record::from(TopicRecord {
                name: topic.name.to_string(),
                topic_id: topic.id,
                ..TopicRecord::default()
            }));
            let partitions = topic.partitions.iter();
            records.extend(partitions.map(|(id, partition)| partition.to_record(topic.id, *id).into()));
        }
        for (resource, configs) in self.configs() {
            records.extend(configs.iter().map(|(name, value)| {
                Record::from(ConfigRecord {
                    resource_type: resource.kind.id(),
                    resource_name: resource.name.to_string(),
                    name: name.clone(),
                    value: Some(value.clone()),
                    ..ConfigRecord::default()
                })
            }));
        }
        if self.next_producer_id.0 > 0 {
            // Who had the last block is of no use after a snapshot; Kafka writes the same two numbers.
            records.push(Record::from(ProducerIdsRecord {
                broker_id: crate::record::BrokerId(-1),
                next_producer_id: self.next_producer_id,
                ..ProducerIdsRecord::default()
            }));
        }
        records.extend(self.kept.iter().cloned());
        records
    }

    fn record_count_estimate(&self) -> usize {
        self.features.len()
            + self.brokers.len()
            + self.topics.size()
            + self.partition_count
            + self.configs.size()
    }
}
