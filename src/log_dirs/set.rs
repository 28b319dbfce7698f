//! The directories of `log.dirs` as all shards know them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use control::record::DirectoryId;
use engine::directory::PartitionCheckpoint;
use uuid::Uuid;

use super::directories::{Directory, lock};
use super::error::DirectoryError;

/// What producers must leave free: the metadata log, group offsets, checkpoints and deletions need some to go on. The same as in
/// `engine::log`, which looks each time a log has grown by some; here, many logs that grow by little are seen too.
pub const ROOM_KEPT_BYTES: u64 = 16 << 20;

/// And what each shard may have acknowledged meanwhile that its segments do not have yet. A guess: the tails are written as fast as
/// the disk goes.
const ROOM_PER_SHARD_BYTES: u64 = 8 << 20;

/// A directory by its place in `log.dirs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirIndex(u16);

impl DirIndex {
    /// The one that has the metadata log.
    pub const FIRST: DirIndex = DirIndex(0);

    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One directory. Offline once and for all when something of it failed: nobody can tell what else of it did.
#[derive(Debug)]
pub struct LogDir {
    path: PathBuf,
    /// `None`: it failed before it could be told.
    id: Option<DirectoryId>,
    failure: OnceLock<String>,
    /// Its lock and its checkpoint files; `None`: never opened.
    files: Option<Arc<Mutex<Directory>>>,
    /// Too little is free for producers; reads, deletions and what the broker keeps for itself go on.
    is_full: AtomicBool,
    /// Partitions that belong there, with or without anything on the disk.
    partition_count: AtomicUsize,
    cuts: AtomicU64,
}

impl LogDir {
    pub fn online(path: PathBuf, id: DirectoryId, files: Option<Directory>) -> LogDir {
        LogDir {
            path,
            id: Some(id),
            failure: OnceLock::new(),
            files: files.map(|files| Arc::new(Mutex::new(files))),
            is_full: AtomicBool::new(false),
            partition_count: AtomicUsize::new(0),
            cuts: AtomicU64::new(0),
        }
    }

    pub fn failed(path: PathBuf, why: String) -> LogDir {
        LogDir {
            path,
            id: None,
            failure: OnceLock::from(why),
            files: None,
            is_full: AtomicBool::new(false),
            partition_count: AtomicUsize::new(0),
            cuts: AtomicU64::new(0),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn id(&self) -> Option<DirectoryId> {
        self.id
    }

    pub(super) fn files(&self) -> Option<Arc<Mutex<Directory>>> {
        self.files.clone()
    }

    /// Writes a partition's checkpoint ahead of the clock. Blocking.
    pub fn add_checkpoint(
        &self,
        checkpoint: &PartitionCheckpoint,
        topic_id: Uuid,
    ) -> Result<(), DirectoryError> {
        match &self.files {
            Some(files) => lock(files).add(checkpoint, topic_id),
            None => Ok(()),
        }
    }

    /// Writes the checkpoint of a log that was cut. What was gathered for the checkpoint files before this is not written any more: it may
    /// tell of what was cut off. Blocking.
    pub fn set_back(&self, checkpoint: &PartitionCheckpoint, topic_id: Uuid) -> Result<(), DirectoryError> {
        let Some(files) = &self.files else { return Ok(()) };
        let mut files = lock(files);
        self.cuts.fetch_add(1, Ordering::AcqRel);
        files.add(checkpoint, topic_id)
    }

    /// How many logs were cut, to be compared under the lock of its files.
    pub(super) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Acquire)
    }

    pub fn is_online(&self) -> bool {
        self.failure.get().is_none()
    }

    /// Why it is offline.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Takes it offline. The first reason is the one that is told.
    pub fn fail(&self, why: &dyn std::fmt::Display) {
        if self.failure.set(why.to_string()).is_ok() {
            tracing::error!(dir = %self.path.display(), %why, "the log directory goes offline, with all of its partitions");
        }
    }

    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// As measured now.
    pub fn set_free(&self, free_bytes: u64, shard_count: usize) {
        let is_full = free_bytes < ROOM_KEPT_BYTES + shard_count as u64 * ROOM_PER_SHARD_BYTES;
        if self.is_full.swap(is_full, Ordering::Relaxed) != is_full {
            let dir = self.path.display();
            match is_full {
                true => tracing::warn!(%dir, free_bytes, "the disk is full: producers are refused"),
                false => tracing::info!(%dir, free_bytes, "there is room again: producers are served"),
            }
        }
    }

    pub fn partition_added(&self) {
        self.partition_count.fetch_add(1, Ordering::Relaxed);
    }

    pub fn partition_removed(&self) {
        self.partition_count.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn partition_count(&self) -> usize {
        self.partition_count.load(Ordering::Relaxed)
    }
}

/// Where the metadata says that a partition lies, in terms of what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned {
    To(DirIndex),
    /// To none that is known by its id: one that is offline since before its id could be read, or no more in `log.dirs`.
    Elsewhere,
    /// To none at all: it may be anywhere, and if it is nowhere, it is new.
    Nowhere,
}

/// All of them, in the order of `log.dirs`. Never empty.
#[derive(Debug)]
pub struct LogDirs {
    dirs: Vec<LogDir>,
    checkpoints_done: Arc<AtomicU64>,
}

impl LogDirs {
    pub fn new(dirs: Vec<LogDir>) -> LogDirs {
        assert!(
            !dirs.is_empty() && u16::try_from(dirs.len()).is_ok(),
            "log.dirs has between 1 and 65,535 entries"
        );
        LogDirs {
            dirs,
            checkpoints_done: Arc::default(),
        }
    }

    /// Checkpoints of all journals in here that moved recovery points.
    pub fn checkpoints_done(&self) -> u64 {
        self.checkpoints_done.load(Ordering::Relaxed)
    }

    /// Where a journal that lies in here counts them.
    pub fn checkpoint_counter(&self) -> Arc<AtomicU64> {
        self.checkpoints_done.clone()
    }

    pub fn get(&self, dir: DirIndex) -> &LogDir {
        &self.dirs[dir.index()]
    }

    pub fn len(&self) -> usize {
        self.dirs.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (DirIndex, &LogDir)> {
        (0..).map(DirIndex).zip(&self.dirs)
    }

    pub fn online(&self) -> impl Iterator<Item = (DirIndex, &LogDir)> {
        self.iter().filter(|(_, dir)| dir.is_online())
    }

    pub fn offline_count(&self) -> usize {
        self.dirs.iter().filter(|dir| !dir.is_online()).count()
    }

    pub fn by_path(&self, path: &Path) -> Option<DirIndex> {
        self.iter()
            .find(|(_, dir)| dir.path == path)
            .map(|(index, _)| index)
    }

    pub fn assigned(&self, id: DirectoryId) -> Assigned {
        if id == DirectoryId::UNASSIGNED || id == DirectoryId::MIGRATING {
            return Assigned::Nowhere;
        }
        self.iter()
            .find(|(_, dir)| dir.id == Some(id))
            .map_or(Assigned::Elsewhere, |(index, _)| Assigned::To(index))
    }

    /// The directory for a partition that may go anywhere: Kafka's rule, the one with the fewest.
    pub fn emptiest(&self) -> Option<DirIndex> {
        self.online()
            .min_by_key(|(index, dir)| (dir.partition_count(), *index))
            .map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> DirectoryId {
        DirectoryId(Uuid::from_u128(number))
    }

    /// Breaks in production: one disk runs full while the others idle, or a partition is begun anew, empty, because its disk is
    /// away.
    #[test]
    fn a_partition_goes_to_the_emptiest_directory_that_is_online() {
        let dirs = LogDirs::new(vec![
            LogDir::online("/a".into(), id(1000), None),
            LogDir::online("/b".into(), id(1001), None),
            LogDir::failed("/c".into(), "gone".to_owned()),
        ]);
        assert_eq!(dirs.emptiest(), Some(DirIndex(0)));
        dirs.get(DirIndex(0)).partition_added();
        assert_eq!(dirs.emptiest(), Some(DirIndex(1)));
        dirs.get(DirIndex(1)).fail(&"input/output error");
        dirs.get(DirIndex(1)).fail(&"something that follows from it");
        assert_eq!(dirs.get(DirIndex(1)).failure(), Some("input/output error"));
        assert_eq!(dirs.emptiest(), Some(DirIndex(0)));
        assert_eq!(dirs.offline_count(), 2);
        assert_eq!(dirs.assigned(id(1001)), Assigned::To(DirIndex(1)));
        assert_eq!(dirs.assigned(id(7000)), Assigned::Elsewhere);
        assert_eq!(dirs.assigned(DirectoryId::UNASSIGNED), Assigned::Nowhere);
    }
}
