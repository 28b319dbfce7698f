//! Reading a partition of the offsets topic from its start, so that its coordinator knows what the log knows.

use bytes::BytesMut;
use control::group::{Record, TransactionResult};
use engine::batch::{Batches, ControlRecordType, MAX_DECOMPRESSED_BYTES};
use engine::log::ReadError;
use engine::types::Offset;
use reactor::Piece;

use super::Host;
use crate::partition::Partition;

/// Bytes read at a time. A guess: large enough to stream from the disk, small beside the budget of a shard.
const CHUNK_BYTES: u32 = 1 << 20;

/// Why a coordinator could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("at offset {at}: {why}")]
    Batch {
        at: Offset,
        why: engine::batch::BatchError,
    },
}

/// Feeds every record of the log to the machine, also those that a new leader does not know yet to be committed: only if it ceased to
/// lead could they vanish, and then this coordinator is no more. A record that does not decode is skipped with a warning, as
/// Kafka does: one bad record must not take all groups of the partition away.
pub(super) async fn replay(host: &Host, partition: &Partition) -> Result<(), LoadError> {
    let end = partition.log.end_offset();
    let mut next = partition.log.start_offset();
    while next < end {
        let slice = partition.log.read(next, CHUNK_BYTES, end, true)?;
        let mut bytes = BytesMut::new();
        for piece in slice.pieces {
            match piece {
                Piece::Bytes(part) => bytes.extend_from_slice(&part),
                Piece::File { file, offset, len } => {
                    bytes.extend_from_slice(&file.read(offset, len as usize).await?)
                }
            }
        }
        let before = next;
        for batch in Batches::new(&bytes) {
            // A read gives whole batches. Were the rest skipped, groups would go back to what they had committed before it.
            let batch = batch.map_err(|why| LoadError::Batch { at: next, why })?;
            if batch.next_offset() <= next {
                continue;
            }
            replay_batch(host, partition, &batch).map_err(|why| LoadError::Batch {
                at: batch.base_offset(),
                why,
            })?;
            next = batch.next_offset();
        }
        if next == before {
            break;
        }
    }
    Ok(())
}

fn replay_batch(
    host: &Host,
    partition: &Partition,
    batch: &engine::batch::Batch<'_>,
) -> Result<(), engine::batch::BatchError> {
    let attributes = batch.attributes();
    let records = batch.records(MAX_DECOMPRESSED_BYTES)?;
    // Offsets committed within a transaction count once its marker says so, and not at all when it was aborted.
    let producer = batch.producer().map(|producer| producer.id);
    let transaction = producer.filter(|_| attributes.is_transactional());
    for record in records.iter() {
        let record = record?;
        let key = record.key.unwrap_or_default();
        if attributes.is_control() {
            let result = match ControlRecordType::parse(key)? {
                ControlRecordType::Commit => TransactionResult::Commit,
                ControlRecordType::Abort => TransactionResult::Abort,
                _ => continue,
            };
            if let Some(producer) = producer {
                host.with_machine(|machine| machine.replay_end_transaction(producer, result));
            }
            continue;
        }
        match Record::decode(key, record.value) {
            Ok(decoded) => host.with_machine(|machine| machine.replay(transaction, decoded)),
            Err(why) => {
                tracing::warn!(partition = partition.id.index, offset = record.offset.0, %why, "skipping a group record");
            }
        }
    }
    Ok(())
}
