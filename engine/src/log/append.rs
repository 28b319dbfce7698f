//! Appending: the ordered part of a produce request.
//!
//! Cost of a batch: one hash lookup if a producer wrote it, one copy into the journal's group, a share in a later write to the
//! segment, and every `index.interval.bytes` two pushes to a vector. Without a journal a `pwrite` of the bytes it came
//! in. No sync; see [`super::commit`].

use std::io;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::config::Durability;
use super::fault::{DiskFault, is_shortage};
use super::producer_state::{self, ProducerError, Verdict};
use super::state::State;
use super::transaction_index::{self, AbortedTransaction};
use crate::batch::{
    Batch, BatchInfo, EndTransactionMarker, Origin, TimestampType, assign, set_log_append_time,
    set_max_timestamp,
};
use crate::journal::Journal;
use crate::journal::format::{EntryHeader, EntryKind};
use crate::planted::{self, Bug};
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// What the log cannot see in the batch.
#[derive(Copy, Clone, Debug)]
pub struct AppendContext {
    /// The epoch this broker leads the partition in; under `Origin::Replication` the batch's own is kept.
    pub leader_epoch: LeaderEpoch,
    pub origin: Origin,
    pub now: Timestamp,
}

/// Where the batch is now.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// `NONE` unless the topic has `message.timestamp.type=LogAppendTime`.
    pub log_append_time: Timestamp,
    pub log_start_offset: Offset,
    /// It was there already; the offsets are those of the first time.
    pub duplicate: bool,
}

impl Appended {
    /// What to [`super::Log::commit`] before the producer may be answered. Right for duplicates as well: the first
    /// copy may not be on the disk yet.
    pub fn commit_offset(&self) -> Offset {
        if self.duplicate && planted::is(Bug::DuplicateNotCommitted) {
            return Offset::ZERO;
        }
        self.last_offset.next()
    }
}

/// Why a batch was not appended. The log is as it was before, except after `Offline`.
#[derive(Clone, Debug, Error)]
pub enum AppendError {
    #[error(transparent)]
    Offline(#[from] DiskFault),
    #[error("{partition} at offset {offset}: {source}")]
    Producer {
        partition: std::sync::Arc<str>,
        offset: Offset,
        source: ProducerError,
    },
    #[error("{partition}: batch of {size_bytes} bytes, a segment holds {segment_bytes}")]
    LargerThanSegment {
        partition: std::sync::Arc<str>,
        size_bytes: u64,
        segment_bytes: u64,
    },
    #[error("{partition}: batch has base offset {found}, expected at least {expected}")]
    UnexpectedOffset {
        partition: std::sync::Arc<str>,
        expected: Offset,
        found: Offset,
    },
    #[error("{partition} at offset {offset}: leader epoch {found}, the log has {expected}")]
    StaleEpoch {
        partition: std::sync::Arc<str>,
        offset: Offset,
        expected: LeaderEpoch,
        found: LeaderEpoch,
    },
    /// Retriable: reads and deletes go on, and so do appends once there is room.
    #[error("{partition} at offset {offset}: no space left for {size_bytes} bytes")]
    DiskFull {
        partition: std::sync::Arc<str>,
        offset: Offset,
        size_bytes: u64,
    },
}

/// Unwritten bytes of one log that are worth a write at once. A write of 256 KiB costs a third less per byte than four of 64.
const WRITE_BEHIND_BYTES: u64 = 256 << 10;
/// First allocation ahead, and the least a segment must hold before there is one: idle partitions reserve nothing.
const ALLOCATE_MIN_BYTES: u64 = 1 << 20;
/// Greatest allocation ahead: 23 us on ext4.
const ALLOCATE_MAX_BYTES: u64 = 64 << 20;
/// What producers leave of a disk to the broker itself. A guess: some thousand checkpoints and metadata changes.
const ROOM_KEPT_BYTES: u64 = 16 << 20;
/// How much a log grows between two looks at the disk's free space (2 us each); while it is short, every batch looks.
const ROOM_CHECK_BYTES: u64 = 256 << 10;
/// Nothing is reserved unless this many such reservations fit on the disk. A guess.
const ROOM_FACTOR: u64 = 16;

impl State {
    pub(crate) fn append(
        &mut self,
        batch: BytesMut,
        info: &BatchInfo,
        context: &AppendContext,
    ) -> Result<Appended, AppendError> {
        let mut buffer = batch;
        let batch = &mut buffer[..];
        self.check_online()?;
        let size_bytes = batch.len() as u64;
        debug_assert_eq!(
            info.size_bytes as u64, size_bytes,
            "the batch that was validated is the one appended"
        );
        let (base_offset, leader_epoch) = self.place(batch, context)?;
        let last_offset = base_offset.saturating_add(info.last_offset_delta.into());
        let log_append_time = match (context.origin, self.config.message_timestamp_type) {
            (Origin::Replication, _) | (_, TimestampType::CreateTime) => Timestamp::NONE,
            (_, TimestampType::LogAppendTime) => context.now,
        };
        if let Some(duplicate) = self.check_producer(info, context.origin, base_offset)? {
            let log_append_time = if log_append_time.is_some() {
                duplicate.timestamp
            } else {
                Timestamp::NONE
            };
            return Ok(Appended {
                base_offset: duplicate.first_offset(),
                last_offset: duplicate.last_offset,
                log_append_time,
                log_start_offset: self.log_start,
                duplicate: true,
            });
        }
        // What the leader took, its followers take, even if segments have been made smaller since.
        if size_bytes > u64::from(self.config.segment_bytes) && context.origin != Origin::Replication {
            return Err(AppendError::LargerThanSegment {
                partition: self.partition.clone(),
                size_bytes,
                segment_bytes: self.config.segment_bytes.into(),
            });
        }

        // Everything that can be refused has been; from here on the batch is ours to change.
        let mut max_timestamp = info.max_timestamp;
        if context.origin != Origin::Replication {
            if log_append_time.is_some() {
                set_log_append_time(batch, log_append_time);
                max_timestamp = log_append_time;
            } else if info.max_timestamp_lies {
                set_max_timestamp(batch, info.max_timestamp);
            }
            assign(batch, base_offset, leader_epoch);
        }
        if context.origin == Origin::Client {
            self.check_room(size_bytes)?;
        }
        self.roll_for(base_offset, last_offset, max_timestamp, size_bytes, context.now)
            .map_err(|error| self.append_failed("create segment", error, size_bytes))?;
        let marker = self.marker_of(batch, info);
        let aborted = self.aborted_by(batch, info, last_offset);
        // The entry first: a marker without one would show readers what was aborted. One without its marker is taken back, or dropped
        // by the next start.
        if let Some(aborted) = &aborted {
            self.note_aborted(aborted)
                .map_err(|error| self.append_failed("write transaction index", error, size_bytes))?;
        }
        let gap = base_offset.0 - self.end_offset.0;
        let position = self.active.segment.size_bytes;
        let stored = self.store(buffer.freeze(), base_offset, last_offset.next(), gap);
        if stored.is_err()
            && aborted.is_some()
            && let Err(error) = self.take_back_aborted()
        {
            return Err(self.fail("take back from transaction index", error).into());
        }
        let sequence = stored?;
        self.active.segment.size_bytes += size_bytes;
        self.active.index.push(
            self.config.index_interval_bytes,
            position,
            size_bytes,
            last_offset,
            max_timestamp,
        );
        self.end_offset = last_offset.next();
        if !planted::is(Bug::EpochsNotFollowed) && self.epochs.assign(leader_epoch, base_offset) {
            self.flush.epochs_changed();
        }
        self.record_producer(marker, info, base_offset, last_offset, max_timestamp, context.now);
        self.flush.note_append(context.now);
        match sequence {
            Some(sequence) => self.is_newly_dirty |= self.flush.note_journaled(sequence),
            None => self.flush.note_unjournaled(self.end_offset),
        }
        if self.is_content_with_page_cache() {
            self.flush.note_committed(self.end_offset);
        }
        Ok(Appended {
            base_offset,
            last_offset,
            log_append_time,
            log_start_offset: self.log_start,
            duplicate: false,
        })
    }

    /// Base offset and epoch the batch gets, or brings along when another broker led.
    fn place(&self, batch: &[u8], context: &AppendContext) -> Result<(Offset, LeaderEpoch), AppendError> {
        let (base_offset, leader_epoch) = match (context.origin, Batch::only(batch)) {
            (Origin::Replication, Ok(batch)) => (batch.base_offset(), batch.leader_epoch()),
            _ => (self.end_offset, context.leader_epoch),
        };
        if base_offset < self.end_offset {
            return Err(AppendError::UnexpectedOffset {
                partition: self.partition.clone(),
                expected: self.end_offset,
                found: base_offset,
            });
        }
        match self.latest_epoch() {
            Some(expected) if leader_epoch.is_some() && leader_epoch < expected => {
                Err(AppendError::StaleEpoch {
                    partition: self.partition.clone(),
                    offset: base_offset,
                    expected,
                    found: leader_epoch,
                })
            }
            _ => Ok((base_offset, leader_epoch)),
        }
    }

    fn check_producer(
        &self,
        info: &BatchInfo,
        origin: Origin,
        offset: Offset,
    ) -> Result<Option<producer_state::WrittenBatch>, AppendError> {
        let Some(producer) = &info.producer else {
            return Ok(None);
        };
        match self
            .producers
            .check(producer, info.is_transactional, info.is_control, origin)
        {
            Ok(Verdict::Append) => Ok(None),
            Ok(Verdict::Duplicate(batch)) => Ok(Some(batch)),
            Err(source) => Err(AppendError::Producer {
                partition: self.partition.clone(),
                offset,
                source,
            }),
        }
    }

    /// Coordinator epoch of the marker in a control batch.
    fn marker_of(&self, batch: &[u8], info: &BatchInfo) -> Option<Option<i32>> {
        info.is_control.then(|| {
            Batch::only(batch)
                .ok()
                .and_then(|batch| coordinator_epoch(&batch))
        })
    }

    /// The transaction that a batch aborts, if it does.
    fn aborted_by(&self, batch: &[u8], info: &BatchInfo, last_offset: Offset) -> Option<AbortedTransaction> {
        let producer = info.producer.filter(|_| info.is_control)?;
        let aborted = self.producers.aborted_by(producer.id, last_offset)?;
        transaction_index::is_abort(batch).then_some(aborted)
    }

    fn record_producer(
        &mut self,
        marker: Option<Option<i32>>,
        info: &BatchInfo,
        base_offset: Offset,
        last_offset: Offset,
        max_timestamp: Timestamp,
        now: Timestamp,
    ) {
        if let Some(producer) = info.producer {
            self.producers.record(&producer_state::Appended {
                producer,
                base_offset,
                last_offset,
                max_timestamp,
                now,
                is_transactional: info.is_transactional,
                marker,
            });
        }
        self.producers.advance_to(last_offset.next());
    }

    /// Refuses a producer's batch before the disk is full to the last block: the metadata log, group offsets, checkpoints and
    /// deletes need some to go on, and a file system may need some to use what was reserved.
    fn check_room(&mut self, size_bytes: u64) -> Result<(), AppendError> {
        let position = self.active.segment.size_bytes;
        let is_due = position / ROOM_CHECK_BYTES != (position + size_bytes) / ROOM_CHECK_BYTES;
        if !is_due && !self.is_short_of_room {
            return Ok(());
        }
        // A disk that does not say how full it is will say so when it is written to.
        let free = reactor::disk::space(&self.dir).map_or(u64::MAX, |space| space.free);
        self.is_short_of_room = free < size_bytes.saturating_add(ROOM_KEPT_BYTES);
        if self.is_short_of_room {
            return Err(self.disk_full(size_bytes));
        }
        Ok(())
    }

    /// Puts the bytes at the end of the log: into the journal, the segment following behind, or at once into the segment. The
    /// sequence of the journal's write, if it is in the journal. On failure the log ends where it did.
    fn store(
        &mut self,
        batch: Bytes,
        base_offset: Offset,
        next_offset: Offset,
        gap: i64,
    ) -> Result<Option<u64>, AppendError> {
        let Some((journal, header)) = self.journal_entry(&batch, base_offset, gap) else {
            self.settle()
                .map_err(|error| self.append_failed("write segment", error, batch.len() as u64))?;
            self.write_through(&batch)?;
            self.keep_written(batch, base_offset, next_offset);
            return Ok(None);
        };
        let size_bytes = batch.len() as u64;
        let sequence = journal.push(&header, &batch);
        journal.account_unwritten(size_bytes, 0);
        let is_over_budget = journal.is_over_budget();
        self.active
            .tail
            .push(base_offset, next_offset, self.active.segment.size_bytes, batch);
        if self.active.tail.unwritten_bytes() >= WRITE_BEHIND_BYTES || is_over_budget {
            match self.settle() {
                Ok(()) => self.active.tail.shrink_to(journal.kept_bytes()),
                // The journal has it; producers are refused from now on until there is room.
                Err(error) if is_shortage(&error) => self.is_short_of_room = true,
                Err(error) => return Err(self.fail("write segment", error).into()),
            }
        }
        self.is_newly_unsettled |= !std::mem::replace(&mut self.active.tail.is_queued, true);
        Ok(Some(sequence))
    }

    /// The file has the batch; hot readers are answered from memory all the same, as long as somebody comes by to let go of it.
    fn keep_written(&mut self, batch: Bytes, base_offset: Offset, next_offset: Offset) {
        let size_bytes = batch.len() as u64;
        let position = self.active.segment.size_bytes;
        let Some(port) = &self.journal else {
            self.active.tail.restart(position + size_bytes);
            return;
        };
        port.journal.account_direct(size_bytes);
        let tail = &mut self.active.tail;
        tail.push(base_offset, next_offset, position, batch);
        tail.note_written(size_bytes);
        tail.shrink_to(port.journal.kept_bytes());
        self.is_newly_unsettled |= !std::mem::replace(&mut tail.is_queued, true);
    }

    /// The journal and the entry a batch goes under; `None` where it goes to its segment at once: no journal, a topic that does not want
    /// it, or a batch too large.
    fn journal_entry(&self, batch: &[u8], base_offset: Offset, gap: i64) -> Option<(Journal, EntryHeader)> {
        let port = self.journal.as_ref()?;
        // Where a sync is under way that is not for a gap, a checkpoint's, another would have to wait for its end. Once there is a gap every
        // acknowledgement waits for the segment, and what is large goes there; what is small goes through the journal all the same, so that
        // the gap closes with the next sync.
        let is_behind = self.flush.has_gap() || port.journal.is_behind() && !self.flush.is_running();
        let is_wanted = self.config.durability == Durability::Journal;
        if !is_wanted || !port.journal.takes(batch.len(), is_behind) {
            return None;
        }
        let header = EntryHeader {
            kind: EntryKind::Batch,
            partition: port.partition,
            topic_id: port.topic_id,
            offset: base_offset.0,
            body_bytes: u32::try_from(batch.len()).ok()?,
            gap: u32::try_from(gap).ok()?,
        };
        Some((port.journal.clone(), header))
    }

    /// Writes behind the end of the file, which has everything before. On failure the file ends where it did.
    fn write_through(&mut self, batch: &[u8]) -> Result<(), AppendError> {
        let size_bytes = batch.len() as u64;
        let position = self.active.segment.size_bytes;
        let file = match self.active.segment.file(&self.dir) {
            Ok(file) => file,
            Err(error) => return Err(self.append_failed("open segment", error, size_bytes)),
        };
        if position + size_bytes > self.active.allocated_bytes {
            self.allocate_ahead(&file, position + size_bytes);
        }
        let Err(error) = file.write_all_at(batch, position) else {
            return Ok(());
        };
        // Half a batch behind the end would be taken for damage at the next start.
        if let Err(error) = file.set_len(position) {
            return Err(self.fail("truncate after a failed write", error).into());
        }
        self.active.allocated_bytes = position;
        Err(self.append_failed("write", error, size_bytes))
    }

    /// A full disk is a refusal; anything else takes the log offline.
    fn append_failed(&mut self, operation: &'static str, error: io::Error, size_bytes: u64) -> AppendError {
        if is_shortage(&error) {
            self.disk_full(size_bytes)
        } else {
            self.fail(operation, error).into()
        }
    }

    fn disk_full(&self, size_bytes: u64) -> AppendError {
        AppendError::DiskFull {
            partition: self.partition.clone(),
            offset: self.end_offset,
            size_bytes,
        }
    }

    /// Reserves blocks in steps that double with the segment: writes to reserved blocks cost a third less.
    pub(super) fn allocate_ahead(&mut self, file: &reactor::File, needed: u64) {
        let size_bytes = self.active.segment.size_bytes;
        if size_bytes < ALLOCATE_MIN_BYTES {
            return;
        }
        let ahead = size_bytes.clamp(ALLOCATE_MIN_BYTES, ALLOCATE_MAX_BYTES);
        let target = (needed + ahead).min(u64::from(self.config.segment_bytes).max(needed));
        let from = self.active.allocated_bytes.max(size_bytes);
        // On a nearly full disk one log's blocks in store are another log's refused appends.
        let is_roomy = reactor::disk::space(&self.dir)
            .is_ok_and(|space| space.free / ROOM_FACTOR > target.saturating_sub(from));
        // Best effort: without the blocks the write itself finds out whether there is room.
        if is_roomy && target > from && file.allocate(from, target - from).is_ok() {
            self.active.allocated_bytes = target;
        } else {
            self.active.allocated_bytes = needed.max(from);
        }
    }
}

/// Coordinator epoch of a transaction marker; `None` when the batch is no readable marker.
pub(crate) fn coordinator_epoch(batch: &Batch<'_>) -> Option<i32> {
    /// A marker is 6 bytes of value in one record.
    const MARKER_BYTES_MAX: usize = 4096;
    let records = batch.records(MARKER_BYTES_MAX).ok()?;
    let record = records.iter().next()?.ok()?;
    EndTransactionMarker::parse(record.value?)
        .ok()
        .map(|marker| marker.coordinator_epoch)
}
