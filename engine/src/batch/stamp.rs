//! What the broker writes into a batch it stores: offset and epoch outside the CRC, timestamps inside it.

use super::crc;
use super::header::{BatchHeader, CRC_START, TimestampType};
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// Gives the batch its place in the log. In place, CRC untouched: both fields lie before what it covers.
///
/// `bytes` must be a complete batch, as it is after [`super::validate`]; shorter input is left alone.
pub fn assign(bytes: &mut [u8], base_offset: Offset, epoch: LeaderEpoch) {
    debug_assert!(
        BatchHeader::peek(bytes).is_some(),
        "a batch is stamped after it was validated"
    );
    if let Some(header) = BatchHeader::peek_mut(bytes) {
        header.base_offset.set(base_offset.0);
        header.leader_epoch.set(epoch.0);
    }
}

/// Makes every record of the batch carry `now` (`message.timestamp.type=LogAppendTime`). Costs a new CRC.
pub fn set_log_append_time(bytes: &mut [u8], now: Timestamp) {
    set_timestamp(bytes, TimestampType::LogAppendTime, now);
}

/// Corrects a max timestamp that disagrees with the records; the time index relies on it. Costs a new CRC.
pub fn set_max_timestamp(bytes: &mut [u8], max_timestamp: Timestamp) {
    set_timestamp(bytes, TimestampType::CreateTime, max_timestamp);
}

fn set_timestamp(bytes: &mut [u8], timestamp_type: TimestampType, max_timestamp: Timestamp) {
    debug_assert!(
        BatchHeader::peek(bytes).is_some(),
        "a batch is stamped after it was validated"
    );
    let Some(header) = BatchHeader::peek_mut(bytes) else {
        return;
    };
    let attributes = header.attributes().with_timestamp_type(timestamp_type);
    if header.max_timestamp() == max_timestamp && header.attributes() == attributes {
        return;
    }
    header.attributes.set(attributes.0);
    header.max_timestamp.set(max_timestamp.0);
    seal(bytes);
}

/// Writes the CRC of the batch as it is now.
pub(super) fn seal(bytes: &mut [u8]) {
    let computed = crc::crc32c(bytes.get(CRC_START..).unwrap_or_default());
    if let Some(header) = BatchHeader::peek_mut(bytes) {
        header.crc.set(computed);
    }
}
