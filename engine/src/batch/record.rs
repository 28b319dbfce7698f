//! The records inside a batch.
//!
//! ```text
//! length          varint   bytes after it
//! attributes      i8       unused
//! timestamp delta varlong  from the batch's base timestamp
//! offset delta    varint   from its base offset
//! key             varint length, bytes; -1 = null
//! value           varint length, bytes; -1 = null
//! headers         varint count, { key: varint length, bytes; value: varint length, bytes; -1 = null }
//! ```

use std::borrow::Cow;

use super::codec;
use super::error::{BatchError, RecordFault};
use super::header::TimestampType;
use super::varint::Cursor;
use super::view::Batch;
use crate::types::{Offset, Timestamp};

/// One record of a batch, its bytes borrowed from the (decompressed) batch.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: Offset,
    /// The batch's max timestamp when the batch has log append time.
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// The headers of a record, checked when the record was read, walked on demand.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    pub(super) count: i32,
    pub(super) bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    pub const NONE: Headers<'static> = Headers { count: 0, bytes: &[] };

    pub fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = RecordHeader<'a>> + use<'a> {
        let mut cursor = Cursor(self.bytes);
        (0..self.count).map_while(move |_| read_header(&mut cursor).ok())
    }
}

/// One header of a record.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RecordHeader<'a> {
    /// UTF-8 by agreement of the clients; the broker does not look.
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// A record as it lies in the batch: deltas instead of numbers.
pub(super) struct RawRecord<'a> {
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

impl<'a> RawRecord<'a> {
    /// Takes the first record of `cursor`.
    #[inline]
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<RawRecord<'a>, RecordFault> {
        let announced = cursor.varint()?;
        let available = cursor.0.len();
        let body = cursor
            .take(announced)
            .map_err(|_| RecordFault::Size { announced, available })?;
        let mut body = Cursor(body);
        body.byte()?; // attributes: no bit has a meaning
        let timestamp_delta = body.varlong()?;
        let offset_delta = body.varint()?;
        let key = nullable(&mut body)?;
        let value = nullable(&mut body)?;
        let count = body.varint()?;
        // a header has at least its two lengths
        if count < 0 || count as usize > body.0.len() / 2 {
            return Err(RecordFault::HeaderCount {
                count,
                available: body.0.len(),
            });
        }
        let bytes = body.0;
        for _ in 0..count {
            read_header(&mut body)?;
        }
        if !body.0.is_empty() {
            let announced = announced as usize;
            return Err(RecordFault::SizeMismatch {
                announced,
                found: announced - body.0.len(),
            });
        }
        Ok(RawRecord {
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers: Headers { count, bytes },
        })
    }
}

fn nullable<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, RecordFault> {
    match cursor.varint()? {
        -1 => Ok(None),
        length => cursor.take(length).map(Some),
    }
}

fn read_header<'a>(cursor: &mut Cursor<'a>) -> Result<RecordHeader<'a>, RecordFault> {
    let length = cursor.varint()?;
    let key = cursor.take(length)?;
    Ok(RecordHeader {
        key,
        value: nullable(cursor)?,
    })
}

impl<'a> Batch<'a> {
    /// The records, decompressed into a buffer of at most `max_decompressed_bytes` if they are compressed.
    pub fn records(&self, max_decompressed_bytes: usize) -> Result<Records<'a>, BatchError> {
        let compressed = self.records_bytes();
        let bytes = match self.codec()? {
            codec::Codec::None => Cow::Borrowed(compressed),
            // a batch that compaction emptied holds no compressed stream, not even an empty one
            _ if self.record_count() == 0 && compressed.is_empty() => Cow::Borrowed(compressed),
            codec => Cow::Owned(codec::decompress_to_vec(
                codec,
                compressed,
                max_decompressed_bytes,
            )?),
        };
        Ok(Records { batch: *self, bytes })
    }
}

/// The records of a batch, decompressed.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    batch: Batch<'a>,
    bytes: Cow<'a, [u8]>,
}

impl Records<'_> {
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(&self.batch, &self.bytes)
    }

    /// Size of the records decompressed.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl<'r> IntoIterator for &'r Records<'_> {
    type Item = Result<Record<'r>, BatchError>;
    type IntoIter = RecordIter<'r>;

    fn into_iter(self) -> RecordIter<'r> {
        self.iter()
    }
}

/// Walk over the records of a batch: as many as its header announces, then nothing may be left. Ends after the first
/// error.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    base_offset: Offset,
    base_timestamp: Timestamp,
    log_append_time: Option<Timestamp>,
    count: i32,
    index: i32,
    cursor: Cursor<'a>,
}

impl<'a> RecordIter<'a> {
    /// Walks `records`, which are the records of `batch`, decompressed.
    pub fn new(batch: &Batch<'_>, records: &'a [u8]) -> Self {
        let header = batch.header();
        RecordIter {
            base_offset: header.base_offset(),
            base_timestamp: header.base_timestamp(),
            log_append_time: match header.attributes().timestamp_type() {
                TimestampType::LogAppendTime => Some(header.max_timestamp()),
                TimestampType::CreateTime => None,
            },
            count: header.record_count(),
            index: 0,
            cursor: Cursor(records),
        }
    }

    fn step(&mut self) -> Result<Option<Record<'a>>, BatchError> {
        if self.index >= self.count {
            let bytes = std::mem::take(&mut self.cursor.0).len();
            return if bytes == 0 {
                Ok(None)
            } else {
                Err(BatchError::Remaining {
                    count: self.count,
                    bytes,
                })
            };
        }
        let index = self.index as u32;
        self.index += 1;
        let raw = RawRecord::read(&mut self.cursor).map_err(|what| {
            self.count = 0;
            self.cursor = Cursor(&[]);
            BatchError::Malformed { index, what }
        })?;
        Ok(Some(Record {
            offset: self.base_offset.saturating_add(raw.offset_delta.into()),
            timestamp: self
                .log_append_time
                .unwrap_or(timestamp_of(self.base_timestamp, raw.timestamp_delta)),
            key: raw.key,
            value: raw.value,
            headers: raw.headers,
        }))
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// Wraps around as every client's addition does, so that all read the same nonsense from a nonsensical delta.
pub(super) fn timestamp_of(base: Timestamp, delta: i64) -> Timestamp {
    Timestamp(base.0.wrapping_add(delta))
}
