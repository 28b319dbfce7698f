//! A partition that replay appends to: bytes behind the last segment's end, nothing else. Indexes, producers and epochs are
//! found by the log when it opens.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reactor::{File, OpenMode, disk};

use super::error::JournalError;
use super::format::Entry;
use super::owner::Owner;
use super::replay::{PartitionKey, Replayed};
use crate::batch::BatchHeader;
use crate::directory::stray_dir;
use crate::log::epoch_cache::EpochCache;
use crate::log::file_name::{FileKind, FileName, LEADER_EPOCH_CHECKPOINT, PARTITION_METADATA, Suffix};
use crate::log::flush::write_epochs;
use crate::log::partition_metadata;
use crate::log::producer_recovery;
use crate::log::recovery::{self, RecoveryRules};
use crate::types::{Offset, Timestamp};

/// Entries are gathered to writes of this; thousands of partitions may be targets at once.
const BUFFER_BYTES: usize = 16 << 10;
/// Size at which replay begins another segment; what the topic says is not known here, and this is what Kafka says.
const SEGMENT_BYTES: u64 = 1 << 30;

pub(super) struct Target {
    dir: PathBuf,
    partition: Arc<str>,
    end_offset: Offset,
    /// Base offset of the last segment and its size with `buffer`; `None` before there is one.
    segment: Option<(Offset, u64)>,
    buffer: Vec<u8>,
    epochs: EpochCache,
    are_epochs_stale: bool,
}

impl Target {
    /// Opens a partition's directory and cuts off what is not whole; makes it if power took it.
    pub(super) fn open(log_dir: &Path, key: PartitionKey, owner: &Owner) -> Result<Target, JournalError> {
        let (topic_id, index) = key;
        let partition: Arc<str> = Arc::from(format!("{}-{index}", owner.topic));
        let dir = log_dir.join(&*partition);
        let failed = |operation| {
            let dir = dir.clone();
            move |source| JournalError::io(&dir, operation, source)
        };
        let found = disk::read(&dir.join(PARTITION_METADATA))
            .ok()
            .and_then(|bytes| partition_metadata::parse(&bytes).ok());
        if found.is_some_and(|found| found != topic_id) {
            // Of a topic deleted since, whose directory power brought back.
            disk::rename(&dir, &stray_dir(&dir)).map_err(failed("put aside"))?;
        }
        if found != Some(topic_id) {
            disk::create_dir_all(&dir).map_err(failed("create directory"))?;
            let metadata = partition_metadata::encode(topic_id);
            disk::write_atomic(&dir.join(PARTITION_METADATA), metadata.as_bytes())
                .map_err(failed("write partition.metadata"))?;
            disk::sync_dir(log_dir).map_err(failed("sync data directory"))?;
        }
        let rules = RecoveryRules {
            index_interval_bytes: 4096,
            is_compacted: owner.is_compacted,
            producer_id_expiration_ms: i64::MAX,
            now: Timestamp(reactor::wall_ms()),
        };
        let found = recovery::find_end(&dir, &partition, owner.state, rules)?;
        producer_recovery::forget_unsynced(&dir, &owner.state)
            .map_err(failed("remove producer snapshots"))?;
        Ok(Target {
            dir,
            partition,
            end_offset: found.end_offset,
            segment: found.last,
            buffer: Vec::new(),
            epochs: found.epochs,
            are_epochs_stale: found.are_epochs_stale,
        })
    }

    pub(super) fn append(&mut self, entry: &Entry<'_>, replayed: &mut Replayed) -> Result<(), JournalError> {
        let Some(header) = BatchHeader::peek(entry.body) else {
            return Ok(()); // the frame's checksum agrees, so nobody ever wrote this
        };
        let (base_offset, next_offset) = (header.base_offset(), header.next_offset());
        let end_before = Offset(base_offset.0.saturating_sub(i64::from(entry.header.gap)));
        if self.segment.is_none() {
            self.end_offset = end_before;
            self.begin_segment(end_before)?;
        }
        if next_offset <= self.end_offset {
            return Ok(());
        }
        let is_of_earlier_epoch = self
            .epochs
            .latest()
            .is_some_and(|latest| header.leader_epoch() < latest.epoch && latest.start_offset <= base_offset);
        if end_before > self.end_offset || base_offset < self.end_offset || is_of_earlier_epoch {
            // Behind one that went past the journal and was not synced, nothing was acknowledged. What is of an earlier epoch than
            // the log's end was cut off.
            replayed.batches_without_place += 1;
            tracing::debug!(partition = %self.partition, end = %self.end_offset, base = %base_offset, next = %next_offset,
                "a batch of the journal has no place behind the end of the log");
            return Ok(());
        }
        let (base, size) = self.segment.unwrap_or((self.end_offset, 0));
        let is_full = size + entry.body.len() as u64 > SEGMENT_BYTES && size > 0
            || next_offset.0 - base.0 > i64::from(i32::MAX);
        if is_full {
            self.flush()?;
            self.begin_segment(base_offset)?;
        }
        self.buffer.extend_from_slice(entry.body);
        if let Some((_, size)) = &mut self.segment {
            *size += entry.body.len() as u64;
        }
        self.end_offset = next_offset;
        if self
            .epochs
            .latest()
            .is_none_or(|latest| header.leader_epoch() > latest.epoch)
        {
            self.are_epochs_stale |= self.epochs.assign(header.leader_epoch(), base_offset);
        }
        replayed.batches_appended += 1;
        replayed.bytes_appended += entry.body.len() as u64;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Everything is written, not synced; the end of the log. The log opens from there and does not see the epochs of what lies
    /// before: they are written here.
    pub(super) fn finish(mut self) -> Result<Offset, JournalError> {
        self.flush()?;
        if self.are_epochs_stale {
            write_epochs(&self.dir.join(LEADER_EPOCH_CHECKPOINT), &self.epochs.encode())
                .map_err(|source| JournalError::io(&self.dir, "write leader epochs", source))?;
        }
        Ok(self.end_offset)
    }

    fn begin_segment(&mut self, base_offset: Offset) -> Result<(), JournalError> {
        File::open(&self.log_path(base_offset), OpenMode::Create)
            .and_then(|file| file.set_len(0))
            .map_err(|source| JournalError::io(&self.dir, "create segment", source))?;
        self.segment = Some((base_offset, 0));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        let Some((base_offset, size)) = self.segment else {
            return Ok(());
        };
        if self.buffer.is_empty() {
            return Ok(());
        }
        let position = size - self.buffer.len() as u64;
        File::open(&self.log_path(base_offset), OpenMode::ReadWrite)
            .and_then(|file| file.write_all_at(&self.buffer, position))
            .map_err(|source| JournalError::io(&self.dir, "write segment", source))?;
        self.buffer.clear();
        Ok(())
    }

    fn log_path(&self, base_offset: Offset) -> PathBuf {
        FileName::new(base_offset, FileKind::Log, Suffix::Live).in_dir(&self.dir)
    }
}
