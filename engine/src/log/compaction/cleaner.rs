//! The heavy part of a compaction, on a helper thread: reading keys, rewriting segments.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::HashMap;
use reactor::{File, OpenMode, disk};

use super::offset_map::OffsetMap;
use super::{CompactError, Source};
use crate::batch::{Batch, BatchBuilder, BatchError, MAX_DECOMPRESSED_BYTES, Record, TimestampType};
use crate::log::file_name::{FileKind, FileName, Suffix};
use crate::log::offset_index::relative;
use crate::log::segment::{read_batch, write_whole};
use crate::log::segment_index::{LargestTimestamp, SegmentIndex};
use crate::log::window::{BULK_BYTES, SCAN_BYTES, ScanError, Window};
use crate::planted::{self, Bug};
use crate::types::{Offset, ProducerEpoch, ProducerId, Timestamp};

/// What must stay of a producer.
#[derive(Copy, Clone, Debug)]
pub(super) enum LastRecord {
    /// The batch that ends at this offset: it holds the last sequence.
    Data(Offset),
    /// Only a marker is known: it holds the last epoch.
    Marker(ProducerEpoch),
}

/// Segments that become one.
#[derive(Clone, Debug)]
pub(super) struct CleanGroup {
    pub(super) sources: Vec<Source>,
}

/// The segment they became: complete, synced, named `.swap`.
#[derive(Debug)]
pub(super) struct Cleaned {
    pub(super) base_offset: Offset,
    pub(super) size_bytes: u64,
    pub(super) largest: LargestTimestamp,
    pub(super) file: File,
}

/// Joins neighbours as long as the result cannot outgrow a segment; only those that begin before the round's end.
pub(super) fn group(sources: &[Source], round_end: Offset, segment_bytes: u64) -> Vec<CleanGroup> {
    let mut groups: Vec<CleanGroup> = Vec::new();
    let mut group_bytes = 0;
    for source in sources.iter().filter(|source| source.base_offset < round_end) {
        let joins = groups
            .last()
            .and_then(|group| group.sources.first())
            .is_some_and(|first| {
                group_bytes + source.size_bytes <= segment_bytes
                    && relative(first.base_offset, source.end).is_some()
            });
        match groups.last_mut() {
            Some(group) if joins => {
                group_bytes += source.size_bytes;
                group.sources.push(source.clone());
            }
            _ => {
                group_bytes = source.size_bytes;
                groups.push(CleanGroup {
                    sources: vec![source.clone()],
                });
            }
        }
    }
    groups
}

/// All a helper thread needs to know of the log.
#[derive(Clone, Debug)]
pub(super) struct Cleaner {
    pub(super) dir: PathBuf,
    pub(super) partition: Arc<str>,
    pub(super) index_interval_bytes: u32,
    pub(super) map_bytes: usize,
    pub(super) delete_retention_ms: i64,
    pub(super) now: Timestamp,
    pub(super) last_records: Arc<HashMap<ProducerId, LastRecord>>,
    pub(super) hash_keys: [u64; 4],
}

/// What becomes of a batch.
enum Verdict {
    AsItIs,
    Rewritten(Vec<u8>),
    Dropped,
}

impl Cleaner {
    /// Reads the keys from `first_dirty` on until the sources or the memory end.
    pub(super) fn map(&self, sources: &[Source], first_dirty: Offset) -> Result<OffsetMap, CompactError> {
        let mut map = OffsetMap::new(self.map_bytes, self.hash_keys, first_dirty);
        for source in sources.iter().filter(|source| source.end > first_dirty) {
            let mut is_full = false;
            self.walk(source, |batch, _| {
                if batch.last_offset() < first_dirty {
                    return Ok(Walk::On);
                }
                if !map.has_room(usize::try_from(batch.record_count()).unwrap_or(0)) {
                    is_full = true;
                    return Ok(Walk::Stop);
                }
                if !batch.attributes().is_control() {
                    for record in &batch.records(MAX_DECOMPRESSED_BYTES)? {
                        let record = record?;
                        if let Some(key) = record.key.filter(|_| record.offset >= first_dirty) {
                            map.put(key, record.offset);
                        }
                    }
                }
                map.advance_to(batch.next_offset());
                Ok(Walk::On)
            })?;
            if is_full {
                break;
            }
            map.advance_to(source.end);
        }
        Ok(map)
    }

    /// Writes a group's segment; `None` when it would be the one there is.
    pub(super) fn clean(&self, group: &CleanGroup, map: &OffsetMap) -> Result<Option<Cleaned>, CompactError> {
        let (Some(first), Some(last)) = (group.sources.first(), group.sources.last()) else {
            return Ok(None);
        };
        let path = |kind, suffix| FileName::new(first.base_offset, kind, suffix).in_dir(&self.dir);
        let log = path(FileKind::Log, Suffix::Cleaned);
        let file = File::open(&log, OpenMode::Create).map_err(|error| self.io(error))?;
        file.set_len(0).map_err(|error| self.io(error))?;
        let mut output = Output {
            file: file.clone(),
            index: SegmentIndex::new(first.base_offset),
            interval_bytes: self.index_interval_bytes,
            pending: Vec::new(),
            size_bytes: 0,
        };
        let mut is_changed = group.sources.len() > 1;
        for source in &group.sources {
            let is_last_source = source.id == last.id;
            self.walk(source, |batch, end| {
                let is_last_batch = is_last_source && end == source.size_bytes;
                match self.judge(batch, map, is_last_batch)? {
                    Verdict::AsItIs => output.push(batch.bytes())?,
                    Verdict::Rewritten(bytes) => {
                        is_changed = true;
                        output.push(&bytes)?;
                    }
                    Verdict::Dropped => is_changed = true,
                }
                Ok(Walk::On)
            })?;
        }
        let finished = if is_changed { output.finish() } else { Ok(()) };
        if !is_changed {
            disk::remove_file(&log).map_err(|error| self.io(error))?;
            return Ok(None);
        }
        finished
            .and_then(|()| {
                for (kind, bytes) in [
                    (FileKind::OffsetIndex, output.index.offsets.encode()),
                    (FileKind::TimeIndex, output.index.times.encode()),
                ] {
                    write_whole(&path(kind, Suffix::Cleaned), &bytes)?.sync_data_blocking()?;
                }
                if !planted::is(Bug::CompactionNotSynced) {
                    output.file.sync_data_blocking()?;
                }
                // The log last: its `.swap` name says that all is there.
                for kind in [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::Log] {
                    disk::rename(&path(kind, Suffix::Cleaned), &path(kind, Suffix::Swap))?;
                }
                disk::sync_dir(&self.dir)
            })
            .map_err(|error| self.io(error))?;
        Ok(Some(Cleaned {
            base_offset: first.base_offset,
            size_bytes: output.size_bytes,
            largest: output.index.largest(),
            file,
        }))
    }

    /// Decides what stays of a batch.
    fn judge(&self, batch: &Batch<'_>, map: &OffsetMap, is_last_batch: bool) -> Result<Verdict, Stop> {
        if batch.attributes().is_control() {
            return Ok(Verdict::AsItIs);
        }
        let records = batch.records(MAX_DECOMPRESSED_BYTES)?;
        let mut kept: Vec<Record<'_>> = Vec::new();
        let mut has_tombstone = false;
        for record in &records {
            let record = record?;
            if self.keeps(batch, &record, map) {
                has_tombstone |= record.value.is_none();
                kept.push(record);
            }
        }
        let needs_horizon = has_tombstone && batch.header().delete_horizon().is_none();
        if kept.len() == usize::try_from(batch.record_count()).unwrap_or(0) && !needs_horizon {
            // also an empty batch that an earlier round kept, as long as there is a reason to
            if !kept.is_empty() || is_last_batch || self.is_last_of_producer(batch) {
                return Ok(Verdict::AsItIs);
            }
        }
        if kept.is_empty() && !is_last_batch && !self.is_last_of_producer(batch) {
            return Ok(Verdict::Dropped);
        }
        rewrite(batch, &kept, needs_horizon.then(|| self.horizon())).map(Verdict::Rewritten)
    }

    fn keeps(&self, batch: &Batch<'_>, record: &Record<'_>, map: &OffsetMap) -> bool {
        if record.offset >= map.end_offset() {
            return true;
        }
        let Some(key) = record.key else {
            return false;
        };
        if map.get(key).is_some_and(|last| last > record.offset) {
            return false;
        }
        let is_past_horizon = batch
            .header()
            .delete_horizon()
            .is_some_and(|horizon| self.now >= horizon);
        record.value.is_some() || !is_past_horizon
    }

    fn horizon(&self) -> Timestamp {
        Timestamp(self.now.0.saturating_add(self.delete_retention_ms))
    }

    fn is_last_of_producer(&self, batch: &Batch<'_>) -> bool {
        let last = batch
            .producer()
            .and_then(|producer| self.last_records.get(&producer.id).copied().zip(Some(producer)));
        match last {
            Some((LastRecord::Data(offset), _)) => batch.last_offset() == offset,
            Some((LastRecord::Marker(epoch), producer)) => {
                batch.attributes().is_control() && producer.epoch == epoch
            }
            None => false,
        }
    }

    /// Gives every batch of a source, whole and with its CRC checked, together with where it ends. A damaged batch must
    /// not get a new CRC.
    fn walk(
        &self,
        source: &Source,
        mut visit: impl FnMut(&Batch<'_>, u64) -> Result<Walk, Stop>,
    ) -> Result<(), CompactError> {
        let file = File::open(&source.path, OpenMode::Read).map_err(|error| self.io(error))?;
        let mut window = Window::new(&file, source.size_bytes, SCAN_BYTES);
        let mut position = 0;
        loop {
            let found = match window.header(position) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(()),
                Err(ScanError::Io(error)) => return Err(self.io(error)),
                Err(ScanError::Damaged(damage)) => {
                    return Err(self.io(io::Error::new(io::ErrorKind::InvalidData, damage)));
                }
            };
            let bytes = read_batch(&file, &found).map_err(|error| self.io(error))?;
            let visited = Batch::only(&bytes)
                .and_then(|batch| batch.verify_crc().map(|()| batch))
                .map_err(Stop::Batch)
                .and_then(|batch| visit(&batch, found.end()));
            match visited {
                Ok(Walk::On) => position = found.end(),
                Ok(Walk::Stop) => return Ok(()),
                Err(Stop::Io(error)) => return Err(self.io(error)),
                Err(Stop::Batch(error)) => {
                    return Err(CompactError::Damaged {
                        partition: self.partition.clone(),
                        segment: source.base_offset,
                        position,
                        source: error,
                    });
                }
            }
        }
    }

    fn io(&self, error: io::Error) -> CompactError {
        CompactError::Io {
            partition: self.partition.clone(),
            source: Arc::new(error),
        }
    }
}

enum Walk {
    On,
    Stop,
}

/// Why a visit failed.
enum Stop {
    Batch(BatchError),
    Io(io::Error),
}

impl From<BatchError> for Stop {
    fn from(error: BatchError) -> Self {
        Stop::Batch(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Io(error)
    }
}

/// The batch with fewer records: same place, same producer, same codec.
fn rewrite(batch: &Batch<'_>, kept: &[Record<'_>], horizon: Option<Timestamp>) -> Result<Vec<u8>, Stop> {
    let header = batch.header();
    let mut builder = BatchBuilder::new(header.base_offset())
        .leader_epoch(header.leader_epoch())
        .compression(batch.codec()?)
        .last_offset(header.last_offset());
    if let Some(producer) = header.producer() {
        builder = builder.producer(producer.id, producer.epoch, producer.base_sequence);
    }
    if header.attributes().is_transactional() {
        builder = builder.transactional();
    }
    if header.attributes().timestamp_type() == TimestampType::LogAppendTime {
        builder = builder.log_append_time(header.max_timestamp());
    } else if kept.is_empty() {
        builder = builder.max_timestamp(header.max_timestamp());
    }
    if let Some(horizon) = horizon.or(header.delete_horizon()).filter(|_| !kept.is_empty()) {
        builder = builder.delete_horizon(horizon);
    }
    for record in kept {
        builder.append_record(record);
    }
    let built = builder.build();
    built
        .map(|bytes| bytes.to_vec())
        .map_err(|error| Stop::Io(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// The segment being written.
struct Output {
    file: File,
    index: SegmentIndex,
    interval_bytes: u32,
    pending: Vec<u8>,
    size_bytes: u64,
}

impl Output {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let batch = Batch::only(bytes)?;
        let position = self.size_bytes;
        let end = position + bytes.len() as u64;
        if end > i32::MAX as u64 {
            return Err(Stop::Io(io::Error::other("a compacted segment outgrew 2 GiB")));
        }
        self.index.push(
            self.interval_bytes,
            position,
            bytes.len() as u64,
            batch.last_offset(),
            batch.max_timestamp(),
        );
        self.pending.extend_from_slice(bytes);
        self.size_bytes = end;
        if self.pending.len() >= BULK_BYTES {
            self.write().map_err(Stop::Io)
        } else {
            Ok(())
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let position = self.size_bytes - self.pending.len() as u64;
        self.file.write_all_at(&self.pending, position)?;
        self.pending.clear();
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.write()?;
        self.index.finish();
        Ok(())
    }
}
