//! Writing batches: the broker's own (offsets, metadata, markers), the cleaner's, and those of tests and tools.

use bytes::{BufMut, BytesMut};
use thiserror::Error;
use zerocopy::byteorder::big_endian::{I16, I32, I64, U32};
use zerocopy::{FromZeros, IntoBytes};

use super::codec::{self, Codec, CodecError, Compression};
use super::header::{Attributes, BatchHeader, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, MAGIC, TimestampType};
use super::record::{Headers, Record, RecordHeader};
use super::stamp::seal;
use super::varint::{put_varint, varint_bytes};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Why a batch cannot be built. Both are about what the caller appended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    #[error("offset {found} appended after {last}, base offset {base}")]
    Offset {
        base: Offset,
        last: Offset,
        found: Offset,
    },
    #[error("batch or record of {bytes} bytes does not fit the format's 31 bits")]
    TooLarge { bytes: usize },
    #[error("a batch without records and without a last offset")]
    Empty,
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Collects records into one batch. Setters first, then records, then [`BatchBuilder::build`], which also reports the
/// first record that could not be taken.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_offset: Offset,
    next_offset: Offset,
    last_offset: Option<Offset>,
    leader_epoch: LeaderEpoch,
    attributes: Attributes,
    compression: Compression,
    base_timestamp: Option<Timestamp>,
    max_timestamp: Timestamp,
    fixed_max_timestamp: Option<Timestamp>,
    producer: (ProducerId, ProducerEpoch, Sequence),
    record_count: i32,
    records: BytesMut,
    fault: Option<BuildError>,
}

impl BatchBuilder {
    /// An empty batch that begins at `base_offset`: no codec, no producer, no leader epoch.
    pub fn new(base_offset: Offset) -> Self {
        BatchBuilder {
            base_offset,
            next_offset: base_offset,
            last_offset: None,
            leader_epoch: LeaderEpoch::NONE,
            attributes: Attributes::default(),
            compression: Compression::default(),
            base_timestamp: None,
            max_timestamp: Timestamp::NONE,
            fixed_max_timestamp: None,
            producer: (ProducerId::NONE, ProducerEpoch::NONE, Sequence::NONE),
            record_count: 0,
            records: BytesMut::new(),
            fault: None,
        }
    }

    pub fn compression(mut self, compression: impl Into<Compression>) -> Self {
        self.compression = compression.into();
        self
    }

    pub fn leader_epoch(mut self, epoch: LeaderEpoch) -> Self {
        self.leader_epoch = epoch;
        self
    }

    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: Sequence) -> Self {
        self.producer = (id, epoch, base_sequence);
        self
    }

    pub fn transactional(mut self) -> Self {
        self.attributes = self.attributes.with_transactional();
        self
    }

    /// The records are control records: markers, or the quorum's own.
    pub fn control(mut self) -> Self {
        self.attributes = self.attributes.with_control();
        self
    }

    /// All records carry `time`, whatever timestamps they were appended with.
    pub fn log_append_time(mut self, time: Timestamp) -> Self {
        self.attributes = self.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        self.fixed_max_timestamp = Some(time);
        self
    }

    /// For the cleaner: tombstones and markers may go at `time`, which takes the place of the base timestamp.
    pub fn delete_horizon(mut self, time: Timestamp) -> Self {
        self.attributes = self.attributes.with_delete_horizon();
        self.base_timestamp = Some(time);
        self
    }

    /// For the cleaner: the batch keeps this last offset, whatever records are left. Needed for an empty batch.
    pub fn last_offset(mut self, offset: Offset) -> Self {
        self.last_offset = Some(offset);
        self
    }

    /// For the cleaner: an emptied batch keeps its max timestamp.
    pub fn max_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.fixed_max_timestamp = Some(timestamp);
        self
    }

    /// Appends a record without headers at the next offset.
    pub fn append(&mut self, timestamp: Timestamp, key: Option<&[u8]>, value: Option<&[u8]>) -> &mut Self {
        self.append_with_headers(timestamp, key, value, &[])
    }

    /// Appends a record at the next offset.
    pub fn append_with_headers(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) -> &mut Self {
        let mut bytes = Vec::new();
        for header in headers {
            put_bytes(&mut bytes, Some(header.key));
            put_bytes(&mut bytes, header.value);
        }
        let headers = Headers {
            count: headers.len() as i32,
            bytes: &bytes,
        };
        self.append_record(&Record {
            offset: self.next_offset,
            timestamp,
            key,
            value,
            headers,
        })
    }

    /// Appends a record at its own offset, which must lie behind those before; gaps are what compaction leaves.
    pub fn append_record(&mut self, record: &Record<'_>) -> &mut Self {
        if self.fault.is_none()
            && let Err(fault) = self.put(record)
        {
            self.fault = Some(fault);
        }
        self
    }

    fn put(&mut self, record: &Record<'_>) -> Result<(), BuildError> {
        let offset_delta = match record.offset.0.checked_sub(self.base_offset.0) {
            Some(delta) if record.offset >= self.next_offset && delta < i64::from(i32::MAX) => delta,
            _ => {
                let last = self.next_offset.saturating_add(-1);
                return Err(BuildError::Offset {
                    base: self.base_offset,
                    last,
                    found: record.offset,
                });
            }
        };
        let base_timestamp = *self.base_timestamp.get_or_insert(record.timestamp);
        let timestamp_delta = record.timestamp.0.wrapping_sub(base_timestamp.0);
        let body_bytes = 1
            + varint_bytes(timestamp_delta)
            + varint_bytes(offset_delta)
            + bytes_bytes(record.key)
            + bytes_bytes(record.value)
            + varint_bytes(record.headers.count.into())
            + record.headers.bytes.len();
        let total = self.size_bytes().saturating_add(body_bytes).saturating_add(5);
        if total > i32::MAX as usize {
            return Err(BuildError::TooLarge { bytes: total });
        }
        self.records.reserve(body_bytes + 5);
        put_varint(&mut self.records, body_bytes as i64);
        self.records.put_u8(0);
        put_varint(&mut self.records, timestamp_delta);
        put_varint(&mut self.records, offset_delta);
        put_bytes(&mut self.records, record.key);
        put_bytes(&mut self.records, record.value);
        put_varint(&mut self.records, record.headers.count.into());
        self.records.put_slice(record.headers.bytes);
        self.record_count += 1;
        self.next_offset = record.offset.next();
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        Ok(())
    }

    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Offset the next [`BatchBuilder::append`] takes.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Size of the batch so far, before compression.
    pub fn size_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// The batch, with its CRC.
    pub fn build(self) -> Result<BytesMut, BuildError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let last_appended = self.next_offset.saturating_add(-1);
        let last_offset = match self.last_offset {
            None if self.record_count == 0 => return Err(BuildError::Empty),
            None => last_appended,
            Some(last) => last,
        };
        let last_offset_delta = last_offset
            .0
            .checked_sub(self.base_offset.0)
            .and_then(|delta| i32::try_from(delta).ok())
            .filter(|delta| *delta >= 0 && last_offset >= last_appended)
            .ok_or(BuildError::Offset {
                base: self.base_offset,
                last: last_appended,
                found: last_offset,
            })?;
        // An emptied batch is never compressed, as Kafka's cleaner writes it.
        let compression = if self.record_count == 0 {
            Codec::None.into()
        } else {
            self.compression
        };
        let mut header = BatchHeader::new_zeroed();
        header.base_offset = I64::new(self.base_offset.0);
        header.leader_epoch = I32::new(self.leader_epoch.0);
        header.magic = MAGIC;
        header.attributes = I16::new(self.attributes.0);
        header.last_offset_delta = I32::new(last_offset_delta);
        header.base_timestamp = I64::new(self.base_timestamp.unwrap_or(Timestamp::NONE).0);
        header.max_timestamp = I64::new(self.fixed_max_timestamp.unwrap_or(self.max_timestamp).0);
        header.producer_id = I64::new(self.producer.0.0);
        header.producer_epoch = I16::new(self.producer.1.0);
        header.base_sequence = I32::new(self.producer.2.0);
        header.record_count = I32::new(self.record_count);
        assemble(header, compression, &self.records)
    }
}

/// A whole batch of `header` and `records`, compressed: length, codec bits and CRC are set here.
pub(super) fn assemble(
    mut header: BatchHeader,
    compression: Compression,
    records: &[u8],
) -> Result<BytesMut, BuildError> {
    let compressed;
    let stored = match compression.codec {
        Codec::None => records,
        _ => {
            compressed = codec::compress(compression, records)?;
            &compressed
        }
    };
    let size = HEADER_BYTES + stored.len();
    let length =
        i32::try_from(size - LENGTH_OVERHEAD_BYTES).map_err(|_| BuildError::TooLarge { bytes: size })?;
    header.length = I32::new(length);
    header.attributes = I16::new(header.attributes().with_codec(compression.codec).0);
    header.crc = U32::new(0);
    let mut batch = BytesMut::with_capacity(size);
    batch.put_slice(header.as_bytes());
    batch.put_slice(stored);
    seal(&mut batch);
    Ok(batch)
}

fn put_bytes(out: &mut impl BufMut, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.put_slice(bytes);
        }
    }
}

fn bytes_bytes(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_bytes(bytes.len() as i64) + bytes.len())
}
