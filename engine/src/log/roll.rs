//! Closing the active segment and opening the next.

use std::io;

use reactor::{File, OpenMode};

use super::config::LogConfig;
use super::file_name::{FileKind, FileName, Suffix};
use super::flush_state::ClosedSync;
use super::offset_index::relative;
use super::producer_snapshot;
use super::segment::{Segment, write_whole};
use super::segment_index::SegmentIndex;
use super::state::{ActiveSegment, State};
use super::tail_cache::TailCache;
use crate::planted::{self, Bug};
use crate::types::{Offset, Timestamp};

impl State {
    /// Makes room for a batch: rolls when the active segment is full, too old, out of index entries, or too far from
    /// its base offset.
    pub(crate) fn roll_for(
        &mut self,
        base_offset: Offset,
        last_offset: Offset,
        max_timestamp: Timestamp,
        batch_bytes: u64,
        now: Timestamp,
    ) -> io::Result<()> {
        let segment = &self.active.segment;
        let is_full = segment.size_bytes + batch_bytes > u64::from(self.config.segment_bytes)
            // positions in the index are 31 bits
            || segment.size_bytes + batch_bytes > i32::MAX as u64
            || self.active.index.is_full(&self.config)
            || relative(segment.base_offset, last_offset).is_none();
        let is_old = segment.size_bytes > 0 && self.waited_ms(max_timestamp, now) > self.roll_after_ms();
        if is_full || is_old {
            // At the end of the log, though the batch may lie further on (replicated from a compacted log): a start takes a
            // segment that begins behind the end of the one before for what power left of a longer log.
            let end_offset = self.end_offset;
            let is_within_reach = relative(end_offset, last_offset).is_some();
            self.roll_at(if is_within_reach { end_offset } else { base_offset }, now)
        } else {
            Ok(())
        }
    }

    /// Rolls a segment that was created longer ago than `segment.ms`. By the clock, not by timestamps: old records that
    /// are written now must not get a segment each.
    pub(crate) fn roll_if_due(&mut self, now: Timestamp) -> io::Result<bool> {
        let age_ms = now.0.saturating_sub(self.active.created.0);
        if self.active.segment.size_bytes == 0 || age_ms <= self.roll_after_ms() {
            return Ok(false);
        }
        self.roll_at(self.end_offset, now)?;
        Ok(true)
    }

    fn roll_after_ms(&self) -> i64 {
        self.config.roll_after_ms().saturating_sub(self.active.jitter_ms)
    }

    /// Age of the active segment as a new record sees it: by timestamps if its first batch has one, else by the clock.
    fn waited_ms(&self, max_timestamp: Timestamp, now: Timestamp) -> i64 {
        match self.active.index.first_timestamp {
            Some(first) if first.is_some() => max_timestamp.0.saturating_sub(first.0),
            _ => now.0.saturating_sub(self.active.created.0),
        }
    }

    /// Closes the active segment and goes on in a new one that begins at `base_offset`.
    pub(crate) fn roll_at(&mut self, base_offset: Offset, now: Timestamp) -> io::Result<()> {
        debug_assert!(base_offset >= self.end_offset);
        if self.active.segment.base_offset == base_offset {
            return Ok(()); // empty: it is the new segment already
        }
        self.settle()?;
        // The new file first: if there is no room for it, nothing has happened.
        let id = self.new_segment_id();
        let segment = create_segment(&self.dir, id, base_offset)?;
        if let Err(error) = self.close_active() {
            // Appends may go on in the old segment, beyond this one's base offset. A start that found it there would take it
            // for a hole, and cut off all that comes behind.
            let _ = reactor::disk::remove_file(&segment.path(&self.dir, FileKind::Log));
            return Err(error);
        }
        let active = ActiveSegment {
            segment,
            index: SegmentIndex::new(base_offset),
            created: now,
            allocated_bytes: 0,
            jitter_ms: jitter_ms(&self.config),
            tail: TailCache::new(0),
            saved_index: (0, 0),
            aided_bytes: 0,
            handed_to_disk: 0,
        };
        let closed = std::mem::replace(&mut self.active, active);
        // Whoever was to settle the old tail comes and finds the new one.
        self.active.tail.is_queued = closed.tail.is_queued;
        if self.config.preallocate {
            self.preallocate();
        }
        self.closed.insert(closed.segment.base_offset, closed.segment);
        self.producers.advance_to(base_offset);
        let _slower_start = self.take_snapshot(base_offset);
        if !planted::is(Bug::DirectoryNotSyncedAfterRoll) {
            self.flush.directory_changed();
        }
        Ok(())
    }

    /// Writes what is derived from the active segment and hands the files to the next sync. Derived files are written
    /// as well as can be: one that is missing is rebuilt.
    fn close_active(&mut self) -> io::Result<()> {
        let dir = self.dir.clone();
        let active = &mut self.active;
        let file = active.segment.file(&dir)?;
        if active.allocated_bytes > active.segment.size_bytes {
            file.set_len(active.segment.size_bytes)?; // gives blocks back that were reserved ahead
        }
        active.index.finish();
        let mut derived = Vec::new();
        match active.segment.write_index(&dir, &active.index) {
            Ok(()) => {
                derived.push(active.segment.path(&dir, FileKind::OffsetIndex));
                derived.push(active.segment.path(&dir, FileKind::TimeIndex));
            }
            Err(error) => {
                tracing::warn!(partition = %self.partition, %error, "index not written, to be rebuilt");
                // half an index that looks whole must not stay
                for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
                    let _ = reactor::disk::remove_file(&active.segment.path(&dir, kind));
                }
            }
        }
        self.flush.segment_closed(ClosedSync { log: file, derived });
        Ok(())
    }

    /// Writes producer state as of `offset`. A start that recovers can do without, only slower; one after a clean stop reads no
    /// headers and believes what it finds.
    pub(crate) fn take_snapshot(&mut self, offset: Offset) -> io::Result<()> {
        // One that a checkpoint left is not synced for itself: written again, and synced with the rest.
        if self.snapshots.contains(&offset) && !self.aid_snapshots.contains(&offset) {
            return Ok(());
        }
        self.producers
            .expire(State::now(), self.config.producer_id_expiration_ms);
        let path = FileName::new(offset, FileKind::ProducerSnapshot, Suffix::Live).in_dir(&self.dir);
        let bytes = if planted::is(Bug::ProducersLostOnRoll) {
            producer_snapshot::encode(&Default::default())
        } else {
            producer_snapshot::encode(&self.producers)
        };
        match write_whole(&path, &bytes) {
            Ok(_) => {
                self.snapshots.insert(offset);
                self.flush.derived_written(path);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(partition = %self.partition, %error, "producer snapshot not written");
                let _ = reactor::disk::remove_file(&path);
                Err(error)
            }
        }
    }

    pub(crate) fn preallocate(&mut self) {
        let bytes = u64::from(self.config.segment_bytes);
        if let Ok(file) = self.active.segment.file(&self.dir)
            && file.allocate(0, bytes).is_ok()
        {
            self.active.allocated_bytes = bytes;
        }
    }
}

/// A new, empty segment with its file open.
pub(crate) fn create_segment(dir: &std::path::Path, id: u64, base_offset: Offset) -> io::Result<Segment> {
    let segment = Segment::new(id, base_offset, 0);
    let file = File::open(&segment.path(dir, FileKind::Log), OpenMode::Create)?;
    file.advise_random();
    // A file that is there already is a leftover of a roll that failed half way; it holds nothing.
    file.set_len(0)?;
    Ok(segment.with_file(file))
}

/// A random part of `segment.jitter.ms`, which counts as `segment.ms` at most: else segments would be closed at once.
pub(crate) fn jitter_ms(config: &LogConfig) -> i64 {
    match u64::try_from(config.segment_jitter_ms.min(config.segment_ms)) {
        Ok(max_ms) if max_ms > 0 => (reactor::random_u64() % max_ms) as i64,
        _ => 0,
    }
}
