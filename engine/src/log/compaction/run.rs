//! A compaction as it goes: rounds, groups and slices. The work is done on the idle thread; the shard only exchanges segments.

use std::io;
use std::sync::Arc;

use super::cleaner::{self, CleanGroup, Cleaned, Cleaning, Unpublished};
use super::mapping::Mapping;
use super::plan::Plan;
use super::transactions::Transactions;
use super::{CompactError, Compacted};
use crate::log::fault::copy_of;
use crate::log::handle::Log;
use crate::log::pace::Pace;
use crate::log::scrub::Step;
use crate::log::trash;
use crate::types::{Offset, Timestamp};

/// Work that is done in slices, since the thread that does it is shared.
trait Sliced: Send + Sized + 'static {
    fn step(&mut self, slice_bytes: u64) -> Result<Step, CompactError>;

    /// Called instead of the next step, after a failure.
    fn abandon(&mut self) {}
}

impl Sliced for Mapping {
    fn step(&mut self, slice_bytes: u64) -> Result<Step, CompactError> {
        Mapping::step(self, slice_bytes)
    }
}

impl Sliced for Cleaning {
    fn step(&mut self, slice_bytes: u64) -> Result<Step, CompactError> {
        Cleaning::step(self, slice_bytes)
    }

    fn abandon(&mut self) {
        Cleaning::abandon(self);
    }
}

impl Log {
    /// Compacts the log if it is due; `None` when it is not, or when a compaction is running.
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
        match compacted {
            Ok(compacted) => Ok(Some(compacted)),
            Err(error) => Err(self.stopped_by(error, now).await),
        }
    }

    async fn compact_rounds(&self, plan: Plan, now: Timestamp) -> Result<Compacted, CompactError> {
        let mut compacted = Compacted {
            cleaned_to: plan.first_dirty,
            ..Default::default()
        };
        let mut pace = Pace::new(self.config().cleaner_bytes_per_second);
        while compacted.cleaned_to < plan.uncleanable {
            let first_dirty = compacted.cleaned_to;
            let round = self
                .compact_round(plan, first_dirty, now, &mut pace, &mut compacted)
                .await;
            match round {
                Ok(round_end) if round_end > first_dirty => {
                    compacted.rounds += 1;
                    compacted.cleaned_to = round_end;
                    self.inner.state.borrow_mut().cleaned_to = Some(round_end);
                }
                Ok(_) => break, // retention has taken all there was to compact
                // Retention took a segment away under the cleaner: this compaction ends where it is.
                Err(CompactError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        let sources = self.inner.state.borrow().sources(plan.uncleanable);
        compacted.segments_after = sources.len();
        compacted.bytes_after = sources.iter().map(|source| source.size_bytes).sum();
        Ok(compacted)
    }

    /// One round: as many dirty keys as the memory holds, and all segments rewritten. Returns where it ended.
    async fn compact_round(
        &self,
        plan: Plan,
        first_dirty: Offset,
        now: Timestamp,
        pace: &mut Pace,
        compacted: &mut Compacted,
    ) -> Result<Offset, CompactError> {
        let (sources, cleaner, end_offset) = {
            let state = self.inner.state.borrow();
            state.check_online()?;
            let cleaner = Arc::new(state.cleaner(now));
            (state.sources(plan.uncleanable), cleaner, state.end_offset)
        };
        // What the cleaner takes for the last batch of a producer may lie behind all that is compacted, and be lost when power
        // fails; the one before, which was acknowledged, would be gone with its sequence.
        if self.commit(end_offset).await.is_err() {
            self.inner.state.borrow().check_online()?;
            return Ok(first_dirty); // the log was cut
        }
        if compacted.rounds == 0 {
            compacted.segments_before = sources.len();
            compacted.bytes_before = sources.iter().map(|source| source.size_bytes).sum();
        }
        let mapping = Mapping::new(cleaner.clone(), sources.clone().into(), first_dirty);
        let map = Arc::new(self.in_slices(mapping, pace).await?.finish());
        let round_end = map.end_offset();
        if round_end <= first_dirty {
            return Ok(round_end);
        }
        let group_bytes = u64::from(self.config().segment_bytes);
        let mut transactions = Transactions::default();
        for group in cleaner::group(&sources, round_end, group_bytes) {
            let cleaning = Cleaning::new(cleaner.clone(), group, map.clone(), transactions);
            let (group, cleaned, known) = self.in_slices(cleaning, pace).await?.finish();
            transactions = known;
            if let Some(cleaned) = cleaned {
                self.exchange(&group, cleaned).await?;
            }
        }
        Ok(round_end)
    }

    /// Does the work slice by slice, at the log's rate.
    async fn in_slices<J: Sliced>(&self, job: J, pace: &mut Pace) -> Result<J, CompactError> {
        let mut job = job;
        loop {
            let slice_bytes = pace.slice_bytes();
            let (back, step) = reactor::background_idle(move || {
                let step = job.step(slice_bytes);
                if step.is_err() {
                    job.abandon();
                }
                (job, step)
            })
            .await;
            job = back;
            let step = step.map_err(|error| self.give_up_if_unpublished(error))?;
            if step.is_done {
                return Ok(job);
            }
            pace.spend(step.bytes).await;
            let online = self.inner.state.borrow().check_online();
            if let Err(fault) = online {
                reactor::background_idle(move || job.abandon()).await;
                return Err(fault.into());
            }
        }
    }

    fn give_up_if_unpublished(&self, error: CompactError) -> CompactError {
        match error {
            CompactError::Io { source, .. } if Unpublished::is_cause_of(&source) => {
                let fault = self.inner.state.borrow_mut().fail("compact", copy_of(&source));
                CompactError::Offline(fault)
            }
            error => error,
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
        trash::unlink_later(swapped.discarded, delay_ms);
        let dir = self.dir();
        let synced = reactor::background(move || reactor::disk::sync_dir(&dir)).await;
        let mut state = self.inner.state.borrow_mut();
        state.check_online()?;
        let finished = synced.and_then(|()| state.finish_swap(base_offset, swapped.segment_id));
        finished.map_err(|error| state.fail("swap compacted segment", error))?;
        Ok(())
    }

    /// A segment that cannot be read to its end is not tried again and again: compaction stops before it from now on, and the
    /// scrubber looks at once at what is wrong with it.
    async fn stopped_by(&self, error: CompactError, now: Timestamp) -> CompactError {
        let segment = match &error {
            CompactError::Damaged { segment, .. } | CompactError::Undecodable { segment, .. } => *segment,
            CompactError::Offline(_) | CompactError::Io { .. } => return error,
        };
        self.inner.state.borrow_mut().compaction_stop = Some(segment);
        if let Err(fault) = self.scrub_segment(segment, now).await {
            return fault.into();
        }
        error
    }
}

/// Lets the next compaction run, also when this one's future is dropped half way.
struct Running<'a>(&'a Log);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.inner.state.borrow_mut().is_compacting = false;
    }
}
