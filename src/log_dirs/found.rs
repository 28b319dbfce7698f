//! What lies where at start.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use control::image::{ClusterImage, TopicImage};
use control::record::{BrokerId, DirectoryId, PartitionId as PartitionIndex};
use control::store::embedded::LOG_DIR;
use engine::directory::{DataDirectory, TopicPartition, stray_dir};
use engine::log::OpenState;
use engine::types::Offset;

use super::directories::{Directories, Directory, lock};
use super::error::DirectoryError;
use super::set::{Assigned, DirIndex, LogDirs};
use crate::shard::{Kept, LastRun, PartitionKey, Place, first_visit_ms};

/// A partition's directory, and what the checkpoints say of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) dir: DirIndex,
    pub(super) state: OpenState,
    high_watermark: Option<Offset>,
}

/// How the last run left every partition that was found, for the shards to take along.
#[derive(Clone)]
pub struct LastOffsets {
    pub(super) set: Arc<LogDirs>,
    pub(super) found: Arc<HashMap<String, BTreeMap<i32, Found>>>,
    began_ms: i64,
    retention_check_ms: i64,
}

impl Directories {
    /// Looks what lies where. Partitions that no topic of `image` owns are put aside: the process ended between the decision to
    /// delete their topic and the deletion. As in Kafka they are not deleted, but renamed to `*-stray` and left to the operator: were it
    /// the metadata that is wrong, they would be all there is. The same goes for the copy that a move between directories has
    /// left behind.
    pub fn look(
        &self,
        image: &ClusterImage,
        own: BrokerId,
        retention_check_ms: i64,
    ) -> Result<LastOffsets, DirectoryError> {
        let mut found: HashMap<String, BTreeMap<i32, Found>> = HashMap::new();
        for (index, directory) in self.online() {
            let looked = self.look_into(index, &lock(&directory), image, own, &mut found);
            match looked {
                Err(error) if index != DirIndex::FIRST => self.set().get(index).fail(&error),
                looked => looked?,
            }
        }
        self.put_second_copies_aside(&found)?;
        Ok(LastOffsets {
            set: self.set().clone(),
            found: Arc::new(found),
            began_ms: reactor::wall_ms(),
            retention_check_ms,
        })
    }

    fn look_into(
        &self,
        index: DirIndex,
        directory: &Directory,
        image: &ClusterImage,
        own: BrokerId,
        found: &mut HashMap<String, BTreeMap<i32, Found>>,
    ) -> Result<(), DirectoryError> {
        for partition in directory.directory.partitions()? {
            if partition.to_string() == LOG_DIR {
                continue; // the controller's, no topic's
            }
            let topic = image.topic_by_name(&partition.topic).filter(|topic| {
                // One that was reassigned to others while this broker was away is put aside, too.
                let image = topic.partitions.get(&PartitionIndex(partition.partition));
                image.is_some_and(|image| image.replicas.contains(&own))
            });
            let Some(topic) = topic else {
                put_aside(&directory.directory, &partition)?;
                continue;
            };
            let assigned = assigned(topic, partition.partition, own);
            let of_topic = found.entry(partition.topic.clone()).or_default();
            let other = of_topic.get(&partition.partition);
            if is_left_over(self.set(), directory, &partition, topic, (index, assigned), other)? {
                put_aside(&directory.directory, &partition)?;
                continue;
            }
            of_topic.insert(partition.partition, read(index, directory, &partition, topic));
        }
        Ok(())
    }

    /// Where a later directory was preferred, the copy in the earlier one is still there.
    fn put_second_copies_aside(
        &self,
        found: &HashMap<String, BTreeMap<i32, Found>>,
    ) -> Result<(), DirectoryError> {
        if self.set().len() == 1 {
            return Ok(());
        }
        for (index, directory) in self.online() {
            let directory = lock(&directory);
            for partition in directory.directory.partitions()? {
                let chosen = found
                    .get(&partition.topic)
                    .and_then(|of_topic| of_topic.get(&partition.partition));
                if chosen.is_some_and(|chosen| chosen.dir != index) {
                    put_aside(&directory.directory, &partition)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether this directory is none that the partition is served from.
fn is_left_over(
    set: &LogDirs,
    directory: &Directory,
    partition: &TopicPartition,
    topic: &TopicImage,
    (here, assigned): (DirIndex, DirectoryId),
    other: Option<&Found>,
) -> Result<bool, DirectoryError> {
    if set.assigned(assigned) == Assigned::To(here) {
        return Ok(false);
    }
    if other.is_some() {
        return Ok(true);
    }
    // Found where it was not expected: moved, or what a deleted topic of the same name has left.
    let is_expected_elsewhere = matches!(set.assigned(assigned), Assigned::To(_));
    let id = if is_expected_elsewhere {
        directory.directory.topic_id(partition)?
    } else {
        None // One that another topic has left is deleted when this one is opened.
    };
    Ok(id.is_some_and(|id| id != topic.id))
}

fn read(index: DirIndex, directory: &Directory, partition: &TopicPartition, topic: &TopicImage) -> Found {
    let is_known = directory.speaks_of(&partition.topic, topic.id);
    let known = &directory.directory;
    Found {
        dir: index,
        state: if is_known {
            known.open_state(partition)
        } else {
            OpenState::default()
        },
        high_watermark: known.high_watermark(partition).filter(|_| is_known),
    }
}

fn assigned(topic: &TopicImage, index: i32, own: BrokerId) -> DirectoryId {
    let directory = topic
        .partitions
        .get(&PartitionIndex(index))
        .and_then(|partition| {
            let position = partition.replicas.iter().position(|replica| *replica == own)?;
            partition.directories.get(position).copied()
        });
    directory.unwrap_or(DirectoryId::UNASSIGNED)
}

fn put_aside(directory: &DataDirectory, partition: &TopicPartition) -> Result<(), DirectoryError> {
    let from = directory.partition_dir(partition);
    let to = stray_dir(&from);
    tracing::warn!(partition = %from.display(), stray = %to.display(), "a partition that is not served from here: put aside");
    reactor::disk::rename(&from, &to).map_err(|source| DirectoryError::Stray { path: from, source })
}

impl LastRun for LastOffsets {
    fn place(&self, topic: &str, key: &PartitionKey, assigned: DirectoryId) -> Option<Place> {
        let found = self
            .found
            .get(topic)
            .and_then(|partitions| partitions.get(&key.index));
        if let Some(found) = found {
            let kept = Kept {
                state: found.state,
                high_watermark: found.high_watermark,
                end: None,
                size_bytes: None,
                visit_ms: first_visit_ms(&found.state, self.began_ms, self.retention_check_ms),
            };
            return Some(Place {
                dir: found.dir,
                kept: Some(Box::new(kept)),
            });
        }
        match self.set.assigned(assigned) {
            Assigned::To(dir) => Some(Place::new(dir)),
            Assigned::Elsewhere => None,
            // It may lie in one that is away.
            Assigned::Nowhere if self.set.offline_count() > 0 => None,
            Assigned::Nowhere => self.set.emptiest().map(Place::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::set::LogDir;
    use super::*;

    fn key(index: i32) -> PartitionKey {
        PartitionKey {
            topic_id: Uuid::from_u128(9),
            index,
        }
    }

    /// Breaks in production: with one disk away, its partitions come up empty on another one, and consumers start over.
    #[test]
    fn a_partition_of_a_directory_that_is_away_is_not_begun_anew() {
        let id = |number| DirectoryId(Uuid::from_u128(number));
        let last = |dirs: Vec<LogDir>| LastOffsets {
            set: Arc::new(LogDirs::new(dirs)),
            found: Arc::default(),
            began_ms: 0,
            retention_check_ms: 0,
        };
        let whole = last(vec![
            LogDir::online("/a".into(), id(1000), None),
            LogDir::online("/b".into(), id(1001), None),
        ]);
        let place = |last: &LastOffsets, assigned| last.place("t", &key(0), assigned).map(|place| place.dir);
        assert_eq!(place(&whole, id(1001)).map(DirIndex::index), Some(1));
        assert_eq!(
            place(&whole, DirectoryId::UNASSIGNED).map(DirIndex::index),
            Some(0)
        );
        assert_eq!(place(&whole, id(5000)), None, "of a directory that was taken out");
        let half = last(vec![
            LogDir::online("/a".into(), id(1000), None),
            LogDir::failed("/b".into(), "gone".to_owned()),
        ]);
        assert_eq!(place(&half, id(1001)), None);
        assert_eq!(place(&half, DirectoryId::UNASSIGNED), None, "it may be in /b");
        assert_eq!(place(&half, id(1000)).map(DirIndex::index), Some(0));
    }
}
