//! DescribeLogDirs: what lies in which directory, how large it is, and the space of the volume.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use net::error::ErrorCode;
use net::versions_beyond_crate::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};

use super::Api;
use super::reply::text;
use crate::dispatch::{Call, Outcome};
use crate::log_dirs::{DirIndex, LogDir};
use crate::shard::Shard;

pub static API: Api = Api::new(35, "DescribeLogDirs", (1, 5), |shard, call| {
    Box::pin(answer(shard, call))
});

const UNKNOWN_BYTES: i64 = -1;

/// What one shard says of a partition.
struct Row {
    dir: DirIndex,
    topic: Arc<str>,
    partition: DescribeLogDirsPartition,
}

type Topics = BTreeMap<Arc<str>, Vec<DescribeLogDirsPartition>>;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: DescribeLogDirsRequest = call.decode()?;
    let wanted: Option<Vec<(String, Vec<i32>)>> = request.0.topics.map(|topics| {
        topics
            .into_iter()
            .map(|topic| (topic.topic.to_string(), topic.partitions))
            .collect()
    });
    let wants = |topic: &str, index: i32| match &wanted {
        None => true,
        Some(wanted) => wanted
            .iter()
            .any(|(name, indexes)| name == topic && indexes.contains(&index)),
    };
    let mut by_dir: BTreeMap<DirIndex, Topics> = BTreeMap::new();
    for row in shard.everywhere(rows).await?.into_iter().flatten() {
        if wants(&row.topic, row.partition.partition_index) {
            let topics = by_dir.entry(row.dir).or_default();
            topics.entry(row.topic).or_default().push(row.partition);
        }
    }
    let mut results = Vec::with_capacity(shard.node.log_dirs.len());
    for (index, dir) in shard.node.log_dirs.iter() {
        results.push(describe(dir, by_dir.remove(&index).unwrap_or_default()).await);
    }
    call.reply(&DescribeLogDirsResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::None.code(),
        results,
    })
}

async fn rows(shard: Rc<Shard>) -> Vec<Row> {
    let mut rows = Vec::new();
    for measured in shard.measured().await {
        let row = |dir, bytes: u64, lag: i64, is_future| Row {
            dir,
            topic: measured.topic.clone(),
            partition: DescribeLogDirsPartition {
                partition_index: measured.index,
                partition_size_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
                offset_lag: lag.max(0),
                is_future,
            },
        };
        let lag = measured.end_offset - measured.high_watermark;
        rows.push(row(measured.dir, measured.bytes, lag, false));
        if let Some(future) = &measured.future {
            let lag = measured.end_offset - future.end_offset;
            rows.push(row(future.dir, future.bytes, lag, true));
        }
    }
    rows
}

/// A directory that is offline tells nothing but that, as in Kafka.
async fn describe(dir: &LogDir, topics: Topics) -> DescribeLogDirsResult {
    let log_dir = text(dir.path().display().to_string());
    if !dir.is_online() {
        return DescribeLogDirsResult {
            error_code: ErrorCode::KafkaStorageError.code(),
            log_dir,
            topics: Vec::new(),
            total_bytes: UNKNOWN_BYTES,
            usable_bytes: UNKNOWN_BYTES,
            is_cordoned: false,
        };
    }
    let path: PathBuf = dir.path().to_owned();
    // On a helper thread: a disk that hangs must not hang the shard.
    let space = reactor::background(move || reactor::disk::space(&path))
        .await
        .ok();
    let bytes = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    let topics = topics.into_iter().map(|(name, partitions)| DescribeLogDirsTopic {
        name: text(name.to_string()),
        partitions,
    });
    DescribeLogDirsResult {
        error_code: ErrorCode::None.code(),
        log_dir,
        topics: topics.collect(),
        total_bytes: space.map_or(UNKNOWN_BYTES, |space| bytes(space.total)),
        usable_bytes: space.map_or(UNKNOWN_BYTES, |space| bytes(space.free)),
        is_cordoned: false,
    }
}
