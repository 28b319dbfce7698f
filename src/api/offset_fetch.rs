//! OffsetFetch: where groups left off.

use std::rc::Rc;

use control::group::{
    ErrorCode as GroupError, OffsetFetchRequest as Fetch, OffsetFetchTopic, Request, Response,
};
use net::error::ErrorCode;
use net::versions_beyond_crate::{
    OffsetFetchGroup, OffsetFetchGroupResponse, OffsetFetchPartitionResponse, OffsetFetchRequest,
    OffsetFetchResponse, OffsetFetchTopicResponse,
};

use super::reply::text;
use super::{Api, locate};
use crate::coordinator;
use crate::dispatch::{Call, Hangup, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(9, "OffsetFetch", (1, 10), |shard, call| {
    Box::pin(answer(shard, call))
});

const TOPIC_ID_SINCE: i16 = 10;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: OffsetFetchRequest = call.decode()?;
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        groups.push(fetch(&shard, &call, group, request.require_stable).await?);
    }
    call.reply(&OffsetFetchResponse {
        throttle_time_ms: 0,
        groups,
    })
}

async fn fetch(
    shard: &Rc<Shard>,
    call: &Call,
    group: OffsetFetchGroup,
    require_stable: bool,
) -> Result<OffsetFetchGroupResponse, Hangup> {
    let version = call.version();
    let group_id = group.group_id.to_string();
    let mut response = OffsetFetchGroupResponse {
        group_id: group.group_id,
        ..OffsetFetchGroupResponse::default()
    };
    let mut unknown = Vec::new();
    let asked = group.topics.map(|topics| {
        let image = shard.image();
        let mut known = Vec::with_capacity(topics.len());
        for topic in topics {
            let (name, topic_id) = if version < TOPIC_ID_SINCE {
                (topic.name.to_string(), None)
            } else {
                match locate::by_id(&image, topic.topic_id) {
                    Ok(found) => (found.name.to_string(), Some(topic.topic_id)),
                    Err(code) => {
                        unknown.push(OffsetFetchTopicResponse {
                            topic_id: topic.topic_id,
                            partitions: topic
                                .partition_indexes
                                .iter()
                                .map(|index| without_offset(*index, code.code()))
                                .collect(),
                            ..OffsetFetchTopicResponse::default()
                        });
                        continue;
                    }
                }
            };
            known.push(OffsetFetchTopic {
                name,
                topic_id,
                partition_indexes: topic.partition_indexes,
            });
        }
        known
    });
    let request = Fetch {
        group_id: group_id.clone(),
        topics: asked.clone(),
        require_stable,
    };
    match coordinator::ask(
        shard,
        &group_id,
        call.group_context(),
        Request::OffsetFetch(request),
    )
    .await
    {
        Ok(Response::OffsetFetch(answer)) => {
            response.error_code = answer.error_code.0;
            let image = shard.image();
            for topic in answer.topics {
                // Who asks for everything by id cannot be told about topics that are gone.
                let topic_id = topic.topic_id.or_else(|| image.topic_id(&topic.name));
                if version >= TOPIC_ID_SINCE && topic_id.is_none() {
                    continue;
                }
                let partitions = topic
                    .partitions
                    .into_iter()
                    .map(|partition| OffsetFetchPartitionResponse {
                        partition_index: partition.partition_index,
                        committed_offset: partition.committed_offset.0,
                        committed_leader_epoch: partition.committed_leader_epoch.0,
                        metadata: Some(text(partition.metadata)),
                        error_code: partition.error_code.0,
                    });
                response.topics.push(OffsetFetchTopicResponse {
                    name: text(topic.name),
                    topic_id: topic_id.unwrap_or_default(),
                    partitions: partitions.collect(),
                });
            }
        }
        Ok(other) => return Err(coordinator::confused(&other)),
        Err(code) => refuse(&mut response, asked.unwrap_or_default(), code, version),
    }
    response.topics.extend(unknown);
    Ok(response)
}

/// Version 1 has no place for an error of the group: it is told for every partition.
fn refuse(
    response: &mut OffsetFetchGroupResponse,
    asked: Vec<OffsetFetchTopic>,
    code: GroupError,
    version: i16,
) {
    response.error_code = code.0;
    if version >= 2 {
        return;
    }
    response.topics.extend(asked.into_iter().map(|topic| {
        OffsetFetchTopicResponse {
            name: text(topic.name),
            topic_id: topic.topic_id.unwrap_or_default(),
            partitions: topic
                .partition_indexes
                .iter()
                .map(|index| without_offset(*index, code.0))
                .collect(),
        }
    }));
}

fn without_offset(partition_index: i32, error_code: i16) -> OffsetFetchPartitionResponse {
    debug_assert_ne!(error_code, ErrorCode::None.code());
    OffsetFetchPartitionResponse {
        partition_index,
        metadata: Some(text("")),
        error_code,
        ..OffsetFetchPartitionResponse::default()
    }
}
