//! One sync of a log, or of many at once: which files, in which order. What each step prevents is told in [`super::commit`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reactor::disk::FileSystem;
use reactor::{File, OpenMode};

use super::fault::{copy_of, is_shortage};
use super::flush_state::ClosedSync;
use crate::planted::{self, Bug};
use crate::types::Offset;

/// One sync: all that must be on the disk before `target` counts.
pub(crate) struct Flush {
    pub(crate) target: Offset,
    pub(crate) active: File,
    pub(crate) closed: Vec<ClosedSync>,
    pub(crate) derived: Vec<PathBuf>,
    pub(crate) directory: Option<PathBuf>,
    /// Leader epochs: where to write, what.
    pub(crate) epochs: Option<(PathBuf, Vec<u8>)>,
    /// What spares the next start from reading what is below the target.
    pub(crate) aids: Option<RecoveryAids>,
}

/// Derived files as of a recovery point, written by checkpoints.
pub(crate) struct RecoveryAids {
    pub(crate) offset: Offset,
    pub(crate) snapshot: PathBuf,
    pub(crate) snapshot_bytes: Vec<u8>,
    /// Where to write, which bytes.
    pub(crate) index_parts: Vec<(PathBuf, u64, Vec<u8>)>,
    /// Entries of both indexes that are in their files then.
    pub(crate) index_entries: (usize, usize),
    /// Size of the active segment then.
    pub(crate) segment_bytes: u64,
    /// A snapshot that a synced one has replaced.
    pub(crate) obsolete: Option<(Offset, PathBuf)>,
}

impl RecoveryAids {
    /// Not synced one by one: half a file is told from a whole one, and does without.
    fn write(&self) -> io::Result<()> {
        super::segment::write_whole(&self.snapshot, &self.snapshot_bytes)?;
        for (path, at, bytes) in &self.index_parts {
            // Only grows: a roll that writes the whole index meanwhile writes the same bytes here.
            File::open(path, OpenMode::Create)?.write_all_at(bytes, *at)?;
        }
        if let Some((_, path)) = &self.obsolete {
            let _may_be_gone = reactor::disk::remove_file(path);
        }
        Ok(())
    }
}

/// Which step of a sync failed.
#[derive(Debug)]
pub(crate) struct FlushError {
    pub(crate) operation: &'static str,
    pub(crate) source: io::Error,
}

impl FlushError {
    pub(crate) fn to_io(&self) -> io::Error {
        copy_of(&self.source)
    }
}

pub(crate) fn failed(operation: &'static str) -> impl Fn(io::Error) -> FlushError {
    move |source| FlushError { operation, source }
}

impl Flush {
    /// Without the thread being held up.
    pub(crate) async fn run(self) -> Result<Flush, FlushError> {
        let has_files = self.epochs.is_some()
            || self.directory.is_some()
            || self.aids.is_some()
            || !self.derived().is_empty();
        let mut flush = self;
        if has_files {
            let with_files = move || {
                flush.write_aids();
                flush.sync_files().map(|()| flush)
            };
            flush = reactor::background(with_files).await?;
        }
        for closed in &flush.closed {
            if planted::is(Bug::ClosedSegmentNotSynced) {
                break;
            }
            closed
                .log
                .sync_data()
                .await
                .map_err(failed("sync closed segment"))?;
        }
        flush.active.sync_data().await.map_err(failed("sync"))?;
        Ok(flush)
    }

    fn derived(&self) -> Vec<&PathBuf> {
        let of_closed = self.closed.iter().flat_map(|closed| &closed.derived);
        of_closed.chain(&self.derived).collect()
    }

    /// The rare part, on a helper thread.
    fn sync_files(&self) -> Result<(), FlushError> {
        self.write_epochs()?;
        for path in self.derived() {
            match File::open(path, OpenMode::ReadWrite) {
                Ok(file) => file.sync_data_blocking().map_err(failed("sync index"))?,
                // retention or compaction was faster
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("open index")(error)),
            }
        }
        if let Some(directory) = &self.directory {
            reactor::disk::sync_dir(directory).map_err(failed("sync directory"))?;
        }
        Ok(())
    }

    /// Leader epochs beside the file that they are to replace: its path, unless there are none. Without room there is nothing to
    /// replace it with; then it goes.
    fn stage_epochs(&self) -> Result<Option<&Path>, FlushError> {
        let Some((path, bytes)) = &self.epochs else {
            return Ok(None);
        };
        if planted::is(Bug::EpochsNotWritten) {
            return Ok(None);
        }
        match reactor::disk::stage(path, bytes) {
            Ok(()) => Ok(Some(path)),
            Err(error) if is_shortage(&error) => without_epochs(path, &error)
                .map(|()| None)
                .map_err(failed("remove leader epochs")),
            Err(error) => Err(failed("write leader epochs")(error)),
        }
    }

    fn write_epochs(&self) -> Result<(), FlushError> {
        match &self.epochs {
            _ if planted::is(Bug::EpochsNotWritten) => Ok(()),
            Some((path, bytes)) => write_epochs(path, bytes).map_err(failed("write leader epochs")),
            None => Ok(()),
        }
    }

    /// Without them the next start reads more.
    fn write_aids(&mut self) {
        let Some(aids) = &self.aids else { return };
        if let Err(error) = aids.write() {
            tracing::debug!(snapshot = %aids.snapshot.display(), %error, "recovery aids not written");
            let _half = reactor::disk::remove_file(&aids.snapshot);
            self.aids = None; // nobody is to count on them
        }
    }

    fn file_count(&self) -> usize {
        let of_epochs = if self.epochs.is_some() { 2 } else { 0 };
        1 + self.closed.len() + self.derived().len() + usize::from(self.directory.is_some()) + of_epochs
    }

    /// All of it, blocking.
    fn sync_blocking(&mut self) -> Result<(), FlushError> {
        self.write_aids();
        self.sync_files()?;
        for closed in &self.closed {
            if planted::is(Bug::ClosedSegmentNotSynced) {
                break;
            }
            closed
                .log
                .sync_data_blocking()
                .map_err(failed("sync closed segment"))?;
        }
        self.active.sync_data_blocking().map_err(failed("sync"))
    }
}

/// From so many files on, one sync of the whole file system costs less than one each: 18,000 took 0.35 s at once, against
/// some 100 us each (`reference/dataplane.md` of the design, 4.6).
const SYNC_ALL_FROM: usize = if cfg!(feature = "planted-bugs") {
    8 // the simulation has few logs
} else {
    64
};

/// Syncs for many logs at once. Blocking; for helper threads.
pub(crate) fn sync_all(flushes: &mut [Flush], file_system: &FileSystem) -> Result<(), Arc<FlushError>> {
    if planted::is(Bug::CheckpointWithoutSync) {
        return Ok(());
    }
    let files: usize = flushes.iter().map(Flush::file_count).sum();
    let mut sync = || {
        if files < SYNC_ALL_FROM {
            return flushes.iter_mut().try_for_each(Flush::sync_blocking);
        }
        sync_file_system(flushes, file_system)
    };
    sync().map_err(Arc::new)
}

/// Files handed to the disk at once. Some 25 KiB of each of 1,000 logs in one go would be a queue that the journal waits behind for 20 ms and
/// more.
const WRITTEN_BACK_AT_ONCE: usize = 16;

/// Brings the records to the disk in small portions, so that a sync of all finds little left.
fn write_back(flushes: &[Flush]) -> Result<(), FlushError> {
    for portion in flushes.chunks(WRITTEN_BACK_AT_ONCE) {
        for flush in portion {
            // Only a hint: what goes wrong with it is told by the wait.
            let _hint = flush.active.start_writeback(0, i64::MAX as u64);
        }
        for flush in portion {
            match flush.active.wait_writeback_blocking() {
                Err(_) if planted::is(Bug::WriteBackErrorIgnored) => {}
                waited => waited.map_err(failed("write back"))?,
            }
        }
    }
    Ok(())
}

/// Two syncs at most, however many files are replaced: one makes what replaces them durable, and all else; the other the replacing.
fn sync_file_system(flushes: &mut [Flush], file_system: &FileSystem) -> Result<(), FlushError> {
    let mut staged = Vec::new();
    for flush in flushes.iter_mut() {
        flush.write_aids();
    }
    let flushes = &*flushes;
    for flush in flushes {
        staged.extend(flush.stage_epochs()?);
    }
    write_back(flushes)?;
    let sync = || {
        file_system
            .sync_all_blocking()
            .map_err(failed("sync file system"))
    };
    sync()?;
    if staged.is_empty() {
        return Ok(());
    }
    for path in staged {
        reactor::disk::publish_staged(path).map_err(failed("replace leader epochs"))?;
    }
    sync()
}

/// A full disk must not take the log offline: then the checkpoint is removed, and a start without one rebuilds it from
/// the batches.
pub(crate) fn write_epochs(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let error = match reactor::disk::write_atomic(path, bytes) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if !is_shortage(&error) {
        return Err(error);
    }
    without_epochs(path, &error)
}

fn without_epochs(path: &Path, error: &io::Error) -> io::Result<()> {
    tracing::warn!(path = %path.display(), %error, "leader epochs not written, to be rebuilt");
    match reactor::disk::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    path.parent().map_or(Ok(()), reactor::disk::sync_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leader_epochs_that_find_no_room_are_left_to_be_rebuilt() {
        // A start on a full disk left every partition offline, for readers too, until there was room and another start.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("leader-epoch-checkpoint");
        std::fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join("leader-epoch-checkpoint.tmp")).unwrap();
        write_epochs(&path, b"new").unwrap();
        assert!(!path.exists(), "the old one would be wrong");
    }
}
