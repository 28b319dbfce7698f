//! Both indexes of one segment, as they grow with it.

use super::config::LogConfig;
use super::offset_index::{self, IndexEntry, OffsetIndex, relative};
use super::time_index::{self, TimeEntry, TimeIndex};
use super::window::BatchAt;
use crate::types::{Offset, Timestamp};

/// The greatest timestamp of a segment and the last offset of the first batch that has it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct LargestTimestamp {
    pub(crate) timestamp: Timestamp,
    pub(crate) offset: Offset,
}

/// Indexes in memory, with what is needed to go on: the same code serves append, recovery and compaction, so that a
/// rebuilt index is the one that was lost.
#[derive(Clone, Debug)]
pub(crate) struct SegmentIndex {
    base_offset: Offset,
    pub(crate) offsets: OffsetIndex,
    pub(crate) times: TimeIndex,
    bytes_since_entry: u64,
    largest: LargestTimestamp,
    /// Timestamp of the first batch: the segment's age counts from it.
    pub(crate) first_timestamp: Option<Timestamp>,
}

impl SegmentIndex {
    pub(crate) fn new(base_offset: Offset) -> Self {
        SegmentIndex {
            base_offset,
            offsets: OffsetIndex::default(),
            times: TimeIndex::default(),
            bytes_since_entry: 0,
            largest: LargestTimestamp {
                timestamp: Timestamp::NONE,
                offset: base_offset,
            },
            first_timestamp: None,
        }
    }

    /// Goes on with indexes read from their files. The batches behind the last offset entry must be given again through
    /// [`SegmentIndex::resume`].
    pub(crate) fn from_files(base_offset: Offset, offsets: OffsetIndex, times: TimeIndex) -> Self {
        let mut index = SegmentIndex::new(base_offset);
        if let Some(last) = times.last() {
            index.largest = LargestTimestamp {
                timestamp: last.timestamp,
                offset: base_offset.saturating_add(last.relative_offset.into()),
            };
        }
        index.offsets = offsets;
        index.times = times;
        index
    }

    /// Notes a batch at the end of the segment. Its last offset is within reach of the base offset.
    pub(crate) fn push(
        &mut self,
        interval_bytes: u32,
        position: u64,
        size_bytes: u64,
        last_offset: Offset,
        max_timestamp: Timestamp,
    ) {
        self.first_timestamp.get_or_insert(max_timestamp);
        self.note_timestamp(last_offset, max_timestamp);
        if self.bytes_since_entry > u64::from(interval_bytes) {
            let relative_offset = relative(self.base_offset, last_offset);
            // Offsets that fall are damage, which is no entry's business.
            if let (Some(relative_offset), Ok(position)) = (relative_offset, u32::try_from(position))
                && self
                    .offsets
                    .last()
                    .is_none_or(|last| last.relative_offset < relative_offset)
            {
                self.offsets.push(IndexEntry {
                    relative_offset,
                    position,
                });
                self.push_largest();
            }
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += size_bytes;
    }

    pub(crate) fn push_batch(&mut self, interval_bytes: u32, batch: &BatchAt) {
        let header = &batch.header;
        self.push(
            interval_bytes,
            batch.position,
            batch.size_bytes,
            header.last_offset(),
            header.max_timestamp(),
        );
    }

    /// Notes a batch that lies behind the last entry of an index read from its file.
    pub(crate) fn resume(&mut self, batch: &BatchAt) {
        self.note_timestamp(batch.header.last_offset(), batch.header.max_timestamp());
        self.bytes_since_entry += batch.size_bytes;
    }

    fn note_timestamp(&mut self, last_offset: Offset, max_timestamp: Timestamp) {
        if max_timestamp > self.largest.timestamp {
            self.largest = LargestTimestamp {
                timestamp: max_timestamp,
                offset: last_offset,
            };
        }
    }

    fn push_largest(&mut self) {
        if let Some(relative_offset) = relative(self.base_offset, self.largest.offset) {
            self.times.push_if_greater(TimeEntry {
                timestamp: self.largest.timestamp,
                relative_offset,
            });
        }
    }

    /// The segment takes no more batches: its greatest timestamp becomes the last time entry.
    pub(crate) fn finish(&mut self) {
        self.push_largest();
    }

    pub(crate) fn largest(&self) -> LargestTimestamp {
        self.largest
    }

    /// Whether another entry would not fit. The time index keeps one entry free for [`SegmentIndex::finish`].
    pub(crate) fn is_full(&self, config: &LogConfig) -> bool {
        let bytes = config.segment_index_bytes as usize;
        self.offsets.len() >= bytes / offset_index::ENTRY_BYTES
            || self.times.len() + 1 >= bytes / time_index::ENTRY_BYTES
    }
}
