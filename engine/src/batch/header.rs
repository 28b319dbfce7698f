//! The 61 bytes at the head of every record batch (magic 2), as they lie on the wire and on disk.
//!
//! ```text
//!  0  base offset           i64  |
//!  8  length                i32  | outside the CRC: patched by the broker without a new checksum
//! 12  partition leader epoch i32 |
//! 16  magic                 i8   |
//! 17  CRC-32C               u32  of everything from byte 21 to the end
//! 21  attributes            i16  bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//! 23  last offset delta     i32  offset of the last record minus base offset, also after compaction
//! 27  base timestamp        i64  timestamp deltas count from here; the delete horizon when bit 6 is set
//! 35  max timestamp         i64
//! 43  producer id           i64  -1 without idempotence
//! 51  producer epoch        i16
//! 53  base sequence         i32
//! 57  record count          i32
//! 61  records, compressed as one piece when the codec says so
//! ```
//! `length` counts the bytes after itself: size of the batch minus 12.

use zerocopy::byteorder::big_endian::{I16, I32, I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::codec::Codec;
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Size of the header; the smallest complete batch.
pub const HEADER_BYTES: usize = 61;
/// Bytes before the ones `length` counts.
pub const LENGTH_OVERHEAD_BYTES: usize = 12;
/// The only record format served: Kafka 4 refuses the older two as well (KIP-724).
pub const MAGIC: i8 = 2;
/// First byte covered by the CRC.
pub const CRC_START: usize = 21;

/// View over (or value of) the header. Fields are big-endian and unaligned; read them through the getters.
#[derive(Copy, Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BatchHeader {
    pub(super) base_offset: I64,
    pub(super) length: I32,
    pub(super) leader_epoch: I32,
    pub(super) magic: i8,
    pub(super) crc: U32,
    pub(super) attributes: I16,
    pub(super) last_offset_delta: I32,
    pub(super) base_timestamp: I64,
    pub(super) max_timestamp: I64,
    pub(super) producer_id: I64,
    pub(super) producer_epoch: I16,
    pub(super) base_sequence: I32,
    pub(super) record_count: I32,
}

const _: () = assert!(size_of::<BatchHeader>() == HEADER_BYTES);

impl BatchHeader {
    /// The header at the front of `bytes`, whatever it says; `None` when there are fewer than 61 bytes.
    pub fn peek(bytes: &[u8]) -> Option<&BatchHeader> {
        BatchHeader::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    pub(super) fn peek_mut(bytes: &mut [u8]) -> Option<&mut BatchHeader> {
        BatchHeader::mut_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    pub fn base_offset(&self) -> Offset {
        Offset(self.base_offset.get())
    }

    /// Offset of the last record, or of the last record before compaction took some.
    pub fn last_offset(&self) -> Offset {
        self.base_offset().saturating_add(self.last_offset_delta().into())
    }

    /// Offset of the batch that follows.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().next()
    }

    pub fn last_offset_delta(&self) -> i32 {
        self.last_offset_delta.get()
    }

    /// Announced size of the whole batch; below 12 when the length field is negative.
    pub fn size_bytes(&self) -> i64 {
        i64::from(self.length.get()) + LENGTH_OVERHEAD_BYTES as i64
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.get())
    }

    pub fn magic(&self) -> i8 {
        self.magic
    }

    pub fn crc(&self) -> u32 {
        self.crc.get()
    }

    pub fn attributes(&self) -> Attributes {
        Attributes(self.attributes.get())
    }

    pub fn base_timestamp(&self) -> Timestamp {
        Timestamp(self.base_timestamp.get())
    }

    pub fn max_timestamp(&self) -> Timestamp {
        Timestamp(self.max_timestamp.get())
    }

    /// When tombstones and markers of this batch may go; set by the cleaner only.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.attributes()
            .has_delete_horizon()
            .then(|| self.base_timestamp())
    }

    /// Who wrote the batch, when an idempotent or transactional producer did.
    pub fn producer(&self) -> Option<BatchProducer> {
        (self.producer_id.get() >= 0).then(|| BatchProducer {
            id: ProducerId(self.producer_id.get()),
            epoch: ProducerEpoch(self.producer_epoch.get()),
            base_sequence: Sequence(self.base_sequence.get()),
            last_sequence: match Sequence(self.base_sequence.get()) {
                Sequence::NONE => Sequence::NONE,
                base => base.advance(self.last_offset_delta()),
            },
        })
    }

    pub fn record_count(&self) -> i32 {
        self.record_count.get()
    }
}

/// Producer fields of a batch that has a producer id.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BatchProducer {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    /// `NONE` on control batches (transaction markers).
    pub base_sequence: Sequence,
    pub last_sequence: Sequence,
}

/// The attribute bits. Only the low byte has meaning; bit 7 and the high byte are ignored, as Kafka does.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

const CODEC_MASK: i16 = 0x07;
const TIMESTAMP_TYPE_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;

impl Attributes {
    /// The codec, or the unknown number (5, 6, 7) that stands in its place.
    pub fn codec(self) -> Result<Codec, u8> {
        let id = (self.0 & CODEC_MASK) as u8;
        Codec::from_id(id).ok_or(id)
    }

    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & TIMESTAMP_TYPE_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    pub fn is_transactional(self) -> bool {
        self.0 & TRANSACTIONAL_BIT != 0
    }

    pub fn is_control(self) -> bool {
        self.0 & CONTROL_BIT != 0
    }

    pub fn has_delete_horizon(self) -> bool {
        self.0 & DELETE_HORIZON_BIT != 0
    }

    pub(super) fn with_codec(self, codec: Codec) -> Attributes {
        Attributes(self.0 & !CODEC_MASK | i16::from(codec.id()))
    }

    pub(super) fn with_timestamp_type(self, timestamp_type: TimestampType) -> Attributes {
        match timestamp_type {
            TimestampType::CreateTime => Attributes(self.0 & !TIMESTAMP_TYPE_BIT),
            TimestampType::LogAppendTime => Attributes(self.0 | TIMESTAMP_TYPE_BIT),
        }
    }

    pub(super) fn with_transactional(self) -> Attributes {
        Attributes(self.0 | TRANSACTIONAL_BIT)
    }

    pub(super) fn with_control(self) -> Attributes {
        Attributes(self.0 | CONTROL_BIT)
    }

    pub(super) fn with_delete_horizon(self) -> Attributes {
        Attributes(self.0 | DELETE_HORIZON_BIT)
    }
}

/// Which clock a batch's timestamps come from (`message.timestamp.type`).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer's: base timestamp plus each record's delta.
    #[default]
    CreateTime,
    /// The broker's: every record of the batch has the batch's max timestamp.
    LogAppendTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_ignore_the_bits_kafka_ignores() {
        // A client that leaves rubbish in the high byte is accepted by Kafka and must be by us.
        let attributes = Attributes(i16::from_be_bytes([0xff, 0x84]));
        assert_eq!(attributes.codec(), Ok(Codec::Zstd));
        assert!(!attributes.is_control() && !attributes.is_transactional());
        assert_eq!(Attributes(5).codec(), Err(5));
    }

    #[test]
    fn a_header_needs_61_bytes() {
        assert!(BatchHeader::peek(&[0; 60]).is_none());
        assert!(BatchHeader::peek(&[0; 61]).is_some());
    }
}
