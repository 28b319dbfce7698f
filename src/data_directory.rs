//! The data directory of a running broker: whose it is, how its logs were left, and the checkpoints that say so the next time.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use control::config::BrokerConfig;
use control::image::ClusterImage;
use control::record::{BrokerEpoch, DirectoryId, PartitionId as PartitionIndex};
use control::store::embedded::LOG_DIR;
use engine::directory::{
    DataDirectory as Directory, DirectoryError as EngineError, MetaProperties, PartitionCheckpoint,
};
use engine::log::OpenState;
use engine::log::partition_metadata::{from_base64, to_base64};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::shard::{self, LastRun, Router, ShardId};

/// Beside Kafka's checkpoint files: which topic ids their entries are about.
///
/// Timeline of the loss it prevents: topic `t` is deleted and made anew; the broker dies before the next checkpoint; at the
/// start the old `t`'s log start, far behind the new log's end, would be taken for the new one's, and the log be emptied. So an entry
/// counts only for the id that is written here, and this file is written last.
const TOPIC_IDS: &str = "ringlog-checkpoint-topic-ids";

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error("log.dirs: one directory is served, {count} are given")]
    Count { count: usize },
    #[error("node.id is {configured}, but {} belongs to node {found}", directory.display())]
    OtherNode {
        configured: i32,
        found: i32,
        directory: PathBuf,
    },
    #[error("cannot put aside {}, a partition of no known topic: {source}", path.display())]
    Stray { path: PathBuf, source: std::io::Error },
    #[error("cannot write {}: {source}", path.display())]
    TopicIds { path: PathBuf, source: std::io::Error },
}

/// See the module's documentation. Cheap to clone; lives on the main thread.
#[derive(Clone)]
pub struct DataDirectory {
    shared: Rc<Shared>,
}

struct Shared {
    directory: RefCell<Directory>,
    path: PathBuf,
    identity: MetaProperties,
    directory_id: Uuid,
    topic_ids: RefCell<BTreeMap<String, Uuid>>,
}

impl DataDirectory {
    /// Locks the directory and reads who it belongs to; a new one gets its identity here.
    pub fn open(config: &BrokerConfig) -> Result<DataDirectory, DirectoryError> {
        let [path] = config.log_dirs.as_slice() else {
            return Err(DirectoryError::Count {
                count: config.log_dirs.len(),
            });
        };
        let directory = Directory::open(path)?;
        let mut identity = match directory.meta_properties()? {
            Some(found) if found.node_id != config.node_id => {
                return Err(DirectoryError::OtherNode {
                    configured: config.node_id,
                    found: found.node_id,
                    directory: path.clone(),
                });
            }
            Some(found) => found,
            None => MetaProperties {
                cluster_id: to_base64(random_id()),
                node_id: config.node_id,
                directory_id: None,
            },
        };
        let directory_id = *identity.directory_id.get_or_insert_with(random_id);
        if directory.meta_properties()?.as_ref() != Some(&identity) {
            directory.write_meta_properties(&identity)?;
        }
        let topic_ids = read_topic_ids(path);
        let shared = Shared {
            path: directory.path().to_owned(),
            directory: RefCell::new(directory),
            identity,
            directory_id,
            topic_ids: RefCell::new(topic_ids),
        };
        Ok(DataDirectory {
            shared: Rc::new(shared),
        })
    }

    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    pub fn cluster_id(&self) -> &str {
        &self.shared.identity.cluster_id
    }

    pub fn directory_id(&self) -> DirectoryId {
        DirectoryId(self.shared.directory_id)
    }

    /// The last run ended cleanly, and its checkpoints are exact.
    pub fn was_clean(&self) -> bool {
        self.shared.directory.borrow().was_clean()
    }

    /// How the last run left every partition, for the shards to take along.
    pub fn last_offsets(&self) -> LastOffsets {
        let directory = self.shared.directory.borrow();
        let partitions = directory.partitions().unwrap_or_default();
        let states = partitions.into_iter().map(|partition| {
            let state = directory.open_state(&partition);
            ((partition.topic, partition.partition), state)
        });
        LastOffsets {
            states: Arc::new(states.collect()),
            topic_ids: Arc::new(self.shared.topic_ids.borrow().clone()),
        }
    }

    /// Puts partitions aside that no topic of `image` owns: the process ended between the decision to delete their topic and the
    /// deletion. As in Kafka they are not deleted, but renamed to `*-stray` and left to the operator: were it the metadata that is
    /// wrong, they would be all there is.
    pub fn put_strays_aside(&self, image: &ClusterImage) -> Result<(), DirectoryError> {
        let directory = self.shared.directory.borrow();
        for partition in directory.partitions()? {
            if partition.to_string() == LOG_DIR {
                continue; // the controller's, no topic's
            }
            let topic = image.topic_by_name(&partition.topic);
            // A topic of that name that is another one deletes the directory when it opens its own.
            if topic.is_some_and(|topic| {
                topic
                    .partitions
                    .contains_key(&PartitionIndex(partition.partition))
            }) {
                continue;
            }
            let from = directory.partition_dir(&partition);
            let to = stray_name(&from);
            tracing::warn!(partition = %from.display(), stray = %to.display(), "a partition of no known topic: put aside");
            reactor::disk::rename(&from, &to)
                .map_err(|source| DirectoryError::Stray { path: from, source })?;
        }
        Ok(())
    }

    /// The next start will find a clean directory. After the last write to it.
    pub fn mark_clean(&self, epoch: BrokerEpoch) -> Result<(), DirectoryError> {
        Ok(self.shared.directory.borrow().mark_clean(epoch.0)?)
    }

    fn write(
        &self,
        checkpoints: &[PartitionCheckpoint],
        topic_ids: BTreeMap<String, Uuid>,
    ) -> Result<(), DirectoryError> {
        self.shared
            .directory
            .borrow_mut()
            .write_checkpoints(checkpoints)?;
        if *self.shared.topic_ids.borrow() != topic_ids {
            let path = self.shared.path.join(TOPIC_IDS);
            let lines: String = topic_ids
                .iter()
                .map(|(topic, id)| format!("{topic} {}\n", to_base64(*id)))
                .collect();
            reactor::disk::write_atomic(&path, lines.as_bytes())
                .map_err(|source| DirectoryError::TopicIds { path, source })?;
            *self.shared.topic_ids.borrow_mut() = topic_ids;
        }
        Ok(())
    }
}

fn random_id() -> Uuid {
    Uuid::from_u64_pair(reactor::random_u64(), reactor::random_u64())
}

/// `topic-partition.<id>-stray`, cut as the names of deleted partitions are: file systems take 255 bytes.
fn stray_name(partition: &Path) -> PathBuf {
    const NAME_BYTES_MAX: usize = 255;
    let name = partition
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let suffix = format!(".{}-stray", random_id().simple());
    let room = name.len().min(NAME_BYTES_MAX - suffix.len());
    partition.with_file_name(format!("{}{suffix}", name.get(..room).unwrap_or_default()))
}

/// An unreadable file is an empty one: its topics are then recovered without checkpoints, which is slower and as correct.
fn read_topic_ids(directory: &Path) -> BTreeMap<String, Uuid> {
    let bytes = reactor::disk::read(&directory.join(TOPIC_IDS)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .filter_map(|(topic, id)| Some((topic.to_owned(), from_base64(id)?)))
        .collect()
}

/// See [`DataDirectory::last_offsets`].
#[derive(Clone, Default)]
pub struct LastOffsets {
    states: Arc<HashMap<(String, i32), OpenState>>,
    topic_ids: Arc<BTreeMap<String, Uuid>>,
}

impl LastRun for LastOffsets {
    fn state(&self, topic: &str, topic_id: Uuid, index: i32) -> OpenState {
        if self.topic_ids.get(topic) != Some(&topic_id) {
            return OpenState::default();
        }
        self.states
            .get(&(topic.to_owned(), index))
            .copied()
            .unwrap_or_default()
    }
}

/// Writes the checkpoints by the clock, as long as the broker runs.
pub async fn keep_checkpoints(directory: DataDirectory, config: Arc<BrokerConfig>, main: Rc<Router>) {
    let every = Duration::from_millis(config.log.high_watermark_checkpoint_interval_ms.max(1));
    loop {
        reactor::sleep(every).await;
        if let Err(error) = write_checkpoints(&directory, &main).await {
            tracing::error!(%error, "checkpoints are not written; the next start will check more of the logs");
        }
    }
}

/// Asks all shards and writes what they say. A broker that is going down may miss a shard; then nothing is written.
pub async fn write_checkpoints(directory: &DataDirectory, main: &Router) -> Result<(), DirectoryError> {
    let asked: Vec<_> = (0..main.shard_count())
        .map(|index| main.send(ShardId(index), shard::checkpoints))
        .collect();
    let Ok(parts) = join_all(asked).await.into_iter().collect::<Result<Vec<_>, _>>() else {
        return Ok(());
    };
    let (ids, checkpoints): (Vec<Uuid>, Vec<PartitionCheckpoint>) = parts.into_iter().flatten().unzip();
    let named = ids
        .into_iter()
        .zip(&checkpoints)
        .map(|(id, checkpoint)| (checkpoint.partition.topic.clone(), id));
    directory.write(&checkpoints, ids_by_topic(named))
}

/// Which topic each name stood for. Shards are not asked at the same moment: a name that one knew as a topic since deleted
/// and another as its successor stands for none, and its checkpoints count for neither.
fn ids_by_topic(named: impl Iterator<Item = (String, Uuid)>) -> BTreeMap<String, Uuid> {
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
    use engine::types::Offset;

    /// Breaks in production: a topic made anew under an old name loses everything at the first restart after a crash.
    #[test]
    fn checkpoints_of_a_deleted_topic_do_not_count_for_its_successor() {
        let (old, new) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let left = OpenState {
            log_start: Some(Offset(1000)),
            ..OpenState::default()
        };
        let last = LastOffsets {
            states: Arc::new([(("t".to_owned(), 0), left)].into()),
            topic_ids: Arc::new([("t".to_owned(), old)].into()),
        };
        assert_eq!(last.state("t", old, 0), left);
        assert_eq!(last.state("t", new, 0), OpenState::default());
    }
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
