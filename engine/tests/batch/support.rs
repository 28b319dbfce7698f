//! Batches to try things on.

use engine::batch::{
    Batch, BatchBuilder, BatchError, CRC_START, HEADER_BYTES, Limits, Origin, RecordHeader, TimestampRule,
    TimestampType, codec, crc, validate,
};
use engine::types::{Offset, Timestamp};

pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A record with everything owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

pub fn append(builder: &mut BatchBuilder, record: &OwnedRecord) {
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(key, value)| RecordHeader {
            key: key.as_slice(),
            value: value.as_deref(),
        })
        .collect();
    builder.append_with_headers(
        Timestamp(record.timestamp),
        record.key.as_deref(),
        record.value.as_deref(),
        &headers,
    );
}

/// All records of a batch; an error if the walk meets one.
pub fn records_of(bytes: &[u8]) -> Result<Vec<OwnedRecord>, BatchError> {
    let records = Batch::only(bytes)?.records(1 << 24)?;
    let owned = records.iter().map(|record| {
        record.map(|record| OwnedRecord {
            offset: record.offset.0,
            timestamp: record.timestamp.0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers
                .iter()
                .map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec)))
                .collect(),
        })
    });
    owned.collect()
}

pub fn three_records(codec: codec::Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Offset::ZERO).compression(codec);
    for index in 0..3 {
        builder.append(
            Timestamp(NOW.0 + index),
            Some(b"key"),
            Some(b"a value, a value, a value, a value"),
        );
    }
    builder.build().unwrap().to_vec()
}

/// `batch` with a change inside its CRC and a CRC that agrees.
pub fn resealed(batch: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = batch.to_vec();
    change(&mut bytes);
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let sum = crc::crc32c(&bytes[CRC_START..]);
    bytes[17..21].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// An uncompressed batch that announces `count` records and consists of `records`, whatever those are.
pub fn with_records(count: i32, records: &[u8]) -> Vec<u8> {
    resealed(&three_records(codec::Codec::None), |bytes| {
        bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        bytes.truncate(HEADER_BYTES);
        bytes.extend_from_slice(records);
    })
}

pub fn client() -> Limits {
    Limits {
        origin: Origin::Client,
        ..Limits::default()
    }
}

pub fn replication() -> Limits {
    Limits {
        origin: Origin::Replication,
        ..Limits::default()
    }
}

pub fn within(before_max_ms: i64, after_max_ms: i64) -> Limits {
    let timestamp = TimestampRule {
        timestamp_type: TimestampType::CreateTime,
        now: NOW,
        before_max_ms,
        after_max_ms,
    };
    Limits {
        timestamp,
        ..client()
    }
}

pub fn refusal(bytes: &[u8], limits: &Limits) -> BatchError {
    validate(bytes, limits).expect_err("the batch should be refused")
}
