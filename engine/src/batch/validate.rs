//! Validation of a batch before it is appended: the rules of Kafka's LogValidator for magic 2.
//!
//! One pass for the CRC, one walk over the records, no allocation per record. Stricter than Kafka where a batch that
//! Kafka stores would stop consumers later: bytes after the batch, offset deltas with gaps, numbers longer than their
//! type, wrong checksums inside LZ4 frames.

use super::codec::{self, Codec};
use super::error::{BatchError, RecordError, RecordFault};
use super::header::{Attributes, BatchHeader, TimestampType};
use super::limits::{BatchInfo, InnerCheck, Limits, Origin};
use super::record::{RawRecord, timestamp_of};
use super::varint::Cursor;
use super::view::Batch;
use crate::types::{Offset, Sequence, Timestamp};

/// How many refused records an answer lists; Kafka lists all. A client resends or drops the batch as a whole, so the
/// first ones tell enough.
const MAX_RECORD_ERRORS: usize = 100;

/// Checks that `bytes` are exactly one batch that `limits` allow, and says what is in it.
///
/// The first fault that concerns the batch as a whole is returned at once; records that are well formed but against
/// the topic's rules are collected into [`BatchError::Records`].
pub fn validate(bytes: &[u8], limits: &Limits) -> Result<BatchInfo, BatchError> {
    let (batch, rest) = Batch::split_first(bytes)?;
    if !rest.is_empty() {
        return Err(BatchError::MoreThanOne {
            trailing_bytes: rest.len(),
        });
    }
    if batch.size_bytes() > limits.max_batch_bytes {
        return Err(BatchError::TooLarge {
            size_bytes: batch.size_bytes(),
            max_bytes: limits.max_batch_bytes,
        });
    }
    batch.verify_crc()?;
    check_header(batch.header(), limits)?;
    let codec = batch.codec()?;
    let walk = match limits.inner {
        InnerCheck::HeaderOnly => Walk {
            max_timestamp: batch.max_timestamp(),
            max_timestamp_delta: batch.header().last_offset_delta(),
            records_bytes: batch.records_bytes().len(),
        },
        InnerCheck::Full => check_records(&batch, codec, limits)?,
    };
    let attributes = batch.attributes();
    Ok(BatchInfo {
        size_bytes: batch.size_bytes(),
        record_count: batch.record_count(),
        last_offset_delta: batch.header().last_offset_delta(),
        codec,
        timestamp_type: attributes.timestamp_type(),
        base_timestamp: batch.base_timestamp(),
        max_timestamp: walk.max_timestamp,
        max_timestamp_delta: walk.max_timestamp_delta,
        max_timestamp_lies: walk.max_timestamp != batch.max_timestamp(),
        producer: batch.producer(),
        is_transactional: attributes.is_transactional(),
        is_control: attributes.is_control(),
        records_bytes: walk.records_bytes,
    })
}

fn check_header(header: &BatchHeader, limits: &Limits) -> Result<(), BatchError> {
    let count = header.record_count();
    let last_offset_delta = header.last_offset_delta();
    let mismatch = BatchError::CountMismatch {
        count,
        last_offset_delta,
    };
    if last_offset_delta < 0 {
        return Err(mismatch);
    }
    match limits.origin {
        Origin::Client => {
            if header.base_offset() != Offset::ZERO {
                return Err(BatchError::BaseOffset {
                    found: header.base_offset(),
                });
            }
            if count <= 0 {
                return Err(BatchError::RecordCount { count });
            }
            if i64::from(last_offset_delta) + 1 != i64::from(count) {
                return Err(mismatch);
            }
            check_client_attributes(header.attributes())?;
            if let Some(producer) = header.producer()
                && producer.base_sequence < Sequence(0)
            {
                return Err(BatchError::Sequence {
                    producer: producer.id,
                    sequence: producer.base_sequence,
                });
            }
        }
        Origin::Coordinator | Origin::Replication => {
            if count < 0 {
                return Err(BatchError::RecordCount { count });
            }
            if i64::from(count) > i64::from(last_offset_delta) + 1 {
                return Err(mismatch);
            }
        }
    }
    if count > limits.max_records {
        return Err(BatchError::TooManyRecords {
            count,
            max: limits.max_records,
        });
    }
    Ok(())
}

fn check_client_attributes(attributes: Attributes) -> Result<(), BatchError> {
    if attributes.is_control() {
        return Err(BatchError::Control);
    }
    // Kafka does not look; but then the cleaner takes the client's base timestamp for the time to drop tombstones at.
    if attributes.has_delete_horizon() {
        return Err(BatchError::DeleteHorizon);
    }
    Ok(())
}

/// What a walk over the records found.
struct Walk {
    max_timestamp: Timestamp,
    max_timestamp_delta: i32,
    records_bytes: usize,
}

fn check_records(batch: &Batch<'_>, codec: Codec, limits: &Limits) -> Result<Walk, BatchError> {
    let records = batch.records_bytes();
    if batch.record_count() == 0 && records.is_empty() {
        // emptied by compaction, header kept for the producer's sequence
        let delta = batch.header().last_offset_delta();
        return Ok(Walk {
            max_timestamp: batch.max_timestamp(),
            max_timestamp_delta: delta,
            records_bytes: 0,
        });
    }
    if codec == Codec::Lz4 && limits.origin == Origin::Client && codec::has_linked_blocks(records) {
        // Kafka's broker and its Java consumer refuse linked blocks: a consumer would stop at this batch for ever.
        return Err(BatchError::Codec(codec::CodecError::Malformed {
            codec,
            what: "linked blocks",
        }));
    }
    codec::with_decompressed(codec, records, limits.max_decompressed_bytes, |records| {
        walk(batch, records, limits)
    })?
}

fn walk(batch: &Batch<'_>, records: &[u8], limits: &Limits) -> Result<Walk, BatchError> {
    let header = batch.header();
    let count = header.record_count();
    let last_offset_delta = header.last_offset_delta();
    let base_timestamp = header.base_timestamp();
    let rules = RecordRules::new(header, limits);
    let mut refused = Vec::new();
    // Kafka starts at "no timestamp": a batch with nothing but older ones has none.
    let mut max_timestamp = Timestamp::NONE;
    let mut max_timestamp_delta = last_offset_delta;
    let mut previous_delta: i32 = -1;
    let mut cursor = Cursor(records);
    for index in 0..count.unsigned_abs() {
        let malformed = |what| BatchError::Malformed { index, what };
        let record = RawRecord::read(&mut cursor).map_err(malformed)?;
        let delta = record.offset_delta;
        let in_order = match limits.origin {
            Origin::Client | Origin::Coordinator => delta == previous_delta.wrapping_add(1),
            Origin::Replication => delta > previous_delta && delta <= last_offset_delta,
        };
        if !in_order {
            let expected = i64::from(previous_delta) + 1;
            return Err(malformed(RecordFault::OffsetDelta {
                expected,
                found: delta,
            }));
        }
        previous_delta = delta;
        let timestamp = timestamp_of(base_timestamp, record.timestamp_delta);
        if timestamp > max_timestamp {
            max_timestamp = timestamp;
            max_timestamp_delta = delta;
        }
        if let Err(what) = rules.check(&record, timestamp)
            && refused.len() < MAX_RECORD_ERRORS
        {
            refused.push(RecordError { index, what });
        }
    }
    if !cursor.0.is_empty() {
        return Err(BatchError::Remaining {
            count,
            bytes: cursor.0.len(),
        });
    }
    if !refused.is_empty() {
        return Err(BatchError::Records(refused.into()));
    }
    if header.attributes().timestamp_type() == TimestampType::LogAppendTime {
        // every record has the batch's time, so the first one has the greatest
        (max_timestamp, max_timestamp_delta) = (header.max_timestamp(), 0);
    }
    Ok(Walk {
        max_timestamp,
        max_timestamp_delta,
        records_bytes: records.len(),
    })
}

/// The topic's rules for single records, decided once per batch.
struct RecordRules {
    key_required: bool,
    /// The only well-formed records these rules refuse without looking at them.
    log_append_time_refused: bool,
    earliest: Timestamp,
    latest: Timestamp,
}

impl RecordRules {
    fn new(header: &BatchHeader, limits: &Limits) -> Self {
        let (earliest, latest) = match limits.origin {
            Origin::Client => limits.timestamp.window(),
            Origin::Coordinator | Origin::Replication => (Timestamp(i64::MIN), Timestamp(i64::MAX)),
        };
        let attributes = header.attributes();
        RecordRules {
            key_required: limits.require_keys && !attributes.is_control(),
            log_append_time_refused: limits.origin == Origin::Client
                && attributes.timestamp_type() == TimestampType::LogAppendTime,
            earliest,
            latest,
        }
    }

    #[inline]
    fn check(&self, record: &RawRecord<'_>, timestamp: Timestamp) -> Result<(), RecordFault> {
        if self.key_required && record.key.is_none() {
            return Err(RecordFault::NoKey);
        }
        if self.log_append_time_refused {
            return Err(RecordFault::TimestampType);
        }
        if timestamp != Timestamp::NONE && (timestamp < self.earliest || timestamp > self.latest) {
            let (earliest, latest) = (self.earliest, self.latest);
            return Err(RecordFault::Timestamp {
                found: timestamp,
                earliest,
                latest,
            });
        }
        Ok(())
    }
}
