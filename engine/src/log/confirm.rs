//! Index entries that were read from a file are asked of the log before they are believed.
//!
//! Neither Kafka's index files nor the checkpoints beside them have a checksum. A flipped bit, an index of another segment or
//! the half of one would otherwise hide records (offsets), or let consumers by time skip them and retention take them too
//! early (timestamps).

use std::io;
use std::path::Path;

use super::offset_index::IndexEntry;
use super::reach::{Absent, Reach};
use super::segment::Segment;
use super::state::State;
use super::time_index::TimeEntry;
use super::window::ScanError;
use crate::types::Timestamp;

impl State {
    /// Where to begin a search in the active segment by an entry of its index; its begin, which is always right, if there is
    /// no such batch. Entries behind what the file has were made by this process and are not asked.
    pub(crate) fn active_floor(&mut self, entry: Option<IndexEntry>, reach: Reach) -> io::Result<u64> {
        let Some(entry) = entry else { return Ok(0) };
        let position = u64::from(entry.position);
        if position >= self.active.tail.written() {
            return Ok(position);
        }
        match self.active.segment.confirm(&self.dir, Some(entry), reach) {
            Err(error) if Absent::of(&error).is_none() => {
                tracing::warn!(partition = %self.partition, position, %error, "an index entry is wrong");
                Ok(0)
            }
            confirmed => confirmed,
        }
    }

    /// The same by an entry of its time index: the relative offset to begin at.
    pub(crate) fn active_time_floor(&mut self, entry: Option<TimeEntry>) -> Result<Option<u32>, ScanError> {
        let Some(entry) = entry else { return Ok(None) };
        let base_offset = self.active.segment.base_offset;
        let offset = base_offset.saturating_add(entry.relative_offset.into());
        let unwritten = self.active.tail.first_unwritten_offset();
        if unwritten.is_some_and(|unwritten| offset >= unwritten) {
            return Ok(Some(entry.relative_offset));
        }
        let Some(place) = self.locate_in(base_offset, offset, Reach::Disk)? else {
            return Ok(None);
        };
        let end = self.active.tail.written();
        let mut is_confirmed = false;
        self.active
            .segment
            .find_from(&self.dir, place.position, end, Reach::Disk, |batch| {
                is_confirmed =
                    batch.header.base_offset() <= offset && batch.header.max_timestamp() == entry.timestamp;
                true
            })?;
        Ok(is_confirmed.then_some(entry.relative_offset))
    }
}

impl Segment {
    /// Whether the batch that has the entry's offset has its timestamp as well.
    pub(crate) fn confirms_time(
        &mut self,
        dir: &Path,
        interval_bytes: u32,
        entry: TimeEntry,
    ) -> Result<bool, ScanError> {
        let offset = self.base_offset.saturating_add(entry.relative_offset.into());
        let found = self.find(dir, interval_bytes, offset, Reach::Disk)?;
        Ok(found.is_some_and(|batch| {
            batch.header.base_offset() <= offset && batch.header.max_timestamp() == entry.timestamp
        }))
    }

    /// The same for the last entry of a closed segment, which must not be older than the last batches either: an index that
    /// lost its end is whole by itself.
    pub(crate) fn confirms_largest(
        &mut self,
        dir: &Path,
        interval_bytes: u32,
        entry: TimeEntry,
    ) -> Result<bool, ScanError> {
        if !self.confirms_time(dir, interval_bytes, entry)? {
            return Ok(false);
        }
        let position = self.floor_by_position(dir, interval_bytes, u64::MAX, Reach::Disk)?;
        let mut youngest = Timestamp::NONE;
        self.find_from(dir, position, self.size_bytes, Reach::Disk, |batch| {
            youngest = youngest.max(batch.header.max_timestamp());
            false
        })?;
        Ok(youngest <= entry.timestamp)
    }
}
