//! From configuration in force to what the engine and the group rules need to know. Resolved once per change, not per request.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use control::config::{
    BrokerDynamic, Compression as Wanted, ConfigView, Durability as Outlives, Overrides,
    TimestampType as Stamp, TopicConfig,
};
use control::image::{ClusterImage, ConfigResource, ResourceKind};
use engine::batch::{self, Codec, Compression, InnerCheck, Limits, TimestampRule, TimestampType};
use engine::log::{CleanupPolicy, Durability, LogConfig};
use engine::types::Timestamp;

use crate::partition::Origin;
use crate::shard::{Node, Shard};

static NO_OVERRIDES: Overrides = Overrides::new();

/// The configuration in force for this broker, over which topics and groups lay theirs.
pub fn view<'a>(node: &'a Node, image: &'a ClusterImage) -> ConfigView<'a> {
    ConfigView::new(
        &node.config,
        overrides(image, &ConfigResource::all_brokers()),
        overrides(
            image,
            &ConfigResource::new(ResourceKind::Broker, &node.id.0.to_string()),
        ),
    )
}

/// What was set for `resource` at run time.
pub fn overrides<'a>(image: &'a ClusterImage, resource: &ConfigResource) -> &'a Overrides {
    image.config(resource).map_or(&NO_OVERRIDES, |config| config)
}

/// The configuration in force for a topic.
pub fn resolve(shard: &Shard, image: &ClusterImage, topic: &str) -> Arc<TopicConfig> {
    Arc::new(view(&shard.node, image).topic(overrides(image, &ConfigResource::topic(topic))))
}

/// Gives every partition that a change touches its new configuration. A change of this broker's own, or of all brokers', touches all.
pub fn refresh(shard: &Rc<Shard>, image: &ClusterImage, changed: &BTreeSet<ConfigResource>) {
    let topics: BTreeSet<&str> = changed
        .iter()
        .filter(|resource| resource.kind == ResourceKind::Topic)
        .map(|resource| &*resource.name)
        .collect();
    let own = shard.node.id.0.to_string();
    let all = changed.iter().any(|resource| {
        resource.kind == ResourceKind::Broker && (resource.name.is_empty() || *resource.name == *own)
    });
    let dynamic = view(&shard.node, image).dynamic();
    let mut resolved = HashMap::new();
    for partition in shard.partitions.all_opened() {
        if all || topics.contains(&*partition.id.topic) {
            let (config, log_config) = resolved.entry(partition.id.topic_id).or_insert_with(|| {
                let config = resolve(shard, image, &partition.id.topic);
                let log_config = Rc::new(log_config(&config, &dynamic, shard.router.shard_count()));
                (config, log_config)
            });
            partition.set_config(config.clone(), log_config.clone());
        }
    }
    shard.partitions.visit_soon(|topic_id| {
        all || image
            .topic(topic_id)
            .is_some_and(|topic| topics.contains(&*topic.name))
    });
    if all {
        shard.set_dynamic(dynamic);
    }
}

/// What the log of a topic's partition must know. Each shard compacts one log at a time, at its share of the broker's rate.
pub fn log_config(config: &TopicConfig, dynamic: &BrokerDynamic, shard_count: usize) -> LogConfig {
    LogConfig {
        segment_bytes: config.segment_bytes,
        segment_ms: ms(config.segment_ms),
        segment_jitter_ms: ms(config.segment_jitter_ms),
        segment_index_bytes: config.segment_index_bytes,
        index_interval_bytes: config.index_interval_bytes,
        retention_ms: config.retention_ms.map_or(-1, ms),
        retention_bytes: config.retention_bytes.map_or(-1, ms),
        cleanup_policy: CleanupPolicy {
            delete: config.cleanup_policy.delete,
            compact: config.cleanup_policy.compact,
        },
        max_message_bytes: config.max_message_bytes,
        flush_messages: config.flush_messages.map_or(i64::MAX, ms),
        flush_ms: config.flush_ms.map_or(i64::MAX, ms),
        message_timestamp_type: timestamp_type(config),
        message_timestamp_before_max_ms: ms(config.message_timestamp_before_max_ms),
        message_timestamp_after_max_ms: ms(config.message_timestamp_after_max_ms),
        compression_type: recompression(config),
        delete_retention_ms: ms(config.delete_retention_ms),
        min_compaction_lag_ms: ms(config.min_compaction_lag_ms),
        max_compaction_lag_ms: config.max_compaction_lag_ms.map_or(i64::MAX, ms),
        min_cleanable_dirty_ratio: config.min_cleanable_dirty_ratio,
        file_delete_delay_ms: ms(config.file_delete_delay_ms),
        preallocate: config.preallocate,
        durability: match config.durability {
            Outlives::Journal => Durability::Journal,
            Outlives::PageCache => Durability::PageCache,
        },
        producer_id_expiration_ms: ms(dynamic.producer_id_expiration_ms),
        cleaner_dedupe_buffer_bytes: usize::try_from(dynamic.cleaner_dedupe_buffer_bytes)
            .unwrap_or(usize::MAX),
        cleaner_load_factor: dynamic.cleaner_load_factor,
        cleaner_bytes_per_second: dynamic.cleaner_bytes_per_second / shard_count.max(1) as f64,
    }
}

/// Kafka's signed numbers: an amount beyond them is as good as their greatest.
fn ms(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

pub fn timestamp_type(config: &TopicConfig) -> TimestampType {
    match config.message_timestamp_type {
        Stamp::CreateTime => TimestampType::CreateTime,
        Stamp::LogAppendTime => TimestampType::LogAppendTime,
    }
}

/// The codec that the topic demands; `None` leaves batches as the producer compressed them.
pub fn recompression(config: &TopicConfig) -> Option<Compression> {
    let (codec, level) = match config.compression {
        Wanted::Producer => return None,
        Wanted::Uncompressed => (Codec::None, None),
        Wanted::Gzip { level } => (Codec::Gzip, level),
        Wanted::Snappy => (Codec::Snappy, None),
        Wanted::Lz4 { level } => (Codec::Lz4, Some(level)),
        Wanted::Zstd { level } => (Codec::Zstd, Some(level)),
    };
    Some(Compression { codec, level })
}

/// What a topic with large messages may unpack to, whatever `ringlog.max.decompressed.batch.bytes` says.
const UNPACKED_FACTOR: usize = 4;

/// What a batch for this topic must keep within.
pub fn batch_limits(
    config: &TopicConfig,
    now: Timestamp,
    origin: Origin,
    max_decompressed_bytes: usize,
) -> Limits {
    Limits {
        max_batch_bytes: config.max_message_bytes as usize,
        max_decompressed_bytes: max_decompressed_bytes
            .max(UNPACKED_FACTOR * config.max_message_bytes as usize),
        max_records: batch::MAX_RECORDS,
        require_keys: config.cleanup_policy.compact,
        timestamp: TimestampRule {
            timestamp_type: timestamp_type(config),
            now,
            before_max_ms: ms(config.message_timestamp_before_max_ms),
            after_max_ms: ms(config.message_timestamp_after_max_ms),
        },
        origin: origin.of_batch(),
        inner: InnerCheck::Full,
    }
}
