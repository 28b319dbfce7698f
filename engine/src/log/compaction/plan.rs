//! Whether there is something to compact, and what.

use std::io;
use std::sync::Arc;

use super::cleaner::Cleaner;
use super::filter::{Filter, LastRecord};
use super::{CompactError, Source};
use crate::log::file_name::FileKind;
use crate::log::state::State;
use crate::log::transaction_index;
use crate::log::window::{SCAN_BYTES, ScanError, Window};
use crate::planted::{self, Bug};
use crate::types::{Offset, Timestamp};

/// What there is to compact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) first_dirty: Offset,
    /// Base offset of the first segment that is left alone.
    pub(super) uncleanable: Offset,
}

impl State {
    pub(super) fn plan_compaction(&mut self, now: Timestamp) -> Result<Option<Plan>, ScanError> {
        if !self.config.cleanup_policy.compact {
            return Ok(None);
        }
        let first_dirty = self
            .cleaned_to
            .filter(|cleaned| *cleaned >= self.log_start && *cleaned <= self.end_offset)
            .unwrap_or(self.log_start);
        let uncleanable = self.first_uncleanable(first_dirty, now)?;
        let (mut clean_bytes, mut dirty_bytes) = (0, 0);
        let mut first_dirty_segment = None;
        for source in self.sources(uncleanable) {
            if source.end <= first_dirty {
                clean_bytes += source.size_bytes;
            } else {
                dirty_bytes += source.size_bytes;
                first_dirty_segment.get_or_insert(source.base_offset);
            }
        }
        let Some(first_dirty_segment) = first_dirty_segment.filter(|_| dirty_bytes > 0) else {
            return Ok(None);
        };
        let ratio = dirty_bytes as f64 / (clean_bytes + dirty_bytes) as f64;
        let is_due =
            ratio > self.config.min_cleanable_dirty_ratio || self.is_overdue(first_dirty_segment, now)?;
        Ok(is_due.then_some(Plan {
            first_dirty,
            uncleanable,
        }))
    }

    /// Where compaction must stop: at the active segment, at the first record that may still be aborted or lost, at the first
    /// segment that is too young, and at the first with bytes that cannot be read.
    fn first_uncleanable(&mut self, first_dirty: Offset, now: Timestamp) -> Result<Offset, ScanError> {
        let decided = if planted::is(Bug::UndecidedCompacted) {
            self.high_watermark
        } else {
            self.last_stable_offset()
        };
        let synced = self.flush.recovery_point().min(decided);
        let undecided = self.first_of_undecided(synced)?.unwrap_or(synced);
        let mut uncleanable = self
            .floor_segment(synced.min(undecided))
            .min(self.active.segment.base_offset);
        let damaged = self.quarantines.first_key_value().map(|(base, _)| *base);
        for stop in [damaged, self.compaction_stop].into_iter().flatten() {
            uncleanable = uncleanable.min(stop);
        }
        let lag_ms = self.config.min_compaction_lag_ms;
        if lag_ms > 0 {
            for source in self.sources(uncleanable) {
                if source.end > first_dirty
                    && self.youngest(source.base_offset)?.0 > now.0.saturating_sub(lag_ms)
                {
                    uncleanable = source.base_offset;
                    break;
                }
            }
            self.limit_open_files();
        }
        Ok(uncleanable)
    }

    /// Where the first transaction begins whose abort marker is not below `synced`. Were the marker lost, its coordinator would
    /// write it again; but until then the records must be there, since readers were told of them.
    fn first_of_undecided(&self, synced: Offset) -> io::Result<Option<Offset>> {
        let mut first = None;
        for (_, path) in self.transaction_files(synced) {
            for entry in transaction_index::load(&path)? {
                if entry.last_offset >= synced {
                    first = Some(first.map_or(entry.first_offset, |first| entry.first_offset.min(first)));
                }
            }
        }
        Ok(first)
    }

    /// Whether a dirty record is older than `max.compaction.lag.ms`, by the first batch of each dirty segment.
    fn is_overdue(&mut self, first_dirty_segment: Offset, now: Timestamp) -> Result<bool, ScanError> {
        let max_lag_ms = self.config.max_compaction_lag_ms;
        if max_lag_ms == i64::MAX {
            return Ok(false);
        }
        let dirty: Vec<Offset> = self
            .closed
            .range(first_dirty_segment..)
            .map(|(base, _)| *base)
            .collect();
        let mut is_overdue = false;
        for base_offset in dirty {
            if let Some(segment) = self.closed.get_mut(&base_offset) {
                let file = segment.file(&self.dir)?;
                let first = Window::new(&file, segment.size_bytes, SCAN_BYTES).header(0)?;
                let timestamp = first.map_or(Timestamp::NONE, |batch| batch.header.max_timestamp());
                is_overdue = timestamp.0 > 0 && now.0.saturating_sub(timestamp.0) > max_lag_ms;
            }
            if is_overdue {
                break;
            }
        }
        self.limit_open_files();
        Ok(is_overdue)
    }

    /// Closed segments before `uncleanable`.
    pub(super) fn sources(&self, uncleanable: Offset) -> Vec<Source> {
        let sources = self
            .closed
            .range(..uncleanable)
            .map(|(base_offset, segment)| Source {
                partition: self.partition.clone(),
                id: segment.id,
                base_offset: *base_offset,
                end: self.end_of_closed(*base_offset),
                size_bytes: segment.size_bytes,
                path: segment.path(&self.dir, FileKind::Log),
            });
        sources.collect()
    }

    pub(super) fn cleaner(&self, now: Timestamp) -> Cleaner {
        let last_records = self.producers.iter().map(|(id, entry)| {
            let last = match entry.last_batch() {
                Some(batch) => LastRecord::Data(batch.last_offset),
                None => LastRecord::Marker(entry.epoch),
            };
            (id, last)
        });
        Cleaner {
            dir: self.dir.clone(),
            index_interval_bytes: self.config.index_interval_bytes,
            map_bytes: self.config.cleaner_dedupe_buffer_bytes,
            map_load_factor: self.config.cleaner_load_factor,
            filter: Filter {
                now,
                delete_retention_ms: self.config.delete_retention_ms,
                last_records: Arc::new(last_records.collect()),
            },
            transaction_files: self.transaction_files_by_segment(),
            hash_keys: std::array::from_fn(|_| reactor::random_u64()),
        }
    }

    pub(super) fn compact_error(&self, segment: Offset, error: ScanError) -> CompactError {
        CompactError::Io {
            partition: self.partition.clone(),
            segment,
            source: Arc::new(error.into_io()),
        }
    }
}
