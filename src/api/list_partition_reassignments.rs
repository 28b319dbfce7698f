//! ListPartitionReassignments: which partitions are on their way to other brokers (KIP-455). Any broker knows.

use std::rc::Rc;

use control::image::{ClusterImage, PartitionImage, TopicImage};
use control::record::PartitionId;
use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::Api;
use super::reply::{broker_ids, topic_name};
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(46, "ListPartitionReassignments", (0, 0), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: ListPartitionReassignmentsRequest = call.decode()?;
    let topics = ongoing(&shard.image(), &request);
    call.reply(&ListPartitionReassignmentsResponse::default().with_topics(topics))
}

/// Topics and partitions that do not exist, or do not move, are left out without a word, as in Kafka.
fn ongoing(
    image: &ClusterImage,
    request: &ListPartitionReassignmentsRequest,
) -> Vec<OngoingTopicReassignment> {
    let topics: Vec<OngoingTopicReassignment> = match &request.topics {
        None => image
            .topics()
            .map(|topic| of_topic(topic, topic.partitions.keys().copied()))
            .collect(),
        Some(asked) => asked
            .iter()
            .filter_map(|asked| {
                let topic = image.topic_by_name(&asked.name)?;
                let indexes = asked.partition_indexes.iter();
                Some(of_topic(topic, indexes.map(|index| PartitionId(*index))))
            })
            .collect(),
    };
    let mut topics = topics;
    topics.retain(|topic| !topic.partitions.is_empty());
    topics
}

fn of_topic(topic: &TopicImage, indexes: impl Iterator<Item = PartitionId>) -> OngoingTopicReassignment {
    let partitions = indexes.filter_map(|index| of_partition(index, topic.partitions.get(&index)?));
    OngoingTopicReassignment::default()
        .with_name(topic_name(&topic.name))
        .with_partitions(partitions.collect())
}

fn of_partition(index: PartitionId, partition: &PartitionImage) -> Option<OngoingPartitionReassignment> {
    if partition.adding_replicas.is_empty() && partition.removing_replicas.is_empty() {
        return None;
    }
    Some(
        OngoingPartitionReassignment::default()
            .with_partition_index(index.0)
            .with_replicas(broker_ids(&partition.replicas))
            .with_adding_replicas(broker_ids(&partition.adding_replicas))
            .with_removing_replicas(broker_ids(&partition.removing_replicas)),
    )
}
