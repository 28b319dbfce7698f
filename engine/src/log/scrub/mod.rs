//! Scrubbing: reading what nobody reads, so that a disk that forgets is noticed while there are other copies.
//!
//! Every closed and synced segment is verified once per period, batch by batch, on the idle thread and within a rate of bytes.
//! After an unclean start nothing is known of the old segments, and they are the first to be verified.
//!
//! | found | decision |
//! |---|---|
//! | a batch fails its CRC or does not fit between its neighbours | read it again from the disk; if it verifies then, memory was at fault, and that is all |
//! | it fails again | the bytes up to the next good batch are quarantined |
//! | the disk does not give the bytes | the same |
//! | a quarantined range verifies | the quarantine is lifted |
//!
//! What a batch's CRC does not cover is checked as far as it can be: length and base offset against the neighbours. The leader
//! epoch is not.
//!
//! Quarantined ranges are never served: reads of their offsets answer [`super::ReadError::Damaged`], which names the offset where
//! the log goes on; all else stays readable (see [`read`]). They are remembered in a file beside the segment (see
//! [`quarantine`]), which goes with it. Compaction stops before such a segment, since it would not know which keys the bad range
//! held; retention takes it as any other.

mod job;
mod quarantine;
mod read;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use reactor::disk;

pub use quarantine::{BadRange, Quarantine, QuarantineError, RANGES_MAX};

use self::job::Job;
pub(crate) use self::job::{OnceRead, Step};
use super::damage::DamageAt;
use super::fault::DiskFault;
use super::file_name::{FileKind, FileName, Suffix};
use super::handle::Log;
use super::pace::Pace;
use super::state::State;
use crate::types::{Offset, Timestamp};

/// How often and how fast.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct ScrubRules {
    /// A segment that was verified is left alone for so long.
    pub interval_ms: i64,
    /// Not positive: as fast as the disk gives.
    pub bytes_per_second: f64,
}

/// What a scrub did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    pub segments: u64,
    pub batches: u64,
    pub bytes: u64,
    /// Ranges that were not known to be bad.
    pub ranges_found: u64,
    /// Ranges that were bad and are no more.
    pub ranges_lifted: u64,
}

impl Log {
    /// Verifies the segments that are due, oldest first. Ends early when the log goes.
    pub async fn scrub(&self, now: Timestamp, rules: ScrubRules) -> Result<Scrubbed, DiskFault> {
        let mut scrubbed = Scrubbed::default();
        let mut pace = Pace::new(rules.bytes_per_second);
        let mut from = Offset::ZERO;
        loop {
            let due = {
                let state = self.inner.state.borrow();
                state.check_online()?;
                state.next_to_scrub(from, now, rules.interval_ms)
            };
            let Some((segment_id, job)) = due else {
                return Ok(scrubbed);
            };
            from = job.end;
            let Some(job) = verify(self, job, &mut pace).await? else {
                continue; // retention or compaction was faster
            };
            scrubbed.segments += 1;
            scrubbed.batches += job.batches;
            scrubbed.bytes += job.size_bytes;
            let (found, lifted) = self.judge(segment_id, job, now).await?;
            scrubbed.ranges_found += found;
            scrubbed.ranges_lifted += lifted;
        }
    }

    /// Verifies one segment now, however long ago that was done last.
    pub(crate) async fn scrub_segment(&self, base_offset: Offset, now: Timestamp) -> Result<(), DiskFault> {
        let job = self.inner.state.borrow().scrub_job(base_offset);
        let Some((segment_id, job)) = job else {
            return Ok(());
        };
        if let Some(job) = verify(self, job, &mut Pace::new(f64::INFINITY)).await? {
            self.judge(segment_id, job, now).await?;
        }
        Ok(())
    }

    /// Bad ranges known of the log.
    pub fn bad_ranges(&self) -> Vec<BadRange> {
        let state = self.inner.state.borrow();
        let ranges = state.quarantines.values();
        ranges.flat_map(Quarantine::ranges).copied().collect()
    }

    /// Takes what was found into force, and writes it down.
    async fn judge(&self, segment_id: u64, job: Job, now: Timestamp) -> Result<(u64, u64), DiskFault> {
        let (base_offset, found) = (job.base_offset, job.quarantine);
        let (path, counts) = {
            let mut state = self.inner.state.borrow_mut();
            state.check_online()?;
            let Some(segment) = state
                .closed
                .get_mut(&base_offset)
                .filter(|segment| segment.id == segment_id)
            else {
                return Ok((0, 0));
            };
            segment.verified = now;
            let known = state.quarantines.remove(&base_offset).unwrap_or_default();
            if known == found {
                if !found.is_empty() {
                    state.quarantines.insert(base_offset, found);
                }
                return Ok((0, 0));
            }
            state.tell(base_offset, &known, &found, job.first_damage);
            let counts = (missing(&found, &known), missing(&known, &found));
            if found.is_empty() {
                state.compaction_stop.take_if(|stop| *stop == base_offset);
            } else {
                state.quarantines.insert(base_offset, found.clone());
            }
            let name = FileName::new(base_offset, FileKind::Quarantine, Suffix::Live);
            (name.in_dir(&state.dir), counts)
        };
        let written = {
            let path = path.clone();
            reactor::background_idle(move || save(&path, &found)).await
        };
        if let Err(error) = written {
            // it is in force, and after a restart the scrubber finds it again
            tracing::warn!(path = %path.display(), %error, "quarantine not written");
        }
        let is_gone = {
            let state = self.inner.state.borrow();
            state
                .closed
                .get(&base_offset)
                .is_none_or(|segment| segment.id != segment_id)
        };
        if is_gone {
            let _ = disk::remove_file(&path);
        }
        Ok(counts)
    }
}

/// Runs a job to its end; `None` when its segment is not there any more.
async fn verify(log: &Log, job: Job, pace: &mut Pace) -> Result<Option<Job>, DiskFault> {
    let mut job = job;
    loop {
        let slice_bytes = pace.slice_bytes();
        let (back, step) = reactor::background_idle(move || {
            let step = job.step(slice_bytes);
            (job, step)
        })
        .await;
        job = back;
        log.inner.state.borrow().check_online()?;
        match step {
            Ok(step) if step.is_done => return Ok(Some(job)),
            Ok(step) => pace.spend(step.bytes).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                tracing::warn!(log = %job.log.display(), %error, "segment not verified");
                return Ok(None);
            }
        }
    }
}

/// How many of the ranges of `these` are not in `those`.
fn missing(these: &Quarantine, those: &Quarantine) -> u64 {
    let missing = these
        .ranges()
        .iter()
        .filter(|range| !those.ranges().contains(range));
    missing.count() as u64
}

fn save(path: &Path, quarantine: &Quarantine) -> io::Result<()> {
    if !quarantine.is_empty() {
        return disk::write_atomic(path, &quarantine.encode());
    }
    match disk::remove_file(path) {
        Ok(()) => path.parent().map_or(Ok(()), disk::sync_dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reads the quarantines of the segments that have one. A file that cannot be read or does not fit is left out.
pub(crate) fn load(dir: &Path, segments: impl Iterator<Item = Offset>) -> BTreeMap<Offset, Quarantine> {
    let mut quarantines = BTreeMap::new();
    for base_offset in segments {
        let path = FileName::new(base_offset, FileKind::Quarantine, Suffix::Live).in_dir(dir);
        let parsed = disk::read(&path)
            .map_err(|error| error.to_string())
            .and_then(|bytes| Quarantine::parse(&bytes).map_err(|error| error.to_string()));
        match parsed {
            Ok(quarantine) => {
                tracing::warn!(path = %path.display(), ranges = quarantine.ranges().len(), "segment has bad ranges");
                quarantines.insert(base_offset, quarantine);
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), error, "quarantine not read, the scrubber will find it again");
            }
        }
    }
    quarantines
}

impl State {
    fn next_to_scrub(&self, from: Offset, now: Timestamp, interval_ms: i64) -> Option<(u64, Job)> {
        let synced = self.flush.recovery_point();
        let mut due = self.closed.range(from..).filter(|(base_offset, segment)| {
            let is_due =
                !segment.verified.is_some() || now.0.saturating_sub(segment.verified.0) >= interval_ms;
            // what compaction is about to give its name is verified under that
            let is_in_place = segment.suffix == Suffix::Live;
            is_due && is_in_place && self.end_of_closed(**base_offset) <= synced
        });
        due.next()
            .and_then(|(base_offset, _)| self.scrub_job(*base_offset))
    }

    fn scrub_job(&self, base_offset: Offset) -> Option<(u64, Job)> {
        let segment = self.closed.get(&base_offset)?;
        let job = Job {
            log: segment.path(&self.dir, FileKind::Log),
            index: segment.path(&self.dir, FileKind::OffsetIndex),
            base_offset,
            end: self.end_of_closed(base_offset),
            size_bytes: segment.size_bytes,
            position: 0,
            next_offset: base_offset,
            batches: 0,
            quarantine: Quarantine::default(),
            first_damage: None,
        };
        Some((segment.id, job))
    }

    fn tell(&self, segment: Offset, known: &Quarantine, found: &Quarantine, damage: Option<DamageAt>) {
        let partition = &self.partition;
        for range in found
            .ranges()
            .iter()
            .filter(|range| !known.ranges().contains(range))
        {
            tracing::error!(%partition, %segment, ?range, ?damage,
                "bytes on the disk are not what was written; the range is quarantined");
        }
        for range in known
            .ranges()
            .iter()
            .filter(|range| !found.ranges().contains(range))
        {
            tracing::warn!(%partition, %segment, ?range, "quarantine lifted");
        }
    }
}
