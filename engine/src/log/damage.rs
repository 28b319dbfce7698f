//! What can be wrong with the bytes of a segment.

use thiserror::Error;

use crate::types::{LeaderEpoch, Offset};

/// Why the bytes at some position are not the log's next batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    #[error("batch of {expected} bytes ends after {found}")]
    Torn { expected: u64, found: u64 },
    #[error("record format {found}, expected 2")]
    Magic { found: i8 },
    #[error("batch announces {found} bytes, a header alone has 61")]
    Size { found: i64 },
    #[error("stored CRC {stored:#010x}, computed {computed:#010x}")]
    Crc { stored: u32, computed: u32 },
    #[error("base offset {found}, expected at least {expected}")]
    OffsetFalls { expected: Offset, found: Offset },
    #[error("last offset delta {found}")]
    OffsetDelta { found: i32 },
    #[error("last offset {found} is too far from the segment's base offset {base}")]
    OffsetRange { base: Offset, found: Offset },
    #[error("leader epoch {found}, expected at least {expected}")]
    EpochFalls {
        expected: LeaderEpoch,
        found: LeaderEpoch,
    },
    #[error("record count {found} with a last offset delta of {last_offset_delta}")]
    RecordCount { last_offset_delta: i32, found: i32 },
    #[error("the segment begins at offset {found}, the one before it ends at {expected}")]
    Gap { expected: Offset, found: Offset },
    #[error("the disk does not give the bytes: {kind}")]
    Unreadable { kind: std::io::ErrorKind },
    /// The scrubber found the range bad before.
    #[error("quarantined up to position {end}, the log goes on at offset {next_offset}")]
    Quarantined { end: u64, next_offset: Offset },
}

/// Damage and where it is in the segment.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at position {position}: {damage}")]
pub struct DamageAt {
    pub position: u64,
    pub damage: Damage,
}
