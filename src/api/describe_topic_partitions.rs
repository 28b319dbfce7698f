//! DescribeTopicPartitions: topics and partitions in pages, in name order (KIP-966).

use std::rc::Rc;

use control::record::PartitionId;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use net::error::ErrorCode;

use super::Api;
use super::metadata::{NO_LEADER, TOPIC_OPERATIONS};
use super::reach::Reach;
use super::reply::{broker_ids, topic_name};
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(75, "DescribeTopicPartitions", (0, 0), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: DescribeTopicPartitionsRequest = call.decode()?;
    let image = shard.image();
    let reach = Reach::new(&shard, &image, call.listener());
    let mut names: Vec<String> = if request.topics.is_empty() {
        image.topics().map(|topic| topic.name.to_string()).collect()
    } else {
        request
            .topics
            .iter()
            .map(|topic| topic.name.to_string())
            .collect()
    };
    names.sort_unstable();
    names.dedup();
    let (from_name, from_index) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.to_string(), cursor.partition_index),
        None => (String::new(), 0),
    };
    let page = shard.node.config.topics.describe_partition_count as usize;
    let mut room = usize::try_from(request.response_partition_limit)
        .unwrap_or(0)
        .min(page);
    let mut topics = Vec::new();
    let mut next_cursor = None;
    for name in names.into_iter().filter(|name| *name >= from_name) {
        if room == 0 {
            next_cursor = Some(
                Cursor::default()
                    .with_topic_name(topic_name(&name))
                    .with_partition_index(0),
            );
            break;
        }
        let answer = DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic_name(&name)))
            .with_topic_authorized_operations(TOPIC_OPERATIONS);
        let Some(topic) = image.topic_by_name(&name) else {
            let code = if control::controller::validate_topic_name(&name).is_ok() {
                ErrorCode::UnknownTopicOrPartition
            } else {
                ErrorCode::InvalidTopicException
            };
            topics.push(answer.with_error_code(code.code()));
            continue;
        };
        let first = if name == from_name { from_index.max(0) } else { 0 };
        let mut partitions = Vec::new();
        for (index, partition) in topic.partitions.range(PartitionId(first)..) {
            if room == 0 {
                next_cursor = Some(
                    Cursor::default()
                        .with_topic_name(topic_name(&name))
                        .with_partition_index(index.0),
                );
                break;
            }
            room -= 1;
            partitions.push(
                DescribeTopicPartitionsResponsePartition::default()
                    .with_partition_index(index.0)
                    .with_leader_id(BrokerId(
                        reach.leader(partition).map_or(NO_LEADER, |leader| leader.0),
                    ))
                    .with_leader_epoch(partition.leader_epoch.0)
                    .with_replica_nodes(broker_ids(&partition.replicas))
                    .with_isr_nodes(broker_ids(&partition.isr))
                    .with_eligible_leader_replicas(Some(broker_ids(&partition.eligible_leader_replicas)))
                    .with_last_known_elr(Some(broker_ids(&partition.last_known_elr)))
                    .with_offline_replicas(broker_ids(&reach.offline(partition))),
            );
        }
        topics.push(
            answer
                .with_topic_id(topic.id)
                .with_is_internal(topic.is_internal())
                .with_partitions(partitions),
        );
        if next_cursor.is_some() {
            break;
        }
    }
    call.reply(
        &DescribeTopicPartitionsResponse::default()
            .with_topics(topics)
            .with_next_cursor(next_cursor),
    )
}
