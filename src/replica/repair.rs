//! Cutting a follower's log where the leader's goes another way.
//!
//! Timeline of the loss that the order prevents: the log is cut and grows again with other records, not all of them on the disk;
//! power fails; the checkpoint still has the recovery point from before the cut, behind which alone the start looks for torn
//! batches; the torn ones before it are served. So the checkpoint is written before anything is appended, and under a lock that
//! keeps what was gathered before the cut from being written after it.

use std::rc::Rc;
use std::time::Duration;

use engine::directory::{PartitionCheckpoint, TopicPartition};
use engine::log::TruncateError;
use engine::replica::FollowerAction;
use engine::types::LeaderEpoch;

use crate::log_dirs::DirectoryError;
use crate::partition::Partition;
use crate::shard::Shard;

#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error("{0}")]
    Log(#[from] TruncateError),
    #[error("{0}")]
    Checkpoint(#[from] DirectoryError),
}

/// How often it is looked whether compaction or a copy has let go of the log.
const WORK_LOOK: Duration = Duration::from_millis(10);

/// Cuts the log as the rules of a follower in `epoch` say. Does nothing if this broker has another role by the time the log may be cut:
/// what was to be cut off may be another leader's by then. From there to the end of the cut no role is taken
/// ([`Partition::until_uncut`]).
pub async fn repair(
    shard: &Rc<Shard>,
    partition: &Rc<Partition>,
    epoch: LeaderEpoch,
    action: FollowerAction,
) -> Result<(), RepairError> {
    let key = partition.id.key();
    // A copy on its way to another directory has what is cut off here.
    shard.moves.cancel(&key);
    while partition.is_worked_on() {
        reactor::sleep(WORK_LOOK).await;
    }
    if partition.leads() || partition.leader_epoch() != epoch.0 {
        return Ok(());
    }
    let _at_work = partition.work_on();
    let _no_new_role = partition.cut();
    let log = &partition.log;
    let (end, high_watermark) = (log.end_offset(), log.high_watermark());
    let cut_at = match action {
        FollowerAction::TruncateTo(to) => log.truncate(to).await?,
        FollowerAction::StartOverAt(start) => log.start_over(start).await?,
        FollowerAction::Append { .. } | FollowerAction::Commit => return Ok(()),
    };
    let (topic, index) = (&partition.id.topic, partition.id.index);
    if cut_at < high_watermark {
        tracing::warn!(%topic, partition = index, %end, %high_watermark, %cut_at, ?action,
            "the leader has not got what was committed here: an unclean election, or its disk has lost it");
    } else {
        tracing::info!(%topic, partition = index, %end, %cut_at, "cut to what the leader has");
    }
    partition.forget_cut();
    let checkpoint = PartitionCheckpoint::of(TopicPartition::new(&**topic, index), log);
    let (dirs, dir) = (shard.node.log_dirs.clone(), partition.dir());
    reactor::background(move || dirs.get(dir).set_back(&checkpoint, key.topic_id)).await?;
    Ok(())
}
