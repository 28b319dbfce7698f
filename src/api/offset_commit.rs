//! OffsetCommit: where a group continues.

use std::rc::Rc;

use control::group::{
    ErrorCode as GroupError, OffsetCommitPartition, OffsetCommitRequest as Commit, OffsetCommitTopic,
    Request, Response,
};
use engine::types::{LeaderEpoch, Offset};
use net::error::ErrorCode;
use net::versions_beyond_crate::{
    OffsetCommitPartitionResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetCommitTopic as AskedTopic, OffsetCommitTopicResponse,
};

use super::reply::text;
use super::{Api, locate};
use crate::coordinator;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(8, "OffsetCommit", (2, 10), |shard, call| {
    Box::pin(answer(shard, call))
});

const TOPIC_ID_SINCE: i16 = 10;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: OffsetCommitRequest = call.decode()?;
    let group_id = request.group_id.to_string();
    // What is refused here is answered here; the coordinator sees only partitions that exist.
    let mut refused = Vec::new();
    let mut topics = Vec::new();
    {
        let image = shard.image();
        for topic in request.topics {
            let found = if call.version() >= TOPIC_ID_SINCE {
                locate::by_id(&image, topic.topic_id)
            } else {
                locate::by_name(&image, &topic.name)
            };
            match found {
                Ok(known) => {
                    let (good, bad): (Vec<_>, Vec<_>) =
                        topic.partitions.iter().cloned().partition(|partition| {
                            locate::partition(known, partition.partition_index).is_some()
                        });
                    if !bad.is_empty() {
                        refused.push(refuse(
                            &AskedTopic {
                                partitions: bad,
                                ..topic.clone()
                            },
                            ErrorCode::UnknownTopicOrPartition,
                        ));
                    }
                    topics.push(OffsetCommitTopic {
                        name: known.name.to_string(),
                        topic_id: Some(known.id),
                        partitions: good.into_iter().map(commit_partition).collect(),
                    });
                }
                Err(code) => refused.push(refuse(&topic, code)),
            }
        }
    }
    topics.retain(|topic| !topic.partitions.is_empty());
    let asked: Vec<OffsetCommitTopic> = topics.clone();
    let commit = Commit {
        group_id: group_id.clone(),
        generation_id: request.generation_id_or_member_epoch,
        member_id: request.member_id.to_string(),
        group_instance_id: request.group_instance_id.map(|id| id.to_string()),
        retention_time_ms: request.retention_time_ms,
        topics,
    };
    let mut answered = if asked.is_empty() {
        Vec::new()
    } else {
        match coordinator::ask(
            &shard,
            &group_id,
            call.group_context(),
            Request::OffsetCommit(commit),
        )
        .await
        {
            Ok(Response::OffsetCommit(answer)) => answer
                .topics
                .into_iter()
                .map(|topic| {
                    let partitions = topic
                        .partitions
                        .into_iter()
                        .map(|partition| (partition.partition_index, partition.error_code));
                    respond(&topic.name, topic.topic_id.unwrap_or_default(), partitions)
                })
                .collect(),
            Ok(other) => return Err(coordinator::confused(&other)),
            Err(code) => asked
                .iter()
                .map(|topic| {
                    let partitions = topic
                        .partitions
                        .iter()
                        .map(|partition| (partition.partition_index, code));
                    respond(&topic.name, topic.topic_id.unwrap_or_default(), partitions)
                })
                .collect::<Vec<_>>(),
        }
    };
    answered.extend(refused);
    call.reply(&OffsetCommitResponse {
        throttle_time_ms: 0,
        topics: answered,
    })
}

fn commit_partition(asked: net::versions_beyond_crate::OffsetCommitPartition) -> OffsetCommitPartition {
    OffsetCommitPartition {
        partition_index: asked.partition_index,
        committed_offset: Offset(asked.committed_offset),
        committed_leader_epoch: LeaderEpoch(asked.committed_leader_epoch),
        committed_metadata: asked.committed_metadata.map(|metadata| metadata.to_string()),
    }
}

fn respond(
    name: &str,
    topic_id: uuid::Uuid,
    partitions: impl Iterator<Item = (i32, GroupError)>,
) -> OffsetCommitTopicResponse {
    let partitions = partitions.map(|(partition_index, code)| OffsetCommitPartitionResponse {
        partition_index,
        error_code: code.0,
    });
    OffsetCommitTopicResponse {
        name: text(name),
        topic_id,
        partitions: partitions.collect(),
    }
}

fn refuse(topic: &AskedTopic, code: ErrorCode) -> OffsetCommitTopicResponse {
    let partitions = topic
        .partitions
        .iter()
        .map(|partition| OffsetCommitPartitionResponse {
            partition_index: partition.partition_index,
            error_code: code.code(),
        });
    OffsetCommitTopicResponse {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    }
}
