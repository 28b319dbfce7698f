//! A segment against itself, its indexes and the leader epochs of its partition, in one pass over the batches.

use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use engine::batch::{Batch, BatchError, Record};
use engine::log::epoch_cache::EpochCache;
use engine::types::{LeaderEpoch, Offset};

use super::content::Content;
use super::derived::{self, OffsetEntry, TimeEntry};
use super::dump::read;
use super::dump_segment::DECOMPRESSED_BYTES_MAX;
use super::finding::Findings;
use super::walk::{Walk, WalkError};
use crate::cli::CliError;

/// Where the log stands between two segments.
#[derive(Debug, Clone, Copy)]
pub struct Reached {
    pub next_offset: Offset,
    pub leader_epoch: LeaderEpoch,
}

impl Default for Reached {
    fn default() -> Self {
        Reached {
            next_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::NONE,
        }
    }
}

/// What a segment is checked against. Files that do not exist are not missed: they are derived.
pub struct Segment<'a> {
    pub path: &'a Path,
    pub base_offset: Offset,
    pub content: Content,
    pub epochs: Option<&'a EpochCache>,
}

/// An index that is gone through beside its segment.
struct Index<T> {
    path: PathBuf,
    entries: Peekable<IntoIter<T>>,
    entry_bytes: u64,
    at: u64,
}

impl<T: Copy> Index<T> {
    fn new(path: PathBuf, entries: Vec<T>, entry_bytes: u64) -> Index<T> {
        Index {
            path,
            entries: entries.into_iter().peekable(),
            entry_bytes,
            at: 0,
        }
    }

    /// The entries up to the batch that is looked at, each with its position in the index.
    fn next_if(&mut self, is_due: impl Fn(&T) -> bool) -> Option<(u64, T)> {
        let entry = self.entries.next_if(is_due)?;
        let at = self.at;
        self.at += self.entry_bytes;
        Some((at, entry))
    }
}

impl Segment<'_> {
    /// Checks the segment, from where the one before it ended.
    pub fn verify(&self, mut reached: Reached, findings: &mut Findings) -> Result<Reached, CliError> {
        let path = self.path;
        if self.base_offset < reached.next_offset {
            findings.differs(
                path,
                0,
                "base offset of the segment",
                at_least(reached.next_offset),
                self.base_offset,
            );
        }
        reached.next_offset = reached.next_offset.max(self.base_offset);
        let mut offsets = self.offset_index(findings)?;
        let mut times = self.time_index(findings)?;
        let source = |source| CliError::File {
            path: path.to_owned(),
            source,
        };
        let mut walk = Walk::open(path).map_err(source)?;
        loop {
            let end = walk.position();
            match walk.next_batch() {
                Ok(Some((position, batch))) => {
                    self.verify_batch(position, &batch, &mut reached, findings);
                    check_offsets(&mut offsets, position, &batch, findings);
                    check_times(&mut times, &batch, findings);
                }
                Ok(None) => {
                    finish(&mut offsets, end, reached, findings);
                    return Ok(reached);
                }
                Err(WalkError::Io(error)) => return Err(source(error)),
                Err(WalkError::Batch(BatchError::Truncated { expected, found })) => {
                    findings.differs(path, end, "size of the batch", expected, found);
                    return Ok(reached);
                }
                Err(WalkError::Batch(error)) => {
                    findings.unreadable(path, Some(end), "batch", error);
                    return Ok(reached);
                }
            }
        }
    }

    fn verify_batch(&self, position: u64, batch: &Batch<'_>, reached: &mut Reached, findings: &mut Findings) {
        let path = self.path;
        if let Err(error) = batch.verify_crc() {
            match error {
                BatchError::Crc { stored, computed } => {
                    let hex = |crc: u32| format!("{crc:#010x}");
                    findings.differs(path, position, "CRC", hex(computed), hex(stored));
                }
                error => findings.unreadable(path, Some(position), "CRC", error),
            }
        } else {
            self.verify_records(position, batch, findings);
        }
        if batch.base_offset() < reached.next_offset {
            findings.differs(
                path,
                position,
                "base offset",
                at_least(reached.next_offset),
                batch.base_offset(),
            );
        }
        if batch.last_offset() < batch.base_offset() {
            findings.differs(
                path,
                position,
                "last offset",
                at_least(batch.base_offset()),
                batch.last_offset(),
            );
        }
        if batch.leader_epoch() < reached.leader_epoch {
            findings.differs(
                path,
                position,
                "leader epoch",
                at_least(reached.leader_epoch),
                batch.leader_epoch(),
            );
        }
        if let Some(epochs) = self.epochs {
            let expected = epochs.epoch_of(batch.base_offset()).unwrap_or(LeaderEpoch::NONE);
            if expected != batch.leader_epoch() {
                let of = "leader epoch, by the checkpoint";
                findings.differs(path, position, of, expected, batch.leader_epoch());
            }
        }
        reached.next_offset = reached.next_offset.max(batch.next_offset());
        reached.leader_epoch = reached.leader_epoch.max(batch.leader_epoch());
    }

    /// Decompresses; every record must be readable, with offsets that grow within the batch's.
    fn verify_records(&self, position: u64, batch: &Batch<'_>, findings: &mut Findings) {
        let records = match batch.records(DECOMPRESSED_BYTES_MAX) {
            Ok(records) => records,
            Err(error) => return findings.unreadable(self.path, Some(position), "records", error),
        };
        let mut next = batch.base_offset();
        for record in &records {
            let record: Record<'_> = match record {
                Ok(record) => record,
                Err(error) => return findings.unreadable(self.path, Some(position), "records", error),
            };
            if record.offset < next || record.offset > batch.last_offset() {
                let expected = format!("{next} to {}", batch.last_offset());
                return findings.differs(self.path, position, "offset of a record", expected, record.offset);
            }
            next = record.offset.next();
            if let Err(error) = self.content.understand(batch.attributes(), &record) {
                findings.unreadable(
                    self.path,
                    Some(position),
                    "record",
                    format!("offset {}: {error}", record.offset),
                );
            }
        }
    }

    fn offset_index(&self, findings: &mut Findings) -> Result<Option<Index<OffsetEntry>>, CliError> {
        let path = self.path.with_extension("index");
        if !reactor::disk::exists(&path) {
            return Ok(None);
        }
        let (entries, remainder) = derived::offset_entries(self.base_offset, &read(&path)?);
        if let Some(remainder) = remainder {
            findings.differs(
                &path,
                (entries.len() * 8) as u64,
                "bytes after the last entry",
                0,
                remainder.0,
            );
        }
        let is_behind = |a: &OffsetEntry, b: &OffsetEntry| a.offset < b.offset && a.position < b.position;
        check_order(&path, &entries, 8, is_behind, findings);
        Ok(Some(Index::new(path, entries, 8)))
    }

    fn time_index(&self, findings: &mut Findings) -> Result<Option<Index<TimeEntry>>, CliError> {
        let path = self.path.with_extension("timeindex");
        if !reactor::disk::exists(&path) {
            return Ok(None);
        }
        let (entries, remainder) = derived::time_entries(self.base_offset, &read(&path)?);
        if let Some(remainder) = remainder {
            findings.differs(
                &path,
                (entries.len() * 12) as u64,
                "bytes after the last entry",
                0,
                remainder.0,
            );
        }
        let is_behind = |a: &TimeEntry, b: &TimeEntry| a.offset < b.offset && a.timestamp < b.timestamp;
        check_order(&path, &entries, 12, is_behind, findings);
        Ok(Some(Index::new(path, entries, 12)))
    }
}

fn at_least(number: impl std::fmt::Display) -> String {
    format!("at least {number}")
}

fn check_order<T>(
    path: &Path,
    entries: &[T],
    entry_bytes: u64,
    is_behind: impl Fn(&T, &T) -> bool,
    findings: &mut Findings,
) {
    for (at, pair) in (1u64..).zip(entries.windows(2)) {
        if let [a, b] = pair
            && !is_behind(a, b)
        {
            findings.unreadable(
                path,
                Some(at * entry_bytes),
                "entry",
                "does not lie behind the one before it",
            );
        }
    }
}

/// An entry tells the position of a batch and its last offset.
fn check_offsets(
    index: &mut Option<Index<OffsetEntry>>,
    position: u64,
    batch: &Batch<'_>,
    findings: &mut Findings,
) {
    let Some(index) = index else { return };
    let end = position + batch.size_bytes() as u64;
    while let Some((at, entry)) = index.next_if(|entry| entry.position < end) {
        if entry.position != position {
            findings.differs(
                &index.path,
                at,
                "position, begin of a batch",
                position,
                entry.position,
            );
        } else if entry.offset != batch.last_offset() {
            findings.differs(
                &index.path,
                at,
                "offset of the entry",
                batch.last_offset(),
                entry.offset,
            );
        }
    }
}

/// An entry tells the greatest timestamp so far and an offset of the batch that has it.
fn check_times(index: &mut Option<Index<TimeEntry>>, batch: &Batch<'_>, findings: &mut Findings) {
    let Some(index) = index else { return };
    while let Some((at, entry)) = index.next_if(|entry| entry.offset <= batch.last_offset()) {
        if entry.timestamp != batch.max_timestamp() {
            let of = "timestamp, the greatest of its batch";
            findings.differs(&index.path, at, of, batch.max_timestamp(), entry.timestamp);
        }
    }
}

/// Entries that point behind the last batch.
fn finish(index: &mut Option<Index<OffsetEntry>>, end: u64, reached: Reached, findings: &mut Findings) {
    let Some(index) = index else { return };
    if let Some((at, entry)) = index.next_if(|_| true) {
        let expected = format!("below {end} (end offset {})", reached.next_offset);
        findings.differs(&index.path, at, "position", expected, entry.position);
    }
}
