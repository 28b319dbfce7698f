//! ListOffsets: earliest, latest, by time, and of the greatest timestamp.

use std::rc::Rc;

use engine::types::Timestamp;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use net::error::ErrorCode;
use net::versions_beyond_crate::{ListOffsetsRequest, ListOffsetsResponse};

use super::{Api, by_partition, locate};
use crate::dispatch::{Call, Outcome};
use crate::shard::{PartitionKey, Shard};

/// Version 11 differs from 10 only by one more special timestamp.
pub static API: Api = Api::new(2, "ListOffsets", (1, 11), |shard, call| {
    Box::pin(answer(shard, call))
});

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// The first offset on this machine's disks, when older data is in remote storage (KIP-405): here always the log start.
const EARLIEST_LOCAL: i64 = -4;
/// The last offset in remote storage (KIP-1005), and the first that waits for upload (KIP-1023): there is no remote storage.
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;
const READ_COMMITTED: i8 = 1;
const LEADER_EPOCH_SINCE: i16 = 4;
const OFFSET_NOT_AVAILABLE_SINCE: i16 = 5;

/// The version from which each special timestamp is understood.
fn since(timestamp: i64) -> i16 {
    match timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        _ => 0,
    }
}

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let version = call.version();
    let request: ListOffsetsRequest = call.decode()?;
    let committed = request.isolation_level == READ_COMMITTED;
    let topics = request
        .0
        .topics
        .into_iter()
        .map(|topic| (topic.name, topic.partitions))
        .collect();
    let ask = |asked: &ListOffsetsPartition| {
        let ask = Ask {
            timestamp: asked.timestamp,
            known_epoch: asked.current_leader_epoch,
            committed,
            version,
        };
        (asked.partition_index, ask)
    };
    let results = by_partition::run(&shard, topics, ask, find).await?;
    let topics = results.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, result)| {
            let answer = ListOffsetsPartitionResponse::default().with_partition_index(index);
            match result {
                Ok(found) => {
                    let epoch = if version >= LEADER_EPOCH_SINCE {
                        found.epoch
                    } else {
                        -1
                    };
                    answer
                        .with_timestamp(found.timestamp)
                        .with_offset(found.offset)
                        .with_leader_epoch(epoch)
                }
                Err(code) => answer
                    .with_error_code(code.code())
                    .with_timestamp(-1)
                    .with_offset(-1)
                    .with_leader_epoch(-1),
            }
        });
        ListOffsetsTopicResponse::default()
            .with_name(name)
            .with_partitions(partitions.collect())
    });
    let response = kafka_protocol::messages::ListOffsetsResponse::default().with_topics(topics.collect());
    call.reply(&ListOffsetsResponse(response))
}

struct Ask {
    timestamp: i64,
    known_epoch: i32,
    committed: bool,
    version: i16,
}

struct Found {
    timestamp: i64,
    offset: i64,
    epoch: i32,
}

impl Found {
    /// There is no such record. Kafka answers no error and -1.
    const NOTHING: Found = Found {
        timestamp: -1,
        offset: -1,
        epoch: -1,
    };
}

async fn find(shard: Rc<Shard>, key: PartitionKey, ask: Ask) -> Result<Found, ErrorCode> {
    let partition = shard.led_partition(&key).await?;
    let ours = partition.leader_epoch();
    locate::check_leader_epoch(ask.known_epoch, ours)?;
    if ask.version < since(ask.timestamp) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let log = &partition.log;
    let position = |offset: i64| Found {
        timestamp: -1,
        offset,
        epoch: ours,
    };
    let limit = if ask.committed {
        log.last_stable_offset()
    } else {
        log.high_watermark()
    };
    // A new leader may not know yet how far the last one's records were committed: less than was readable before would look as if
    // the log had become shorter (KIP-207).
    let is_settled = partition
        .leading(|leader| leader.is_alone() || leader.epoch_start() <= log.high_watermark())
        .unwrap_or(false);
    let not_yet = if ask.version >= OFFSET_NOT_AVAILABLE_SINCE {
        ErrorCode::OffsetNotAvailable
    } else {
        ErrorCode::LeaderNotAvailable
    };
    let found = match ask.timestamp {
        LATEST if !is_settled => return Err(not_yet),
        LATEST => return Ok(position(limit.0)),
        EARLIEST | EARLIEST_LOCAL => {
            let start = log.start_offset();
            let epoch = log.epoch_of(start).map_or(-1, |epoch| epoch.0);
            return Ok(Found {
                timestamp: -1,
                offset: start.0,
                epoch,
            });
        }
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return Ok(Found::NOTHING),
        MAX_TIMESTAMP => log.offset_of_max_timestamp(),
        timestamp if timestamp < 0 => return Err(ErrorCode::UnsupportedVersion),
        timestamp => log.offset_for_timestamp(Timestamp(timestamp)),
    };
    let found = found.map_err(|error| {
        tracing::warn!(%error, topic = %partition.id.topic, partition = partition.id.index, "offset lookup by time");
        ErrorCode::KafkaStorageError
    })?;
    Ok(match found {
        Some(found) if found.offset >= limit && !is_settled => return Err(not_yet),
        Some(found) if found.offset < limit => Found {
            timestamp: found.timestamp.0,
            offset: found.offset.0,
            epoch: found.leader_epoch.0,
        },
        _ => Found::NOTHING,
    })
}
