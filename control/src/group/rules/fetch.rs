//! OffsetFetch: what a group has committed.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::group::error::ErrorCode;
use crate::group::group::GroupState;
use crate::group::offsets::Committed;
use crate::group::request::{OffsetFetchRequest, OffsetFetchTopic};
use crate::group::response::{
    OffsetFetchResponse, OffsetFetchResponsePartition, OffsetFetchResponseTopic, Response,
};
use crate::group::shard::{GroupShard, Token};

pub(in crate::group) fn fetch(shard: &mut GroupShard, token: Token, request: OffsetFetchRequest) {
    // a group that is not there, or about to be gone, is one that has committed nothing
    let is_alive = shard
        .groups
        .get(request.group_id.as_str())
        .is_some_and(|group| group.state() != GroupState::Dead);
    let topics = match &request.topics {
        Some(topics) => topics
            .iter()
            .map(|topic| named(shard, &request, topic, is_alive))
            .collect(),
        None if is_alive => all(shard, &request),
        None => Vec::new(),
    };
    let answer = OffsetFetchResponse {
        group_id: request.group_id,
        error_code: ErrorCode::NONE,
        topics,
    };
    shard.out.respond(token, Response::OffsetFetch(answer));
}

fn named(
    shard: &GroupShard,
    request: &OffsetFetchRequest,
    topic: &OffsetFetchTopic,
    is_alive: bool,
) -> OffsetFetchResponseTopic {
    let partitions = topic
        .partition_indexes
        .iter()
        .map(|&partition| {
            let committed = shard
                .offsets
                .committed()
                .get(&request.group_id, &topic.name, partition);
            let committed = committed.filter(|c| is_alive && is_of(c, topic.topic_id));
            answer(shard, request, &topic.name, partition, committed)
        })
        .collect();
    OffsetFetchResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions,
    }
}

fn all(shard: &GroupShard, request: &OffsetFetchRequest) -> Vec<OffsetFetchResponseTopic> {
    let topics = shard.offsets.committed().topics_of(&request.group_id);
    topics
        .map(
            |(name, partitions): (&str, &BTreeMap<i32, Committed>)| OffsetFetchResponseTopic {
                name: name.to_owned(),
                topic_id: partitions.values().find_map(|c| c.value.topic_id),
                partitions: partitions
                    .iter()
                    .map(|(&partition, committed)| answer(shard, request, name, partition, Some(committed)))
                    .collect(),
            },
        )
        .collect()
}

fn answer(
    shard: &GroupShard,
    request: &OffsetFetchRequest,
    topic: &str,
    partition: i32,
    committed: Option<&Committed>,
) -> OffsetFetchResponsePartition {
    let group = request.group_id.as_str();
    // A consumer that took a partition over must not start before an offset that is about to be committed: it asks
    // again until the transaction has ended, or the record is durable.
    if request.require_stable
        && (shard.offsets.is_in_transaction(group, topic, partition)
            || shard.out.appends.has_offset_in_flight(group, topic, partition))
    {
        return OffsetFetchResponsePartition::without_offset(partition, ErrorCode::UNSTABLE_OFFSET_COMMIT);
    }
    match committed {
        None => OffsetFetchResponsePartition::without_offset(partition, ErrorCode::NONE),
        Some(committed) => OffsetFetchResponsePartition {
            partition_index: partition,
            committed_offset: committed.value.offset,
            committed_leader_epoch: committed.value.leader_epoch,
            metadata: committed.value.metadata.clone(),
            error_code: ErrorCode::NONE,
        },
    }
}

/// An offset of a topic that was deleted says nothing about the one that has its name now.
fn is_of(committed: &Committed, asked: Option<Uuid>) -> bool {
    match (committed.value.topic_id, asked) {
        (Some(stored), Some(asked)) => stored == asked,
        _ => true,
    }
}
