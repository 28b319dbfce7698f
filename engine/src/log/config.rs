//! The rules of one partition, with Kafka's names, units and defaults.

use crate::batch::{Compression, TimestampType};

/// What becomes of old records (`cleanup.policy`). Both may hold.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Whole segments go by age and size.
    pub delete: bool,
    /// The last record of every key stays.
    pub compact: bool,
}

impl CleanupPolicy {
    pub const DELETE: CleanupPolicy = CleanupPolicy {
        delete: true,
        compact: false,
    };
    pub const COMPACT: CleanupPolicy = CleanupPolicy {
        delete: false,
        compact: true,
    };
    pub const COMPACT_DELETE: CleanupPolicy = CleanupPolicy {
        delete: true,
        compact: true,
    };
}

/// What an acknowledged record has outlived (`ringlog.durability`).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power: it is on stable storage.
    #[default]
    Journal,
    /// The end of the process: it is in the page cache, as with Kafka. `flush_messages` and `flush_ms` bound what power takes.
    PageCache,
}

/// Topic configuration as the log needs it. `-1` means "without bound" where Kafka says so.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// Size a segment file may reach. Smaller: retention and compaction act sooner, more files.
    pub segment_bytes: u32,
    /// Age at which a segment is closed even if it is not full.
    pub segment_ms: i64,
    /// A random part of this is taken off `segment_ms`, so that many partitions do not roll in the same second.
    pub segment_jitter_ms: i64,
    /// Size of each index of a segment; a full index closes the segment.
    pub segment_index_bytes: u32,
    /// Bytes of log between two index entries. Smaller: bigger index, shorter scans.
    pub index_interval_bytes: u32,
    pub retention_ms: i64,
    pub retention_bytes: i64,
    pub cleanup_policy: CleanupPolicy,
    pub max_message_bytes: u32,
    pub durability: Durability,
    /// Unsynced records that start a sync without anybody waiting for it.
    pub flush_messages: i64,
    /// Age of unsynced records that starts one.
    pub flush_ms: i64,
    pub message_timestamp_type: TimestampType,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_after_max_ms: i64,
    /// What the broker recompresses to; `None` keeps what the producer chose. Applied before `append`.
    pub compression_type: Option<Compression>,
    /// How long a compacted log shows a tombstone.
    pub delete_retention_ms: i64,
    /// Age below which a record is not compacted.
    pub min_compaction_lag_ms: i64,
    /// Age at which compaction no longer waits for `min_cleanable_dirty_ratio`.
    pub max_compaction_lag_ms: i64,
    /// Share of uncompacted bytes at which compaction pays.
    pub min_cleanable_dirty_ratio: f64,
    /// How long a removed file stays for readers that still hold its name.
    pub file_delete_delay_ms: i64,
    /// Reserve the whole segment at once.
    pub preallocate: bool,
    /// `producer.id.expiration.ms`: how long an idle producer's sequence is remembered.
    pub producer_id_expiration_ms: i64,
    /// `log.cleaner.dedupe.buffer.size`: memory of one compaction round's key map.
    pub cleaner_dedupe_buffer_bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`: how full that map gets. Fuller: fewer rounds, longer searches.
    pub cleaner_load_factor: f64,
    /// What a compaction may read and write. Not a positive number: as much as it can.
    pub cleaner_bytes_per_second: f64,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: 7 * DAY_MS,
            retention_bytes: -1,
            cleanup_policy: CleanupPolicy::DELETE,
            max_message_bytes: 1_048_588,
            durability: Durability::Journal,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 60 * 60 * 1000,
            compression_type: None,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            file_delete_delay_ms: 60_000,
            preallocate: false,
            producer_id_expiration_ms: DAY_MS,
            cleaner_dedupe_buffer_bytes: 128 << 20,
            cleaner_load_factor: 0.9,
            cleaner_bytes_per_second: f64::INFINITY,
        }
    }
}

impl LogConfig {
    /// Age at which the active segment is closed. A compacted log closes it in time for `max_compaction_lag_ms`:
    /// the active segment is never compacted.
    pub(crate) fn roll_after_ms(&self) -> i64 {
        if self.cleanup_policy.compact {
            self.segment_ms.min(self.max_compaction_lag_ms.max(1))
        } else {
            self.segment_ms
        }
    }
}
