//! DescribeLogDirs: the size of every partition on disk, and the space of the volume.

use std::collections::BTreeMap;
use std::rc::Rc;

use net::error::ErrorCode;
use net::versions_beyond_crate::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};

use super::Api;
use super::reply::text;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(35, "DescribeLogDirs", (1, 5), |shard, call| {
    Box::pin(answer(shard, call))
});

/// What one shard says of a partition.
struct Size {
    topic: String,
    index: i32,
    bytes: i64,
    lag: i64,
}

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
    let sizes = shard.everywhere(|shard| async move {
        let size = |partition: Rc<crate::partition::Partition>| Size {
            topic: partition.id.topic.to_string(),
            index: partition.id.index,
            bytes: partition.log.size_bytes() as i64,
            lag: (partition.log.end_offset().0 - partition.log.high_watermark().0).max(0),
        };
        shard.partitions.all().into_iter().map(size).collect::<Vec<_>>()
    });
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for size in sizes.await?.into_iter().flatten() {
        if wants(&size.topic, size.index) {
            topics
                .entry(size.topic)
                .or_default()
                .push(DescribeLogDirsPartition {
                    partition_index: size.index,
                    partition_size_bytes: size.bytes,
                    offset_lag: size.lag,
                    is_future: false,
                });
        }
    }
    let space = reactor::disk::space(&shard.node.directory).ok();
    let topics = topics.into_iter().map(|(name, partitions)| DescribeLogDirsTopic {
        name: text(name),
        partitions,
    });
    let result = DescribeLogDirsResult {
        error_code: ErrorCode::None.code(),
        log_dir: text(shard.node.directory.display().to_string()),
        topics: topics.collect(),
        total_bytes: space.as_ref().map_or(-1, |space| space.total as i64),
        usable_bytes: space.as_ref().map_or(-1, |space| space.free as i64),
        is_cordoned: false,
    };
    call.reply(&DescribeLogDirsResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::None.code(),
        results: vec![result],
    })
}
