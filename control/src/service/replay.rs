//! From the metadata log to the image: what every start does first.

use engine::types::Offset;

use super::start::StartError;
use crate::image::{ClusterImage, MetadataPosition, TransactionAssembler};
use crate::record::{AbortTransactionRecord, ControllerEpoch, Record};
use crate::store::MetaLog;

/// Log read at once while replaying.
const READ_BYTES: usize = 4 << 20;

/// The image at the end of the log, which this controller leads already: nobody else appends meanwhile. A transaction
/// that the predecessor did not end is aborted.
pub(super) async fn replay(
    log: &MetaLog,
    epoch: ControllerEpoch,
    cluster_id: &str,
) -> Result<ClusterImage, StartError> {
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
    if assembler.is_open() {
        let abort = AbortTransactionRecord {
            reason: Some("the controller that began it has ended".to_owned()),
            ..AbortTransactionRecord::default()
        };
        log.append(epoch, &[abort.into()]).await?;
    }
    Ok(image.at(MetadataPosition {
        offset: Offset(log.end_offset().0 - 1),
        epoch,
    }))
}
