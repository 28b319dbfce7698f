//! Starting a log from its directory.
//!
//! After a clean stop nothing is scanned but the few batches behind the active segment's last index entry. Otherwise every
//! batch behind the recovery point is checked: what was written since the last checkpoint, however long the log is. Where a
//! journal is kept, [`crate::journal::replay()`] has put into the segments what they lacked before this runs.
//!
//! "Acknowledged" means: a commit covered it, so it was in the journal, or its bytes, its segment's directory entry and all
//! before them were synced.
//!
//! | damage seen | decision | why no acknowledged record is lost |
//! |---|---|---|
//! | a batch is torn, has a wrong CRC, magic or size, falls back in offset or epoch, at or behind the recovery point | truncate there; remove later segments, last one first | a sync that covered the batch or anything behind it would have put its bytes on the disk whole, and what the journal had was put there before; so neither was acknowledged |
//! | the same before the recovery point | the same, loudly; what is cut off is kept beside the log as `*.damaged` | the disk lost acknowledged data; truncating loses no more than can be served, since offsets must not have holes |
//! | a segment begins behind the end of the one before, at or behind the recovery point | remove it and those behind it | the missing batches come first and were not synced; see above |
//! | file longer than its batches (zeros, reserved blocks) | truncate | zeros are no batch; first row |
//! | bytes behind the recovery point in a segment that another follows there | truncate | the log went on in the other one: they are what a failed write left, whose truncation was not on the disk yet |
//! | index missing, torn or wrong | rebuild it from the log; for closed segments when it is first asked | indexes are derived |
//! | leader-epoch-checkpoint torn, or missing, as a small log may never have had one | rebuild from the batch headers of all segments | the epoch is in every batch |
//! | epochs beginning at or behind the log's end | forget them | their batches were truncated |
//! | producer snapshot missing or torn | use an older one, or none, and read the headers behind it | sequences are in every batch |
//! | producer snapshot behind the log's end | remove | it tells of truncated batches |
//! | producer snapshot behind the recovery point | use an older one; where a journal is replayed, remove it | the abort markers before it are read again |
//! | transaction index behind the snapshot's offset torn, missing, or with entries of markers that are gone | write and sync it again | the markers tell the same |
//! | log start behind the log's end | put all segments aside as `*.damaged`, loudly, begin at log start | records below log start were deleted on purpose; the checkpoint that says so has no checksum |
//! | no segment | begin an empty one at log start | an acknowledged record implies a synced directory entry |
//! | `.deleted`, `.cleaned`, `.swap`, `.tmp` | see [`super::leftovers`] | see there |
//!
//! Interrupted at any point and run again it ends the same: segments are removed from the end, before the truncation that
//! made them superfluous.
//!
//! What is checked is read from the disk, not from pages that the page cache believes clean. Timeline of the loss otherwise: a sync
//! fails, the kernel marks the pages clean although the disk has not got them, the log goes offline, the broker is started again;
//! recovery reads the batches from the cache, its own sync succeeds, the producers' retries are answered as duplicates; the
//! pages are evicted, and acknowledged records are gone.
//!
//! Everything kept is synced before the log opens: bytes that a crash of the process left in the page cache may not be on
//! the disk, and the recovery point starts behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reactor::{File, OpenMode, disk};
use thiserror::Error;
use uuid::Uuid;

use super::check::{CheckStart, check_source_from};
use super::config::LogConfig;
use super::damage::{Damage, DamageAt};
use super::epoch_cache::EpochCache;
use super::file_name::{FileKind, FileName, PARTITION_METADATA, Suffix};
use super::leftovers::{self, Leftovers};
use super::partition_metadata::{self, PartitionMetadataError};
use super::producer_recovery;
use super::producer_state::ProducerStates;
use super::scrub::{self, Quarantine};
use super::segment::{scan_index, write_whole};
use super::segment_index::SegmentIndex;
use super::tail::{last_batch_end, read_tail, read_until};
use super::transaction_index::TransactionIndexes;
use super::window::ScanError;
use crate::planted::{self, Bug};
use crate::types::{LeaderEpoch, Offset, Timestamp};

mod cut;
mod epochs;

/// What the data directory knows of a log.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenState {
    /// The broker stopped cleanly: files are as [`super::Log::close`] left them.
    pub clean: bool,
    /// Everything below was synced.
    pub recovery_point: Option<Offset>,
    pub log_start: Option<Offset>,
    /// Everything below was compacted.
    pub cleaned: Option<Offset>,
}

/// What a start found and did.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    pub segments_checked: usize,
    pub bytes_checked: u64,
    pub segments_removed: usize,
    pub truncation: Option<Truncation>,
    pub epochs_rebuilt: bool,
    pub leftovers: Leftovers,
    pub orphans_removed: usize,
}

/// Where a log was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// The new end of the log.
    pub offset: Offset,
    pub segment: Offset,
    pub bytes_removed: u64,
    pub damage: DamageAt,
    /// The cut is before the recovery point: acknowledged records are gone.
    pub below_recovery_point: bool,
}

/// Why a log does not open.
#[derive(Clone, Debug, Error)]
pub enum OpenError {
    #[error("{partition}: {operation}: {source}")]
    Io {
        partition: Arc<str>,
        operation: &'static str,
        source: Arc<io::Error>,
    },
    #[error("{partition}: partition.metadata: {source}")]
    Metadata {
        partition: Arc<str>,
        source: PartitionMetadataError,
    },
    /// A segment that was synced long ago is not readable where a header must be.
    #[error("{partition}: segment {segment}: {damage}")]
    Damaged {
        partition: Arc<str>,
        segment: Offset,
        damage: DamageAt,
    },
}

/// Rules of recovery that come from the topic.
#[derive(Copy, Clone, Debug)]
pub(crate) struct RecoveryRules {
    pub(crate) index_interval_bytes: u32,
    pub(crate) is_compacted: bool,
    pub(crate) producer_id_expiration_ms: i64,
    pub(crate) now: Timestamp,
}

impl RecoveryRules {
    pub(crate) fn of(config: &LogConfig, now: Timestamp) -> RecoveryRules {
        RecoveryRules {
            index_interval_bytes: config.index_interval_bytes,
            is_compacted: config.cleanup_policy.compact,
            producer_id_expiration_ms: config.producer_id_expiration_ms,
            now,
        }
    }
}

/// A segment as it lies on the disk now.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) base_offset: Offset,
    pub(crate) size_bytes: u64,
}

/// A log ready to open. Everything in it is on stable storage.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) topic_id: Option<Uuid>,
    pub(crate) closed: Vec<Found>,
    pub(crate) active: Found,
    pub(crate) active_index: SegmentIndex,
    pub(crate) end_offset: Offset,
    pub(crate) log_start: Offset,
    pub(crate) epochs: EpochCache,
    pub(crate) has_epoch_file: bool,
    pub(crate) producers: ProducerStates,
    pub(crate) snapshots: BTreeSet<Offset>,
    pub(crate) transactions: TransactionIndexes,
    pub(crate) quarantines: BTreeMap<Offset, Quarantine>,
    pub(crate) report: RecoveryReport,
}

/// Blocking; runs on a helper thread.
pub(crate) fn load(
    dir: &Path,
    partition: &Arc<str>,
    start: OpenState,
    rules: RecoveryRules,
) -> Result<Loaded, OpenError> {
    Recovery::new(dir, partition, start, rules, Purpose::Open).run()
}

/// Where the batches of a log end that its segments hold whole.
#[derive(Clone, Debug)]
pub(crate) struct FoundEnd {
    pub(crate) end_offset: Offset,
    /// The last segment, if there is any: its base offset and what is valid of it.
    pub(crate) last: Option<(Offset, u64)>,
    /// The leader epochs of these batches, and whether their checkpoint file says otherwise.
    pub(crate) epochs: EpochCache,
    pub(crate) are_epochs_stale: bool,
}

/// The end of the log in `dir`, for the journal's replay to go on from; what lies behind is cut off. Syncs nothing.
pub(crate) fn find_end(
    dir: &Path,
    partition: &Arc<str>,
    start: OpenState,
    rules: RecoveryRules,
) -> Result<FoundEnd, OpenError> {
    let mut recovery = Recovery::new(dir, partition, start, rules, Purpose::Replay);
    recovery.report.leftovers = leftovers::finish(dir).map_err(|error| recovery.scan_error(error))?;
    recovery.list_segments()?;
    recovery.read_epochs()?;
    let (_, end_offset) = recovery.check_segments()?;
    recovery.epochs.truncate_from_end(end_offset);
    let last = recovery.segments.last();
    Ok(FoundEnd {
        end_offset,
        last: last.map(|segment| (segment.base_offset, segment.size_bytes)),
        are_epochs_stale: !recovery.may_do_without_epochs()
            && (recovery.epochs != recovery.epochs_on_disk || recovery.report.epochs_rebuilt),
        epochs: recovery.epochs,
    })
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Purpose {
    Open,
    Replay,
}

struct Recovery {
    dir: PathBuf,
    partition: Arc<str>,
    start: OpenState,
    rules: RecoveryRules,
    /// In order; the last one is the active segment.
    segments: Vec<Found>,
    epochs: EpochCache,
    /// What the checkpoint file says.
    epochs_on_disk: EpochCache,
    has_epoch_file: bool,
    transactions: TransactionIndexes,
    quarantines: BTreeMap<Offset, Quarantine>,
    report: RecoveryReport,
    purpose: Purpose,
}

impl Recovery {
    fn new(
        dir: &Path,
        partition: &Arc<str>,
        start: OpenState,
        rules: RecoveryRules,
        purpose: Purpose,
    ) -> Recovery {
        Recovery {
            dir: dir.to_owned(),
            partition: partition.clone(),
            start,
            rules,
            segments: Vec::new(),
            epochs: EpochCache::default(),
            epochs_on_disk: EpochCache::default(),
            has_epoch_file: true,
            transactions: TransactionIndexes::default(),
            quarantines: BTreeMap::new(),
            report: RecoveryReport::default(),
            purpose,
        }
    }

    fn run(&mut self) -> Result<Loaded, OpenError> {
        self.create_dir()?;
        let topic_id = self.read_topic_id()?;
        self.report.leftovers = leftovers::finish(&self.dir).map_err(|error| self.scan_error(error))?;
        self.list_segments()?;
        self.read_epochs()?;
        let mut tail = None;
        if self.start.clean {
            tail = self.clean_tail()?;
        }
        let (mut active_index, mut end_offset) = match tail {
            Some(tail) => tail,
            None => self.check_segments()?,
        };

        let first = self
            .segments
            .first()
            .map_or(Offset::ZERO, |segment| segment.base_offset);
        let log_start = self.start.log_start.unwrap_or(first).max(first);
        if log_start > end_offset || self.segments.is_empty() {
            self.begin_at(log_start)?;
            (active_index, end_offset) = (SegmentIndex::new(log_start), log_start);
        }
        let base_offsets: Vec<Offset> = self.segments.iter().map(|segment| segment.base_offset).collect();
        self.report.orphans_removed = leftovers::remove_orphans(&self.dir, &base_offsets)
            .map_err(|source| self.io("remove orphans", source))?;
        self.save_epochs(log_start, end_offset)?;
        let (producers, snapshots) = producer_recovery::Known {
            dir: &self.dir,
            segments: &self.segments,
            quarantines: &self.quarantines,
            rules: &self.rules,
            log_start,
            end_offset,
        }
        .load(self.start, &mut self.transactions)
        .map_err(|error| self.scan_error(error))?;
        disk::sync_dir(&self.dir).map_err(|source| self.io("sync directory", source))?;
        let Some(active) = self.segments.pop() else {
            return Err(self.io("list segments", io::ErrorKind::NotFound.into()));
        };
        Ok(Loaded {
            topic_id,
            closed: std::mem::take(&mut self.segments),
            active,
            active_index,
            end_offset,
            log_start,
            epochs: std::mem::take(&mut self.epochs),
            has_epoch_file: self.has_epoch_file,
            producers,
            snapshots,
            transactions: std::mem::take(&mut self.transactions),
            quarantines: std::mem::take(&mut self.quarantines),
            report: std::mem::take(&mut self.report),
        })
    }

    fn io(&self, operation: &'static str, source: io::Error) -> OpenError {
        OpenError::Io {
            partition: self.partition.clone(),
            operation,
            source: Arc::new(source),
        }
    }

    fn scan_error(&self, error: ScanError) -> OpenError {
        self.io("read log", error.into_io())
    }

    fn path(&self, base_offset: Offset, kind: FileKind) -> PathBuf {
        FileName::new(base_offset, kind, Suffix::Live).in_dir(&self.dir)
    }

    fn create_dir(&self) -> Result<(), OpenError> {
        if disk::exists(&self.dir) {
            return Ok(());
        }
        disk::create_dir_all(&self.dir).map_err(|source| self.io("create directory", source))?;
        match self.dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                disk::sync_dir(parent).map_err(|source| self.io("sync data directory", source))
            }
            _ => Ok(()),
        }
    }

    fn read_topic_id(&self) -> Result<Option<Uuid>, OpenError> {
        match disk::read(&self.dir.join(PARTITION_METADATA)) {
            Ok(bytes) => partition_metadata::parse(&bytes)
                .map(Some)
                .map_err(|source| OpenError::Metadata {
                    partition: self.partition.clone(),
                    source,
                }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.io("read partition.metadata", source)),
        }
    }

    fn list_segments(&mut self) -> Result<(), OpenError> {
        let entries = disk::read_dir(&self.dir).map_err(|source| self.io("list directory", source))?;
        let mut quarantined = Vec::new();
        for entry in entries {
            match FileName::parse(&entry.name) {
                Some(name) if name.kind == FileKind::TransactionIndex && name.suffix == Suffix::Live => {
                    self.transactions.base_offsets.insert(name.base_offset);
                }
                Some(name) if name.kind == FileKind::Quarantine && name.suffix == Suffix::Live => {
                    quarantined.push(name.base_offset);
                }
                Some(name) if name.kind == FileKind::Log && name.suffix == Suffix::Live => {
                    let size_bytes = File::open(&name.in_dir(&self.dir), OpenMode::Read)
                        .and_then(|file| file.len())
                        .map_err(|source| self.io("open segment", source))?;
                    self.segments.push(Found {
                        base_offset: name.base_offset,
                        size_bytes,
                    });
                }
                _ => {}
            }
        }
        self.segments.sort_by_key(|segment| segment.base_offset);
        self.quarantines = scrub::load(&self.dir, quarantined.into_iter());
        self.quarantines.retain(|base, _| {
            // only closed segments have one
            self.segments
                .iter()
                .rev()
                .skip(1)
                .any(|segment| segment.base_offset == *base)
        });
        Ok(())
    }

    /// The active segment's index and the log's end after a clean stop; `None` when the files are not as a clean stop
    /// leaves them.
    fn clean_tail(&self) -> Result<Option<(SegmentIndex, Offset)>, OpenError> {
        let Some(active) = self.segments.last() else {
            return Ok(None);
        };
        let base_offset = active.base_offset;
        let file = File::open(&self.path(base_offset, FileKind::Log), OpenMode::Read)
            .map_err(|source| self.io("open segment", source))?;
        let tail = read_tail(&self.dir, base_offset, &file, active.size_bytes).or_else(|error| match error {
            // The index is missing or wrong: the headers tell the same.
            ScanError::Io(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) =>
            {
                let index = scan_index(
                    &file,
                    base_offset,
                    active.size_bytes,
                    self.rules.index_interval_bytes,
                )?;
                let end = last_batch_end(&file, &index, base_offset, active.size_bytes)?;
                Ok((index, end))
            }
            other => Err(other),
        });
        match tail {
            Ok(tail) => Ok(Some(tail)),
            Err(ScanError::Damaged(damage)) => {
                tracing::warn!(partition = %self.partition, %damage, "not as a clean stop leaves it: recovering");
                Ok(None)
            }
            Err(ScanError::Io(source)) => Err(self.io("read log", source)),
        }
    }

    /// Where in a segment the batch at `point` begins, and the indexes of what lies before; `None` if neither indexes nor headers lead there.
    fn position_of(
        &self,
        segment: &Found,
        file: &File,
        point: Offset,
    ) -> Result<Option<(SegmentIndex, u64)>, OpenError> {
        let found = read_until(
            &self.dir,
            segment.base_offset,
            file,
            segment.size_bytes,
            point,
            self.rules.index_interval_bytes,
        );
        match found {
            Ok(found) => Ok(found),
            Err(ScanError::Damaged(_)) => Ok(None),
            Err(ScanError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(ScanError::Io(source)) => Err(self.io("read segment", source)),
        }
    }

    /// Checks the segments from the recovery point's on, cuts the log at the first damage, and rebuilds their indexes.
    fn check_segments(&mut self) -> Result<(SegmentIndex, Offset), OpenError> {
        let recovery_point = self.start.recovery_point.unwrap_or(Offset::ZERO);
        let is_tail_only = self.start.recovery_point.is_some();
        self.trim_before(recovery_point)?;
        let first = self
            .segments
            .partition_point(|segment| segment.base_offset <= recovery_point)
            .saturating_sub(1);
        let mut end_offset = self
            .segments
            .get(first)
            .map_or(Offset::ZERO, |segment| segment.base_offset);
        let mut index = SegmentIndex::new(end_offset);
        let mut leader_epoch = LeaderEpoch::NONE;
        let mut epochs_lie = false;
        let mut at = first;
        while let Some(segment) = self.segments.get(at).cloned() {
            let base_offset = segment.base_offset;
            // Behind the recovery point nothing was compacted: there even a compacted log has no hole between two segments.
            let may_have_holes = self.rules.is_compacted && end_offset < recovery_point;
            let has_hole = at > first && base_offset > end_offset && !may_have_holes;
            if has_hole || base_offset < end_offset {
                let damage = Damage::Gap {
                    expected: end_offset,
                    found: base_offset,
                };
                self.cut(at, DamageAt { position: 0, damage }, end_offset, 0)?;
                break;
            }
            if let Some(next) = self.segments.get(at + 1)
                && self.quarantines.contains_key(&base_offset)
            {
                // Its damage is known: cutting the log there would take all that lies behind it as well.
                end_offset = next.base_offset;
                at += 1;
                continue;
            }
            let file = File::open(&self.path(base_offset, FileKind::Log), OpenMode::ReadWrite)
                .map_err(|source| self.io("open segment", source))?;
            let known = if at == first && is_tail_only && recovery_point > base_offset {
                self.position_of(&segment, &file, recovery_point)?
            } else {
                None
            };
            if known.is_some() {
                end_offset = recovery_point;
                leader_epoch = self.epochs.epoch_before(recovery_point).unwrap_or(leader_epoch);
            }
            let (index_before, position) = known.unwrap_or_else(|| (SegmentIndex::new(base_offset), 0));
            file.drop_clean_pages(position);
            let checked = check_source_from(
                &file,
                position,
                segment.size_bytes,
                CheckStart {
                    base_offset,
                    next_offset: end_offset,
                    leader_epoch,
                    index_interval_bytes: self.rules.index_interval_bytes,
                },
                index_before,
            )
            .map_err(|source| self.io("check segment", source))?;
            self.report.segments_checked += 1;
            self.report.bytes_checked += segment.size_bytes.saturating_sub(position);
            end_offset = checked.next_offset;
            leader_epoch = checked.leader_epoch;
            for entry in &checked.epochs {
                epochs_lie |= self.contradicts_epochs(entry);
                if self
                    .epochs
                    .latest()
                    .is_none_or(|latest| entry.epoch > latest.epoch)
                {
                    self.epochs.assign(entry.epoch, entry.start_offset);
                }
            }
            index = checked.index;
            if let Some(damage) = checked.damage {
                self.cut(at + 1, damage, end_offset, checked.valid_bytes)?;
                if let Some(segment) = self.segments.get_mut(at) {
                    segment.size_bytes = checked.valid_bytes;
                }
            }
            // releases blocks reserved ahead, too
            if !planted::is(Bug::TornTailKept) {
                file.set_len(checked.valid_bytes)
                    .map_err(|source| self.io("truncate", source))?;
            }
            at += 1;
            if self.purpose == Purpose::Replay {
                continue; // everything is synced at once when all is in place
            }
            // Nothing to sync where nothing was left to check: the recovery point is the end.
            if checked.batch_count > 0 || checked.valid_bytes < segment.size_bytes || !is_tail_only {
                file.sync_data_blocking()
                    .map_err(|source| self.io("sync segment", source))?;
            }
            if at < self.segments.len() {
                let mut finished = index.clone();
                finished.finish();
                self.save_index(base_offset, &finished)?;
            }
        }
        if epochs_lie {
            tracing::warn!(partition = %self.partition, "leader epochs contradict the batches: rebuilt from the log");
            self.report.epochs_rebuilt = true;
            self.epochs = EpochCache::default();
            self.rebuild_epochs()?;
        }
        Ok((index, end_offset))
    }

    fn save_index(&self, base_offset: Offset, index: &SegmentIndex) -> Result<(), OpenError> {
        for (kind, bytes) in [
            (FileKind::OffsetIndex, index.offsets.encode()),
            (FileKind::TimeIndex, index.times.encode()),
        ] {
            write_whole(&self.path(base_offset, kind), &bytes)
                .and_then(|file| file.sync_data_blocking())
                .map_err(|source| self.io("write index", source))?;
        }
        Ok(())
    }
}
