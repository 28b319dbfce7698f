//! The data directory of a running broker: whose it is, how its logs were left, and the checkpoints that say so the next time.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use control::config::BrokerConfig;
use control::image::ClusterImage;
use control::record::{BrokerEpoch, BrokerId, DirectoryId, PartitionId as PartitionIndex};
use control::store::embedded::LOG_DIR;
use engine::directory::{
    DataDirectory as Directory, DirName, DirectoryError as EngineError, MetaProperties, PartitionCheckpoint,
    read_meta_properties,
};
use engine::log::OpenState;
use engine::log::file_name::PARTITION_METADATA;
use engine::log::partition_metadata::{from_base64, to_base64};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::registration;
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
    #[error(
        "{} has partitions, {partition} for one, but no {missing}: without it nobody can tell whose they are",
        directory.display()
    )]
    Headless {
        directory: PathBuf,
        partition: String,
        missing: &'static str,
    },
    #[error("cannot list {}: {source}", path.display())]
    List { path: PathBuf, source: std::io::Error },
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
        check_whole(path)?;
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

    /// Where Kafka had the directory last, its checkpoints count for the topics that its partitions say they are of. Before this
    /// broker registers: from then on the image says that ringlog was here.
    pub fn adopt_checkpoints(&self, image: &ClusterImage) -> Result<(), DirectoryError> {
        let last = image.broker(BrokerId(self.shared.identity.node_id));
        if last.is_none_or(|broker| registration::is_ringlogs(broker)) {
            return Ok(());
        }
        let directory = self.shared.directory.borrow();
        let mut partitions = directory.partitions()?;
        partitions.retain(|partition| partition.to_string() != LOG_DIR);
        let named = partitions.iter().filter_map(|partition| {
            let id = directory.topic_id(partition).ok()??;
            Some((partition.topic.clone(), id))
        });
        tracing::info!(
            directory = %self.shared.path.display(),
            partitions = partitions.len(),
            clean = directory.was_clean(),
            "adopting what Apache Kafka left"
        );
        self.write_topic_ids(ids_by_topic(named))
    }

    /// Nothing was done to the partitions: the next one to open the directory finds it as clean as it was.
    pub fn leave_as_found(&self) -> Result<(), DirectoryError> {
        let directory = self.shared.directory.borrow();
        if directory.was_clean() {
            directory.mark_clean(directory.last_broker_epoch().unwrap_or(-1))?;
        }
        Ok(())
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
        self.write_topic_ids(topic_ids)
    }

    fn write_topic_ids(&self, topic_ids: BTreeMap<String, Uuid>) -> Result<(), DirectoryError> {
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

/// The configuration of the node that the data belongs to. A new directory, or one whose node is configured, changes nothing.
pub fn adopt_node_id(config: BrokerConfig) -> Result<BrokerConfig, DirectoryError> {
    for path in &config.log_dirs {
        if let Some(found) = read_meta_properties(path)? {
            return Ok(config.adopt_node_id(found.node_id));
        }
    }
    Ok(config)
}

/// Refuses partitions without identity or without metadata. Timeline of the loss otherwise: the directory gets a new identity and an
/// empty metadata log; no topic owns the partitions, and all of them are put aside as strays.
fn check_whole(path: &Path) -> Result<(), DirectoryError> {
    let list = |path: &Path| match reactor::disk::read_dir(path) {
        Ok(entries) => Ok(entries),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(DirectoryError::List {
            path: path.to_owned(),
            source,
        }),
    };
    let is_partition = |name: &str| {
        name != LOG_DIR
            && matches!(DirName::parse(name), DirName::Partition(_))
            && reactor::disk::exists(&path.join(name).join(PARTITION_METADATA))
    };
    let entries = list(path)?;
    let Some(partition) = entries
        .into_iter()
        .find(|entry| entry.is_dir && is_partition(&entry.name))
    else {
        return Ok(());
    };
    let has_metadata = list(&path.join(LOG_DIR))?
        .iter()
        .any(|entry| entry.name.ends_with(".log") || entry.name.ends_with(".checkpoint"));
    let missing = match read_meta_properties(path)? {
        None => "meta.properties",
        Some(_) if !has_metadata => {
            "metadata log (__cluster_metadata-0; Kafka's metadata.log.dir says where it is)"
        }
        Some(_) => return Ok(()),
    };
    Err(DirectoryError::Headless {
        directory: path.to_owned(),
        partition: partition.name,
        missing,
    })
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

    /// Breaks in production: a copy without its metadata is given a new, empty one, and every partition is put aside as a stray.
    #[test]
    fn partitions_without_identity_or_metadata_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path();
        let missing = || match check_whole(path) {
            Err(DirectoryError::Headless {
                partition, missing, ..
            }) => {
                assert_eq!(partition, "t-0");
                missing.split(' ').next().unwrap()
            }
            other => panic!("{other:?}"),
        };
        assert!(check_whole(&path.join("new")).is_ok());
        assert!(check_whole(path).is_ok());
        std::fs::create_dir_all(path.join("t-0")).unwrap();
        assert!(check_whole(path).is_ok(), "no partition of anybody's");
        std::fs::write(path.join("t-0").join(PARTITION_METADATA), "version: 0\n").unwrap();
        assert_eq!(missing(), "meta.properties");
        std::fs::write(
            path.join("meta.properties"),
            "version=1\nnode.id=3\ncluster.id=c\n",
        )
        .unwrap();
        assert_eq!(missing(), "metadata");
        std::fs::create_dir_all(path.join(LOG_DIR)).unwrap();
        assert_eq!(missing(), "metadata");
        std::fs::write(path.join(LOG_DIR).join("00000000000000000000.log"), "").unwrap();
        assert!(check_whole(path).is_ok());
    }
}
