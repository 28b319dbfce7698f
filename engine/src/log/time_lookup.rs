//! From timestamps to offsets (ListOffsets).
//!
//! Rare, and not cheap: time index, offset index, headers, then the records of one batch, decompressed if need be.

use super::file_name::FileKind;
use super::reach::Reach;
use super::read::ReadError;
use super::segment::read_batch;
use super::segment_index::LargestTimestamp;
use super::state::State;
use super::time_index;
use super::window::{BatchAt, SCAN_BYTES, ScanError, Window};
use crate::batch::{Batch, MAX_DECOMPRESSED_BYTES, Record};
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// A record by time: its timestamp, its offset and the epoch it was written in.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    pub timestamp: Timestamp,
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
}

impl State {
    /// The first record at or behind log start that is not older than `timestamp`.
    pub(crate) fn offset_for_timestamp(
        &mut self,
        timestamp: Timestamp,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        self.check_online()?;
        let found = self.settled().and_then(|()| self.find_timestamp(timestamp));
        self.limit_open_files();
        found.map_err(|error| self.read_error(self.log_start, error))
    }

    /// The first record with the greatest timestamp in the log.
    pub(crate) fn offset_of_max_timestamp(&mut self) -> Result<Option<TimestampOffset>, ReadError> {
        self.check_online()?;
        let found = self.settled().and_then(|()| self.find_max_timestamp());
        self.limit_open_files();
        found.map_err(|error| self.read_error(self.log_start, error))
    }

    /// The search goes through the files.
    fn settled(&mut self) -> Result<(), ScanError> {
        Ok(self.settle()?)
    }

    /// The greatest timestamp of a segment.
    pub(crate) fn largest_of(&mut self, base_offset: Offset) -> Result<Option<LargestTimestamp>, ScanError> {
        if base_offset == self.active.segment.base_offset {
            return Ok(Some(self.active.index.largest()));
        }
        let interval_bytes = self.config.index_interval_bytes;
        match self.closed.get_mut(&base_offset) {
            Some(segment) => segment.largest(&self.dir, interval_bytes).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn base_offsets(&self) -> Vec<Offset> {
        self.closed
            .keys()
            .copied()
            .chain([self.active.segment.base_offset])
            .collect()
    }

    fn find_timestamp(&mut self, timestamp: Timestamp) -> Result<Option<TimestampOffset>, ScanError> {
        for base_offset in self.base_offsets() {
            let Some(largest) = self.largest_of(base_offset)? else {
                continue;
            };
            if largest.timestamp < timestamp {
                continue;
            }
            let found = self.find_timestamp_in(base_offset, timestamp)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn find_timestamp_in(
        &mut self,
        base_offset: Offset,
        timestamp: Timestamp,
    ) -> Result<Option<TimestampOffset>, ScanError> {
        let log_start = self.log_start;
        let entry = self.floor_by_time(base_offset, timestamp)?;
        let from = base_offset
            .saturating_add(entry.unwrap_or(0).into())
            .max(log_start);
        let wanted = |batch: &BatchAt| {
            batch.header.max_timestamp() >= timestamp && batch.header.last_offset() >= log_start
        };
        self.find_record(base_offset, from, wanted, |record| {
            record.timestamp >= timestamp && record.offset >= log_start
        })
    }

    fn find_max_timestamp(&mut self) -> Result<Option<TimestampOffset>, ScanError> {
        let mut greatest: Option<(Offset, LargestTimestamp)> = None;
        for base_offset in self.base_offsets() {
            if let Some(largest) = self.largest_of(base_offset)?
                && largest.timestamp.is_some()
                && greatest.is_none_or(|(_, greatest)| largest.timestamp > greatest.timestamp)
            {
                greatest = Some((base_offset, largest));
            }
        }
        let Some((base_offset, LargestTimestamp { timestamp, offset })) = greatest else {
            return Ok(None);
        };
        self.find_record(
            base_offset,
            offset,
            |batch| batch.header.max_timestamp() == timestamp,
            |record| record.timestamp == timestamp,
        )
    }

    /// Relative offset up to which no record of the segment is younger than `timestamp`.
    fn floor_by_time(&mut self, base_offset: Offset, timestamp: Timestamp) -> Result<Option<u32>, ScanError> {
        // An entry for the very timestamp may lie behind earlier records that have it.
        let before = Timestamp(timestamp.0.saturating_sub(1));
        let interval_bytes = self.config.index_interval_bytes;
        if base_offset == self.active.segment.base_offset {
            let entry = self.active.index.times.floor(before);
            return self.active_time_floor(entry);
        }
        let Some(segment) = self.closed.get_mut(&base_offset) else {
            return Ok(None);
        };
        let entry =
            time_index::load(&segment.path(&self.dir, FileKind::TimeIndex)).map(|times| times.floor(before));
        let is_confirmed = match entry {
            Ok(Some(entry)) => segment.confirms_time(&self.dir, interval_bytes, entry)?,
            Ok(None) => true,
            Err(_) => false,
        };
        let entry = match entry {
            Ok(entry) if is_confirmed => entry,
            _ => segment.rebuild(&self.dir, interval_bytes)?.times.floor(before),
        };
        Ok(entry.map(|entry| entry.relative_offset))
    }

    /// The first wanted record of the first wanted batch that has one, from the batch that holds `from` on.
    fn find_record(
        &mut self,
        base_offset: Offset,
        from: Offset,
        wanted_batch: impl Fn(&BatchAt) -> bool,
        wanted_record: impl Fn(&Record<'_>) -> bool,
    ) -> Result<Option<TimestampOffset>, ScanError> {
        let quarantine = self.quarantines.get(&base_offset).cloned();
        let place = match quarantine {
            Some(_) => None,
            None => match self.locate_in(base_offset, from, Reach::Disk)? {
                Some(place) => Some(place.position),
                None => return Ok(None),
            },
        };
        let Some((segment, dir)) = self.segment_mut(base_offset) else {
            return Ok(None);
        };
        let file = segment.file(dir)?;
        let size_bytes = segment.size_bytes;
        // Beside damage the walk is within what is good.
        let stretches = match quarantine {
            Some(quarantine) => quarantine.stretches(size_bytes),
            None => std::iter::once(place.unwrap_or(0)..size_bytes).collect(),
        };
        for stretch in stretches {
            let mut window = Window::new(&file, stretch.end, SCAN_BYTES);
            let mut position = stretch.start;
            while let Some(found) = window.find(position, &wanted_batch)? {
                let bytes = read_batch(&file, &found)?;
                let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
                let batch = Batch::only(&bytes).map_err(invalid)?;
                let records = batch.records(MAX_DECOMPRESSED_BYTES).map_err(invalid)?;
                for record in &records {
                    let record = record.map_err(invalid)?;
                    if wanted_record(&record) {
                        return Ok(Some(TimestampOffset {
                            timestamp: record.timestamp,
                            offset: record.offset,
                            leader_epoch: batch.leader_epoch(),
                        }));
                    }
                }
                position = found.end();
            }
        }
        Ok(None)
    }
}
