//! The time index: up to which offset no record is younger than a timestamp.
//!
//! ```text
//! entry  0  greatest timestamp of the segment so far            i64 big-endian
//!        8  last offset of the first batch that has it,
//!           relative to the segment's base offset               i32 big-endian
//! ```
//! Records behind that offset may be older, records before it are never younger than the timestamp. The last entry of a
//! closed segment is the segment's greatest timestamp.

use std::io;
use std::path::Path;

use reactor::{File, OpenMode};

use super::offset_index::{IndexDamage, damaged};
use crate::types::Timestamp;

/// Size of an entry.
pub const ENTRY_BYTES: usize = 12;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    pub timestamp: Timestamp,
    pub relative_offset: u32,
}

/// Entries of a segment in memory, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeIndex {
    entries: Vec<TimeEntry>,
}

impl TimeIndex {
    /// Reads a whole index and checks that it is one.
    pub fn parse(bytes: &[u8]) -> Result<TimeIndex, IndexDamage> {
        if !bytes.len().is_multiple_of(ENTRY_BYTES) {
            return Err(IndexDamage::Length {
                bytes: bytes.len() as u64,
                entry_bytes: ENTRY_BYTES,
            });
        }
        let mut entries: Vec<TimeEntry> = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
        for (index, entry) in bytes.chunks_exact(ENTRY_BYTES).enumerate() {
            let entry = decode(entry).ok_or(IndexDamage::Range { index })?;
            if let Some(last) = entries.last()
                && (entry.timestamp <= last.timestamp || entry.relative_offset < last.relative_offset)
            {
                return Err(IndexDamage::Order { index });
            }
            entries.push(entry);
        }
        Ok(TimeIndex { entries })
    }

    /// The entries at the front of a file that may be torn, or longer than what was written: up to the first that is none.
    pub(crate) fn parse_front(bytes: &[u8]) -> TimeIndex {
        let mut index = TimeIndex::default();
        for entry in bytes.chunks_exact(ENTRY_BYTES).map_while(decode) {
            let is_behind = index.last().map_or(entry.timestamp > Timestamp::NONE, |last| {
                entry.timestamp > last.timestamp && entry.relative_offset >= last.relative_offset
            });
            if !is_behind {
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
            bytes.extend_from_slice(&entry.timestamp.0.to_be_bytes());
            bytes.extend_from_slice(&entry.relative_offset.to_be_bytes());
        }
        bytes
    }

    /// Forgets the entries for offsets from `relative_offset` on.
    pub(crate) fn truncate(&mut self, relative_offset: u32) {
        let kept = self
            .entries
            .partition_point(|entry| entry.relative_offset < relative_offset);
        self.entries.truncate(kept);
    }

    /// Adds an entry unless the greatest timestamp is still the same.
    pub fn push_if_greater(&mut self, entry: TimeEntry) {
        match self.entries.last() {
            Some(last) if entry.timestamp <= last.timestamp => {}
            None if entry.timestamp <= Timestamp::NONE => {}
            _ => self.entries.push(entry),
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn last(&self) -> Option<TimeEntry> {
        self.entries.last().copied()
    }

    pub fn size_bytes(&self) -> usize {
        self.entries.len() * ENTRY_BYTES
    }

    /// The last entry not younger than a timestamp: the first record at or after it lies behind that entry's offset, or
    /// in its batch.
    pub fn floor(&self, timestamp: Timestamp) -> Option<TimeEntry> {
        let after = self.entries.partition_point(|entry| entry.timestamp <= timestamp);
        self.entries.get(after.checked_sub(1)?).copied()
    }
}

fn decode(bytes: &[u8]) -> Option<TimeEntry> {
    let (timestamp, offset) = bytes.split_first_chunk::<8>()?;
    let offset = offset.first_chunk::<4>()?;
    let relative_offset = u32::try_from(i32::from_be_bytes(*offset)).ok()?;
    Some(TimeEntry {
        timestamp: Timestamp(i64::from_be_bytes(*timestamp)),
        relative_offset,
    })
}

/// The index of a closed segment, whole: asked for by timestamp lookups only, which are rare.
pub(crate) fn load(path: &Path) -> io::Result<TimeIndex> {
    TimeIndex::parse(&reactor::disk::read(path)?).map_err(damaged)
}

/// The last entry of a closed segment: its greatest timestamp. `None` for an empty index.
pub(crate) fn load_last(path: &Path) -> io::Result<Option<TimeEntry>> {
    let file = File::open(path, OpenMode::Read)?;
    let bytes = file.len()?;
    if !bytes.is_multiple_of(ENTRY_BYTES as u64) {
        return Err(damaged(IndexDamage::Length {
            bytes,
            entry_bytes: ENTRY_BYTES,
        }));
    }
    let Some(position) = bytes.checked_sub(ENTRY_BYTES as u64) else {
        return Ok(None);
    };
    let mut entry = [0; ENTRY_BYTES];
    file.read_exact_at(&mut entry, position)?;
    let index = (position / ENTRY_BYTES as u64) as usize;
    decode(&entry)
        .filter(|entry| entry.timestamp.is_some())
        .map(Some)
        .ok_or_else(|| damaged(IndexDamage::Range { index }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(timestamp: i64, relative_offset: u32) -> TimeEntry {
        TimeEntry {
            timestamp: Timestamp(timestamp),
            relative_offset,
        }
    }

    #[test]
    fn only_growing_timestamps_are_kept() {
        // Kafka refuses an index whose timestamps fall, and rebuilds it at every start.
        let mut index = TimeIndex::default();
        for (timestamp, offset) in [(-1, 0), (5, 1), (5, 2), (3, 3), (9, 4)] {
            index.push_if_greater(entry(timestamp, offset));
        }
        assert_eq!(index.entries, [entry(5, 1), entry(9, 4)]);
        assert_eq!(index.floor(Timestamp(4)), None);
        assert_eq!(index.floor(Timestamp(5)), Some(entry(5, 1)));
        assert_eq!(index.floor(Timestamp(8)), Some(entry(5, 1)));
        assert_eq!(index.floor(Timestamp(100)), Some(entry(9, 4)));
        assert_eq!(TimeIndex::parse(&index.encode()), Ok(index));
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(
            TimeIndex::parse(&[0; 11]),
            Err(IndexDamage::Length {
                bytes: 11,
                entry_bytes: 12
            })
        );
        assert_eq!(TimeIndex::parse(&[0; 24]), Err(IndexDamage::Order { index: 1 }));
        assert_eq!(
            TimeIndex::parse(&[0xff; 12]),
            Err(IndexDamage::Range { index: 0 })
        );
    }
}
