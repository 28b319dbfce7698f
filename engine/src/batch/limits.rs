//! The bounds a batch is validated against, and what validation learns of it.

use super::codec::Codec;
use super::header::{BatchProducer, TimestampType};
use crate::types::{Sequence, Timestamp};

/// Who brings the batch; decides which of Kafka's rules apply (its AppendOrigin).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum Origin {
    /// A Produce request: base offset 0, offset deltas 0..n-1, no control batch, sequences from 0.
    #[default]
    Client,
    /// Our own coordinators and controller: may write control batches.
    Coordinator,
    /// The leader of the partition: offsets are assigned, compaction may have left gaps or nothing at all.
    Replication,
}

/// How much of the records validation looks at.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum InnerCheck {
    /// Every record, decompressed if need be. What Kafka does to a producer's batch.
    #[default]
    Full,
    /// Header and CRC only. For batches a leader has validated in full before: Kafka's followers do not walk records
    /// either, and decompressing each batch once per replica would buy nothing.
    HeaderOnly,
}

/// Which timestamps the topic takes (`message.timestamp.*`), against one reading of the clock.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TimestampRule {
    /// With `LogAppendTime` the producer's timestamps are replaced, so they are not judged.
    pub timestamp_type: TimestampType,
    pub now: Timestamp,
    /// `message.timestamp.before.max.ms`: how far behind `now`; Kafka's default is without bound.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far ahead of `now`; Kafka's default is one hour.
    pub after_max_ms: i64,
}

impl TimestampRule {
    /// Takes every timestamp.
    pub const ANY: TimestampRule = TimestampRule {
        timestamp_type: TimestampType::CreateTime,
        now: Timestamp(0),
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
    };

    /// First and last timestamp taken, both ends included.
    pub fn window(&self) -> (Timestamp, Timestamp) {
        let earliest = self.now.0.saturating_sub(self.before_max_ms);
        let latest = self.now.0.saturating_add(self.after_max_ms);
        match self.timestamp_type {
            TimestampType::LogAppendTime => (Timestamp(i64::MIN), Timestamp(i64::MAX)),
            // "without bound" must not turn into "since 1970 minus the age of the clock"
            TimestampType::CreateTime if self.before_max_ms == i64::MAX => {
                (Timestamp(i64::MIN), Timestamp(latest))
            }
            TimestampType::CreateTime => (Timestamp(earliest), Timestamp(latest)),
        }
    }
}

/// Bounds of one partition at one moment.
#[derive(Copy, Clone, Debug)]
pub struct Limits {
    /// `max.message.bytes`: the batch as sent, header included.
    pub max_batch_bytes: usize,
    /// The records of one batch, decompressed. Kafka has no such bound; a batch beyond it is a bomb or a mistake.
    pub max_decompressed_bytes: usize,
    /// Records in one batch. Kafka has no such bound.
    pub max_records: i32,
    /// Compacted topic: a record without a key can never be compacted.
    pub require_keys: bool,
    pub timestamp: TimestampRule,
    pub origin: Origin,
    pub inner: InnerCheck,
}

/// Default of [`Limits::max_decompressed_bytes`]. A guess to be measured: 64 times Kafka's default for the batch, more
/// than JSON logs reach with zstd, and decompressed within some 50 ms.
pub const MAX_DECOMPRESSED_BYTES: usize = 64 << 20;
/// Default of [`Limits::max_records`]: a record has at least 7 bytes, so 1 MiB holds 150,000 of them uncompressed.
pub const MAX_RECORDS: i32 = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // Kafka's default of max.message.bytes: 1 MiB of records and 12 bytes of log overhead.
            max_batch_bytes: 1_048_588,
            max_decompressed_bytes: MAX_DECOMPRESSED_BYTES,
            max_records: MAX_RECORDS,
            require_keys: false,
            timestamp: TimestampRule::ANY,
            origin: Origin::Client,
            inner: InnerCheck::Full,
        }
    }
}

/// What validation learned: everything the log needs to append the batch without looking into it again.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BatchInfo {
    pub size_bytes: usize,
    pub record_count: i32,
    /// Offsets the batch takes, minus one.
    pub last_offset_delta: i32,
    pub codec: Codec,
    pub timestamp_type: TimestampType,
    pub base_timestamp: Timestamp,
    /// Greatest timestamp found in the records; the header's under `InnerCheck::HeaderOnly`.
    pub max_timestamp: Timestamp,
    /// Offset delta of the first record that has it; the last offset delta under `InnerCheck::HeaderOnly`.
    pub max_timestamp_delta: i32,
    /// The header announces another max timestamp than the records have. Kafka's leader corrects it before storing
    /// ([`super::set_max_timestamp`]).
    pub max_timestamp_lies: bool,
    pub producer: Option<BatchProducer>,
    pub is_transactional: bool,
    pub is_control: bool,
    /// Size of the records decompressed; as they are under `InnerCheck::HeaderOnly`.
    pub records_bytes: usize,
}

impl BatchInfo {
    /// First sequence, when an idempotent producer wrote the batch.
    pub fn base_sequence(&self) -> Sequence {
        self.producer
            .map_or(Sequence::NONE, |producer| producer.base_sequence)
    }
}
