//! OffsetForLeaderEpoch: where an epoch ended, so that a client can tell whether its position was truncated (KIP-320).

use std::rc::Rc;

use engine::types::LeaderEpoch;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use net::error::ErrorCode;

use super::{Api, by_partition, locate};
use crate::dispatch::{Call, Outcome};
use crate::shard::{PartitionKey, Shard};

pub static API: Api = Api::new(23, "OffsetForLeaderEpoch", (2, 4), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: OffsetForLeaderEpochRequest = call.decode()?;
    let topics = request
        .topics
        .into_iter()
        .map(|topic| (topic.topic, topic.partitions))
        .collect();
    let ask = |partition: &OffsetForLeaderPartition| {
        (
            partition.partition,
            (partition.current_leader_epoch, partition.leader_epoch),
        )
    };
    let results = by_partition::run(&shard, topics, ask, end_of_epoch).await?;
    let topics = results
        .into_iter()
        .map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|(index, result)| {
                let answer = EpochEndOffset::default().with_partition(index);
                match result {
                    Ok((epoch, end)) => answer.with_leader_epoch(epoch).with_end_offset(end),
                    Err(code) => answer
                        .with_error_code(code.code())
                        .with_leader_epoch(-1)
                        .with_end_offset(-1),
                }
            });
            OffsetForLeaderTopicResult::default()
                .with_topic(topic)
                .with_partitions(partitions.collect())
        })
        .collect();
    call.reply(&OffsetForLeaderEpochResponse::default().with_topics(topics))
}

async fn end_of_epoch(
    shard: Rc<Shard>,
    key: PartitionKey,
    (known, wanted): (i32, i32),
) -> Result<(i32, i64), ErrorCode> {
    let partition = shard.led_partition(&key).await?;
    locate::check_leader_epoch(known, partition.leader_epoch())?;
    Ok(match partition.log.offset_for_leader_epoch(LeaderEpoch(wanted)) {
        Some((epoch, end)) => (epoch.0, end.0),
        None => (-1, -1),
    })
}
