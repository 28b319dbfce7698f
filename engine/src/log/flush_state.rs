//! What of a log is not on the disk yet, and what the next sync has to take: the books of [`super::commit`], which know neither files nor
//! time.

use std::path::PathBuf;

use reactor::File;

use super::epoch_cache::EpochCache;
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
    /// They have changed, and checkpoints do not write them yet: see [`FlushState::let_epochs_wait`].
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

/// What a sync takes besides the records.
pub(crate) struct Taken {
    pub(crate) closed: Vec<ClosedSync>,
    pub(crate) derived: Vec<PathBuf>,
    pub(crate) is_directory_dirty: bool,
    pub(crate) are_epochs_dirty: bool,
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

    /// Sees to it that a sync covers `up_to`; whether one has to be started for that.
    pub(crate) fn want(&mut self, up_to: Offset, end_offset: Offset) -> bool {
        let wants_files = up_to == end_offset && (self.is_directory_dirty || self.are_epochs_dirty);
        if self.recovery_point >= up_to && !wants_files {
            return false;
        }
        self.wanted = self.wanted.max(up_to);
        self.is_asked_again |= wants_files;
        !std::mem::replace(&mut self.is_running, true)
    }

    /// A sync begins: it takes everything that waits for the disk.
    pub(crate) fn begin(&mut self) -> Taken {
        self.is_running = true;
        self.dirty_since = None;
        self.is_asked_again = false;
        self.oldest_since_sync = None;
        self.is_directory_syncing = self.is_directory_dirty;
        let are_epochs_dirty = std::mem::take(&mut self.are_epochs_dirty);
        if are_epochs_dirty {
            self.are_epochs_deferred = false;
            self.note_epoch_file();
        }
        Taken {
            closed: std::mem::take(&mut self.closed),
            derived: std::mem::take(&mut self.derived),
            is_directory_dirty: std::mem::take(&mut self.is_directory_dirty),
            are_epochs_dirty,
        }
    }

    /// A sync of everything below `target` has worked.
    pub(crate) fn finish(&mut self, target: Offset) {
        assert!(target >= self.recovery_point);
        self.is_directory_syncing = false;
        self.recovery_point = target;
        self.note_committed(target);
        self.oldest_sequence = self.oldest_since_sync.take();
    }

    /// A sync has ended; whether nobody wants another.
    pub(crate) fn end(&mut self, is_online: bool) -> bool {
        let has_all = self.recovery_point >= self.wanted && !self.is_asked_again;
        let is_done = !is_online || has_all;
        self.is_running = !is_done;
        is_done
    }

    /// Leader epochs of a small log that knows but one and never had a file of them need none: a start that finds no file reads the
    /// headers. Once there is a file, it must not fall behind.
    pub(crate) fn let_epochs_wait(&mut self, epochs: &EpochCache, log_bytes: u64) {
        if may_epochs_wait(epochs, log_bytes, self.has_epoch_file) {
            self.are_epochs_deferred |= std::mem::take(&mut self.are_epochs_dirty);
        } else {
            self.call_epochs_due(epochs, log_bytes);
        }
    }

    /// What was deferred is written with the next sync if it may not wait any longer.
    pub(crate) fn call_epochs_due(&mut self, epochs: &EpochCache, log_bytes: u64) {
        if self.are_epochs_deferred && !may_epochs_wait(epochs, log_bytes, self.has_epoch_file) {
            self.are_epochs_deferred = false;
            self.are_epochs_dirty = true;
        }
    }

    /// The journal's write that holds the last journaled append, if no gap makes it worthless.
    pub(crate) fn journaled_by(&self) -> Option<u64> {
        (!self.has_gap()).then_some(self.sequence)
    }

    /// How often the log was cut.
    pub(crate) fn truncations(&self) -> u64 {
        self.truncations
    }
}

/// Size of a log up to which a start may read all headers for the leader epochs: less than a ms. One more file for each of 1,000 logs,
/// in their first checkpoint, was 50 ms of processor, and a second where as many files had just been deleted (ext4 passes over inodes that
/// were in use in the last five seconds one by one).
const EPOCHS_READ_BYTES: u64 = if cfg!(feature = "planted-bugs") {
    2 << 10 // the simulation has small logs
} else {
    1 << 20
};

/// Whether a start finds a log's epochs without a file of them for the price of a few headers.
pub(crate) fn may_epochs_wait(epochs: &EpochCache, log_bytes: u64, has_file: bool) -> bool {
    !has_file && epochs.entries().len() <= 1 && log_bytes < EPOCHS_READ_BYTES
}
