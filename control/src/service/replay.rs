//! From the metadata log to the image: the same for a start, which reads all of it, and for a broker that follows.

use engine::types::Offset;
use thiserror::Error;

use super::start::StartError;
use crate::image::{
    ApplyError, ClusterImage, Delta, MetadataPosition, TransactionAssembler, TransactionError,
};
use crate::record::Record;
use crate::store::{LogBatch, MetaLog, Snapshot};

/// Log read at once.
pub(super) const READ_BYTES: usize = 4 << 20;

/// Holds: `image` is what the log amounts to below `next`, but for records of a transaction that is open.
pub(super) struct Replayed {
    pub(super) image: ClusterImage,
    /// Offset of the first record that was not read yet.
    pub(super) next: Offset,
    /// May hold a transaction that has not ended, or never will: then the next controller aborts it.
    pub(super) assembler: TransactionAssembler,
}

/// What was read does not follow from what was read before.
#[derive(Debug, Error)]
pub enum ReplayError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

impl Replayed {
    pub(super) fn nothing(cluster_id: &str, next: Offset) -> Replayed {
        Replayed {
            image: ClusterImage::empty(cluster_id),
            next,
            assembler: TransactionAssembler::default(),
        }
    }

    /// Everything as the snapshot has it; what was known before is forgotten.
    pub(super) fn begin_with(&mut self, snapshot: &Snapshot) -> Result<(), ReplayError> {
        let empty = ClusterImage::empty(self.image.cluster_id());
        self.image = empty.apply(&snapshot.records)?.0.at(MetadataPosition {
            offset: Offset(snapshot.id.end_offset.0 - 1),
            epoch: snapshot.id.epoch,
        });
        self.next = snapshot.id.end_offset;
        self.assembler = TransactionAssembler::default();
        Ok(())
    }

    /// The next batch. It may begin before `next`: a snapshot need not end where a batch does.
    pub(super) fn take(&mut self, batch: LogBatch) -> Result<Delta, ReplayError> {
        let skipped = usize::try_from(self.next.0 - batch.base_offset.0).unwrap_or(0);
        let records: Vec<Record> = batch.records.into_iter().skip(skipped).collect();
        let (image, delta) = self.image.apply(&self.assembler.push(records)?)?;
        self.image = image.at(MetadataPosition {
            offset: batch.last_offset,
            epoch: batch.epoch,
        });
        self.next = batch.last_offset.next();
        Ok(delta)
    }
}

/// Reads the log to its end. Nothing is written: a log that cannot be served is left to those who can.
pub(super) async fn replay(log: &MetaLog, cluster_id: &str) -> Result<Replayed, StartError> {
    let mut replayed = Replayed::nothing(cluster_id, log.start_offset());
    if let Some(snapshot) = log.snapshot().await? {
        replayed.begin_with(&snapshot)?;
        replayed.next = replayed.next.max(log.start_offset());
    }
    while replayed.next < log.end_offset() {
        let batches = log.read(replayed.next, READ_BYTES).await?;
        if batches.is_empty() {
            return Err(StartError::Ended {
                at: replayed.next,
                end: log.end_offset(),
            });
        }
        for batch in batches {
            replayed.take(batch)?;
        }
    }
    Ok(replayed)
}
