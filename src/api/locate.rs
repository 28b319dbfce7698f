//! From a topic's name or id and an index to the partition that this broker leads, or Kafka's error for it.

use std::sync::Arc;

use control::image::{ClusterImage, PartitionImage, TopicImage};
use control::record::PartitionId;
use net::error::ErrorCode;
use uuid::Uuid;

use crate::shard::{PartitionKey, Shard};

/// The partition `index` of `topic`, if it exists and is led here.
pub fn led_here(shard: &Shard, topic: &TopicImage, index: i32) -> Result<PartitionKey, ErrorCode> {
    let partition = partition(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if partition.leader != Some(shard.node.id) {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    Ok(PartitionKey {
        topic_id: topic.id,
        index,
    })
}

/// The partition `index` of `topic`, if this broker has a replica of it, whoever leads.
pub fn replicated_here(shard: &Shard, topic: &TopicImage, index: i32) -> Result<PartitionKey, ErrorCode> {
    let partition = partition(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if !partition.replicas.contains(&shard.node.id) {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    Ok(PartitionKey {
        topic_id: topic.id,
        index,
    })
}

/// The partition of that index, wherever it is led.
pub fn partition(topic: &TopicImage, index: i32) -> Option<&Arc<PartitionImage>> {
    topic.partitions.get(&PartitionId(index))
}

/// The topic of that name. Kafka's answer to a name that cannot exist is the same as to one that does not.
pub fn by_name<'a>(image: &'a ClusterImage, name: &str) -> Result<&'a Arc<TopicImage>, ErrorCode> {
    image
        .topic_by_name(name)
        .ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// The topic of that id.
pub fn by_id(image: &ClusterImage, id: Uuid) -> Result<&Arc<TopicImage>, ErrorCode> {
    image.topic(id).ok_or(ErrorCode::UnknownTopicId)
}

/// Compares the leader epoch that a client knows with ours (KIP-320); -1 means that it knows none.
pub fn check_leader_epoch(known: i32, ours: i32) -> Result<(), ErrorCode> {
    match known {
        -1 => Ok(()),
        known if known < ours => Err(ErrorCode::FencedLeaderEpoch),
        known if known > ours => Err(ErrorCode::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}
