//! DeleteRecords: moves a partition's log start forward (KIP-107).

use std::rc::Rc;
use std::time::Duration;

use engine::log::DeleteRecordsError;
use engine::types::Offset;
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use net::error::ErrorCode;

use super::{Api, by_partition};
use crate::dispatch::{Call, Outcome};
use crate::shard::{PartitionKey, Shard};

pub static API: Api = Api::new(21, "DeleteRecords", (0, 2), |shard, call| {
    Box::pin(answer(shard, call))
});

/// "Everything below the high watermark."
const HIGH_WATERMARK: i64 = -1;
/// The low watermark in an answer that carries an error.
const NO_WATERMARK: i64 = -1;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: DeleteRecordsRequest = call.decode()?;
    let topics = request
        .topics
        .into_iter()
        .map(|topic| (topic.name, topic.partitions))
        .collect();
    let patience = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let ask = |partition: &DeleteRecordsPartition| (partition.partition_index, (partition.offset, patience));
    let results = by_partition::run(&shard, topics, ask, delete_before).await?;
    let topics = results.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, result)| {
            let answer = DeleteRecordsPartitionResult::default().with_partition_index(index);
            match result {
                Ok(low_watermark) => answer.with_low_watermark(low_watermark),
                Err(code) => answer
                    .with_low_watermark(NO_WATERMARK)
                    .with_error_code(code.code()),
            }
        });
        DeleteRecordsTopicResult::default()
            .with_name(name)
            .with_partitions(partitions.collect())
    });
    call.reply(&DeleteRecordsResponse::default().with_topics(topics.collect()))
}

/// Deleted is what no live replica has any more (KIP-107): a follower that had it still could become the leader and give it out.
async fn delete_before(
    shard: Rc<Shard>,
    key: PartitionKey,
    (offset, patience): (i64, Duration),
) -> Result<i64, ErrorCode> {
    let partition = shard.led_partition(&key).await?;
    if partition.config().cleanup_policy.compact && !partition.config().cleanup_policy.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let high_watermark = partition.log.high_watermark();
    let before = if offset == HIGH_WATERMARK {
        high_watermark
    } else {
        Offset(offset)
    };
    if before.0 < 0 || before > high_watermark {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let log_start = partition
        .log
        .delete_records_before(before)
        .map_err(|error| match error {
            DeleteRecordsError::AboveHighWatermark { .. } => ErrorCode::OffsetOutOfRange,
            DeleteRecordsError::Offline(_) => ErrorCode::KafkaStorageError,
        })?;
    partition.log_start_moved();
    if partition.low_watermark() < log_start {
        reactor::timeout(patience, partition.deleted_everywhere(log_start))
            .await
            .map_err(|_| ErrorCode::RequestTimedOut)?
            .map_err(|_| ErrorCode::NotLeaderOrFollower)?;
    }
    Ok(partition.low_watermark().0)
}
