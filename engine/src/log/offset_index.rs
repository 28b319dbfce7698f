//! The offset index: for every few KiB of log, where a batch lies.
//!
//! ```text
//! entry  0  last offset of the batch, relative to the segment's base offset   i32 big-endian
//!        4  position of the batch in the segment file                         i32 big-endian
//! ```
//! Both grow from entry to entry. The file is derived data: it is trusted only as far as the batch it points at agrees,
//! and rebuilt from the log otherwise.

use std::io;
use std::path::Path;

use super::reach::{Reach, Within};
use reactor::{File, OpenMode};
use thiserror::Error;

use crate::types::Offset;

/// Size of an entry.
pub const ENTRY_BYTES: usize = 8;

/// One entry, relative to the segment's base offset.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct IndexEntry {
    pub relative_offset: u32,
    pub position: u32,
}

/// Why bytes are not an index.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IndexDamage {
    #[error("{bytes} bytes are not a whole number of entries of {entry_bytes}")]
    Length { bytes: u64, entry_bytes: usize },
    #[error("entry {index} does not lie behind the one before it")]
    Order { index: usize },
    #[error("entry {index} is negative or points beyond the segment")]
    Range { index: usize },
}

/// Entries of a segment in memory, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetIndex {
    entries: Vec<IndexEntry>,
}

impl OffsetIndex {
    /// Reads a whole index and checks that it is one, for a segment of `segment_bytes`.
    pub fn parse(bytes: &[u8], segment_bytes: u64) -> Result<OffsetIndex, IndexDamage> {
        if !bytes.len().is_multiple_of(ENTRY_BYTES) {
            return Err(IndexDamage::Length {
                bytes: bytes.len() as u64,
                entry_bytes: ENTRY_BYTES,
            });
        }
        let mut entries: Vec<IndexEntry> = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
        for (index, entry) in bytes.chunks_exact(ENTRY_BYTES).enumerate() {
            let entry = decode(entry).ok_or(IndexDamage::Range { index })?;
            if u64::from(entry.position) >= segment_bytes {
                return Err(IndexDamage::Range { index });
            }
            if let Some(last) = entries.last()
                && (entry.relative_offset <= last.relative_offset || entry.position <= last.position)
            {
                return Err(IndexDamage::Order { index });
            }
            entries.push(entry);
        }
        Ok(OffsetIndex { entries })
    }

    /// The entries at the front of a file that may be torn, or longer than what was written: up to the first that is none.
    pub(crate) fn parse_front(bytes: &[u8], segment_bytes: u64) -> OffsetIndex {
        let mut index = OffsetIndex::default();
        for entry in bytes.chunks_exact(ENTRY_BYTES).map_while(decode) {
            let is_behind = index.last().is_none_or(|last| {
                entry.relative_offset > last.relative_offset && entry.position > last.position
            });
            if !is_behind || u64::from(entry.position) >= segment_bytes {
                break;
            }
            index.entries.push(entry);
        }
        index
    }

    /// The file's content.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_from(0)
    }

    /// The file's content from entry number `first` on.
    pub(crate) fn encode_from(&self, first: usize) -> Vec<u8> {
        let entries = self.entries.get(first..).unwrap_or_default();
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for entry in entries {
            bytes.extend_from_slice(&entry.relative_offset.to_be_bytes());
            bytes.extend_from_slice(&entry.position.to_be_bytes());
        }
        bytes
    }

    /// Forgets the entries of batches that end at or behind `relative_offset`.
    pub(crate) fn truncate(&mut self, relative_offset: u32) {
        let kept = self
            .entries
            .partition_point(|entry| entry.relative_offset < relative_offset);
        self.entries.truncate(kept);
    }

    /// Adds an entry behind all others.
    pub fn push(&mut self, entry: IndexEntry) {
        debug_assert!(self.entries.last().is_none_or(|last| {
            last.relative_offset < entry.relative_offset && last.position < entry.position
        }));
        self.entries.push(entry);
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    pub fn last(&self) -> Option<IndexEntry> {
        self.entries.last().copied()
    }

    pub fn size_bytes(&self) -> usize {
        self.entries.len() * ENTRY_BYTES
    }

    /// The last entry at or before an offset. The search for it starts at that entry's position, or at 0.
    pub fn floor(&self, relative_offset: u32) -> Option<IndexEntry> {
        let after = self
            .entries
            .partition_point(|entry| entry.relative_offset <= relative_offset);
        self.entries.get(after.checked_sub(1)?).copied()
    }

    /// The last entry that points at or before a position.
    pub fn floor_by_position(&self, position: u32) -> Option<IndexEntry> {
        let after = self.entries.partition_point(|entry| entry.position <= position);
        self.entries.get(after.checked_sub(1)?).copied()
    }
}

fn decode(bytes: &[u8]) -> Option<IndexEntry> {
    let (offset, position) = bytes.split_first_chunk::<4>()?;
    let position = position.first_chunk::<4>()?;
    let relative_offset = u32::try_from(i32::from_be_bytes(*offset)).ok()?;
    let position = u32::try_from(i32::from_be_bytes(*position)).ok()?;
    Some(IndexEntry {
        relative_offset,
        position,
    })
}

/// The index of a closed segment, searched in its file: a closed segment costs no memory, and a consumer that reads
/// it in order asks once.
#[derive(Clone, Debug)]
pub(crate) struct OffsetIndexFile {
    file: File,
    entry_count: u64,
    segment_bytes: u64,
}

impl OffsetIndexFile {
    /// `InvalidData` when the file cannot be an index.
    pub(crate) fn open(path: &Path, segment_bytes: u64) -> io::Result<OffsetIndexFile> {
        let file = File::open(path, OpenMode::Read)?;
        let bytes = file.len()?;
        if !bytes.is_multiple_of(ENTRY_BYTES as u64) {
            return Err(damaged(IndexDamage::Length {
                bytes,
                entry_bytes: ENTRY_BYTES,
            }));
        }
        Ok(OffsetIndexFile {
            file,
            entry_count: bytes / ENTRY_BYTES as u64,
            segment_bytes,
        })
    }

    pub(crate) fn floor(&self, relative_offset: u32, reach: Reach) -> io::Result<Option<IndexEntry>> {
        self.search(reach, |entry| entry.relative_offset <= relative_offset)
    }

    pub(crate) fn floor_by_position(&self, position: u32, reach: Reach) -> io::Result<Option<IndexEntry>> {
        self.search(reach, |entry| entry.position <= position)
    }

    /// The last entry for which `before` holds; it holds for all entries up to some point and for none after.
    fn search(&self, reach: Reach, before: impl Fn(&IndexEntry) -> bool) -> io::Result<Option<IndexEntry>> {
        let (mut low, mut high) = (0, self.entry_count);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(middle, reach)?;
            if before(&entry) {
                found = Some(entry);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(found)
    }

    fn entry(&self, index: u64, reach: Reach) -> io::Result<IndexEntry> {
        let mut bytes = [0; ENTRY_BYTES];
        let file = &self.file;
        Within { file, reach }.read_exact_at(&mut bytes, index * ENTRY_BYTES as u64)?;
        decode(&bytes)
            .filter(|entry| u64::from(entry.position) < self.segment_bytes)
            .ok_or_else(|| {
                damaged(IndexDamage::Range {
                    index: index as usize,
                })
            })
    }
}

pub(crate) fn damaged(damage: IndexDamage) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, damage)
}

/// An offset as the indexes of a segment store it; `None` when it does not fit, which closes the segment.
pub(crate) fn relative(base_offset: Offset, offset: Offset) -> Option<u32> {
    let delta = offset.0.checked_sub(base_offset.0)?;
    i32::try_from(delta)
        .ok()
        .and_then(|delta| u32::try_from(delta).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(entries: &[(u32, u32)]) -> OffsetIndex {
        let mut index = OffsetIndex::default();
        for &(relative_offset, position) in entries {
            index.push(IndexEntry {
                relative_offset,
                position,
            });
        }
        index
    }

    #[test]
    fn lookups_never_overshoot() {
        // An entry behind the wanted offset would make a fetch skip records.
        let index = index(&[(9, 100), (19, 200), (29, 300)]);
        assert_eq!(index.floor(8), None);
        assert_eq!(index.floor(9).map(|e| e.position), Some(100));
        assert_eq!(index.floor(28).map(|e| e.position), Some(200));
        assert_eq!(index.floor(u32::MAX).map(|e| e.position), Some(300));
        assert_eq!(index.floor_by_position(99), None);
        assert_eq!(index.floor_by_position(299).map(|e| e.relative_offset), Some(19));
    }

    #[test]
    fn parse_is_the_inverse_of_encode_and_refuses_the_rest() {
        let built = index(&[(1, 10), (5, 20)]);
        let bytes = built.encode();
        assert_eq!(bytes, [0, 0, 0, 1, 0, 0, 0, 10, 0, 0, 0, 5, 0, 0, 0, 20]);
        assert_eq!(OffsetIndex::parse(&bytes, 21), Ok(built));
        assert_eq!(
            OffsetIndex::parse(&bytes, 20),
            Err(IndexDamage::Range { index: 1 })
        );
        assert_eq!(
            OffsetIndex::parse(&bytes[..15], 99),
            Err(IndexDamage::Length {
                bytes: 15,
                entry_bytes: 8
            })
        );
        assert_eq!(
            OffsetIndex::parse(&[0; 16], 99),
            Err(IndexDamage::Order { index: 1 })
        );
        assert_eq!(
            OffsetIndex::parse(&[0xff; 8], 99),
            Err(IndexDamage::Range { index: 0 })
        );
    }

    #[test]
    fn offsets_too_far_from_the_base_do_not_fit() {
        assert_eq!(relative(Offset(10), Offset(10)), Some(0));
        assert_eq!(relative(Offset(10), Offset(9)), None);
        assert_eq!(
            relative(Offset(0), Offset(i32::MAX.into())),
            Some(i32::MAX as u32)
        );
        assert_eq!(relative(Offset(0), Offset(i64::from(i32::MAX) + 1)), None);
        assert_eq!(relative(Offset(i64::MIN), Offset(i64::MAX)), None);
    }
}
