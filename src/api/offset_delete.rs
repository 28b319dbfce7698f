//! OffsetDelete: forgets committed offsets of topics that the group does not subscribe to (KIP-496).

use std::rc::Rc;

use control::group::{OffsetDeleteRequest as Delete, OffsetDeleteTopic, Request, Response};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::Api;
use super::reply::topic_name;
use crate::coordinator;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(47, "OffsetDelete", (0, 0), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: OffsetDeleteRequest = call.decode()?;
    let group_id = request.group_id.to_string();
    let topics = request.topics.into_iter().map(|topic| OffsetDeleteTopic {
        name: topic.name.to_string(),
        partition_indexes: topic
            .partitions
            .iter()
            .map(|partition| partition.partition_index)
            .collect(),
    });
    let delete = Delete {
        group_id: group_id.clone(),
        topics: topics.collect(),
    };
    let deleted = match coordinator::ask(
        &shard,
        &group_id,
        call.group_context(),
        Request::OffsetDelete(delete),
    )
    .await
    {
        Ok(Response::OffsetDelete(deleted)) => deleted,
        Ok(other) => return Err(coordinator::confused(&other)),
        Err(code) => return call.reply(&OffsetDeleteResponse::default().with_error_code(code.0)),
    };
    let topics = deleted.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(partition.error_code.0)
        });
        OffsetDeleteResponseTopic::default()
            .with_name(topic_name(&topic.name))
            .with_partitions(partitions.collect())
    });
    call.reply(
        &OffsetDeleteResponse::default()
            .with_error_code(deleted.error_code.0)
            .with_topics(topics.collect()),
    )
}
