//! The end of the active segment as a clean stop leaves it: index files and the few batches behind their last entry.

use std::io;
use std::path::Path;

use reactor::{File, disk};

use super::damage::{Damage, DamageAt};
use super::file_name::{FileKind, FileName, Suffix};
use super::offset_index::{IndexDamage, OffsetIndex, relative};
use super::segment_index::SegmentIndex;
use super::time_index::{self, TimeEntry, TimeIndex};
use super::window::{ByteSource, SCAN_BYTES, ScanError, Window};
use crate::types::Offset;

/// Reads the active segment's indexes and the few batches behind their last entry.
pub(crate) fn read_tail(
    dir: &Path,
    base_offset: Offset,
    file: &File,
    size_bytes: u64,
) -> Result<(SegmentIndex, Offset), ScanError> {
    let path = |kind| FileName::new(base_offset, kind, Suffix::Live).in_dir(dir);
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let bytes = disk::read(&path(FileKind::OffsetIndex))?;
    let offsets = OffsetIndex::parse(&bytes, size_bytes.max(1)).map_err(invalid)?;
    let times = time_index::load(&path(FileKind::TimeIndex))?;
    let last = offsets.last();
    let last_time = times.last();
    let mut index = SegmentIndex::from_files(base_offset, offsets, times);
    let mut window = Window::new(file, size_bytes, SCAN_BYTES);
    index.first_timestamp = window.header(0)?.map(|batch| batch.header.max_timestamp());
    let mut position = last.map_or(0, |entry| entry.position.into());
    let mut end_offset = base_offset;
    let mut is_first = true;
    while let Some(batch) = window.header(position)? {
        if is_first && let Some(last) = last {
            let expected = base_offset.saturating_add(last.relative_offset.into());
            if batch.header.last_offset() != expected {
                return Err(invalid(IndexDamage::Range { index: 0 }).into());
            }
        }
        if batch.header.base_offset() < end_offset {
            let damage = Damage::OffsetFalls {
                expected: end_offset,
                found: batch.header.base_offset(),
            };
            return Err(DamageAt { position, damage }.into());
        }
        is_first = false;
        index.resume(&batch);
        end_offset = batch.header.next_offset();
        position = batch.end();
    }
    confirm_largest(&mut window, base_offset, &index.offsets, last_time)?;
    Ok((index, end_offset))
}

/// Where in a segment the batch at `point` begins, and the indexes of what lies before, as checkpoints saved them. `None` when
/// the index files do not lead there: then the segment is read from its start.
pub(crate) fn read_until(
    dir: &Path,
    base_offset: Offset,
    file: &File,
    size_bytes: u64,
    point: Offset,
    interval_bytes: u32,
) -> Result<Option<(SegmentIndex, u64)>, ScanError> {
    let path = |kind| FileName::new(base_offset, kind, Suffix::Live).in_dir(dir);
    let Some(point_relative) = relative(base_offset, point) else {
        return Ok(None);
    };
    // Without index files the headers are walked from the segment's start: still less than all of its bytes.
    let read = |kind| disk::read(&path(kind)).unwrap_or_default();
    let mut offsets = OffsetIndex::parse_front(&read(FileKind::OffsetIndex), size_bytes);
    let mut times = TimeIndex::parse_front(&read(FileKind::TimeIndex));
    offsets.truncate(point_relative);
    times.truncate(point_relative);
    let last = offsets.last();
    let last_time = times.last();
    let mut index = SegmentIndex::from_files(base_offset, offsets, times);
    let mut window = Window::new(file, size_bytes, SCAN_BYTES);
    index.first_timestamp = window.header(0)?.map(|batch| batch.header.max_timestamp());
    let mut position = last.map_or(0, |entry| entry.position.into());
    let mut is_first = true;
    loop {
        let Some(batch) = window.header(position)? else {
            return Ok(None);
        };
        if is_first && let Some(last) = last {
            let expected = base_offset.saturating_add(last.relative_offset.into());
            if batch.header.last_offset() != expected {
                return Ok(None);
            }
        }
        let has_entry = is_first && last.is_some();
        is_first = false;
        if batch.header.next_offset() > point {
            return Ok(None); // the point lies within a batch
        }
        if has_entry {
            index.resume(&batch);
        } else {
            index.push_batch(interval_bytes, &batch);
        }
        position = batch.end();
        if batch.header.next_offset() == point {
            confirm_largest(&mut window, base_offset, &index.offsets, last_time)?;
            return Ok(Some((index, position)));
        }
    }
}

/// A batch start at or before the first batch that ends behind `offset`, by the index file if it can be believed.
pub(crate) fn floor_position(
    dir: &Path,
    base_offset: Offset,
    file: &File,
    size_bytes: u64,
    offset: Offset,
) -> u64 {
    let path = FileName::new(base_offset, FileKind::OffsetIndex, Suffix::Live).in_dir(dir);
    let entry = || {
        let index = OffsetIndex::parse_front(&disk::read(&path).ok()?, size_bytes);
        let entry = index.floor(relative(base_offset, offset)?)?;
        let batch = Window::new(file, size_bytes, SCAN_BYTES)
            .header(entry.position.into())
            .ok()??;
        let expected = base_offset.saturating_add(entry.relative_offset.into());
        (batch.header.last_offset() == expected).then_some(u64::from(entry.position))
    };
    entry().unwrap_or(0)
}

/// An index is built anew if the last entry of its time index tells another timestamp than the batch it is about: what is
/// the greatest of the segment goes by it.
fn confirm_largest<S: ByteSource + ?Sized>(
    window: &mut Window<'_, S>,
    base_offset: Offset,
    offsets: &OffsetIndex,
    last: Option<TimeEntry>,
) -> Result<(), ScanError> {
    let Some(last) = last else { return Ok(()) };
    let offset = base_offset.saturating_add(last.relative_offset.into());
    let floor = offsets.floor(last.relative_offset);
    let position = floor.map_or(0, |entry| entry.position.into());
    let found = window.find(position, |batch| batch.header.last_offset() >= offset);
    let agrees = found.is_ok_and(|batch| {
        batch.is_some_and(|batch| {
            batch.header.base_offset() <= offset && batch.header.max_timestamp() == last.timestamp
        })
    });
    if agrees {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, IndexDamage::Range { index: 0 }).into())
    }
}

/// End of a segment whose index was just built, so that the walk is short.
pub(crate) fn last_batch_end(
    file: &File,
    index: &SegmentIndex,
    base_offset: Offset,
    size_bytes: u64,
) -> Result<Offset, ScanError> {
    let mut window = Window::new(file, size_bytes, SCAN_BYTES);
    let mut position = index.offsets.last().map_or(0, |entry| entry.position.into());
    let mut end_offset = base_offset;
    while let Some(batch) = window.header(position)? {
        end_offset = batch.header.next_offset();
        position = batch.end();
    }
    Ok(end_offset)
}
