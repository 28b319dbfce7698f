//! A topic's configuration, typed: the overrides of the topic over the values of its broker.

use super::read::Reader;
use super::throttled::ThrottledReplicas;

/// Everything a partition needs to know. Resolved once per change and shared; nothing is looked up per
/// request.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    pub cleanup_policy: CleanupPolicy,
    pub compression: Compression,
    /// Largest produced batch, as compressed by the producer.
    pub max_message_bytes: u32,
    pub min_insync_replicas: u32,
    pub message_timestamp_type: TimestampType,
    pub message_timestamp_before_max_ms: u64,
    pub message_timestamp_after_max_ms: u64,

    pub segment_bytes: u32,
    pub segment_ms: u64,
    pub segment_jitter_ms: u64,
    pub segment_index_bytes: u32,
    pub index_interval_bytes: u32,
    pub preallocate: bool,
    pub durability: Durability,
    /// `None`: no sync by count.
    pub flush_messages: Option<u64>,
    /// `None`: no sync by time.
    pub flush_ms: Option<u64>,

    /// `None`: kept forever.
    pub retention_ms: Option<u64>,
    /// Per partition; `None`: no limit.
    pub retention_bytes: Option<u64>,
    pub file_delete_delay_ms: u64,

    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: u64,
    /// `None`: no upper bound.
    pub max_compaction_lag_ms: Option<u64>,
    /// Life of a tombstone.
    pub delete_retention_ms: u64,

    /// Who sends no more than `leader.replication.throttled.rate` to replicas that are not in sync.
    pub leader_throttled: ThrottledReplicas,
    /// Who copies no more than `follower.replication.throttled.rate`.
    pub follower_throttled: ThrottledReplicas,
}

/// What an acknowledged record outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power.
    Journal,
    /// The end of the process.
    PageCache,
}

/// What happens to old segments; neither: they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub delete: bool,
    pub compact: bool,
}

/// The form in which batches are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they came.
    Producer,
    Uncompressed,
    /// `None`: the codec's own default.
    Gzip {
        level: Option<i32>,
    },
    Snappy,
    Lz4 {
        level: i32,
    },
    Zstd {
        level: i32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

impl TopicConfig {
    pub(super) fn read(reader: &Reader<'_>) -> TopicConfig {
        let policies = reader.list("cleanup.policy").unwrap_or_default();
        let throttled = |name| ThrottledReplicas::read(&reader.list(name).unwrap_or_default());
        let has = |policy: &str| policies.iter().any(|known| known == policy);
        TopicConfig {
            cleanup_policy: CleanupPolicy {
                delete: has("delete"),
                compact: has("compact"),
            },
            compression: compression(reader),
            max_message_bytes: reader.count("max.message.bytes"),
            min_insync_replicas: reader.count("min.insync.replicas"),
            message_timestamp_type: match reader.text("message.timestamp.type").as_deref() {
                Some("LogAppendTime") => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            message_timestamp_before_max_ms: reader.amount("message.timestamp.before.max.ms"),
            message_timestamp_after_max_ms: reader.amount("message.timestamp.after.max.ms"),
            segment_bytes: reader.count("segment.bytes"),
            segment_ms: reader.amount("segment.ms"),
            segment_jitter_ms: reader.amount("segment.jitter.ms"),
            segment_index_bytes: reader.count("segment.index.bytes"),
            index_interval_bytes: reader.count("index.interval.bytes"),
            preallocate: reader.boolean("preallocate"),
            durability: match reader.text("ringlog.durability").as_deref() {
                Some("page-cache") => Durability::PageCache,
                _ => Durability::Journal,
            },
            flush_messages: reader.limit_below_max("flush.messages"),
            flush_ms: reader.limit_below_max("flush.ms"),
            retention_ms: reader.limit("retention.ms"),
            retention_bytes: reader.limit("retention.bytes"),
            file_delete_delay_ms: reader.amount("file.delete.delay.ms"),
            min_cleanable_dirty_ratio: reader.ratio("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: reader.amount("min.compaction.lag.ms"),
            max_compaction_lag_ms: reader.limit_below_max("max.compaction.lag.ms"),
            delete_retention_ms: reader.amount("delete.retention.ms"),
            leader_throttled: throttled("leader.replication.throttled.replicas"),
            follower_throttled: throttled("follower.replication.throttled.replicas"),
        }
    }
}

fn compression(reader: &Reader<'_>) -> Compression {
    let gzip_level = reader.i32("compression.gzip.level");
    let lz4_level = reader.i32("compression.lz4.level");
    let zstd_level = reader.i32("compression.zstd.level");
    match reader.text("compression.type").as_deref() {
        Some("uncompressed") => Compression::Uncompressed,
        Some("gzip") => Compression::Gzip {
            level: (gzip_level != -1).then_some(gzip_level),
        },
        Some("snappy") => Compression::Snappy,
        Some("lz4") => Compression::Lz4 { level: lz4_level },
        Some("zstd") => Compression::Zstd { level: zstd_level },
        _ => Compression::Producer,
    }
}
