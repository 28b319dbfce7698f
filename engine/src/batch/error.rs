//! What can be wrong with a batch, each fault with what was expected and found.
//!
//! No wire codes here: the broker maps [`BatchError::fault`] to Kafka's codes, one to one.

use std::fmt;

use thiserror::Error;

use super::codec::CodecError;
use crate::types::{Offset, ProducerId, Sequence, Timestamp};

/// The classes of answers Kafka gives to a bad batch.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum BatchFault {
    /// Damaged on its way; the client may send it again (CORRUPT_MESSAGE).
    Corrupt,
    /// Written wrongly by the client (INVALID_RECORD).
    InvalidRecord,
    /// A record's timestamp is outside the topic's bounds (INVALID_TIMESTAMP).
    InvalidTimestamp,
    /// Larger than the topic allows, as sent (MESSAGE_TOO_LARGE).
    TooLarge,
    /// A codec number nobody has defined (UNSUPPORTED_COMPRESSION_TYPE).
    UnsupportedCompression,
}

/// Why a batch was refused, or why bytes are not a batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    #[error("there is no record batch")]
    Empty,
    #[error("batch of {expected} bytes ends after {found}")]
    Truncated { expected: usize, found: usize },
    #[error("batch announces {size_bytes} bytes, a header alone has 61")]
    SizeTooSmall { size_bytes: i64 },
    #[error("record format {magic}, expected 2")]
    Magic { magic: i8 },
    #[error("batch has {size_bytes} bytes, at most {max_bytes} are allowed")]
    TooLarge { size_bytes: usize, max_bytes: usize },
    #[error("{trailing_bytes} bytes follow the batch, expected exactly one batch")]
    MoreThanOne { trailing_bytes: usize },
    #[error("stored CRC {stored:#010x}, computed {computed:#010x}")]
    Crc { stored: u32, computed: u32 },
    #[error("base offset {found}, a producer's batch starts at 0")]
    BaseOffset { found: Offset },
    #[error("record count {count}")]
    RecordCount { count: i32 },
    #[error("record count {count}, but the last offset delta is {last_offset_delta}")]
    CountMismatch { count: i32, last_offset_delta: i32 },
    #[error("{count} records, at most {max} are allowed in a batch")]
    TooManyRecords { count: i32, max: i32 },
    #[error("clients may not write control batches")]
    Control,
    #[error("clients may not set a delete horizon")]
    DeleteHorizon,
    #[error("base sequence {sequence} in a batch of producer {producer}")]
    Sequence {
        producer: ProducerId,
        sequence: Sequence,
    },
    #[error("unknown codec {id}")]
    UnknownCodec { id: u8 },
    #[error("{0}")]
    Codec(#[from] CodecError),
    #[error("record {index}: {what}")]
    Malformed { index: u32, what: RecordFault },
    #[error("{bytes} bytes remain after the {count} records announced")]
    Remaining { count: i32, bytes: usize },
    /// The batch is well formed, but the topic's rules refuse some of its records. Never empty.
    #[error("{}", Refused(.0))]
    Records(Box<[RecordError]>),
    #[error("control record key of {0} bytes or with a negative version")]
    ControlKey(usize),
    #[error("control record value: expected {expected} bytes, found {found}")]
    ControlValue { expected: usize, found: usize },
}

impl BatchError {
    /// Whose fault, in Kafka's classes.
    pub fn fault(&self) -> BatchFault {
        match self {
            // 0 and 1 are formats a client may not send any more; anything else is not a batch at all.
            BatchError::Magic { magic: 0 | 1 } => BatchFault::InvalidRecord,
            BatchError::Magic { .. } | BatchError::SizeTooSmall { .. } | BatchError::Crc { .. } => {
                BatchFault::Corrupt
            }
            BatchError::TooLarge { .. } => BatchFault::TooLarge,
            BatchError::UnknownCodec { .. } => BatchFault::UnsupportedCompression,
            BatchError::Records(errors) => {
                if errors.iter().any(|error| error.what.is_about_time()) {
                    BatchFault::InvalidTimestamp
                } else {
                    BatchFault::InvalidRecord
                }
            }
            BatchError::Empty
            | BatchError::Truncated { .. }
            | BatchError::MoreThanOne { .. }
            | BatchError::BaseOffset { .. }
            | BatchError::RecordCount { .. }
            | BatchError::CountMismatch { .. }
            | BatchError::TooManyRecords { .. }
            | BatchError::Control
            | BatchError::DeleteHorizon
            | BatchError::Sequence { .. }
            | BatchError::Codec(_)
            | BatchError::Malformed { .. }
            | BatchError::Remaining { .. }
            | BatchError::ControlKey(_)
            | BatchError::ControlValue { .. } => BatchFault::InvalidRecord,
        }
    }

    /// The refused records, for the record errors of a produce response (BatchIndexAndErrorMessage).
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            BatchError::Records(errors) => errors,
            _ => &[],
        }
    }
}

/// One record that the topic's rules refuse.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("record {index}: {what}")]
pub struct RecordError {
    /// Position in the batch, from 0.
    pub index: u32,
    pub what: RecordFault,
}

/// What is wrong with one record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordFault {
    #[error("ends in the middle of a field")]
    Truncated,
    #[error("a number is longer than its type")]
    Varint,
    #[error("announces {announced} bytes, {available} are left")]
    Size { announced: i32, available: usize },
    #[error("has {announced} bytes, its fields have {found}")]
    SizeMismatch { announced: usize, found: usize },
    #[error("a length of {length} bytes where {available} are left")]
    Length { length: i32, available: usize },
    #[error("{count} headers where {available} bytes are left")]
    HeaderCount { count: i32, available: usize },
    #[error("offset delta {found}, expected {expected}")]
    OffsetDelta { expected: i64, found: i32 },
    #[error("a compacted topic takes no record without a key")]
    NoKey,
    #[error("timestamp {found} is outside [{earliest}, {latest}]")]
    Timestamp {
        found: Timestamp,
        earliest: Timestamp,
        latest: Timestamp,
    },
    #[error("a producer may not send log append time")]
    TimestampType,
}

impl RecordFault {
    fn is_about_time(&self) -> bool {
        matches!(self, RecordFault::Timestamp { .. } | RecordFault::TimestampType)
    }
}

/// Prints at most three refused records, as Kafka's message does.
struct Refused<'a>(&'a [RecordError]);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records refused", self.0.len())?;
        for error in self.0.iter().take(3) {
            write!(f, "; {error}")?;
        }
        Ok(())
    }
}
