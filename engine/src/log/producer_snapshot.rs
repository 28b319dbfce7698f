//! The `.snapshot` file: producer state at an offset, so that a start need not read the log before it.
//!
//! ```text
//!  0  version   i16   1
//!  2  CRC-32C   u32   of everything from byte 6 on
//!  6  count     i32
//! 10  entries   46 bytes each:
//!      0  producer id            i64
//!      8  epoch                  i16
//!     10  last sequence          i32
//!     14  last offset            i64   -1: no batch known, only a marker
//!     22  offset delta           i32   of the last batch
//!     26  timestamp              i64
//!     34  coordinator epoch      i32
//!     38  transaction start      i64   -1: none open
//! ```
//! Only the last batch of each producer is kept, as in Kafka: a retry of an older one that crosses a restart is refused as
//! out of order rather than answered as a duplicate.

use bytes::{Buf, BufMut};
use thiserror::Error;

use super::producer_state::{ProducerEntry, ProducerStates, WrittenBatch};
use crate::batch::crc::crc32c;
use crate::planted::{self, Bug};
use crate::types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

const VERSION: i16 = 1;
const CRC_START: usize = 6;
/// Before the first entry.
pub const HEADER_BYTES: usize = 10;
pub const ENTRY_BYTES: usize = 46;

/// Why bytes are not a snapshot. The log is read instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    #[error("{found} bytes, expected {expected}")]
    Length { expected: usize, found: usize },
    #[error("version {0}, expected 1")]
    Version(i16),
    #[error("stored CRC {stored:#010x}, computed {computed:#010x}")]
    Crc { stored: u32, computed: u32 },
    #[error("producer {0} with a negative offset delta")]
    Entry(ProducerId),
}

/// Content of the snapshot file. Sorted by producer id, so that equal states make equal files.
pub fn encode(states: &ProducerStates) -> Vec<u8> {
    let mut entries: Vec<_> = states.iter().collect();
    entries.sort_unstable_by_key(|(id, _)| *id);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + entries.len() * ENTRY_BYTES);
    bytes.put_i16(VERSION);
    bytes.put_u32(0);
    bytes.put_i32(entries.len() as i32); // at most PRODUCERS_MAX
    for (id, entry) in entries {
        bytes.put_i64(id.0);
        bytes.put_i16(entry.epoch.0);
        bytes.put_i32(entry.last_sequence().0);
        bytes.put_i64(entry.last_batch().map_or(-1, |batch| batch.last_offset.0));
        bytes.put_i32(entry.last_batch().map_or(0, |batch| batch.offset_delta));
        bytes.put_i64(entry.last_timestamp.0);
        bytes.put_i32(entry.coordinator_epoch);
        let open = entry
            .current_transaction_start
            .filter(|_| !planted::is(Bug::OpenTransactionsNotInSnapshot));
        bytes.put_i64(open.map_or(-1, |offset| offset.0));
    }
    let crc = crc32c(bytes.get(CRC_START..).unwrap_or_default());
    if let Some(field) = bytes.get_mut(2..CRC_START) {
        field.copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

pub fn parse(bytes: &[u8]) -> Result<Vec<(ProducerId, ProducerEntry)>, SnapshotError> {
    let mut fields = bytes;
    if fields.len() < HEADER_BYTES {
        return Err(SnapshotError::Length {
            expected: HEADER_BYTES,
            found: bytes.len(),
        });
    }
    let version = fields.get_i16();
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let stored = fields.get_u32();
    let computed = crc32c(fields);
    if stored != computed {
        return Err(SnapshotError::Crc { stored, computed });
    }
    let count = fields.get_i32();
    let expected = usize::try_from(count)
        .unwrap_or(usize::MAX)
        .saturating_mul(ENTRY_BYTES);
    if fields.len() != expected {
        return Err(SnapshotError::Length {
            expected: expected.saturating_add(HEADER_BYTES),
            found: bytes.len(),
        });
    }
    let mut entries = Vec::with_capacity(fields.len() / ENTRY_BYTES);
    while fields.has_remaining() {
        let id = ProducerId(fields.get_i64());
        let mut entry = ProducerEntry::new(ProducerEpoch(fields.get_i16()));
        let last_sequence = Sequence(fields.get_i32());
        let last_offset = Offset(fields.get_i64());
        let offset_delta = fields.get_i32();
        entry.last_timestamp = Timestamp(fields.get_i64());
        entry.coordinator_epoch = fields.get_i32();
        entry.current_transaction_start = Some(Offset(fields.get_i64())).filter(|offset| offset.is_some());
        if offset_delta < 0 {
            return Err(SnapshotError::Entry(id));
        }
        if last_offset.is_some() {
            let timestamp = entry.last_timestamp;
            entry.push(WrittenBatch {
                last_sequence,
                last_offset,
                offset_delta,
                timestamp,
            });
        }
        entries.push((id, entry));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchProducer;
    use crate::log::producer_state::Appended;

    fn states() -> ProducerStates {
        let mut states = ProducerStates::new(Offset(0));
        for id in [9, 4] {
            states.record(&Appended {
                producer: BatchProducer {
                    id: ProducerId(id),
                    epoch: ProducerEpoch(2),
                    base_sequence: Sequence(10),
                    last_sequence: Sequence(12),
                },
                base_offset: Offset(id * 10),
                last_offset: Offset(id * 10 + 2),
                max_timestamp: Timestamp(77),
                now: Timestamp(77),
                is_transactional: id == 9,
                marker: None,
            });
        }
        states
    }

    #[test]
    fn snapshots_round_trip() {
        // A sequence lost here turns the first batch after a restart into an error for its producer.
        let bytes = encode(&states());
        assert_eq!(bytes.len(), 10 + 2 * 46);
        let entries = parse(&bytes).unwrap();
        assert_eq!(entries.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [4, 9]);
        let read = ProducerStates::from_entries(Offset(100), entries, Timestamp(78), 1000);
        assert_eq!(encode(&read), bytes);
        assert_eq!(read.first_unstable_offset(), Some(Offset(90)));
        assert_eq!(read.get(ProducerId(4)).unwrap().last_sequence(), Sequence(12));
    }

    #[test]
    fn every_flipped_or_missing_byte_is_noticed() {
        let bytes = encode(&states());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(parse(&damaged).is_err(), "byte {at}");
            assert!(parse(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
