//! A log entry: one byte for the layout, then the record batch as every backend writes it.

use engine::batch::Batch;
use engine::types::Offset;

use crate::store::batch::LogBatch;
use crate::store::error::DecodeBatchError;

const LAYOUT: u8 = 1;
/// Least that an entry costs whoever replays it, as bytes: a key of its own, in a listing, in a watch. At the default of
/// metadata.log.max.record.bytes.between.snapshots a snapshot comes after 1,280 small entries, which keeps a listing small. A guess.
const COST_MIN: u64 = 16 << 10;

/// What a value costs.
pub(super) fn cost(value_bytes: usize) -> u64 {
    (value_bytes as u64).max(COST_MIN)
}

pub(super) fn encode(batch: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + batch.len());
    value.push(LAYOUT);
    value.extend_from_slice(batch);
    value
}

/// Reads the entry that lies at `base`.
pub(super) fn decode(base: Offset, value: &[u8]) -> Result<LogBatch, DecodeBatchError> {
    let bytes = match value.split_first() {
        Some((&LAYOUT, bytes)) => bytes,
        first => {
            return Err(DecodeBatchError::Entry {
                base,
                layout: first.map(|(layout, _)| *layout),
            });
        }
    };
    let (batch, behind) = Batch::split_first(bytes)?;
    let batch = LogBatch::decode(&batch)?;
    if batch.base_offset != base || batch.last_offset < base || !behind.is_empty() {
        return Err(DecodeBatchError::EntryOffset {
            base,
            found: batch.base_offset,
        });
    }
    Ok(batch)
}
