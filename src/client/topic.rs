//! A topic as metadata tells of it.

use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use uuid::Uuid;

use super::{AskError, refused};

#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
    pub is_internal: bool,
    /// In the order of their numbers.
    pub partitions: Vec<Partition>,
}

#[derive(Debug, Clone)]
pub struct Partition {
    pub index: i32,
    /// -1 while there is none.
    pub leader: i32,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    pub offline: Vec<i32>,
}

impl Topic {
    pub(super) fn from_metadata(topic: MetadataResponseTopic) -> Result<Topic, AskError> {
        let name = topic.name.map(|name| name.0.to_string()).unwrap_or_default();
        refused(format!("topic {name}"), topic.error_code, None)?;
        let ids =
            |brokers: Vec<kafka_protocol::messages::BrokerId>| brokers.into_iter().map(|id| id.0).collect();
        let mut partitions: Vec<Partition> = topic
            .partitions
            .into_iter()
            .map(|partition| Partition {
                index: partition.partition_index,
                leader: partition.leader_id.0,
                leader_epoch: partition.leader_epoch,
                replicas: ids(partition.replica_nodes),
                isr: ids(partition.isr_nodes),
                offline: ids(partition.offline_replicas),
            })
            .collect();
        partitions.sort_by_key(|partition| partition.index);
        Ok(Topic {
            name,
            id: topic.topic_id,
            is_internal: topic.is_internal,
            partitions,
        })
    }

    pub fn partition(&self, index: i32) -> Result<&Partition, AskError> {
        self.partitions
            .iter()
            .find(|partition| partition.index == index)
            .ok_or_else(|| AskError::UnknownPartition {
                topic: self.name.clone(),
                partition: index,
            })
    }
}
