//! The second half of a round: segments rewritten without what the map knows better of.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reactor::{File, OpenMode, disk};

use super::filter::{Filter, Verdict};
use super::offset_map::OffsetMap;
use super::reader::Opened;
use super::transactions::Transactions;
use super::{CompactError, Source};
use crate::batch::Batch;
use crate::log::AbortedTransaction;
use crate::log::file_name::{FileKind, FileName, Suffix};
use crate::log::offset_index::relative;
use crate::log::scrub::Step;
use crate::log::segment::write_whole;
use crate::log::segment_index::{LargestTimestamp, SegmentIndex};
use crate::log::transaction_index;
use crate::log::window::BULK_BYTES;
use crate::planted::{self, Bug};
use crate::types::Offset;

/// All that the idle thread needs to know of the log.
#[derive(Clone, Debug)]
pub(super) struct Cleaner {
    pub(super) dir: PathBuf,
    pub(super) index_interval_bytes: u32,
    pub(super) map_bytes: usize,
    pub(super) map_load_factor: f64,
    pub(super) filter: Filter,
    /// Of the segments that have aborted transactions, in order.
    pub(super) transaction_files: Vec<(Offset, PathBuf)>,
    pub(super) hash_keys: [u64; 4],
}

impl Cleaner {
    /// The aborted transactions that touch a segment; the markers of some lie in later ones.
    pub(super) fn aborted_in(&self, source: &Source) -> Result<Vec<AbortedTransaction>, CompactError> {
        let mut aborted = Vec::new();
        let from = self
            .transaction_files
            .partition_point(|(base, _)| *base < source.base_offset);
        for (_, path) in self.transaction_files.iter().skip(from) {
            for entry in transaction_index::load(path).map_err(|error| source.io(error))? {
                if entry.touches(source.base_offset, source.end) {
                    aborted.push(entry);
                }
                if entry.last_stable_offset >= source.end {
                    return Ok(aborted);
                }
            }
        }
        Ok(aborted)
    }

    fn has_transactions(&self, source: &Source) -> bool {
        self.transaction_files
            .binary_search_by_key(&source.base_offset, |(base, _)| *base)
            .is_ok()
    }
}

/// Segments that become one.
#[derive(Clone, Debug)]
pub(super) struct CleanGroup {
    pub(super) sources: Vec<Source>,
}

/// The segment they became: complete, synced, named `.swap`.
#[derive(Debug)]
pub(super) struct Cleaned {
    pub(super) base_offset: Offset,
    pub(super) size_bytes: u64,
    pub(super) largest: LargestTimestamp,
    pub(super) has_transactions: bool,
    pub(super) file: File,
}

/// Joins neighbours as long as the result cannot outgrow a segment; only those that begin before the round's end.
pub(super) fn group(sources: &[Source], round_end: Offset, segment_bytes: u64) -> Vec<CleanGroup> {
    let mut groups: Vec<CleanGroup> = Vec::new();
    let mut group_bytes = 0;
    for source in sources.iter().filter(|source| source.base_offset < round_end) {
        let joins = groups
            .last()
            .and_then(|group| group.sources.first())
            .is_some_and(|first| {
                group_bytes + source.size_bytes <= segment_bytes
                    && relative(first.base_offset, source.end).is_some()
            });
        match groups.last_mut() {
            Some(group) if joins => {
                group_bytes += source.size_bytes;
                group.sources.push(source.clone());
            }
            _ => {
                group_bytes = source.size_bytes;
                groups.push(CleanGroup {
                    sources: vec![source.clone()],
                });
            }
        }
    }
    groups
}

/// Writes a group's segment.
pub(super) struct Cleaning {
    cleaner: Arc<Cleaner>,
    group: CleanGroup,
    map: Arc<OffsetMap>,
    transactions: Transactions,
    output: Option<Output>,
    /// The source being read, and how far.
    at: usize,
    position: u64,
    is_changed: bool,
    cleaned: Option<Cleaned>,
}

impl Cleaning {
    /// `transactions` is what the group before left, from the front of the log on.
    pub(super) fn new(
        cleaner: Arc<Cleaner>,
        group: CleanGroup,
        map: Arc<OffsetMap>,
        transactions: Transactions,
    ) -> Cleaning {
        Cleaning {
            is_changed: group.sources.len() > 1,
            cleaner,
            group,
            map,
            transactions,
            output: None,
            at: 0,
            position: 0,
            cleaned: None,
        }
    }

    /// Reads the next `slice_bytes` or so, and writes what stays of them. The last slice syncs.
    pub(super) fn step(&mut self, slice_bytes: u64) -> Result<Step, CompactError> {
        let mut spent = 0;
        while let Some(source) = self.group.sources.get(self.at) {
            if self.position == 0 {
                self.transactions.add(self.cleaner.aborted_in(source)?);
            }
            let opened = Opened::new(source).map_err(|error| source.io(error))?;
            let mut reader = opened.reader();
            let output = match &mut self.output {
                Some(output) => output,
                none => none.insert(
                    Output::create(&self.cleaner, source.base_offset).map_err(|error| source.io(error))?,
                ),
            };
            loop {
                if spent >= slice_bytes {
                    output.start_writeback();
                    return Ok(Step {
                        bytes: spent,
                        is_done: false,
                    });
                }
                let Some((batch, end)) = reader.batch(source, self.position)? else {
                    break;
                };
                let is_last = self.at + 1 == self.group.sources.len() && end == source.size_bytes;
                let verdict = self
                    .cleaner
                    .filter
                    .judge(&batch, &self.map, &mut self.transactions, is_last)
                    .map_err(|error| source.undecodable(self.position, error))?;
                spent += end - self.position;
                self.position = end;
                let written = match verdict {
                    Verdict::AsItIs => output.push(&batch),
                    Verdict::Rewritten(bytes) => {
                        self.is_changed = true;
                        Batch::only(&bytes)
                            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
                            .and_then(|batch| output.push(&batch))
                    }
                    Verdict::Dropped => {
                        self.is_changed = true;
                        Ok(0)
                    }
                };
                spent += written.map_err(|error| source.io(error))?;
            }
            self.at += 1;
            self.position = 0;
        }
        self.seal()?;
        Ok(Step {
            bytes: spent,
            is_done: true,
        })
    }

    /// The group's segment, `None` when it would be the one there is, and what the next group needs to know.
    pub(super) fn finish(self) -> (CleanGroup, Option<Cleaned>, Transactions) {
        (self.group, self.cleaned, self.transactions)
    }

    /// Removes what was written of a segment that will not be finished.
    pub(super) fn abandon(&mut self) {
        if let Some(output) = self.output.take() {
            // what stays is removed by the next start, and written over by the next compaction
            let _ = disk::remove_file(&output.path);
        }
    }

    /// Puts the segment on the disk under its `.swap` name, all but the log first: that name says that all is there.
    fn seal(&mut self) -> Result<(), CompactError> {
        let index = self.transactions.take_index();
        let Some((mut output, last)) = self.output.take().zip(self.group.sources.last()) else {
            return Ok(());
        };
        if !self.is_changed {
            return disk::remove_file(&output.path).map_err(|error| last.io(error));
        }
        // Also without entries: the file that is there must not outlive its segment.
        let had_transactions = self
            .group
            .sources
            .iter()
            .any(|source| self.cleaner.has_transactions(source));
        let transactions = (had_transactions || !index.is_empty()).then_some(index.as_slice());
        output
            .seal(&self.cleaner.dir, transactions, &last.path)
            .map_err(|error| last.io(error))?;
        self.cleaned = Some(Cleaned {
            base_offset: output.base_offset,
            size_bytes: output.size_bytes,
            largest: output.index.largest(),
            has_transactions: !index.is_empty(),
            file: output.file,
        });
        Ok(())
    }
}

/// The segment being written.
struct Output {
    base_offset: Offset,
    path: PathBuf,
    file: File,
    index: SegmentIndex,
    interval_bytes: u32,
    pending: Vec<u8>,
    size_bytes: u64,
    /// Everything before is on its way to the disk.
    written_back: u64,
}

impl Output {
    fn create(cleaner: &Cleaner, base_offset: Offset) -> io::Result<Output> {
        let path = FileName::new(base_offset, FileKind::Log, Suffix::Cleaned).in_dir(&cleaner.dir);
        let file = File::open(&path, OpenMode::Create)?;
        file.set_len(0)?;
        Ok(Output {
            base_offset,
            path,
            file,
            index: SegmentIndex::new(base_offset),
            interval_bytes: cleaner.index_interval_bytes,
            pending: Vec::new(),
            size_bytes: 0,
            written_back: 0,
        })
    }

    /// Adds a batch, and tells its size.
    fn push(&mut self, batch: &Batch<'_>) -> io::Result<u64> {
        let position = self.size_bytes;
        let bytes = batch.bytes();
        let end = position + bytes.len() as u64;
        if end > i32::MAX as u64 {
            return Err(io::Error::other("a compacted segment outgrew 2 GiB"));
        }
        self.index.push(
            self.interval_bytes,
            position,
            bytes.len() as u64,
            batch.last_offset(),
            batch.max_timestamp(),
        );
        self.pending.extend_from_slice(bytes);
        self.size_bytes = end;
        if self.pending.len() >= BULK_BYTES {
            self.write()?;
        }
        Ok(bytes.len() as u64)
    }

    fn write(&mut self) -> io::Result<()> {
        let position = self.size_bytes - self.pending.len() as u64;
        self.file.write_all_at(&self.pending, position)?;
        self.pending.clear();
        Ok(())
    }

    /// Leaves little to the sync at the end, which would be one long burst.
    fn start_writeback(&mut self) {
        let written = self.size_bytes - self.pending.len() as u64;
        // a hint
        let _ = self
            .file
            .start_writeback(self.written_back, written - self.written_back);
        self.written_back = written;
    }

    fn seal(
        &mut self,
        dir: &Path,
        transactions: Option<&[AbortedTransaction]>,
        last: &Path,
    ) -> io::Result<()> {
        self.write()?;
        self.index.finish();
        let name = |kind, suffix| FileName::new(self.base_offset, kind, suffix).in_dir(dir);
        let mut derived = vec![
            (FileKind::OffsetIndex, self.index.offsets.encode()),
            (FileKind::TimeIndex, self.index.times.encode()),
        ];
        if let Some(transactions) = transactions {
            derived.push((
                FileKind::TransactionIndex,
                transaction_index::encode(transactions),
            ));
        }
        for (kind, bytes) in &derived {
            write_whole(&name(*kind, Suffix::Cleaned), bytes)?.sync_data_blocking()?;
        }
        // Segments without timestamps are as old as their last change, which compaction is none of.
        let modified_ms = File::open(last, OpenMode::Read)?.modified_ms()?;
        self.file.set_modified_ms(modified_ms)?;
        if !planted::is(Bug::CompactionNotSynced) {
            self.file.sync_data_blocking()?;
        }
        self.file.drop_cached();
        let kinds = derived.iter().map(|(kind, _)| *kind).chain([FileKind::Log]);
        let publish = || {
            for kind in kinds {
                disk::rename(&name(kind, Suffix::Cleaned), &name(kind, Suffix::Swap))?;
            }
            disk::sync_dir(dir)
        };
        publish().map_err(|error| io::Error::new(error.kind(), Unpublished(error)))
    }
}

/// The result of a compaction may or may not be on the disk under the name that makes a start use it. Timeline of what would
/// come of going on: its sources are compacted again, with others, and appended to; a start finds the old result, too, and puts it
/// in the place of newer segments.
#[derive(Debug, thiserror::Error)]
#[error("publishing a compacted segment: {0}")]
pub(super) struct Unpublished(io::Error);

impl Unpublished {
    pub(super) fn is_cause_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Unpublished>())
    }
}
