//! From the metadata log to the image: what every start does first.

use super::start::StartError;
use crate::image::{ClusterImage, TransactionAssembler};
use crate::record::{AbortTransactionRecord, ControllerEpoch, Record};
use crate::store::MetaLog;

/// Log read at once while replaying.
const READ_BYTES: usize = 4 << 20;

/// What the log amounts to.
pub(super) struct Replayed {
    pub(super) image: ClusterImage,
    /// The last controller ended within a transaction, which its successor has to abort.
    pub(super) in_transaction: bool,
}

/// Reads the log to its end. Nothing is written: a log that cannot be served is left to those who can.
pub(super) async fn replay(log: &MetaLog, cluster_id: &str) -> Result<Replayed, StartError> {
    let mut image = ClusterImage::empty(cluster_id);
    let mut next = log.start_offset();
    if let Some(snapshot) = log.snapshot().await? {
        image = image.apply(&snapshot.records)?.0;
        next = next.max(snapshot.id.end_offset);
    }
    let mut assembler = TransactionAssembler::default();
    while next < log.end_offset() {
        let batches = log.read(next, READ_BYTES).await?;
        let Some(last) = batches.last() else {
            return Err(StartError::Ended {
                at: next,
                end: log.end_offset(),
            });
        };
        let end = last.last_offset.next();
        // The batch that holds `next` may begin before it: a snapshot need not end where a batch does.
        for batch in batches {
            let skipped = usize::try_from(next.0 - batch.base_offset.0).unwrap_or(0);
            let records: Vec<Record> = batch.records.into_iter().skip(skipped).collect();
            image = image.apply(&assembler.push(records)?)?.0;
        }
        next = end;
    }
    Ok(Replayed {
        image,
        in_transaction: assembler.is_open(),
    })
}

/// Aborts the transaction that the last controller did not end.
pub(super) async fn abort_transaction(log: &MetaLog, epoch: ControllerEpoch) -> Result<(), StartError> {
    let abort = AbortTransactionRecord {
        reason: Some("the controller that began it has ended".to_owned()),
        ..AbortTransactionRecord::default()
    };
    log.append(epoch, &[abort.into()]).await?;
    Ok(())
}
