//! Group commit: getting what was appended onto stable storage, once for all who wait.
//!
//! One sync runs at a time. It covers everything appended before it started; who asks meanwhile waits for the next one,
//! together with everybody else who does. The timeline each step prevents the loss in:
//! - A segment is rolled, the new one synced, the old one not; power fails: a hole before acknowledged records. So all
//!   segments closed since the last sync are synced with the active one.
//! - The new segment's data is on the disk, its directory entry is not; power fails: the file is gone with every
//!   acknowledged record in it. So the directory is synced before anything in a new segment counts.
//! - The recovery point moves behind a batch that began an epoch, the epoch checkpoint was never written; restart:
//!   recovery does not see that batch any more, and a follower is told a wrong end of the epoch before. So changed
//!   epochs are written first.
//! - A sync fails, the second try succeeds because the kernel dropped the dirty pages with the error: acknowledged
//!   records are lost although every call returned success. So the first failure takes the log offline.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use reactor::{File, OpenMode};

use super::fault::DiskFault;
use super::file_name::LEADER_EPOCH_CHECKPOINT;
use super::handle::{Inner, Log};
use super::state::State;
use crate::planted::{self, Bug};
use crate::types::{Offset, Timestamp};

/// What is not on the disk yet.
///
/// Invariant: `flushed <= wanted` only while a sync is running or about to.
#[derive(Debug, Default)]
pub(crate) struct FlushState {
    /// Everything below is on stable storage.
    pub(crate) flushed: Offset,
    /// What somebody waits for.
    wanted: Offset,
    is_running: bool,
    /// When the oldest unsynced batch was appended.
    dirty_since: Option<Timestamp>,
    /// Bounded by the segments rolled during one sync.
    closed: Vec<ClosedSync>,
    derived: Vec<PathBuf>,
    is_directory_dirty: bool,
    are_epochs_dirty: bool,
    /// The running sync has taken a dirty directory and is not done.
    is_directory_syncing: bool,
    /// Somebody asked for files besides the records' while a sync was running that does not have them.
    is_asked_again: bool,
}

/// A segment closed since the last sync, and the files derived from it.
#[derive(Debug)]
pub(crate) struct ClosedSync {
    pub(crate) log: File,
    pub(crate) derived: Vec<PathBuf>,
}

impl FlushState {
    pub(crate) fn new(flushed: Offset) -> Self {
        FlushState {
            flushed,
            wanted: flushed,
            ..Default::default()
        }
    }

    /// Everything below is in segment files that are on stable storage.
    pub(crate) fn recovery_point(&self) -> Offset {
        self.flushed
    }

    pub(crate) fn epochs_changed(&mut self) {
        self.are_epochs_dirty = true;
    }

    pub(crate) fn directory_changed(&mut self) {
        self.is_directory_dirty = true;
    }

    /// Whether entries of the directory may not be on the disk yet.
    pub(crate) fn is_directory_dirty(&self) -> bool {
        self.is_directory_dirty || self.is_directory_syncing
    }

    pub(crate) fn derived_written(&mut self, path: PathBuf) {
        self.derived.push(path);
    }

    pub(crate) fn segment_closed(&mut self, closed: ClosedSync) {
        self.closed.push(closed);
    }

    pub(crate) fn note_append(&mut self, now: Timestamp) {
        self.dirty_since.get_or_insert(now);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Nothing at all waits for the disk.
    pub(crate) fn is_clean(&self, end_offset: Offset) -> bool {
        self.flushed == end_offset
            && !self.is_running
            && self.closed.is_empty()
            && self.derived.is_empty()
            && !self.is_directory_dirty
            && !self.are_epochs_dirty
    }

    pub(crate) fn is_due(&self, now: Timestamp, flush_ms: i64) -> bool {
        self.dirty_since
            .is_some_and(|since| now.0.saturating_sub(since.0) >= flush_ms)
    }
}

/// One sync: all that must be on the disk before `target` counts.
struct Flush {
    target: Offset,
    active: File,
    closed: Vec<ClosedSync>,
    derived: Vec<PathBuf>,
    directory: Option<PathBuf>,
    epochs: Option<(PathBuf, Vec<u8>)>,
}

impl Flush {
    async fn run(self) -> Result<(), (&'static str, io::Error)> {
        let derived: Vec<PathBuf> = self
            .closed
            .iter()
            .flat_map(|closed| closed.derived.clone())
            .chain(self.derived)
            .collect();
        if self.epochs.is_some() || self.directory.is_some() || !derived.is_empty() {
            let (epochs, directory) = (self.epochs, self.directory);
            reactor::background(move || sync_files(epochs, derived, directory)).await?;
        }
        for closed in &self.closed {
            if planted::is(Bug::ClosedSegmentNotSynced) {
                break;
            }
            closed
                .log
                .sync_data()
                .await
                .map_err(|error| ("sync closed segment", error))?;
        }
        self.active.sync_data().await.map_err(|error| ("sync", error))
    }
}

/// The rare part, on a helper thread.
fn sync_files(
    epochs: Option<(PathBuf, Vec<u8>)>,
    derived: Vec<PathBuf>,
    directory: Option<PathBuf>,
) -> Result<(), (&'static str, io::Error)> {
    if let Some((path, bytes)) = epochs
        && !planted::is(Bug::EpochsNotWritten)
    {
        write_epochs(&path, &bytes).map_err(|error| ("write leader epochs", error))?;
    }
    for path in derived {
        match File::open(&path, OpenMode::ReadWrite) {
            Ok(file) => file.sync_data_blocking().map_err(|error| ("sync index", error))?,
            // retention or compaction was faster
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(("open index", error)),
        }
    }
    if let Some(directory) = directory {
        reactor::disk::sync_dir(&directory).map_err(|error| ("sync directory", error))?;
    }
    Ok(())
}

/// A full disk must not take the log offline: then the checkpoint is removed, and a start without one rebuilds it from
/// the batches.
pub(super) fn write_epochs(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let error = match reactor::disk::write_atomic(path, bytes) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if !matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) {
        return Err(error);
    }
    tracing::warn!(path = %path.display(), %error, "leader epochs not written, to be rebuilt");
    match reactor::disk::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    path.parent().map_or(Ok(()), reactor::disk::sync_dir)
}

impl State {
    /// Takes everything that waits for the disk.
    fn begin_flush(&mut self) -> Result<Flush, DiskFault> {
        self.check_online()?;
        let active = match self.active.segment.file(&self.dir) {
            Ok(file) => file,
            Err(error) => return Err(self.fail("open segment", error)),
        };
        let flush = &mut self.flush;
        flush.dirty_since = None;
        flush.is_asked_again = false;
        flush.is_directory_syncing = flush.is_directory_dirty;
        let epochs = std::mem::take(&mut flush.are_epochs_dirty)
            .then(|| (self.dir.join(LEADER_EPOCH_CHECKPOINT), self.epochs.encode()));
        Ok(Flush {
            target: self.end_offset,
            active,
            closed: std::mem::take(&mut flush.closed),
            derived: std::mem::take(&mut flush.derived),
            directory: std::mem::take(&mut flush.is_directory_dirty).then(|| self.dir.clone()),
            epochs,
        })
    }

    fn finish_flush(&mut self, target: Offset, result: Result<(), (&'static str, io::Error)>) {
        match result {
            Ok(()) => {
                self.flush.is_directory_syncing = false;
                assert!(target >= self.flush.flushed && target <= self.end_offset);
                self.flush.flushed = target;
            }
            Err(_) if planted::is(Bug::SyncErrorRetried) => {}
            Err((operation, error)) => {
                self.fail(operation, error);
            }
        }
    }
}

/// Where a waiter stands.
enum Standing {
    Done(Result<(), DiskFault>),
    Waiting,
}

impl Log {
    /// Resolves when every record below `up_to` is on stable storage. The sync is under way when this returns, whether
    /// the future is polled or not; an offset beyond the end of the log counts as the end.
    pub fn commit(&self, up_to: Offset) -> impl Future<Output = Result<(), DiskFault>> + use<> {
        let inner = self.inner.clone();
        let up_to = request(&inner, up_to);
        async move {
            loop {
                let synced = inner.synced.notified();
                if let Standing::Done(result) = standing(&inner.state, up_to) {
                    return result;
                }
                synced.await;
            }
        }
    }

    /// Syncs what has been waiting for `flush.ms`, without anybody waiting for it.
    pub fn flush_if_due(&self, now: Timestamp) {
        let due = {
            let state = self.inner.state.borrow();
            state
                .flush
                .is_due(now, state.config.flush_ms)
                .then_some(state.end_offset)
        };
        if let Some(end_offset) = due {
            request(&self.inner, end_offset);
        }
    }

    /// Starts a sync of everything appended, for nobody in particular.
    pub(crate) fn request_flush(&self) {
        let end_offset = self.inner.state.borrow().end_offset;
        request(&self.inner, end_offset);
    }
}

/// Sees to it that a sync covers `up_to`, and returns it brought within the log.
fn request(inner: &Rc<Inner>, up_to: Offset) -> Offset {
    let mut state = inner.state.borrow_mut();
    let up_to = up_to.min(state.end_offset);
    let wants_files =
        up_to == state.end_offset && (state.flush.is_directory_dirty || state.flush.are_epochs_dirty);
    if (state.flush.flushed < up_to || wants_files) && state.fault.is_none() {
        state.flush.wanted = state.flush.wanted.max(up_to);
        state.flush.is_asked_again |= wants_files;
        if !state.flush.is_running {
            state.flush.is_running = true;
            drop(state);
            reactor::spawn(flush_loop(inner.clone())).detach();
        }
    }
    up_to
}

fn standing(state: &RefCell<State>, up_to: Offset) -> Standing {
    let state = state.borrow();
    match &state.fault {
        Some(fault) => Standing::Done(Err(fault.clone())),
        None if planted::is(Bug::AcknowledgeBeforeSync) => Standing::Done(Ok(())),
        None if state.flush.flushed >= up_to => Standing::Done(Ok(())),
        None => Standing::Waiting,
    }
}

/// Runs while somebody wants more than is flushed. A task of its own, so that no waiter that goes away takes the sync
/// of the others with it.
async fn flush_loop(inner: Rc<Inner>) {
    loop {
        let flush = inner.state.borrow_mut().begin_flush();
        if let Ok(flush) = flush {
            let target = flush.target;
            let result = flush.run().await;
            inner.state.borrow_mut().finish_flush(target, result);
        }
        let is_done = {
            let mut state = inner.state.borrow_mut();
            let has_all = state.flush.flushed >= state.flush.wanted && !state.flush.is_asked_again;
            let is_done = state.fault.is_some() || has_all;
            state.flush.is_running = !is_done;
            is_done
        };
        inner.synced.notify_waiters();
        if is_done {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::batch::{BatchBuilder, Limits, Origin, validate};
    use crate::log::{AppendContext, AppendError, LogConfig, OpenState, ReadError};
    use crate::types::LeaderEpoch;

    #[test]
    fn after_a_failed_sync_nothing_is_believed_any_more() {
        // The kernel reports a failed write-back once; a retry would acknowledge records that are lost.
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("topic-0");
        reactor::run(reactor::Config::default(), async {
            let config = Rc::new(LogConfig::default());
            let (log, _) = Log::open(&dir, config, OpenState::default()).await.unwrap();
            let mut builder = BatchBuilder::new(Offset(0));
            builder.append(Timestamp(1), None, Some(b"value"));
            let batch = builder.build().unwrap();
            let info = validate(&batch, &Limits::default()).unwrap();
            let context = AppendContext {
                leader_epoch: LeaderEpoch(0),
                origin: Origin::Client,
                now: Timestamp(1),
            };
            log.append(batch.clone(), &info, &context).unwrap();
            log.inner.state.borrow_mut().flush.is_running = true; // the sync below
            let waiting = [log.commit(Offset(1)), log.commit(Offset(1))];
            let error = io::Error::other("the disk is gone");
            log.inner
                .state
                .borrow_mut()
                .finish_flush(Offset(1), Err(("sync", error)));
            log.inner.synced.notify_waiters();
            for commit in waiting {
                let fault = commit.await.unwrap_err();
                assert_eq!((fault.operation, fault.offset), ("sync", Offset(1)));
            }
            assert_eq!(log.flushed_offset(), Offset(0));
            assert!(log.commit(Offset(0)).await.is_err());
            assert!(matches!(
                log.append(batch.clone(), &info, &context),
                Err(AppendError::Offline(_))
            ));
            assert!(matches!(
                log.read(Offset(0), 9, Offset(1), true),
                Err(ReadError::Offline(_))
            ));
            assert!(log.compact(Timestamp(1)).await.is_err());
            assert!(log.close().await.is_err());
        })
        .unwrap();
    }
    #[test]
    fn what_is_asked_for_while_a_sync_runs_gets_a_sync_of_its_own() {
        // A close that meets a running sync would leave indexes and the producer snapshot behind unsynced, and the stop
        // would be marked as a clean one.
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("topic-0");
        reactor::run(reactor::Config::default(), async {
            let config = Rc::new(LogConfig::default());
            let (log, _) = Log::open(&dir, config, OpenState::default()).await.unwrap();
            let mut builder = BatchBuilder::new(Offset(0));
            builder.append(Timestamp(1), None, Some(b"value"));
            let batch = builder.build().unwrap();
            let info = validate(&batch, &Limits::default()).unwrap();
            let context = AppendContext {
                leader_epoch: LeaderEpoch(0),
                origin: Origin::Client,
                now: Timestamp(1),
            };
            log.append(batch.clone(), &info, &context).unwrap();
            let records = log.commit(Offset(1));
            reactor::yield_now().await; // the sync is under way now
            log.inner.state.borrow_mut().flush.directory_changed();
            log.request_flush();
            records.await.unwrap();
            log.wait_idle().await;
            assert!(!log.inner.state.borrow().flush.is_directory_dirty());
        })
        .unwrap();
    }

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
