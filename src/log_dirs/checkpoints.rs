//! The checkpoint files, written by the clock and at the end.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use control::config::BrokerConfig;
use engine::directory::{DirectoryError as EngineError, PartitionCheckpoint};
use engine::log::is_disk_full;
use futures_util::future::join_all;
use uuid::Uuid;

use super::directories::{Directories, lock};
use super::error::DirectoryError;
use super::set::DirIndex;
use crate::shard::{self, Router, ShardId};

/// What a shard says of one of its partitions.
pub struct Checkpoint {
    pub dir: DirIndex,
    pub topic_id: Uuid,
    pub partition: PartitionCheckpoint,
}

/// How often it is looked whether journals have moved recovery points.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Writes the checkpoints as long as the broker runs: by the clock, and soon after journals have moved recovery points, so that a start
/// after a crash has little to check.
pub async fn keep_checkpoints(directories: Directories, config: Arc<BrokerConfig>, main: Rc<Router>) {
    let every = Duration::from_millis(config.log.high_watermark_checkpoint_interval_ms.max(1));
    let mut done = directories.set().checkpoints_done();
    let mut written_at = reactor::now();
    loop {
        reactor::sleep(every.min(LOOK_EVERY)).await;
        let is_due = reactor::now().saturating_since(written_at) >= every;
        let has_moved = std::mem::replace(&mut done, directories.set().checkpoints_done()) != done;
        if !is_due && !has_moved {
            continue;
        }
        written_at = reactor::now();
        if let Err(error) = write_checkpoints(&directories, &main).await {
            tracing::error!(%error, "checkpoints are not written; the next start will check more of the logs");
        }
    }
}

/// Asks all shards and writes what they say, on helper threads: the main thread accepts connections meanwhile. A broker that is
/// going down may miss a shard; then nothing is written. A directory whose disk does not take them has failed; being full is no failure.
pub async fn write_checkpoints(directories: &Directories, main: &Router) -> Result<(), DirectoryError> {
    let cuts_before: BTreeMap<DirIndex, u64> = directories
        .set()
        .iter()
        .map(|(index, dir)| (index, dir.cuts()))
        .collect();
    let asked: Vec<_> = (0..main.shard_count())
        .map(|index| main.send(ShardId(index), shard::checkpoints))
        .collect();
    let Ok(parts) = join_all(asked).await.into_iter().collect::<Result<Vec<_>, _>>() else {
        return Ok(());
    };
    let mut by_dir: BTreeMap<DirIndex, Vec<Checkpoint>> = BTreeMap::new();
    for checkpoint in parts.into_iter().flatten() {
        by_dir.entry(checkpoint.dir).or_default().push(checkpoint);
    }
    let mut first_error = Ok(());
    for (index, directory) in directories.online() {
        let checkpoints = by_dir.remove(&index).unwrap_or_default();
        let (set, before) = (directories.set().clone(), cuts_before.get(&index).copied());
        let written = reactor::background(move || {
            let named = checkpoints
                .iter()
                .map(|checkpoint| (checkpoint.partition.partition.topic.clone(), checkpoint.topic_id));
            let ids = ids_by_topic(named);
            let partitions: Vec<_> = checkpoints
                .into_iter()
                .map(|checkpoint| checkpoint.partition)
                .collect();
            let mut directory = lock(&directory);
            // A follower's log was cut meanwhile, and its checkpoint set back: these may say otherwise. The next round will not.
            if before != Some(set.get(index).cuts()) {
                return Ok(());
            }
            directory.write(&partitions, ids)
        });
        if let Err(error) = written.await {
            if is_disk_fault(&error) {
                directories.set().get(index).fail(&error);
            }
            first_error = first_error.and(Err(error));
        }
    }
    first_error
}

fn is_disk_fault(error: &DirectoryError) -> bool {
    match error {
        DirectoryError::Engine(EngineError::Io { source, .. }) => !is_disk_full(source),
        DirectoryError::TopicIds { source, .. } => !is_disk_full(source),
        _ => false,
    }
}

/// Which topic each name stood for. Shards are not asked at the same moment: a name that one knew as a topic since deleted
/// and another as its successor stands for none, and its checkpoints count for neither.
pub(super) fn ids_by_topic(named: impl Iterator<Item = (String, Uuid)>) -> BTreeMap<String, Uuid> {
    let mut ids = BTreeMap::new();
    for (topic, id) in named {
        let known = ids.entry(topic).or_insert(id);
        if *known != id {
            *known = Uuid::nil();
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks in production: shard 0 tells of the old `t-0`, shard 1 of the new `t-1`; after a crash the old log start
    /// would empty the new `t-0`.
    #[test]
    fn checkpoints_of_two_topics_of_one_name_count_for_neither() {
        let (old, new) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let named = [("t", old), ("u", old), ("t", new), ("t", old), ("u", old)]
            .map(|(topic, id)| (topic.to_owned(), id));
        let ids = ids_by_topic(named.into_iter());
        assert_eq!(ids, [("t".to_owned(), Uuid::nil()), ("u".to_owned(), old)].into());
    }
}
