//! One segment: a file of batches, and the files derived from it.
//!
//! A segment knows its size and its place; its file is opened when somebody reads or writes and closed when nobody has
//! for a while. Readers hold clones, so closing and even deleting a segment disturbs none of them.

use std::io;
use std::path::{Path, PathBuf};

use reactor::{File, Instant, OpenMode};

use super::damage::{Damage, DamageAt};
use super::file_name::{FileKind, FileName, Suffix};
use super::offset_index::IndexDamage;
use super::offset_index::{OffsetIndexFile, damaged, relative};
use super::reach::{Reach, Within};
use super::segment_index::{LargestTimestamp, SegmentIndex};
use super::time_index;
use super::window::{BULK_BYTES, BatchAt, SCAN_BYTES, ScanError, Window};
use crate::types::{Offset, Timestamp};

#[derive(Debug)]
pub(crate) struct Segment {
    /// Unique within the log's life: what a memo or a compaction saw is this segment and not its replacement.
    pub(crate) id: u64,
    pub(crate) base_offset: Offset,
    pub(crate) size_bytes: u64,
    /// `Swap` while compaction's result takes its place, else `Live`.
    pub(crate) suffix: Suffix,
    /// When the scrubber was over it last; `NONE` since the log was opened.
    pub(crate) verified: Timestamp,
    file: Option<File>,
    offset_index: Option<OffsetIndexFile>,
    largest: Option<LargestTimestamp>,
    last_used: Instant,
}

impl Segment {
    pub(crate) fn new(id: u64, base_offset: Offset, size_bytes: u64) -> Self {
        Segment {
            id,
            base_offset,
            size_bytes,
            suffix: Suffix::Live,
            verified: Timestamp::NONE,
            file: None,
            offset_index: None,
            largest: None,
            last_used: Instant::default(),
        }
    }

    pub(crate) fn with_file(mut self, file: File) -> Self {
        self.file = Some(file);
        self
    }

    pub(crate) fn with_largest(mut self, largest: LargestTimestamp) -> Self {
        self.largest = Some(largest);
        self
    }

    pub(crate) fn path(&self, dir: &Path, kind: FileKind) -> PathBuf {
        FileName::new(self.base_offset, kind, self.suffix).in_dir(dir)
    }

    /// The file, opened if need be.
    pub(crate) fn file(&mut self, dir: &Path) -> io::Result<File> {
        self.last_used = reactor::now();
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let file = File::open(&self.path(dir, FileKind::Log), OpenMode::ReadWrite)?;
        file.advise_random();
        self.file = Some(file.clone());
        Ok(file)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.file.is_some() || self.offset_index.is_some()
    }

    pub(crate) fn last_used(&self) -> Instant {
        self.last_used
    }

    /// Gives the descriptors back. Only for segments without unsynced data: the kernel reports a failed write-back to
    /// the descriptors that are open when it happens.
    pub(crate) fn release(&mut self) {
        self.file = None;
        self.offset_index = None;
    }

    /// The first batch that ends at or behind `from`, searched from `hint` on, or from where the index says. For closed
    /// segments.
    pub(crate) fn find(
        &mut self,
        dir: &Path,
        interval_bytes: u32,
        from: Offset,
        reach: Reach,
    ) -> Result<Option<BatchAt>, ScanError> {
        let position = self.floor(dir, interval_bytes, from, reach)?;
        let end = self.size_bytes;
        let wanted = |batch: &BatchAt| batch.header.last_offset() >= from;
        self.find_from(dir, position, end, reach, wanted)
    }

    /// Walks the batches from a known batch start on, as far as the file has them.
    pub(crate) fn find_from(
        &mut self,
        dir: &Path,
        position: u64,
        end: u64,
        reach: Reach,
        wanted: impl FnMut(&BatchAt) -> bool,
    ) -> Result<Option<BatchAt>, ScanError> {
        let file = &self.file(dir)?;
        Window::new(&Within { file, reach }, end, SCAN_BYTES).find(position, wanted)
    }

    /// A batch start at or before the one that holds `from`, by the index file.
    fn floor(
        &mut self,
        dir: &Path,
        interval_bytes: u32,
        from: Offset,
        reach: Reach,
    ) -> Result<u64, ScanError> {
        let Some(relative_offset) = relative(self.base_offset, from) else {
            return Ok(0);
        };
        self.with_index(dir, interval_bytes, reach, |index| {
            index.floor(relative_offset, reach)
        })
    }

    /// A batch start at or before `position`, by the index file.
    pub(crate) fn floor_by_position(
        &mut self,
        dir: &Path,
        interval_bytes: u32,
        position: u64,
        reach: Reach,
    ) -> Result<u64, ScanError> {
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        self.with_index(dir, interval_bytes, reach, |index| {
            index.floor_by_position(position, reach)
        })
    }

    /// Asks the index file, and believes it only if there is such a batch where it points. A missing or wrong index is
    /// rebuilt from the log, once.
    fn with_index(
        &mut self,
        dir: &Path,
        interval_bytes: u32,
        reach: Reach,
        ask: impl Fn(&OffsetIndexFile) -> io::Result<Option<super::offset_index::IndexEntry>>,
    ) -> Result<u64, ScanError> {
        for attempt in 0..2 {
            let answer = self.open_index(dir).and_then(|index| ask(&index));
            match answer.and_then(|entry| self.confirm(dir, entry, reach)) {
                Ok(position) => return Ok(position),
                Err(error)
                    if attempt == 0
                        && matches!(
                            error.kind(),
                            io::ErrorKind::InvalidData
                                | io::ErrorKind::NotFound
                                | io::ErrorKind::UnexpectedEof
                        ) =>
                {
                    let path = self.path(dir, FileKind::OffsetIndex);
                    tracing::warn!(index = %path.display(), %error, "rebuilding an index from the log");
                    self.rebuild(dir, interval_bytes)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(0) // a rebuilt index that is wrong again: scanning from the start is always right
    }

    fn open_index(&mut self, dir: &Path) -> io::Result<OffsetIndexFile> {
        self.last_used = reactor::now();
        if let Some(index) = &self.offset_index {
            return Ok(index.clone());
        }
        let index = OffsetIndexFile::open(&self.path(dir, FileKind::OffsetIndex), self.size_bytes)?;
        self.offset_index = Some(index.clone());
        Ok(index)
    }

    /// The position of an entry of the offset index, if such a batch is there.
    pub(super) fn confirm(
        &mut self,
        dir: &Path,
        entry: Option<super::offset_index::IndexEntry>,
        reach: Reach,
    ) -> io::Result<u64> {
        let Some(entry) = entry else {
            return Ok(0);
        };
        let position = u64::from(entry.position);
        let file = &self.file(dir)?;
        let batch = Window::new(&Within { file, reach }, self.size_bytes, SCAN_BYTES).header(position);
        if let Err(ScanError::Io(error)) = batch {
            return Err(error);
        }
        let agrees = batch.is_ok_and(|batch| {
            batch.is_some_and(|batch| {
                relative(self.base_offset, batch.header.last_offset()) == Some(entry.relative_offset)
            })
        });
        if agrees {
            Ok(position)
        } else {
            Err(damaged(IndexDamage::Range { index: 0 }))
        }
    }

    /// Builds both indexes from the batches and writes them over whatever is there.
    pub(crate) fn rebuild(&mut self, dir: &Path, interval_bytes: u32) -> Result<SegmentIndex, ScanError> {
        let file = self.file(dir)?;
        let mut index = scan_index(&file, self.base_offset, self.size_bytes, interval_bytes)?;
        index.finish();
        self.write_index(dir, &index)?;
        Ok(index)
    }

    /// Writes the index files. Not synced; see [`write_index`].
    pub(crate) fn write_index(&mut self, dir: &Path, index: &SegmentIndex) -> io::Result<()> {
        self.largest = Some(index.largest());
        self.offset_index = None;
        for (kind, bytes) in [
            (FileKind::OffsetIndex, index.offsets.encode()),
            (FileKind::TimeIndex, index.times.encode()),
        ] {
            write_whole(&self.path(dir, kind), &bytes)?;
        }
        Ok(())
    }

    /// The greatest timestamp of a closed segment: the last entry of its time index.
    pub(crate) fn largest(&mut self, dir: &Path, interval_bytes: u32) -> Result<LargestTimestamp, ScanError> {
        if let Some(largest) = self.largest {
            return Ok(largest);
        }
        let largest = match time_index::load_last(&self.path(dir, FileKind::TimeIndex)) {
            Ok(Some(entry)) if self.confirms_largest(dir, interval_bytes, entry)? => LargestTimestamp {
                timestamp: entry.timestamp,
                offset: self.base_offset.saturating_add(entry.relative_offset.into()),
            },
            // An empty time index is what a segment without timestamps has - or one whose index was lost.
            Ok(None) if self.size_bytes == 0 => LargestTimestamp {
                timestamp: Timestamp::NONE,
                offset: self.base_offset,
            },
            Ok(_) => self.rebuild(dir, interval_bytes)?.largest(),
            Err(error) => {
                let path = self.path(dir, FileKind::TimeIndex);
                tracing::warn!(index = %path.display(), %error, "rebuilding an index from the log");
                self.rebuild(dir, interval_bytes)?.largest()
            }
        };
        self.largest = Some(largest);
        Ok(largest)
    }
}

/// Walks a segment's headers and builds its indexes. Payloads are not read.
pub(crate) fn scan_index(
    file: &File,
    base_offset: Offset,
    size_bytes: u64,
    interval_bytes: u32,
) -> Result<SegmentIndex, ScanError> {
    let mut index = SegmentIndex::new(base_offset);
    let mut window = Window::new(file, size_bytes, SCAN_BYTES);
    let mut position = 0;
    while let Some(batch) = window.header(position)? {
        let last_offset = batch.header.last_offset();
        if relative(base_offset, last_offset).is_none() {
            let damage = Damage::OffsetRange {
                base: base_offset,
                found: last_offset,
            };
            return Err(DamageAt { position, damage }.into());
        }
        index.push_batch(interval_bytes, &batch);
        position = batch.end();
    }
    Ok(index)
}

/// Writes a derived file over whatever is there. Neither atomic nor synced: it is rebuilt when a crash tears it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let file = File::open(path, OpenMode::Create)?;
    file.set_len(0)?;
    file.write_all_at(bytes, 0)?;
    Ok(file)
}

/// Reads one batch whole. `size_bytes` comes from a header that was checked against the segment's size.
pub(crate) fn read_batch(file: &File, batch: &BatchAt) -> io::Result<Vec<u8>> {
    let size = usize::try_from(batch.size_bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut bytes = Vec::new();
    // Grows with what is there, a MiB at a time: the file may be shorter than its header says.
    while bytes.len() < size {
        let from = bytes.len();
        bytes.resize(size.min(from + BULK_BYTES), 0);
        file.read_exact_at(
            bytes.get_mut(from..).unwrap_or_default(),
            batch.position + from as u64,
        )?;
    }
    Ok(bytes)
}
