//! Everything a log knows, behind one `RefCell`. Methods are spread over the files of what they do: `append`, `roll`,
//! `commit`, `read`, `retention`, `compaction`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use reactor::Instant;
use uuid::Uuid;

use super::config::LogConfig;
use super::epoch_cache::EpochCache;
use super::fault::DiskFault;
use super::flush_state::FlushState;
use super::producer_state::ProducerStates;
use super::read::ReadMemos;
use super::scrub::Quarantine;
use super::segment::Segment;
use super::segment_index::SegmentIndex;
use super::tail_cache::TailCache;
use super::transaction_index::TransactionIndexes;
use crate::journal::Journal;
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// The segment that takes appends.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    pub(crate) segment: Segment,
    pub(crate) index: SegmentIndex,
    /// When it was created, or found at start: the age of a segment without timestamps.
    pub(crate) created: Timestamp,
    /// Bytes of the file that have disk blocks already.
    pub(crate) allocated_bytes: u64,
    /// Taken off `segment.ms` for this segment.
    pub(crate) jitter_ms: i64,
    /// Its newest batches; `size_bytes` of the segment counts them, whether its file has them or not.
    pub(crate) tail: TailCache,
    /// Entries of the offset and the time index that checkpoints have put into their files.
    pub(crate) saved_index: (usize, usize),
    /// Its size when a start was last spared from reading what lies before: see `recovery_aids`.
    pub(crate) aided_bytes: u64,
    /// What of the file the disk was told to write.
    pub(crate) handed_to_disk: u64,
}

/// A log's door to the journal of its directory and shard.
#[derive(Clone)]
pub(crate) struct JournalPort {
    pub(crate) journal: Journal,
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
}

impl std::fmt::Debug for JournalPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JournalPort({}-{})", self.topic_id, self.partition)
    }
}

/// One partition's log.
///
/// Invariants, checked by [`State::assert_invariants`]:
/// - log start <= last stable offset <= high watermark <= end offset; recovery point <= end offset.
/// - base offsets of segments grow; the active segment's is the greatest; every base offset <= end offset.
/// - epochs and their start offsets grow; all lie within the log.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) dir: PathBuf,
    pub(crate) partition: Arc<str>,
    pub(crate) topic_id: Option<Uuid>,
    pub(crate) config: Rc<LogConfig>,
    pub(crate) closed: BTreeMap<Offset, Segment>,
    pub(crate) active: ActiveSegment,
    pub(crate) log_start: Offset,
    pub(crate) end_offset: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) epochs: EpochCache,
    pub(crate) producers: ProducerStates,
    /// Offsets that have a producer snapshot file.
    pub(crate) snapshots: BTreeSet<Offset>,
    pub(crate) flush: FlushState,
    /// `None`: commits sync the segment.
    pub(crate) journal: Option<JournalPort>,
    /// Snapshots that checkpoints wrote beside those of segments, the newest last: at most two.
    pub(crate) aid_snapshots: Vec<Offset>,
    pub(crate) fault: Option<DiskFault>,
    /// The last look at the disk found too little room for a producer's batch.
    pub(crate) is_short_of_room: bool,
    /// The journal has to be told of entries that segments lack, or of bytes that the file lacks.
    pub(crate) is_newly_dirty: bool,
    pub(crate) is_newly_unsettled: bool,
    pub(crate) memos: ReadMemos,
    /// Everything below has been compacted; `None`: nothing yet.
    pub(crate) cleaned_to: Option<Offset>,
    pub(crate) is_compacting: bool,
    /// A segment compaction could not read; it stops there.
    pub(crate) compaction_stop: Option<Offset>,
    pub(crate) transactions: TransactionIndexes,
    /// Of the closed segments that have bad ranges.
    pub(crate) quarantines: BTreeMap<Offset, Quarantine>,
    pub(crate) next_segment_id: u64,
}

/// Closed segments a log holds open. More readers at different old places re-open their file each time (2.8 us).
const OPEN_CLOSED_MAX: usize = 4;
/// A file nobody used for so long is closed.
const IDLE_FILE_MS: u64 = 60_000;

impl State {
    pub(crate) fn assert_invariants(&self) {
        let stable = self.last_stable_offset();
        assert!(
            self.log_start <= stable
                && stable <= self.high_watermark
                && self.high_watermark <= self.end_offset
                && self.flush.recovery_point() <= self.end_offset,
            "{}: log start {} <= last stable {stable} <= high watermark {} <= end {}; recovery point {}",
            self.partition,
            self.log_start,
            self.high_watermark,
            self.end_offset,
            self.flush.recovery_point(),
        );
        debug_assert!(self.active.segment.base_offset <= self.end_offset);
        debug_assert!(
            self.closed
                .last_key_value()
                .is_none_or(|(base, _)| *base < self.active.segment.base_offset)
        );
        debug_assert!(
            self.epochs
                .latest()
                .is_none_or(|latest| latest.start_offset <= self.end_offset)
        );
    }

    pub(crate) fn last_stable_offset(&self) -> Offset {
        self.producers
            .first_unstable_offset()
            .map_or(self.high_watermark, |unstable| unstable.min(self.high_watermark))
            .max(self.log_start)
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.closed
            .values()
            .map(|segment| segment.size_bytes)
            .sum::<u64>()
            + self.active.segment.size_bytes
    }

    pub(crate) fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest().map(|entry| entry.epoch)
    }

    /// Where a closed segment ends: at the base offset of the one behind it.
    pub(crate) fn end_of_closed(&self, base_offset: Offset) -> Offset {
        let behind = (std::ops::Bound::Excluded(base_offset), std::ops::Bound::Unbounded);
        self.closed
            .range(behind)
            .next()
            .map_or(self.active.segment.base_offset, |(base, _)| *base)
    }

    pub(crate) fn check_online(&self) -> Result<(), DiskFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        match self
            .journal
            .as_ref()
            .and_then(|port| port.journal.journal_fault())
        {
            Some(fault) => Err(DiskFault {
                partition: self.partition.clone(),
                operation: fault.operation,
                offset: self.end_offset,
                source: Arc::new(fault.to_io()),
            }),
            None => Ok(()),
        }
    }

    pub(crate) fn fault_of(&self, operation: &'static str, error: io::Error) -> DiskFault {
        DiskFault {
            partition: self.partition.clone(),
            operation,
            offset: self.end_offset,
            source: Arc::new(error),
        }
    }

    /// Takes the log offline. The first fault is the one that is told.
    pub(crate) fn fail(&mut self, operation: &'static str, error: io::Error) -> DiskFault {
        if self.fault.is_none() {
            tracing::error!(partition = %self.partition, operation, %error, "log goes offline");
        }
        let new = self.fault_of(operation, error);
        let fault = self.fault.get_or_insert(new);
        // The other logs of the directory are on the same disk.
        if let Some(port) = &self.journal {
            port.journal
                .shared
                .fail(fault.operation, io::Error::other(fault.source.to_string()));
        }
        fault.clone()
    }

    pub(crate) fn new_segment_id(&mut self) -> u64 {
        self.next_segment_id += 1;
        self.next_segment_id
    }

    /// The segment of a base offset, closed or active, and the directory it is in.
    pub(crate) fn segment_mut(&mut self, base_offset: Offset) -> Option<(&mut Segment, &Path)> {
        let dir = self.dir.as_path();
        if self.active.segment.base_offset == base_offset {
            return Some((&mut self.active.segment, dir));
        }
        self.closed.get_mut(&base_offset).map(|segment| (segment, dir))
    }

    /// Closes files of closed segments: those idle, and beyond [`OPEN_CLOSED_MAX`] the one idle longest.
    pub(crate) fn close_idle_files(&mut self, now: Instant) {
        let mut open: Vec<(Instant, Offset)> = Vec::new();
        for (base_offset, segment) in &mut self.closed {
            if !segment.is_open() {
                continue;
            }
            let idle = now.saturating_since(segment.last_used());
            if idle.as_millis() >= u128::from(IDLE_FILE_MS) {
                segment.release();
            } else {
                open.push((segment.last_used(), *base_offset));
            }
        }
        open.sort_unstable();
        let surplus = open.len().saturating_sub(OPEN_CLOSED_MAX);
        for (_, base_offset) in open.into_iter().take(surplus) {
            if let Some(segment) = self.closed.get_mut(&base_offset) {
                segment.release();
            }
        }
        let idle = now.saturating_since(self.active.segment.last_used());
        if idle.as_millis() >= u128::from(IDLE_FILE_MS) && self.flush.is_clean(self.end_offset) {
            self.active.segment.release();
        }
    }

    /// Called whenever a closed segment was opened, so that a scan over all of them does not hold all of them.
    pub(crate) fn limit_open_files(&mut self) {
        if self.closed.values().filter(|segment| segment.is_open()).count() > OPEN_CLOSED_MAX {
            self.close_idle_files(reactor::now());
        }
    }

    pub(crate) fn now() -> Timestamp {
        Timestamp(reactor::wall_ms())
    }
}
