//! From the metadata log to the image: what every start does first.

use engine::types::Offset;

use super::start::StartError;
use crate::image::{ClusterImage, MetadataPosition, TransactionAssembler};
use crate::record::Record;
use crate::store::MetaLog;

/// Log read at once while replaying.
const READ_BYTES: usize = 4 << 20;

/// What the log amounts to.
pub(super) struct Replayed {
    pub(super) image: ClusterImage,
    /// Offset of the first record that was not there yet.
    pub(super) next: Offset,
    /// May hold a transaction that has not ended, or never will: then the next controller aborts it.
    pub(super) assembler: TransactionAssembler,
}

/// Reads the log to its end. Nothing is written: a log that cannot be served is left to those who can.
pub(super) async fn replay(log: &MetaLog, cluster_id: &str) -> Result<Replayed, StartError> {
    let mut image = ClusterImage::empty(cluster_id);
    let mut next = log.start_offset();
    if let Some(snapshot) = log.snapshot().await? {
        image = image.apply(&snapshot.records)?.0.at(MetadataPosition {
            offset: Offset(snapshot.id.end_offset.0 - 1),
            epoch: snapshot.id.epoch,
        });
        next = next.max(snapshot.id.end_offset);
    }
    let mut assembler = TransactionAssembler::default();
    while next < log.end_offset() {
        let batches = log.read(next, READ_BYTES).await?;
        if batches.is_empty() {
            return Err(StartError::Ended {
                at: next,
                end: log.end_offset(),
            });
        }
        // The batch that holds `next` may begin before it: a snapshot need not end where a batch does.
        for batch in batches {
            let skipped = usize::try_from(next.0 - batch.base_offset.0).unwrap_or(0);
            let records: Vec<Record> = batch.records.into_iter().skip(skipped).collect();
            image = image.apply(&assembler.push(records)?)?.0.at(MetadataPosition {
                offset: batch.last_offset,
                epoch: batch.epoch,
            });
            next = batch.last_offset.next();
        }
    }
    Ok(Replayed {
        image,
        next,
        assembler,
    })
}
