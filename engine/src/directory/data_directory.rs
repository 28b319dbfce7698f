//! One data directory, locked by this process.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reactor::disk::{self, DirLock, Space};
use thiserror::Error;
use uuid::Uuid;

use super::clean_shutdown;
use super::meta_properties::{MetaProperties, MetaPropertiesError};
use super::offset_checkpoint::OffsetCheckpoint;
use super::topic_partition::{DirName, TopicPartition};
use crate::log::OpenState;
use crate::log::checkpoint::CheckpointError;
use crate::log::file_name::PARTITION_METADATA;
use crate::log::partition_metadata;
use crate::planted::{self, Bug};
use crate::types::Offset;

const META_PROPERTIES: &str = "meta.properties";
const RECOVERY_POINT: &str = "recovery-point-offset-checkpoint";
const LOG_START: &str = "log-start-offset-checkpoint";
const HIGH_WATERMARK: &str = "replication-offset-checkpoint";
const CLEANER: &str = "cleaner-offset-checkpoint";

/// Why a data directory cannot be used.
#[derive(Clone, Debug, Error)]
pub enum DirectoryError {
    #[error("data directory {} is in use by another process", dir.display())]
    InUse { dir: PathBuf },
    #[error("{operation} {}: {source}", path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        source: Arc<io::Error>,
    },
    #[error("{}: {source}", path.display())]
    MetaProperties {
        path: PathBuf,
        source: MetaPropertiesError,
    },
    /// Written by a newer version. Ignored, it would be written over, and what was deleted would come back.
    #[error("{}: line 1: {source}", path.display())]
    Checkpoint { path: PathBuf, source: CheckpointError },
    #[error("partition directory {} is there already", dir.display())]
    PartitionExists { dir: PathBuf },
}

/// What a log tells for the checkpoints, or what they tell of one that is not open; `None`: no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionCheckpoint {
    pub partition: TopicPartition,
    pub recovery_point: Option<Offset>,
    pub log_start: Option<Offset>,
    pub high_watermark: Option<Offset>,
    pub cleaned: Option<Offset>,
}

impl PartitionCheckpoint {
    pub fn of(partition: TopicPartition, log: &crate::log::Log) -> Self {
        PartitionCheckpoint {
            partition,
            recovery_point: Some(if planted::is(Bug::RecoveryPointAhead) {
                log.end_offset()
            } else {
                log.recovery_point()
            }),
            log_start: Some(log.start_offset()),
            high_watermark: Some(log.high_watermark()),
            cleaned: log.cleaned_offset(),
        }
    }
}

/// A data directory. The lock is held until this is dropped.
///
/// All methods block on the disk; call the ones that write from [`reactor::background`] when a shard is running.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    was_clean: bool,
    last_broker_epoch: Option<i64>,
    recovery_points: OffsetCheckpoint,
    log_starts: OffsetCheckpoint,
    high_watermarks: OffsetCheckpoint,
    cleaned: OffsetCheckpoint,
    _lock: DirLock,
}

/// Makes a directory and those above it as far as they are missing, so that the loss of power does not take it away again
/// with everything acknowledged that lies in it.
fn create_durably(path: &Path) -> Result<(), DirectoryError> {
    let missing = path.ancestors().take_while(|above| !disk::exists(above)).count();
    disk::create_dir_all(path).map_err(|error| io_error("create", path, error))?;
    // why also one that was there: an earlier start may have made it and ended before this
    for parent in path.ancestors().skip(1).take(missing.max(1)) {
        let parent = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        match disk::sync_dir(parent) {
            // somebody else's directory, who made ours in it
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && missing == 0 => {}
            synced => synced.map_err(|error| io_error("sync", parent, error))?,
        }
    }
    Ok(())
}

impl DataDirectory {
    /// Makes the directory if need be, locks it, reads its checkpoints, removes what deleted partitions left, and takes the
    /// clean-stop marker away: from now on a crash is a crash.
    pub fn open(path: &Path) -> Result<DataDirectory, DirectoryError> {
        create_durably(path)?;
        let lock = disk::lock(path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => DirectoryError::InUse { dir: path.to_owned() },
            _ => io_error("lock", path, error),
        })?;
        let marker = path.join(clean_shutdown::FILE);
        let marked = read_if_there(&marker)?;
        let directory = DataDirectory {
            path: path.to_owned(),
            was_clean: marked.is_some(),
            last_broker_epoch: marked.as_deref().and_then(clean_shutdown::broker_epoch),
            recovery_points: read_checkpoint(path, RECOVERY_POINT)?,
            log_starts: read_checkpoint(path, LOG_START)?,
            high_watermarks: read_checkpoint(path, HIGH_WATERMARK)?,
            cleaned: read_checkpoint(path, CLEANER)?,
            _lock: lock,
        };
        if marked.is_some() && !planted::is(Bug::CleanMarkerKept) {
            disk::remove_file(&marker).map_err(|error| io_error("remove", &marker, error))?;
            disk::sync_dir(path).map_err(|error| io_error("sync", path, error))?;
        }
        directory.remove_deleted()?;
        // A partition may have been made in a life that was killed before it was synced: it is in the page cache only.
        disk::sync_dir(path).map_err(|error| io_error("sync", path, error))?;
        Ok(directory)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the broker that used the directory before stopped cleanly.
    pub fn was_clean(&self) -> bool {
        self.was_clean
    }

    /// Its broker epoch, if it stopped cleanly and told (KIP-966).
    pub fn last_broker_epoch(&self) -> Option<i64> {
        self.last_broker_epoch
    }

    /// Partitions found, in order.
    pub fn partitions(&self) -> Result<Vec<TopicPartition>, DirectoryError> {
        let mut partitions = Vec::new();
        for (name, kind) in self.dirs()? {
            match kind {
                DirName::Partition(partition) => partitions.push(partition),
                DirName::Deleted | DirName::Future | DirName::Other => {
                    tracing::debug!(dir = name, "not a partition");
                }
            }
        }
        partitions.sort();
        Ok(partitions)
    }

    pub fn partition_dir(&self, partition: &TopicPartition) -> PathBuf {
        self.path.join(partition.to_string())
    }

    /// The topic id a partition directory belongs to; `None` when it has no readable `partition.metadata`.
    pub fn topic_id(&self, partition: &TopicPartition) -> Result<Option<Uuid>, DirectoryError> {
        let path = self.partition_dir(partition).join(PARTITION_METADATA);
        Ok(read_if_there(&path)?.and_then(|bytes| partition_metadata::parse(&bytes).ok()))
    }

    /// What [`crate::log::Log::open`] needs to know of a partition.
    pub fn open_state(&self, partition: &TopicPartition) -> OpenState {
        OpenState {
            clean: self.was_clean,
            recovery_point: self.recovery_points.get(partition),
            log_start: self.log_starts.get(partition),
            cleaned: self.cleaned.get(partition),
        }
    }

    /// The high watermark last written for a partition.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.high_watermarks.get(partition)
    }

    /// Makes a partition's directory with its `partition.metadata`, durably: first the metadata, so that no record is ever
    /// without a topic id. Whatever the checkpoints know of an earlier partition of that name is forgotten first.
    pub fn create_partition(
        &mut self,
        partition: &TopicPartition,
        topic_id: Uuid,
    ) -> Result<PathBuf, DirectoryError> {
        let dir = self.partition_dir(partition);
        if disk::exists(&dir) {
            return Err(DirectoryError::PartitionExists { dir });
        }
        self.forget(partition)?;
        disk::create_dir_all(&dir).map_err(|error| io_error("create", &dir, error))?;
        let metadata = dir.join(PARTITION_METADATA);
        disk::write_atomic(&metadata, partition_metadata::encode(topic_id).as_bytes())
            .map_err(|error| io_error("write", &metadata, error))?;
        disk::sync_dir(&self.path).map_err(|error| io_error("sync", &self.path, error))?;
        Ok(dir)
    }

    /// Takes a partition out of the checkpoints. A new partition of the same name must not be believed synced, or begun,
    /// where the old one was.
    pub fn forget(&mut self, partition: &TopicPartition) -> Result<(), DirectoryError> {
        let dir = self.path.clone();
        for (checkpoint, name) in [
            (&mut self.recovery_points, RECOVERY_POINT),
            (&mut self.log_starts, LOG_START),
            (&mut self.high_watermarks, HIGH_WATERMARK),
            (&mut self.cleaned, CLEANER),
        ] {
            if checkpoint.0.remove(partition).is_some() {
                write(&dir.join(name), &checkpoint.encode())?;
            }
        }
        Ok(())
    }

    /// Takes one partition into the checkpoints, of which nobody has told them yet.
    pub fn add_checkpoint(&mut self, checkpoint: &PartitionCheckpoint) -> Result<(), DirectoryError> {
        let dir = self.path.clone();
        for (current, offset, name) in [
            (&mut self.log_starts, checkpoint.log_start, LOG_START),
            (
                &mut self.recovery_points,
                checkpoint.recovery_point,
                RECOVERY_POINT,
            ),
            (
                &mut self.high_watermarks,
                checkpoint.high_watermark,
                HIGH_WATERMARK,
            ),
            (&mut self.cleaned, checkpoint.cleaned, CLEANER),
        ] {
            let Some(offset) = offset else { continue };
            if current.0.insert(checkpoint.partition.clone(), offset) != Some(offset) {
                write(&dir.join(name), &current.encode())?;
            }
        }
        Ok(())
    }

    /// Replaces the checkpoints by what these partitions tell; all partitions of the directory must be among them.
    /// Each file is replaced as a whole. A file that has not changed is not written.
    pub fn write_checkpoints(&mut self, partitions: &[PartitionCheckpoint]) -> Result<(), DirectoryError> {
        let collect = |offset: fn(&PartitionCheckpoint) -> Option<Offset>| {
            let offsets: BTreeMap<_, _> = partitions
                .iter()
                .filter_map(|checkpoint| Some((checkpoint.partition.clone(), offset(checkpoint)?)))
                .collect();
            OffsetCheckpoint(offsets)
        };
        let dir = self.path.clone();
        for (current, next, name) in [
            (
                &mut self.log_starts,
                collect(|checkpoint| checkpoint.log_start),
                LOG_START,
            ),
            (
                &mut self.recovery_points,
                collect(|checkpoint| checkpoint.recovery_point),
                RECOVERY_POINT,
            ),
            (
                &mut self.high_watermarks,
                collect(|checkpoint| checkpoint.high_watermark),
                HIGH_WATERMARK,
            ),
            (
                &mut self.cleaned,
                collect(|checkpoint| checkpoint.cleaned),
                CLEANER,
            ),
        ] {
            if *current != next {
                write(&dir.join(name), &next.encode())?;
                *current = next;
            }
        }
        Ok(())
    }

    /// The very last thing before the process ends: all logs are closed and the checkpoints written.
    pub fn mark_clean(&self, broker_epoch: i64) -> Result<(), DirectoryError> {
        write(
            &self.path.join(clean_shutdown::FILE),
            clean_shutdown::encode(broker_epoch).as_bytes(),
        )
    }

    /// Whose directory this is; `None` for a new one.
    pub fn meta_properties(&self) -> Result<Option<MetaProperties>, DirectoryError> {
        read_meta_properties(&self.path)
    }

    pub fn write_meta_properties(&self, properties: &MetaProperties) -> Result<(), DirectoryError> {
        write(&self.path.join(META_PROPERTIES), properties.encode().as_bytes())
    }

    pub fn space(&self) -> Result<Space, DirectoryError> {
        disk::space(&self.path).map_err(|error| io_error("measure", &self.path, error))
    }

    fn dirs(&self) -> Result<Vec<(String, DirName)>, DirectoryError> {
        let entries = disk::read_dir(&self.path).map_err(|error| io_error("list", &self.path, error))?;
        let dirs = entries.into_iter().filter(|entry| entry.is_dir);
        Ok(dirs
            .map(|entry| (entry.name.clone(), DirName::parse(&entry.name)))
            .collect())
    }

    /// Finishes deletions that a stop interrupted, and takes moves back that it did: the partition is whole where it was.
    fn remove_deleted(&self) -> Result<(), DirectoryError> {
        for (name, kind) in self.dirs()? {
            if matches!(kind, DirName::Deleted | DirName::Future) {
                let dir = self.path.join(name);
                disk::remove_dir_all(&dir).map_err(|error| io_error("remove", &dir, error))?;
            }
        }
        Ok(())
    }
}

/// Whose a directory is, before it is opened; `None` for a new one, and for one that is not there.
pub fn read_meta_properties(dir: &Path) -> Result<Option<MetaProperties>, DirectoryError> {
    let path = dir.join(META_PROPERTIES);
    match read_if_there(&path)? {
        Some(bytes) => MetaProperties::parse(&bytes)
            .map(Some)
            .map_err(|source| DirectoryError::MetaProperties { path, source }),
        None => Ok(None),
    }
}

fn io_error(operation: &'static str, path: &Path, error: io::Error) -> DirectoryError {
    DirectoryError::Io {
        operation,
        path: path.to_owned(),
        source: Arc::new(error),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), DirectoryError> {
    disk::write_atomic(path, bytes).map_err(|error| io_error("write", path, error))
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, DirectoryError> {
    match disk::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path, error)),
    }
}

/// A missing or torn checkpoint tells nothing: recovery then checks everything, log start is the first segment's.
fn read_checkpoint(dir: &Path, name: &str) -> Result<OffsetCheckpoint, DirectoryError> {
    let path = dir.join(name);
    let Some(bytes) = read_if_there(&path)? else {
        return Ok(OffsetCheckpoint::default());
    };
    match OffsetCheckpoint::parse(&bytes) {
        Ok(checkpoint) => Ok(checkpoint),
        Err(CheckpointError::Version { expected, found }) if found.parse::<u32>().is_ok() => {
            let source = CheckpointError::Version { expected, found };
            Err(DirectoryError::Checkpoint { path, source })
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "checkpoint ignored");
            Ok(OffsetCheckpoint::default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(topic: &str, offset: i64) -> PartitionCheckpoint {
        PartitionCheckpoint {
            partition: TopicPartition::new(topic, 0),
            recovery_point: Some(Offset(offset)),
            log_start: Some(Offset(offset / 10)),
            high_watermark: Some(Offset(offset)),
            cleaned: None,
        }
    }

    #[test]
    fn a_second_start_is_refused_by_name() {
        // Two brokers on one directory overwrite each other's records.
        let temp = tempfile::tempdir().unwrap();
        let first = DataDirectory::open(temp.path()).unwrap();
        let Err(DirectoryError::InUse { dir }) = DataDirectory::open(temp.path()) else {
            panic!("the directory is locked");
        };
        assert_eq!(dir, temp.path());
        drop(first);
        assert!(DataDirectory::open(temp.path()).is_ok());
    }

    #[test]
    fn the_clean_marker_counts_once() {
        // Were it believed twice, the crash after the first start would go without recovery.
        let temp = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(temp.path()).unwrap();
        assert!(!directory.was_clean());
        directory.mark_clean(5).unwrap();
        drop(directory);
        let directory = DataDirectory::open(temp.path()).unwrap();
        assert_eq!(
            (directory.was_clean(), directory.last_broker_epoch()),
            (true, Some(5))
        );
        drop(directory);
        assert!(!DataDirectory::open(temp.path()).unwrap().was_clean());
    }

    #[test]
    fn checkpoints_survive_and_a_torn_one_tells_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let mut directory = DataDirectory::open(temp.path()).unwrap();
        directory
            .write_checkpoints(&[checkpoint("a", 100), checkpoint("b-c", 200)])
            .unwrap();
        drop(directory);
        let mut directory = DataDirectory::open(temp.path()).unwrap();
        let b = TopicPartition::new("b-c", 0);
        assert_eq!(
            directory.open_state(&b),
            OpenState {
                clean: false,
                recovery_point: Some(Offset(200)),
                log_start: Some(Offset(20)),
                cleaned: None
            }
        );
        assert_eq!(directory.high_watermark(&b), Some(Offset(200)));
        directory.forget(&b).unwrap();
        drop(directory);
        let directory = DataDirectory::open(temp.path()).unwrap();
        assert_eq!(directory.open_state(&b), OpenState::default());
        assert_eq!(
            directory.open_state(&TopicPartition::new("a", 0)).recovery_point,
            Some(Offset(100))
        );
        drop(directory);
        disk::write_atomic(&temp.path().join(RECOVERY_POINT), b"0\n2\na 0 1\n").unwrap();
        let directory = DataDirectory::open(temp.path()).unwrap();
        assert_eq!(
            directory.open_state(&TopicPartition::new("a", 0)).recovery_point,
            None
        );
    }

    #[test]
    fn partitions_are_found_and_deletions_finished() {
        let temp = tempfile::tempdir().unwrap();
        let mut directory = DataDirectory::open(temp.path()).unwrap();
        let orders = TopicPartition::new("orders-eu", 3);
        let dir = directory.create_partition(&orders, Uuid::from_u128(9)).unwrap();
        assert!(matches!(
            directory.create_partition(&orders, Uuid::from_u128(9)),
            Err(DirectoryError::PartitionExists { .. })
        ));
        assert_eq!(dir, temp.path().join("orders-eu-3"));
        let doomed = temp.path().join("old-0.00112233445566778899aabbccddeeff-delete");
        disk::create_dir_all(&doomed).unwrap();
        drop(directory);
        let directory = DataDirectory::open(temp.path()).unwrap();
        assert_eq!(directory.partitions().unwrap(), std::slice::from_ref(&orders));
        assert_eq!(directory.topic_id(&orders).unwrap(), Some(Uuid::from_u128(9)));
        assert!(!disk::exists(&doomed));
        assert!(directory.space().unwrap().total > 0);
        assert_eq!(directory.meta_properties().unwrap(), None);
    }
}
