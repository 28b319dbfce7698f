//! Compaction (`cleanup.policy=compact`): of every key the last record stays.
//!
//! A round reads the keys of the dirty part into a map from key to last offset, then rewrites all segments from the
//! front, group by group, without the records the map knows better of:
//! ```text
//!  log start            cleaned_to                  uncleanable        end
//!     | clean: compacted   | dirty: read into the map   | active, young, unstable |
//!     |<---------- rewritten in this round ------------>|
//! ```
//! When the map's memory does not hold all dirty keys the round stops where it is full, and the next one goes on there.
//!
//! Rules, as Kafka's LogCleaner has them:
//! - offsets never change: a batch keeps base and last offset, whatever records are left in it;
//! - a tombstone (no value) stays readable for `delete.retention.ms` after the first compaction that saw it. That moment is
//!   stored in the batch as its delete horizon;
//! - the last batch of a producer stays, empty if need be: its sequence is read from it after a restart;
//! - records without a key go: they cannot be compacted, and a compacted topic takes none;
//! - control batches stay. (Kafka drops markers once their transaction has no records left.)
//!
//! Ours: the last batch of every rewritten segment stays, empty if need be, so that a segment tells exactly which offsets
//! it covers.
//!
//! Crash safety, one group: `.cleaned` files are written and synced, renamed to `.swap` (the log last), the directory
//! is synced, then the old files become `.deleted` and the directory is synced again, then `.swap` loses its suffix. Until
//! `.log.swap` exists the old files are all there; from then on a start finishes the work (see [`super::leftovers`]).
//! Readers hold the old files and are not disturbed.

mod cleaner;
mod offset_map;
mod swap;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::fault::DiskFault;
use super::handle::Log;
use super::state::State;
use super::window::{SCAN_BYTES, ScanError, Window};
use crate::batch::BatchError;
use crate::types::{Offset, Timestamp};
use cleaner::{CleanGroup, Cleaned, Cleaner, LastRecord};

/// What a compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    pub rounds: usize,
    pub segments_before: usize,
    pub segments_after: usize,
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Everything below has been compacted.
    pub cleaned_to: Offset,
}

/// Why a compaction ended early. The log is whole, and less of it is compacted.
#[derive(Clone, Debug, Error)]
pub enum CompactError {
    #[error(transparent)]
    Offline(#[from] DiskFault),
    #[error("{partition}: segment {segment} at position {position}: {source}")]
    Damaged {
        partition: Arc<str>,
        segment: Offset,
        position: u64,
        source: BatchError,
    },
    #[error("{partition}: {source}")]
    Io {
        partition: Arc<str>,
        source: Arc<io::Error>,
    },
}

/// A segment to read.
#[derive(Clone, Debug)]
struct Source {
    id: u64,
    base_offset: Offset,
    /// Where the next segment begins.
    end: Offset,
    size_bytes: u64,
    path: PathBuf,
}

/// What there is to compact.
#[derive(Clone, Copy, Debug)]
struct Plan {
    first_dirty: Offset,
    /// Base offset of the first segment that is left alone.
    uncleanable: Offset,
}

impl Log {
    /// Compacts the log if it is due; `None` when it is not, or when a compaction is running.
    ///
    /// The work is done on a helper thread; this task only renames files and exchanges segments.
    pub async fn compact(&self, now: Timestamp) -> Result<Option<Compacted>, CompactError> {
        let plan = {
            let mut state = self.inner.state.borrow_mut();
            state.check_online()?;
            let log_start = state.log_start;
            if state.is_compacting {
                return Ok(None);
            }
            match state.plan_compaction(now) {
                Ok(Some(plan)) => {
                    state.is_compacting = true;
                    plan
                }
                Ok(None) => return Ok(None),
                Err(error) => return Err(state.compact_error(log_start, error)),
            }
        };
        let guard = Running(self);
        let compacted = self.compact_rounds(plan, now).await;
        drop(guard);
        compacted.map(Some)
    }

    async fn compact_rounds(&self, plan: Plan, now: Timestamp) -> Result<Compacted, CompactError> {
        let mut compacted = Compacted {
            cleaned_to: plan.first_dirty,
            ..Default::default()
        };
        while compacted.cleaned_to < plan.uncleanable {
            let (sources, cleaner) = {
                let state = self.inner.state.borrow();
                state.check_online()?;
                (state.sources(plan.uncleanable), state.cleaner(now))
            };
            if compacted.rounds == 0 {
                compacted.segments_before = sources.len();
                compacted.bytes_before = sources.iter().map(|source| source.size_bytes).sum();
            }
            let first_dirty = compacted.cleaned_to;
            let mapped = {
                let (cleaner, sources) = (cleaner.clone(), sources.clone());
                reactor::background(move || cleaner.map(&sources, first_dirty)).await
            };
            let map = match mapped {
                Ok(map) => Arc::new(map),
                Err(error) => return self.interrupted(error, compacted),
            };
            let round_end = map.end_offset();
            if round_end <= first_dirty {
                break; // retention has taken all there was to compact
            }
            let group_bytes = u64::from(self.config().segment_bytes);
            for group in cleaner::group(&sources, round_end, group_bytes) {
                let (job, map) = (cleaner.clone(), map.clone());
                let members = group.clone();
                let cleaned = reactor::background(move || job.clean(&members, &map)).await;
                match cleaned {
                    Ok(Some(cleaned)) => self.exchange(&group, cleaned).await?,
                    Ok(None) => {} // nothing to drop
                    Err(error) => return self.interrupted(error, compacted),
                }
            }
            compacted.rounds += 1;
            compacted.cleaned_to = round_end;
            self.inner.state.borrow_mut().cleaned_to = Some(round_end);
        }
        let sources = self.inner.state.borrow().sources(plan.uncleanable);
        compacted.segments_after = sources.len();
        compacted.bytes_after = sources.iter().map(|source| source.size_bytes).sum();
        Ok(compacted)
    }

    /// Retention may take a segment away under the cleaner: then this compaction ends where it is.
    fn interrupted(&self, error: CompactError, compacted: Compacted) -> Result<Compacted, CompactError> {
        match &error {
            CompactError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Ok(compacted),
            _ => Err(error),
        }
    }

    async fn exchange(&self, group: &CleanGroup, cleaned: Cleaned) -> Result<(), CompactError> {
        let base_offset = cleaned.base_offset;
        let (swapped, delay_ms) = {
            let mut state = self.inner.state.borrow_mut();
            state.check_online()?;
            let swapped = state.swap_in(group, cleaned);
            let swapped = swapped.map_err(|error| state.fail("swap compacted segment", error))?;
            (swapped, state.config.file_delete_delay_ms)
        };
        let Some(swapped) = swapped else {
            return Ok(()); // a source is gone: nothing was exchanged
        };
        super::trash::unlink_later(swapped.discarded, delay_ms);
        let dir = self.dir();
        let synced = reactor::background(move || reactor::disk::sync_dir(&dir)).await;
        let mut state = self.inner.state.borrow_mut();
        state.check_online()?;
        let finished = synced.and_then(|()| state.finish_swap(base_offset, swapped.segment_id));
        finished.map_err(|error| state.fail("swap compacted segment", error))?;
        Ok(())
    }
}

/// Lets the next compaction run, also when this one's future is dropped half way.
struct Running<'a>(&'a Log);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.inner.state.borrow_mut().is_compacting = false;
    }
}

impl State {
    fn plan_compaction(&mut self, now: Timestamp) -> Result<Option<Plan>, ScanError> {
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

    /// Where compaction must stop: at the active segment, at the first record that may still be aborted or lost, and at
    /// the first segment that is too young.
    fn first_uncleanable(&mut self, first_dirty: Offset, now: Timestamp) -> Result<Offset, ScanError> {
        let mut uncleanable = self
            .floor_segment(self.last_stable_offset())
            .min(self.active.segment.base_offset);
        let lag_ms = self.config.min_compaction_lag_ms;
        if lag_ms > 0 {
            for source in self.sources(uncleanable) {
                if source.end > first_dirty
                    && let Some(largest) = self.largest_of(source.base_offset)?
                    && largest.timestamp.0 > now.0.saturating_sub(lag_ms)
                {
                    uncleanable = source.base_offset;
                    break;
                }
            }
            self.limit_open_files();
        }
        Ok(uncleanable)
    }

    /// Whether the first dirty record is older than `max.compaction.lag.ms`.
    fn is_overdue(&mut self, first_dirty_segment: Offset, now: Timestamp) -> Result<bool, ScanError> {
        let max_lag_ms = self.config.max_compaction_lag_ms;
        let Some(segment) = self.closed.get_mut(&first_dirty_segment) else {
            return Ok(false);
        };
        let file = segment.file(&self.dir)?;
        let first = Window::new(&file, segment.size_bytes, SCAN_BYTES).header(0)?;
        let timestamp = first.map_or(Timestamp::NONE, |batch| batch.header.max_timestamp());
        Ok(timestamp.is_some() && now.0.saturating_sub(timestamp.0) > max_lag_ms)
    }

    /// Closed segments before `uncleanable`.
    fn sources(&self, uncleanable: Offset) -> Vec<Source> {
        let sources = self
            .closed
            .range(..uncleanable)
            .map(|(base_offset, segment)| Source {
                id: segment.id,
                base_offset: *base_offset,
                end: self.end_of_closed(*base_offset),
                size_bytes: segment.size_bytes,
                path: segment.path(&self.dir, super::file_name::FileKind::Log),
            });
        sources.collect()
    }

    fn cleaner(&self, now: Timestamp) -> Cleaner {
        let last_records = self.producers.iter().map(|(id, entry)| {
            let last = match entry.last_batch() {
                Some(batch) => LastRecord::Data(batch.last_offset),
                None => LastRecord::Marker(entry.epoch),
            };
            (id, last)
        });
        Cleaner {
            dir: self.dir.clone(),
            partition: self.partition.clone(),
            index_interval_bytes: self.config.index_interval_bytes,
            map_bytes: self.config.cleaner_dedupe_buffer_bytes,
            delete_retention_ms: self.config.delete_retention_ms,
            now,
            last_records: Arc::new(last_records.collect()),
            hash_keys: std::array::from_fn(|_| reactor::random_u64()),
        }
    }

    fn compact_error(&self, segment: Offset, error: ScanError) -> CompactError {
        let source = match error {
            ScanError::Io(error) => error,
            damaged => io::Error::new(
                io::ErrorKind::InvalidData,
                format!("segment {segment}: {damaged}"),
            ),
        };
        CompactError::Io {
            partition: self.partition.clone(),
            source: Arc::new(source),
        }
    }
}
