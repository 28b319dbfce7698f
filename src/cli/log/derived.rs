//! The entries of index files, with the offsets they mean.

use engine::directory::{TopicIdLine, parse_topic_ids};
use engine::types::{Offset, Timestamp};
use uuid::Uuid;

const OFFSET_ENTRY_BYTES: usize = 8;
const TIME_ENTRY_BYTES: usize = 12;
pub const TRANSACTION_ENTRY_BYTES: usize = 34;

/// Where the batch that ends with an offset begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetEntry {
    pub offset: Offset,
    pub position: u64,
}

/// The greatest timestamp up to an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeEntry {
    pub timestamp: Timestamp,
    pub offset: Offset,
}

/// A transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedEntry {
    pub version: i16,
    pub producer_id: i64,
    pub first_offset: Offset,
    pub last_offset: Offset,
    pub last_stable_offset: Offset,
}

/// Bytes that do not make up a whole entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remainder(pub usize);

type Entries<T> = (Vec<T>, Option<Remainder>);

/// Entries, without the zeros that a running Kafka allocates at the end.
fn entries<T>(bytes: &[u8], entry_bytes: usize, read: impl Fn(&[u8]) -> Option<T>) -> Entries<T> {
    let mut entries = Vec::new();
    let mut zeros = 0;
    let chunks = bytes.chunks_exact(entry_bytes);
    let remainder = Some(Remainder(chunks.remainder().len())).filter(|remainder| remainder.0 > 0);
    for (at, chunk) in chunks.enumerate() {
        let is_zero = chunk.iter().all(|byte| *byte == 0);
        // an all-zero entry may be the first one: a batch of one record at position 0
        zeros = if is_zero && at > 0 { zeros + 1 } else { 0 };
        entries.extend(read(chunk));
    }
    entries.truncate(entries.len() - zeros);
    // a file of nothing but zeros is an empty index with space allocated
    if zeros > 0 && entries.len() == 1 && bytes.iter().all(|byte| *byte == 0) {
        entries.clear();
    }
    (entries, remainder)
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| i32::from_be_bytes(*bytes))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| i64::from_be_bytes(*bytes))
}

pub fn offset_entries(base_offset: Offset, bytes: &[u8]) -> Entries<OffsetEntry> {
    entries(bytes, OFFSET_ENTRY_BYTES, |entry| {
        Some(OffsetEntry {
            offset: base_offset.saturating_add(i32_at(entry, 0)?.into()),
            position: u64::from(i32_at(entry, 4)? as u32),
        })
    })
}

pub fn time_entries(base_offset: Offset, bytes: &[u8]) -> Entries<TimeEntry> {
    entries(bytes, TIME_ENTRY_BYTES, |entry| {
        Some(TimeEntry {
            timestamp: Timestamp(i64_at(entry, 0)?),
            offset: base_offset.saturating_add(i32_at(entry, 8)?.into()),
        })
    })
}

pub fn transaction_entries(bytes: &[u8]) -> Entries<AbortedEntry> {
    entries(bytes, TRANSACTION_ENTRY_BYTES, |entry| {
        Some(AbortedEntry {
            version: i16::from_be_bytes(*entry.first_chunk()?),
            producer_id: i64_at(entry, 2)?,
            first_offset: Offset(i64_at(entry, 10)?),
            last_offset: Offset(i64_at(entry, 18)?),
            last_stable_offset: Offset(i64_at(entry, 26)?),
        })
    })
}

/// Of `ringlog-checkpoint-topic-ids`; the first line that is none.
pub fn topic_ids(bytes: &[u8]) -> Result<Vec<(String, Uuid)>, TopicIdLine> {
    parse_topic_ids(bytes).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocated_space_is_no_entry() {
        let mut bytes = [[0, 0, 0, 9], [0, 0, 0, 0]].concat();
        bytes.extend([[0, 0, 0, 19], [0, 0, 1, 0]].concat());
        let expected = [
            OffsetEntry {
                offset: Offset(109),
                position: 0,
            },
            OffsetEntry {
                offset: Offset(119),
                position: 256,
            },
        ];
        assert_eq!(offset_entries(Offset(100), &bytes), (expected.to_vec(), None));
        bytes.resize(80, 0);
        assert_eq!(offset_entries(Offset(100), &bytes).0, expected);
        assert_eq!(offset_entries(Offset(100), &[0; 8]).0.len(), 1);
        assert_eq!(offset_entries(Offset(100), &[0; 800]).0, []);
        assert_eq!(
            offset_entries(Offset(100), &bytes[..17]),
            (expected.to_vec(), Some(Remainder(1)))
        );
    }
}
