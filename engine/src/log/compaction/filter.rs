//! What stays of a batch: Kafka's rules (`Cleaner.cleanInto`), as drawn in the module above.

use std::sync::Arc;

use hashbrown::HashMap;

use super::offset_map::OffsetMap;
use super::transactions::Transactions;
use crate::batch::{
    Batch, BatchBuilder, BatchError, BuildError, MAX_DECOMPRESSED_BYTES, Record, TimestampType,
};
use crate::types::{Offset, ProducerEpoch, ProducerId, Timestamp};

/// What must stay of a producer.
#[derive(Copy, Clone, Debug)]
pub(super) enum LastRecord {
    /// The batch that ends at this offset: it holds the last sequence.
    Data(Offset),
    /// Only a marker is known: it holds the last epoch.
    Marker(ProducerEpoch),
}

/// The rules of one compaction.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) now: Timestamp,
    pub(super) delete_retention_ms: i64,
    pub(super) last_records: Arc<HashMap<ProducerId, LastRecord>>,
}

/// What becomes of a batch.
pub(super) enum Verdict {
    AsItIs,
    Rewritten(Vec<u8>),
    Dropped,
}

/// Why a batch cannot be judged. Its bytes are what was written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FilterError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Filter {
    /// Decides what stays of a batch. The last batch of a segment stays, empty if need be.
    pub(super) fn judge(
        &self,
        batch: &Batch<'_>,
        map: &OffsetMap,
        transactions: &mut Transactions,
        is_last_of_segment: bool,
    ) -> Result<Verdict, FilterError> {
        let is_control = batch.attributes().is_control();
        let horizon = batch.header().delete_horizon();
        let is_past_horizon = horizon.is_some_and(|horizon| self.now >= horizon);
        let (is_superfluous_marker, discards_records) = if is_control {
            let is_superfluous = transactions.is_superfluous(batch);
            (is_superfluous, is_superfluous && is_past_horizon)
        } else {
            (false, transactions.is_aborted(batch))
        };
        let stays_empty = is_last_of_segment || self.is_last_of_producer(batch);
        if batch.record_count() == 0 {
            // an earlier round emptied it, and it stays as long as there is a reason to
            return Ok(if stays_empty {
                Verdict::AsItIs
            } else {
                Verdict::Dropped
            });
        }
        if discards_records {
            return if stays_empty {
                rewrite(batch, &[], None).map(Verdict::Rewritten)
            } else {
                Ok(Verdict::Dropped)
            };
        }

        let records = batch.records(MAX_DECOMPRESSED_BYTES)?;
        let mut kept: Vec<Record<'_>> = Vec::new();
        let mut needs_horizon = is_superfluous_marker;
        for record in &records {
            let record = record?;
            if is_control || keeps(&record, map, is_past_horizon) {
                needs_horizon |= record.value.is_none();
                kept.push(record);
            }
        }
        needs_horizon &= horizon.is_none();
        if kept.len() as i64 == i64::from(batch.record_count()) && !needs_horizon {
            return Ok(Verdict::AsItIs);
        }
        if kept.is_empty() && !stays_empty {
            return Ok(Verdict::Dropped);
        }
        let new_horizon =
            needs_horizon.then(|| Timestamp(self.now.0.saturating_add(self.delete_retention_ms)));
        rewrite(batch, &kept, new_horizon).map(Verdict::Rewritten)
    }

    fn is_last_of_producer(&self, batch: &Batch<'_>) -> bool {
        let last = batch
            .producer()
            .and_then(|producer| self.last_records.get(&producer.id).copied().zip(Some(producer)));
        match last {
            Some((LastRecord::Data(offset), _)) => batch.last_offset() == offset,
            Some((LastRecord::Marker(epoch), producer)) => {
                batch.attributes().is_control() && producer.epoch == epoch
            }
            None => false,
        }
    }
}

/// Whether a committed record stays.
fn keeps(record: &Record<'_>, map: &OffsetMap, is_past_horizon: bool) -> bool {
    if record.offset >= map.end_offset() {
        return true;
    }
    let Some(key) = record.key else {
        return false;
    };
    if map.get(key).is_some_and(|last| last > record.offset) {
        return false;
    }
    record.value.is_some() || !is_past_horizon
}

/// The batch with fewer records: same place, same producer, same codec.
fn rewrite(
    batch: &Batch<'_>,
    kept: &[Record<'_>],
    horizon: Option<Timestamp>,
) -> Result<Vec<u8>, FilterError> {
    let header = batch.header();
    let mut builder = BatchBuilder::new(header.base_offset())
        .leader_epoch(header.leader_epoch())
        .compression(batch.codec()?)
        .last_offset(header.last_offset());
    if let Some(producer) = header.producer() {
        builder = builder.producer(producer.id, producer.epoch, producer.base_sequence);
    }
    if header.attributes().is_transactional() {
        builder = builder.transactional();
    }
    if header.attributes().is_control() {
        builder = builder.control();
    }
    if header.attributes().timestamp_type() == TimestampType::LogAppendTime {
        builder = builder.log_append_time(header.max_timestamp());
    } else if kept.is_empty() {
        builder = builder.max_timestamp(header.max_timestamp());
    }
    if let Some(horizon) = horizon.or(header.delete_horizon()).filter(|_| !kept.is_empty()) {
        builder = builder.delete_horizon(horizon);
    }
    for record in kept {
        builder.append_record(record);
    }
    Ok(builder.build()?.to_vec())
}
