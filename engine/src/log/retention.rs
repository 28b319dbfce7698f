//! Letting old segments go: those before log start, those the log is too big for, those too old.
//!
//! Rules, as Kafka has them:
//! - `retention.bytes` takes a segment only if what is left is still as much as was asked for;
//! - `retention.ms` counts from the youngest record of a segment, from the last change of its file where no record has a
//!   timestamp. A record from the future keeps its segment until then;
//! - what lies before log start goes whatever the policy.
//!
//! Whole segments from the front, never beyond the high watermark, and never the last one: the active segment is rolled
//! first and goes next time. No file is removed before the directory entry of a later segment is on the disk:
//! - all segments expire, a new one is created, the old ones are removed; power fails and only the removals were
//!   written: the log starts again at offset 0 and gives offsets out twice.

use super::state::State;
use super::window::ScanError;
use crate::planted::{self, Bug};
use crate::types::{Offset, Timestamp};

/// Segments removed in one call; the rest goes with the next, see [`Retained::is_pending`]. Each costs about 30 us of renames.
const REMOVE_MAX: usize = 64;

/// What retention did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    pub segments_removed: usize,
    pub bytes_removed: u64,
    /// There is more to remove: the active segment was rolled, the directory is not synced yet, or this was as much as one
    /// call removes.
    pub is_pending: bool,
}

/// Segments to remove, from the front.
struct Expired {
    base_offsets: Vec<Offset>,
    /// The active segment expired as well.
    is_active: bool,
}

impl State {
    /// Removes what the rules say; the files removed are returned for the trash.
    pub(crate) fn retain(
        &mut self,
        now: Timestamp,
    ) -> Result<(Retained, Vec<super::segment::Segment>), ScanError> {
        let expired = self.expired(now)?;
        if expired.is_active && self.active.segment.size_bytes > 0 {
            self.roll_at(self.end_offset, now)?;
        }
        let mut retained = Retained::default();
        if self.flush.is_directory_dirty() && !planted::is(Bug::RetentionBeforeDirectorySync) {
            retained.is_pending = !expired.base_offsets.is_empty() || expired.is_active;
            return Ok((retained, Vec::new()));
        }
        let mut removed = Vec::new();
        retained.is_pending = expired.is_active || expired.base_offsets.len() > REMOVE_MAX;
        for base_offset in expired.base_offsets.into_iter().take(REMOVE_MAX) {
            let end = self.end_of_closed(base_offset);
            if let Some(segment) = self.closed.remove(&base_offset) {
                retained.segments_removed += 1;
                retained.bytes_removed += segment.size_bytes;
                removed.push(segment);
                self.transactions.base_offsets.remove(&base_offset);
                self.quarantines.remove(&base_offset);
                self.compaction_stop.take_if(|stop| *stop <= base_offset);
                self.advance_log_start(end);
            }
        }
        Ok((retained, removed))
    }

    /// When the first segment becomes too old, by its youngest record; `None`: never.
    pub(crate) fn next_expiry(&mut self) -> Result<Option<Timestamp>, ScanError> {
        let retention_ms = self.config.retention_ms;
        let Some(first) = self.base_offsets().into_iter().next() else {
            return Ok(None);
        };
        if !self.config.cleanup_policy.delete || retention_ms < 0 {
            return Ok(None);
        }
        let youngest = self.youngest(first)?;
        Ok(Some(Timestamp(youngest.0.saturating_add(retention_ms))))
    }

    /// Moves log start forward, with all that goes by it.
    pub(crate) fn advance_log_start(&mut self, log_start: Offset) {
        if log_start <= self.log_start {
            return;
        }
        self.log_start = log_start;
        if self.epochs.truncate_from_start(log_start) {
            self.flush.epochs_changed();
        }
        self.producers.advance_to(log_start);
        self.assert_invariants();
    }

    fn expired(&mut self, now: Timestamp) -> Result<Expired, ScanError> {
        let config = self.config.clone();
        let by_policy = config.cleanup_policy.delete;
        let mut surplus_bytes = match u64::try_from(config.retention_bytes) {
            Ok(bytes) if by_policy => self.size_bytes().saturating_sub(bytes),
            _ => 0,
        };
        let mut expired = Expired {
            base_offsets: Vec::new(),
            is_active: false,
        };
        for base_offset in self.base_offsets() {
            let is_active = base_offset == self.active.segment.base_offset;
            let (end, size_bytes) = if is_active {
                (self.end_offset, self.active.segment.size_bytes)
            } else {
                match self.closed.get(&base_offset) {
                    Some(segment) => (self.end_of_closed(base_offset), segment.size_bytes),
                    None => break,
                }
            };
            if end > self.high_watermark || (is_active && size_bytes == 0) {
                break;
            }
            let is_before_start = !is_active && end <= self.log_start;
            let is_surplus = by_policy && surplus_bytes > 0 && size_bytes <= surplus_bytes;
            let is_old = by_policy
                && config.retention_ms >= 0
                && !is_before_start
                && !is_surplus
                && now.0.saturating_sub(self.youngest(base_offset)?.0) > config.retention_ms;
            if !(is_before_start || is_surplus || is_old) {
                break;
            }
            surplus_bytes = surplus_bytes.saturating_sub(size_bytes);
            if is_active {
                expired.is_active = true;
            } else {
                expired.base_offsets.push(base_offset);
            }
        }
        self.limit_open_files();
        Ok(expired)
    }

    /// The greatest timestamp of a segment's records; when its file was changed last if they carry none, as in Kafka. A record
    /// from the future keeps its segment until then.
    pub(crate) fn youngest(&mut self, base_offset: Offset) -> Result<Timestamp, ScanError> {
        let largest = match self.largest_of(base_offset) {
            Ok(largest) => largest.map(|largest| largest.timestamp),
            // Its time index is gone and it cannot be walked: damage must not keep the whole log for ever.
            Err(ScanError::Damaged(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(timestamp) = largest.filter(|timestamp| timestamp.0 >= 0) {
            return Ok(timestamp);
        }
        match self.segment_mut(base_offset) {
            Some((segment, dir)) => Ok(Timestamp(segment.file(dir)?.modified_ms()?)),
            None => Ok(Timestamp::NONE),
        }
    }
}
