//! The open directories, as the main thread has them.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};

use control::record::{BrokerEpoch, DirectoryId};
use engine::directory::{DataDirectory, PartitionCheckpoint, encode_topic_ids, parse_topic_ids};
use engine::journal::JOURNAL_DIR;
use uuid::Uuid;

use super::error::DirectoryError;
use super::set::{DirIndex, LogDirs};

/// Beside Kafka's checkpoint files: which topic ids their entries are about.
///
/// Timeline of the loss it prevents: topic `t` is deleted and made anew; the broker dies before the next checkpoint; at the
/// start the old `t`'s log start, far behind the new log's end, would be taken for the new one's, and the log be emptied. So an entry
/// counts only for the id that is written here, and this file is written last.
const TOPIC_IDS: &str = "ringlog-checkpoint-topic-ids";

/// See the module's documentation. Cheap to clone; lives on the main thread.
#[derive(Clone)]
pub struct Directories {
    shared: Rc<Shared>,
}

struct Shared {
    cluster_id: String,
    set: Arc<LogDirs>,
}

impl Directories {
    pub(super) fn new(cluster_id: String, set: Arc<LogDirs>) -> Directories {
        Directories {
            shared: Rc::new(Shared { cluster_id, set }),
        }
    }

    pub fn cluster_id(&self) -> &str {
        &self.shared.cluster_id
    }

    pub fn set(&self) -> &Arc<LogDirs> {
        &self.shared.set
    }

    /// Those that can be used.
    pub(super) fn online(&self) -> impl Iterator<Item = (DirIndex, Arc<Mutex<Directory>>)> {
        self.shared
            .set
            .online()
            .filter_map(|(index, dir)| Some((index, dir.files()?)))
    }

    pub fn online_ids(&self) -> Vec<DirectoryId> {
        self.shared.set.online().filter_map(|(_, dir)| dir.id()).collect()
    }

    /// The last run ended cleanly, and all checkpoints are exact.
    pub fn were_clean(&self) -> bool {
        self.online()
            .all(|(_, directory)| lock(&directory).directory.was_clean())
    }

    /// The next start will find these directories clean. After the last write to them.
    pub fn mark_clean(&self, epoch: BrokerEpoch, unclean: &[DirIndex]) -> Result<(), DirectoryError> {
        for (index, directory) in self.online() {
            if unclean.contains(&index) {
                continue;
            }
            let directory = lock(&directory);
            remove_journals(directory.directory.path());
            directory.directory.mark_clean(epoch.0)?;
        }
        Ok(())
    }
}

/// After a clean stop the journals are void. Kafka takes every directory beside its partitions for a broken one and does not start, so
/// that nobody could go back to it; the next start makes them anew, which takes it some ten milliseconds.
fn remove_journals(directory: &Path) {
    let journals = directory.join(JOURNAL_DIR);
    match reactor::disk::remove_dir_all(&journals) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %journals.display(), %error, "void journals are left"),
    }
}

/// One directory, and which topics its checkpoints are about.
#[derive(Debug)]
pub struct Directory {
    pub(super) directory: DataDirectory,
    topic_ids: BTreeMap<String, Uuid>,
}

impl Directory {
    pub(super) fn new(directory: DataDirectory) -> Directory {
        Directory {
            topic_ids: read_topic_ids(directory.path()),
            directory,
        }
    }

    /// Whether the checkpoints' entries for a topic of this name are about this topic.
    pub(super) fn speaks_of(&self, topic: &str, topic_id: Uuid) -> bool {
        self.topic_ids.get(topic) == Some(&topic_id)
    }

    /// Blocking; syncs several times.
    pub(super) fn write(
        &mut self,
        checkpoints: &[PartitionCheckpoint],
        topic_ids: BTreeMap<String, Uuid>,
    ) -> Result<(), DirectoryError> {
        self.directory.write_checkpoints(checkpoints)?;
        self.write_topic_ids(topic_ids)
    }

    pub(super) fn add(
        &mut self,
        checkpoint: &PartitionCheckpoint,
        topic_id: Uuid,
    ) -> Result<(), DirectoryError> {
        self.directory.add_checkpoint(checkpoint)?;
        let mut topic_ids = self.topic_ids.clone();
        topic_ids.insert(checkpoint.partition.topic.clone(), topic_id);
        self.write_topic_ids(topic_ids)
    }

    pub(super) fn write_topic_ids(
        &mut self,
        topic_ids: BTreeMap<String, Uuid>,
    ) -> Result<(), DirectoryError> {
        if self.topic_ids == topic_ids {
            return Ok(());
        }
        let path = self.directory.path().join(TOPIC_IDS);
        let bytes = encode_topic_ids(topic_ids.iter().map(|(topic, id)| (topic.as_str(), *id)));
        reactor::disk::write_atomic(&path, &bytes)
            .map_err(|source| DirectoryError::TopicIds { path, source })?;
        self.topic_ids = topic_ids;
        Ok(())
    }
}

/// No code of others runs under the lock, so what a panic left is whole.
pub(super) fn lock(directory: &Mutex<Directory>) -> MutexGuard<'_, Directory> {
    directory.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// An unreadable file is an empty one: its topics are then recovered without checkpoints, which is slower and as correct.
fn read_topic_ids(directory: &Path) -> BTreeMap<String, Uuid> {
    let bytes = reactor::disk::read(&directory.join(TOPIC_IDS)).unwrap_or_default();
    parse_topic_ids(&bytes).into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_ids_are_written_and_read_as_ever() {
        // Not read, every start recovers all logs from their first segment.
        let golden = include_str!("../../engine/tests/golden/data/directory-1/ringlog-checkpoint-topic-ids");
        let ids = BTreeMap::from([
            (
                "my-topic".to_owned(),
                Uuid::from_u128(0xf12f_d777_8ac3_433a_b86c_1005_7f25_7da4),
            ),
            ("orders".to_owned(), Uuid::from_u128(5)),
        ]);
        let temp = tempfile::tempdir().unwrap();
        let mut directory = Directory::new(DataDirectory::open(temp.path()).unwrap());
        directory.write_topic_ids(ids.clone()).unwrap();
        assert_eq!(
            std::fs::read_to_string(temp.path().join(TOPIC_IDS)).unwrap(),
            golden
        );
        std::fs::write(temp.path().join(TOPIC_IDS), golden).unwrap();
        assert_eq!(read_topic_ids(temp.path()), ids);
    }
}
