//! Commit: when what was appended may be acknowledged.
//!
//! With a journal a record waits for its group's write (see [`crate::journal`]), and its segment is synced later by a
//! checkpoint. Without one, for large batches, and where `flush.messages` or `flush.ms` ask for it, the segment itself is synced: one
//! sync at a time, which covers everything appended before it started. The timeline each step of a sync prevents the loss in:
//! - A segment is rolled, the new one synced, the old one not; power fails: a hole before acknowledged records. So all
//!   segments closed since the last sync are synced with the active one.
//! - The new segment's data is on the disk, its directory entry is not; power fails: the file is gone with every
//!   acknowledged record in it. So the directory is synced before anything in a new segment counts.
//! - The recovery point moves behind a batch that began an epoch, the epoch checkpoint was never written; restart:
//!   recovery does not see that batch any more, and a follower is told a wrong end of the epoch before. So changed
//!   epochs are written first.
//! - A sync fails, the second try succeeds because the kernel dropped the dirty pages with the error: acknowledged
//!   records are lost although every call returned success. So the first failure takes the log offline.
//! - A batch goes to its segment past the journal, the next one to the journal; the second is durable first and is
//!   acknowledged; power fails: the journal's batch has no place to go, because the one before it is missing. So behind a
//!   batch that no journal holds, every commit waits for the segment, until a sync has closed the gap.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use reactor::disk::FileSystem;
use reactor::{File, OpenMode};

use super::config::Durability;
use super::epoch_cache::EpochCache;
use super::fault::{DiskFault, copy_of, is_shortage};
use super::file_name::LEADER_EPOCH_CHECKPOINT;
use super::handle::{Inner, Log};
use super::state::State;
use crate::journal::Journal;
use crate::planted::{self, Bug};
use crate::types::{Offset, Timestamp};

/// What is not on the disk yet.
///
/// Invariants: recovery point <= committed <= end; `committed <= wanted` only while a sync is running or about to.
#[derive(Debug, Default)]
pub(crate) struct FlushState {
    /// Everything below may be acknowledged and read: it is as durable as the topic asks for.
    committed: Offset,
    /// Everything below is in segment files that are on stable storage.
    recovery_point: Offset,
    /// End of the last append that no journal holds.
    unjournaled_end: Offset,
    /// The journal's write that holds the last journaled append.
    sequence: u64,
    /// The one that holds the oldest append which no completed sync of the segments covers.
    oldest_sequence: Option<u64>,
    /// The same for appends that came after the running sync began.
    oldest_since_sync: Option<u64>,
    /// The journal's checkpoint knows of this log.
    is_known_dirty: bool,
    /// How often the log was cut.
    truncations: u64,
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
    /// They have changed, and checkpoints do not write them yet: see [`State::let_epochs_wait`].
    are_epochs_deferred: bool,
    /// There is a file of them, which must not fall behind the log.
    has_epoch_file: bool,
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
    /// Of a log whose segments are on stable storage up to `end_offset`.
    pub(crate) fn new(end_offset: Offset) -> Self {
        FlushState {
            committed: end_offset,
            recovery_point: end_offset,
            unjournaled_end: end_offset,
            wanted: end_offset,
            ..Default::default()
        }
    }

    /// Everything below may be acknowledged.
    pub(crate) fn committed(&self) -> Offset {
        self.committed
    }

    /// Everything below is in segment files that are on stable storage.
    pub(crate) fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// The journal's write that holds the oldest append which segments may lack.
    pub(crate) fn oldest_sequence(&self) -> Option<u64> {
        self.oldest_sequence
    }

    /// Some bytes below the end are neither in a journal nor synced.
    pub(crate) fn has_gap(&self) -> bool {
        self.unjournaled_end > self.recovery_point && !planted::is(Bug::JournalGapIgnored)
    }

    /// An append went to its segment only.
    pub(crate) fn note_unjournaled(&mut self, end_offset: Offset) {
        self.unjournaled_end = end_offset;
    }

    /// An append went into the journal's write of this sequence. Whether the journal has to be told of this log.
    pub(crate) fn note_journaled(&mut self, sequence: u64) -> bool {
        self.sequence = sequence;
        self.oldest_sequence.get_or_insert(sequence);
        if self.is_running {
            self.oldest_since_sync.get_or_insert(sequence);
        }
        !std::mem::replace(&mut self.is_known_dirty, true)
    }

    pub(crate) fn note_clean(&mut self) {
        self.is_known_dirty = false;
    }

    /// Everything below is as durable as the topic asks for.
    pub(crate) fn note_committed(&mut self, up_to: Offset) {
        self.committed = self.committed.max(up_to);
    }

    /// Nothing of this log has to be kept in the journal any more.
    pub(crate) fn note_gone(&mut self) {
        self.oldest_sequence = None;
        self.oldest_since_sync = None;
    }

    /// Of a log that was cut, from what it was before.
    pub(crate) fn note_cut_from(&mut self, before: &FlushState) {
        self.truncations = before.truncations + 1;
        self.is_known_dirty = before.is_known_dirty;
        self.sequence = before.sequence;
    }

    /// Keeps syncs and checkpoints away while the files are changed.
    pub(crate) fn set_running(&mut self, is_running: bool) {
        self.is_running = is_running;
    }

    pub(crate) fn epochs_changed(&mut self) {
        self.are_epochs_dirty = true;
    }

    pub(crate) fn note_epoch_file(&mut self) {
        self.has_epoch_file = true;
    }

    /// There is no file of the epochs, and need not be one yet.
    pub(crate) fn defer_epochs(&mut self) {
        self.are_epochs_deferred = true;
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
        self.recovery_point == end_offset
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
pub(crate) struct Flush {
    target: Offset,
    active: File,
    closed: Vec<ClosedSync>,
    derived: Vec<PathBuf>,
    directory: Option<PathBuf>,
    epochs: Option<(PathBuf, Vec<u8>)>,
    /// What spares the next start from reading what is below the target.
    aids: Option<RecoveryAids>,
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
    source: io::Error,
}

impl FlushError {
    pub(crate) fn to_io(&self) -> io::Error {
        copy_of(&self.source)
    }
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> FlushError {
    move |source| FlushError { operation, source }
}

impl Flush {
    async fn run(self) -> Result<Flush, FlushError> {
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

/// Size of a log up to which a start may read all headers for the leader epochs: less than a ms. One more file for each of 1,000 logs,
/// in their first checkpoint, was 50 ms of processor, and a second where as many files had just been deleted (ext4 passes over inodes that
/// were in use in the last five seconds one by one).
const EPOCHS_READ_BYTES: u64 = if cfg!(feature = "planted-bugs") {
    2 << 10 // the simulation has small logs
} else {
    1 << 20
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

/// Two syncs at most, however many files are replaced: one makes what replaces them durable, and all else; the other the replacing.
fn sync_file_system(flushes: &mut [Flush], file_system: &FileSystem) -> Result<(), FlushError> {
    let mut staged = Vec::new();
    for flush in flushes {
        flush.write_aids();
        let flush = &*flush;
        staged.extend(flush.stage_epochs()?);
    }
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

/// Why a sync does not begin.
enum NotBegun {
    Offline,
    /// The tail finds no room in its file; what it holds is in the journal, or was never accepted.
    NoRoom,
}

/// Whether a start finds a log's epochs without a file of them for the price of a few headers.
pub(crate) fn may_epochs_wait(epochs: &EpochCache, log_bytes: u64, has_file: bool) -> bool {
    !has_file && epochs.entries().len() <= 1 && log_bytes < EPOCHS_READ_BYTES
}

impl State {
    /// Leader epochs of a small log that knows but one and never had a file of them need none: a start that finds no file reads the
    /// headers. Once there is a file, it must not fall behind.
    fn let_epochs_wait(&mut self) {
        if may_epochs_wait(&self.epochs, self.size_bytes(), self.flush.has_epoch_file) {
            self.flush.are_epochs_deferred |= std::mem::take(&mut self.flush.are_epochs_dirty);
        } else {
            self.call_epochs_due();
        }
    }

    /// What was deferred is written with the next sync if it may not wait any longer.
    fn call_epochs_due(&mut self) {
        if self.flush.are_epochs_deferred
            && !may_epochs_wait(&self.epochs, self.size_bytes(), self.flush.has_epoch_file)
        {
            self.flush.are_epochs_deferred = false;
            self.flush.are_epochs_dirty = true;
        }
    }

    /// Takes everything that waits for the disk.
    fn begin_flush(&mut self) -> Result<Flush, NotBegun> {
        self.check_online().map_err(|_| NotBegun::Offline)?;
        self.settle().map_err(|error| self.settle_failed(error))?;
        let active = match self.active.segment.file(&self.dir) {
            Ok(file) => file,
            Err(error) => return Err(self.settle_failed(error)),
        };
        let flush = &mut self.flush;
        flush.is_running = true;
        flush.dirty_since = None;
        flush.is_asked_again = false;
        flush.oldest_since_sync = None;
        flush.is_directory_syncing = flush.is_directory_dirty;
        let are_epochs_dirty = std::mem::take(&mut flush.are_epochs_dirty);
        if are_epochs_dirty {
            flush.are_epochs_deferred = false;
            flush.note_epoch_file();
        }
        let epochs = are_epochs_dirty.then(|| (self.dir.join(LEADER_EPOCH_CHECKPOINT), self.epochs.encode()));
        Ok(Flush {
            target: self.end_offset,
            active,
            closed: std::mem::take(&mut flush.closed),
            derived: std::mem::take(&mut flush.derived),
            directory: std::mem::take(&mut flush.is_directory_dirty).then(|| self.dir.clone()),
            epochs,
            aids: None,
        })
    }

    fn settle_failed(&mut self, error: io::Error) -> NotBegun {
        if is_shortage(&error) {
            return NotBegun::NoRoom;
        }
        self.fail("write segment", error);
        NotBegun::Offline
    }

    fn finish_flush(&mut self, target: Offset, result: Result<(), FlushError>) {
        match result {
            Ok(()) => {
                let flush = &mut self.flush;
                flush.is_directory_syncing = false;
                assert!(target >= flush.recovery_point && target <= self.end_offset);
                flush.recovery_point = target;
                flush.note_committed(target);
                flush.oldest_sequence = flush.oldest_since_sync.take();
            }
            Err(_) if planted::is(Bug::SyncErrorRetried) => {}
            Err(FlushError { operation, source }) => {
                self.fail(operation, source);
            }
        }
    }
}

/// What a commit waits for.
enum WaitsFor {
    Nothing(Result<(), DiskFault>),
    Journal {
        journal: Journal,
        sequence: u64,
        truncations: u64,
    },
    Segments {
        truncations: u64,
    },
}

impl Log {
    /// Resolves when every record below `up_to` is as durable as the topic asks for. The write is under way when this returns,
    /// whether the future is polled or not; an offset beyond the end of the log counts as the end.
    pub fn commit(&self, up_to: Offset) -> impl Future<Output = Result<(), DiskFault>> + use<> {
        let inner = self.inner.clone();
        let (up_to, waits) = inner.state.borrow().waits(up_to);
        if let WaitsFor::Segments { .. } = waits {
            request(&inner, up_to);
        }
        async move {
            match waits {
                WaitsFor::Nothing(result) => result,
                WaitsFor::Journal {
                    journal,
                    sequence,
                    truncations,
                } => {
                    let written = journal.durable(sequence).await;
                    let mut state = inner.state.borrow_mut();
                    match written {
                        Ok(()) => {
                            state.check_not_cut(truncations)?;
                            state.flush.note_committed(up_to);
                            Ok(())
                        }
                        Err(fault) => Err(state.fail(fault.operation, fault.to_io())),
                    }
                }
                WaitsFor::Segments { truncations } => loop {
                    let synced = inner.synced.notified();
                    inner.state.borrow().check_not_cut(truncations)?;
                    if let Some(result) = standing(&inner.state, up_to) {
                        return result;
                    }
                    synced.await;
                },
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

    /// Syncs segments and directory, whatever the journal holds.
    pub async fn sync(&self) -> Result<(), DiskFault> {
        let end_offset = self.inner.state.borrow().end_offset;
        request(&self.inner, end_offset);
        loop {
            let synced = self.inner.synced.notified();
            {
                let state = self.inner.state.borrow();
                state.check_online()?;
                if state.flush.recovery_point >= end_offset && !state.flush.is_running {
                    return Ok(());
                }
            }
            synced.await;
        }
    }
}

impl State {
    fn waits(&self, up_to: Offset) -> (Offset, WaitsFor) {
        let up_to = up_to.min(self.end_offset);
        let waits = match &self.journal {
            _ if self.fault.is_some() => WaitsFor::Nothing(self.check_online()),
            _ if self.flush.committed >= up_to => WaitsFor::Nothing(Ok(())),
            _ if planted::is(Bug::AcknowledgeBeforeSync) => WaitsFor::Nothing(Ok(())),
            Some(port) if !self.flush.has_gap() => WaitsFor::Journal {
                journal: port.journal.clone(),
                sequence: self.flush.sequence,
                truncations: self.flush.truncations,
            },
            _ => WaitsFor::Segments {
                truncations: self.flush.truncations,
            },
        };
        (up_to, waits)
    }

    /// Whether the topic is content with the page cache, and nothing makes a sync due.
    pub(crate) fn is_content_with_page_cache(&self) -> bool {
        let unsynced = self.end_offset.0 - self.flush.recovery_point.0;
        self.config.durability == Durability::PageCache && unsynced < self.config.flush_messages
    }

    /// A log that was cut meanwhile has not what was waited for.
    fn check_not_cut(&self, truncations: u64) -> Result<(), DiskFault> {
        if self.flush.truncations == truncations {
            return Ok(());
        }
        Err(DiskFault {
            partition: self.partition.clone(),
            operation: "commit of records that were truncated",
            offset: self.end_offset,
            source: Arc::new(io::ErrorKind::InvalidInput.into()),
        })
    }
}

/// Sees to it that a sync covers `up_to`.
fn request(inner: &Rc<Inner>, up_to: Offset) {
    let mut state = inner.state.borrow_mut();
    let wants_files =
        up_to == state.end_offset && (state.flush.is_directory_dirty || state.flush.are_epochs_dirty);
    if (state.flush.recovery_point < up_to || wants_files) && state.fault.is_none() {
        state.flush.wanted = state.flush.wanted.max(up_to);
        state.flush.is_asked_again |= wants_files;
        if !state.flush.is_running {
            state.flush.is_running = true;
            drop(state);
            reactor::spawn(flush_loop(inner.clone())).detach();
        }
    }
}

fn standing(state: &RefCell<State>, up_to: Offset) -> Option<Result<(), DiskFault>> {
    let state = state.borrow();
    match state.check_online() {
        Err(fault) => Some(Err(fault)),
        Ok(()) if state.flush.committed >= up_to => Some(Ok(())),
        Ok(()) => None,
    }
}

/// How long a sync waits for room on a full disk before it tries again.
const ROOM_RETRY: std::time::Duration = std::time::Duration::from_millis(100);

/// Bytes of a log for which a sync of its own, which somebody waits for, leaves the aids; a log that takes its appends past the journal
/// sees no checkpoint.
const AIDED_BY_SYNC_BYTES: u64 = 16 << 20;
/// The same for checkpoints. What a start may have to walk over, header by header, below the recovery point of one log: some ms. At every
/// checkpoint of 1,000 logs it was 40 % of the processor, in the search of the file system for an inode that was not freed lately.
const AIDED_BY_CHECKPOINT_BYTES: u64 = 4 << 20;

/// Runs while somebody wants more than is synced. A task of its own, so that no waiter that goes away takes the sync
/// of the others with it.
async fn flush_loop(inner: Rc<Inner>) {
    loop {
        let flush = {
            let mut state = inner.state.borrow_mut();
            state.call_epochs_due();
            let flush = state.begin_flush();
            flush.map(|flush| Flush {
                aids: state.recovery_aids(AIDED_BY_SYNC_BYTES),
                ..flush
            })
        };
        match flush {
            Ok(flush) => {
                let target = flush.target;
                let result = flush.run().await;
                let mut state = inner.state.borrow_mut();
                if let Ok(Flush { aids: Some(aids), .. }) = &result {
                    state.note_recovery_aids(aids);
                }
                state.finish_flush(target, result.map(drop));
            }
            Err(NotBegun::Offline) => {}
            Err(NotBegun::NoRoom) => {
                reactor::sleep(ROOM_RETRY).await;
                continue;
            }
        }
        if inner.state.borrow_mut().end_flush() {
            inner.synced.notify_waiters();
            return;
        }
        inner.synced.notify_waiters();
    }
}

impl State {
    /// A sync has ended; whether nobody wants another.
    fn end_flush(&mut self) -> bool {
        let has_all = self.flush.recovery_point >= self.flush.wanted && !self.flush.is_asked_again;
        let is_done = self.check_online().is_err() || has_all;
        self.flush.is_running = !is_done;
        is_done
    }
}

/// The journal's checkpoint syncs many logs at once.
impl Inner {
    /// What is to be synced; `None` while a sync of its own is running, when there is no room, or when the log is offline.
    pub(crate) fn begin_checkpoint(&self) -> Option<Flush> {
        let mut state = self.state.borrow_mut();
        if state.flush.is_running {
            return None;
        }
        state.let_epochs_wait();
        let mut flush = state.begin_flush().ok()?;
        flush.aids = state.recovery_aids(AIDED_BY_CHECKPOINT_BYTES);
        Some(flush)
    }

    pub(crate) fn finish_checkpoint(self: &Rc<Self>, flush: &Flush, result: &Result<(), Arc<FlushError>>) {
        let is_done = {
            let mut state = self.state.borrow_mut();
            match result {
                Ok(()) => {
                    if let Some(aids) = &flush.aids {
                        state.note_recovery_aids(aids);
                    }
                    state.finish_flush(flush.target, Ok(()));
                }
                Err(error) => {
                    state.fail(error.operation, error.to_io());
                }
            }
            state.end_flush()
        };
        self.synced.notify_waiters();
        if !is_done {
            reactor::spawn(flush_loop(self.clone())).detach();
        }
    }

    pub(crate) fn oldest_sequence(&self) -> Option<u64> {
        self.state.borrow().flush.oldest_sequence()
    }

    pub(crate) fn note_clean(&self) {
        self.state.borrow_mut().flush.note_clean();
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
            let (log, _) = Log::open(&dir, config, OpenState::default(), None).await.unwrap();
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
                .finish_flush(Offset(1), Err(failed("sync")(error)));
            log.inner.synced.notify_waiters();
            for commit in waiting {
                let fault = commit.await.unwrap_err();
                assert_eq!((fault.operation, fault.offset), ("sync", Offset(1)));
            }
            assert_eq!(log.committed_offset(), Offset(0));
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
            let (log, _) = Log::open(&dir, config, OpenState::default(), None).await.unwrap();
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
