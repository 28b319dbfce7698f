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

#[cfg(test)]
mod tests {
    use control::record::{BrokerId, PartitionRecord, Record, TopicRecord};
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
    use uuid::Uuid;

    use super::*;
    use crate::api::reply::text;

    /// Topic `still`, with a partition at rest; topic `moving` with one at rest, one that gets broker 3 and one that loses broker 2.
    fn image() -> ClusterImage {
        let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
        let topic = |name: &str, id| {
            Record::from(TopicRecord {
                name: name.to_owned(),
                topic_id: Uuid::from_u128(id),
                ..TopicRecord::default()
            })
        };
        let partition = |id, index, replicas: &[i32], adding: &[i32], removing: &[i32]| {
            Record::from(PartitionRecord {
                topic_id: Uuid::from_u128(id),
                partition_id: PartitionId(index),
                replicas: ids(replicas),
                adding_replicas: ids(adding),
                removing_replicas: ids(removing),
                ..PartitionRecord::default()
            })
        };
        let records = [
            topic("still", 1000),
            partition(1000, 0, &[1], &[], &[]),
            topic("moving", 1001),
            partition(1001, 0, &[1], &[], &[]),
            partition(1001, 1, &[1, 3, 2], &[3], &[2]),
            partition(1001, 2, &[1, 2], &[], &[2]),
        ];
        ClusterImage::empty("cluster").apply(&records).unwrap().0
    }

    fn told(topics: Option<&[(&str, &[i32])]>) -> Vec<(String, Vec<i32>)> {
        let asked = topics.map(|topics| {
            let topics = topics.iter().map(|(name, indexes)| {
                ListPartitionReassignmentsTopics::default()
                    .with_name(TopicName(text(*name)))
                    .with_partition_indexes(indexes.to_vec())
            });
            topics.collect()
        });
        let request = ListPartitionReassignmentsRequest::default().with_topics(asked);
        let row = |topic: OngoingTopicReassignment| {
            let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
            (topic.name.to_string(), indexes.collect())
        };
        ongoing(&image(), &request).into_iter().map(row).collect()
    }

    /// Breaks in production: kafka-reassign-partitions says that moves are done that are not, and takes their throttles away.
    #[test]
    fn what_moves_is_told_and_nothing_else() {
        let moving = |indexes: &[i32]| vec![("moving".to_owned(), indexes.to_vec())];
        assert_eq!(told(None), moving(&[1, 2]));
        assert_eq!(
            told(Some(&[("moving", &[0, 2, 9]), ("still", &[0]), ("absent", &[0])])),
            moving(&[2])
        );
        assert_eq!(told(Some(&[])), vec![]);
    }
}
