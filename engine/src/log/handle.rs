//! The handle to one partition's log.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use reactor::sync::Notify;
use uuid::Uuid;

use super::append::{AppendContext, AppendError, Appended};
use super::config::LogConfig;
use super::fault::{DiskFault, is_shortage};
use super::file_name::{FileKind, FileName, Suffix};
use super::reach::Reach;
use super::read::{ReadError, ReadSlice, Span};
use super::retention::Retained;
use super::state::State;
use super::time_lookup::TimestampOffset;
use super::trash;
use crate::batch::{self, BatchError, BatchInfo, InnerCheck, Limits, Origin, TimestampRule};
use crate::planted::{self, Bug};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// One partition's log. Cheap to clone; all clones are the same log. Belongs to one shard: not `Send`.
///
/// Contract with the shard:
/// - call [`Log::append`] in the order records shall have, then await [`Log::commit`] before answering;
/// - after a commit call [`Log::set_high_watermark`]; nothing moves it by itself;
/// - call [`Log::maintain`] now and then (every second or so), [`Log::apply_retention`] and [`Log::compact`] more seldom;
/// - before the process ends call [`Log::close`]: then the next start reads nothing.
#[derive(Clone)]
pub struct Log {
    pub(crate) inner: Rc<Inner>,
}

pub(crate) struct Inner {
    /// Never borrowed across an await.
    pub(crate) state: RefCell<State>,
    /// Told after every sync, good or bad.
    pub(crate) synced: Notify,
}

/// A row of DescribeProducers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ProducerInfo {
    pub producer_id: ProducerId,
    pub epoch: ProducerEpoch,
    pub last_sequence: Sequence,
    pub last_timestamp: Timestamp,
    pub coordinator_epoch: i32,
    pub current_transaction_start: Option<Offset>,
}

/// What a leader has accepted is checked for being whole, not judged again: the topic's limits may have changed since.
const REPLICATED: Limits = Limits {
    max_batch_bytes: usize::MAX,
    max_decompressed_bytes: batch::MAX_DECOMPRESSED_BYTES,
    max_records: i32::MAX,
    require_keys: false,
    timestamp: TimestampRule::ANY,
    origin: Origin::Replication,
    inner: InnerCheck::HeaderOnly,
};

/// Why a follower did not append what its leader sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FollowerAppendError {
    /// It was damaged on its way, or on the leader's disk.
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Why records cannot be deleted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeleteRecordsError {
    #[error(transparent)]
    Offline(#[from] DiskFault),
    #[error("{partition}: records below {found} cannot be deleted, the high watermark is {high_watermark}")]
    AboveHighWatermark {
        partition: Arc<str>,
        high_watermark: Offset,
        found: Offset,
    },
}

impl Log {
    pub(crate) fn from_state(state: State) -> Log {
        Log {
            inner: Rc::new(Inner {
                state: RefCell::new(state),
                synced: Notify::new(),
            }),
        }
    }

    /// Appends one validated batch at the end and returns its place. Synchronous: the order of calls is the order of
    /// records. The bytes are patched in place (offset, epoch, and what `message.timestamp.type` asks for).
    ///
    /// Not durable yet; see [`Log::commit`].
    pub fn append(
        &self,
        batch: BytesMut,
        info: &BatchInfo,
        context: &AppendContext,
    ) -> Result<Appended, AppendError> {
        let (appended, is_flush_due) = {
            let mut state = self.inner.state.borrow_mut();
            let appended = state.append(batch, info, context)?;
            self.tell_journal(&mut state);
            let unsynced = state.end_offset.0 - state.flush.recovery_point().0;
            (appended, unsynced >= state.config.flush_messages)
        };
        if is_flush_due {
            self.request_flush();
        }
        Ok(appended)
    }

    /// Appends one batch exactly as the leader has it: its offsets, epoch and bytes. Behind the end of the log there may be a gap,
    /// where compaction took what the leader had.
    pub fn append_as_follower(
        &self,
        batch: BytesMut,
        now: Timestamp,
    ) -> Result<Appended, FollowerAppendError> {
        let mut info = batch::validate(&batch, &REPLICATED)?;
        if planted::is(Bug::ProducersNotFollowed) {
            info.producer = None;
        }
        let context = AppendContext {
            leader_epoch: LeaderEpoch::NONE,
            origin: Origin::Replication,
            now,
        };
        Ok(self.append(batch, &info, &context)?)
    }

    /// The journal comes by for logs with something to sync or to write.
    fn tell_journal(&self, state: &mut State) {
        let Some(port) = &state.journal else { return };
        if std::mem::take(&mut state.is_newly_dirty) {
            port.journal.note_dirty(Rc::downgrade(&self.inner));
        }
        if std::mem::take(&mut state.is_newly_unsettled) {
            port.journal.note_unsettled(Rc::downgrade(&self.inner));
        }
    }

    /// Whole batches from the one that holds `from` on: at most `max_bytes`, below `below` (the high watermark, or the last
    /// stable offset), of one segment. `at_least_one`: the first batch comes even if it alone is larger.
    pub fn read(
        &self,
        from: Offset,
        max_bytes: u32,
        below: Offset,
        at_least_one: bool,
    ) -> Result<ReadSlice, ReadError> {
        self.read_within(Reach::Disk, from, max_bytes, below, at_least_one)
    }

    /// The same for a thread that should not wait for the disk.
    ///
    /// # Errors
    /// [`ReadError::Absent`] where a header or an index entry on the way is not within reach: fetch it, then read again.
    pub fn read_within(
        &self,
        reach: Reach,
        from: Offset,
        max_bytes: u32,
        below: Offset,
        at_least_one: bool,
    ) -> Result<ReadSlice, ReadError> {
        let mut state = self.inner.state.borrow_mut();
        let span = Span {
            from,
            max_bytes,
            below,
            at_least_one,
        };
        state.read(span, reach)
    }

    /// The first record not older than `timestamp`, from log start on.
    pub fn offset_for_timestamp(&self, timestamp: Timestamp) -> Result<Option<TimestampOffset>, ReadError> {
        self.inner.state.borrow_mut().offset_for_timestamp(timestamp)
    }

    /// The first record with the greatest timestamp.
    pub fn offset_of_max_timestamp(&self) -> Result<Option<TimestampOffset>, ReadError> {
        self.inner.state.borrow_mut().offset_of_max_timestamp()
    }

    /// Kafka's OffsetForLeaderEpoch: the greatest epoch at or below `epoch`, and where it ends. `None`: never heard of.
    pub fn offset_for_leader_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.inner.state.borrow();
        state.epochs.end_offset_of(epoch, state.end_offset)
    }

    /// The epoch the record at an offset was written in.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.inner.state.borrow().epochs.epoch_of(offset)
    }

    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.inner.state.borrow().latest_epoch()
    }

    /// The first offset written in the latest epoch; `None` of a log that knows no epoch.
    pub fn latest_epoch_start(&self) -> Option<Offset> {
        let state = self.inner.state.borrow();
        state.epochs.latest().map(|entry| entry.start_offset)
    }

    /// This broker leads in `epoch` from the end of the log on; nothing happens if the log knows that epoch or a later one. Written
    /// with the next commit.
    pub fn begin_epoch(&self, epoch: LeaderEpoch) {
        let mut state = self.inner.state.borrow_mut();
        if state.latest_epoch().is_some_and(|latest| latest >= epoch) {
            return;
        }
        let end_offset = state.end_offset;
        if state.epochs.assign(epoch, end_offset) {
            state.flush.epochs_changed();
        }
    }

    pub fn start_offset(&self) -> Offset {
        self.inner.state.borrow().log_start
    }

    /// Offset the next record gets.
    pub fn end_offset(&self) -> Offset {
        self.inner.state.borrow().end_offset
    }

    /// Everything below is as durable as the topic asks for, and may be acknowledged and read.
    pub fn committed_offset(&self) -> Offset {
        self.inner.state.borrow().flush.committed()
    }

    /// Everything below is in segment files that are on stable storage: where a start begins to check.
    pub fn recovery_point(&self) -> Offset {
        self.inner.state.borrow().flush.recovery_point()
    }

    pub fn high_watermark(&self) -> Offset {
        self.inner.state.borrow().high_watermark
    }

    /// End of what transactional readers may see: the first open transaction, or the high watermark.
    pub fn last_stable_offset(&self) -> Offset {
        self.inner.state.borrow().last_stable_offset()
    }

    /// Everything below compaction has been over, for the `cleaner-offset-checkpoint`.
    pub fn cleaned_offset(&self) -> Option<Offset> {
        self.inner.state.borrow().cleaned_to
    }

    /// Moves the high watermark.
    ///
    /// # Panics
    /// When it would leave the log: that is a bug of the caller, and records would be shown that may vanish.
    pub fn set_high_watermark(&self, high_watermark: Offset) {
        let mut state = self.inner.state.borrow_mut();
        state.high_watermark = high_watermark;
        state.assert_invariants();
    }

    /// Makes `offset` the start of the log (DeleteRecords). Files go with the next [`Log::apply_retention`]; the new start
    /// outlives a crash once the `log-start-offset-checkpoint` is written.
    pub fn delete_records_before(&self, offset: Offset) -> Result<Offset, DeleteRecordsError> {
        let mut state = self.inner.state.borrow_mut();
        state.check_online()?;
        if offset > state.high_watermark {
            return Err(DeleteRecordsError::AboveHighWatermark {
                partition: state.partition.clone(),
                high_watermark: state.high_watermark,
                found: offset,
            });
        }
        state.advance_log_start(offset);
        Ok(state.log_start)
    }

    /// Removes segments that are before log start, too much or too old. Call again soon when `is_pending`.
    pub fn apply_retention(&self, now: Timestamp) -> Result<Retained, ReadError> {
        let (retained, paths, delay_ms) = {
            let mut state = self.inner.state.borrow_mut();
            state.check_online()?;
            let log_start = state.log_start;
            let (retained, removed) = state
                .retain(now)
                .map_err(|error| state.read_error(log_start, error))?;
            let mut paths = Vec::new();
            for segment in &removed {
                match trash::discard(&state.dir, segment) {
                    Ok(discarded) => paths.extend(discarded),
                    Err(error) => return Err(state.fail("rename deleted segment", error).into()),
                }
                paths.extend(state.discard_snapshot(segment.base_offset));
            }
            (retained, paths, state.config.file_delete_delay_ms)
        };
        trash::unlink_later(paths, delay_ms);
        if retained.is_pending {
            self.request_flush();
        }
        Ok(retained)
    }

    /// When time alone gives [`Log::apply_retention`] something to remove; `None`: never.
    pub fn next_expiry(&self) -> Result<Option<Timestamp>, ReadError> {
        let mut state = self.inner.state.borrow_mut();
        let log_start = state.log_start;
        state
            .next_expiry()
            .map_err(|error| state.read_error(log_start, error))
    }

    /// Closes the active segment if it is older than `segment.ms`; whether it was.
    pub fn roll_if_due(&self, now: Timestamp) -> Result<bool, DiskFault> {
        let mut state = self.inner.state.borrow_mut();
        state.check_online()?;
        match state.roll_if_due(now) {
            Ok(is_rolled) => Ok(is_rolled),
            // The old segment goes on; it is tried again with the next look.
            Err(error) if is_shortage(&error) => Ok(false),
            Err(error) => Err(state.fail("roll", error)),
        }
    }

    /// Closes the active segment, if there is anything in it.
    pub fn roll(&self, now: Timestamp) -> Result<(), DiskFault> {
        let mut state = self.inner.state.borrow_mut();
        state.check_online()?;
        let end_offset = state.end_offset;
        state
            .roll_at(end_offset, now)
            .map_err(|error| state.fail("roll", error))
    }

    /// What time alone makes due: roll, sync by `flush.ms`, forgetting idle producers, closing idle files.
    pub fn maintain(&self, now: Timestamp) -> Result<(), DiskFault> {
        self.roll_if_due(now)?;
        self.flush_if_due(now);
        let mut state = self.inner.state.borrow_mut();
        let expiration_ms = state.config.producer_id_expiration_ms;
        state.producers.expire(now, expiration_ms);
        state.close_idle_files(reactor::now());
        Ok(())
    }

    pub fn producers(&self) -> Vec<ProducerInfo> {
        let state = self.inner.state.borrow();
        let rows = state.producers.iter().map(|(producer_id, entry)| ProducerInfo {
            producer_id,
            epoch: entry.epoch,
            last_sequence: entry.last_sequence(),
            last_timestamp: entry.last_timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            current_transaction_start: entry.current_transaction_start,
        });
        rows.collect()
    }

    pub fn size_bytes(&self) -> u64 {
        self.inner.state.borrow().size_bytes()
    }

    pub fn segment_count(&self) -> usize {
        self.inner.state.borrow().closed.len() + 1
    }

    /// Files this log holds open: the active segment's, and those of old segments somebody reads.
    pub fn open_file_count(&self) -> usize {
        let state = self.inner.state.borrow();
        state
            .closed
            .values()
            .chain([&state.active.segment])
            .filter(|segment| segment.is_open())
            .count()
    }

    pub fn config(&self) -> Rc<LogConfig> {
        self.inner.state.borrow().config.clone()
    }

    /// Goes by new rules from the next append on.
    pub fn set_config(&self, config: Rc<LogConfig>) {
        self.inner.state.borrow_mut().config = config;
    }

    /// The topic id of `partition.metadata`, if the directory has one.
    pub fn topic_id(&self) -> Option<Uuid> {
        self.inner.state.borrow().topic_id
    }

    /// `topic-partition`.
    pub fn partition(&self) -> Arc<str> {
        self.inner.state.borrow().partition.clone()
    }

    pub fn dir(&self) -> PathBuf {
        self.inner.state.borrow().dir.clone()
    }

    /// Why the log is offline, if it is.
    pub fn fault(&self) -> Option<DiskFault> {
        self.inner.state.borrow().fault.clone()
    }
}

impl State {
    /// Takes the snapshot of a removed segment out of use.
    pub(crate) fn discard_snapshot(&mut self, offset: Offset) -> Option<PathBuf> {
        // The newest is what the next start begins with.
        if self.snapshots.last() == Some(&offset) || !self.snapshots.remove(&offset) {
            return None;
        }
        let path = FileName::new(offset, FileKind::ProducerSnapshot, Suffix::Live).in_dir(&self.dir);
        let gone = FileName::new(offset, FileKind::ProducerSnapshot, Suffix::Deleted).in_dir(&self.dir);
        reactor::disk::rename(&path, &gone).ok().map(|()| gone)
    }
}
