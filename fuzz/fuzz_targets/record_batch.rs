//! One produced batch: whatever the bytes, validation ends in an answer within its bounds, and what it lets pass every
//! reader can read.
//!
//! Input: a byte of switches, then the batch. Without the first switch hardly any input would get beyond the CRC.

#![no_main]

use engine::batch::{
    Batch, Batches, CRC_START, Codec, Compression, HEADER_BYTES, Limits, Origin, TimestampRule,
    TimestampType, crc, recompress, set_log_append_time, validate,
};
use engine::types::Timestamp;
use libfuzzer_sys::fuzz_target;

const RESEAL: u8 = 1;
const REPLICATION: u8 = 2;
const KEYS: u8 = 4;
const LOG_APPEND_TIME: u8 = 8;
const MAX_DECOMPRESSED_BYTES: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((&switches, bytes)) = data.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if switches & RESEAL != 0 && bytes.len() >= HEADER_BYTES {
        let length = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = 2;
        let sum = crc::crc32c(&bytes[CRC_START..]);
        bytes[17..21].copy_from_slice(&sum.to_be_bytes());
    }
    // Recovery and the cleaner read batches nobody has validated.
    for batch in Batches::new(&bytes).flatten() {
        read(&batch);
    }
    let timestamp_type = if switches & LOG_APPEND_TIME != 0 {
        TimestampType::LogAppendTime
    } else {
        TimestampType::CreateTime
    };
    let limits = Limits {
        max_decompressed_bytes: MAX_DECOMPRESSED_BYTES,
        require_keys: switches & KEYS != 0,
        origin: if switches & REPLICATION != 0 {
            Origin::Replication
        } else {
            Origin::Client
        },
        timestamp: TimestampRule {
            timestamp_type,
            ..TimestampRule::ANY
        },
        ..Limits::default()
    };
    let Ok(info) = validate(&bytes, &limits) else {
        return;
    };
    let batch = Batch::only(&bytes).expect("validated");
    let records = batch.records(MAX_DECOMPRESSED_BYTES).expect("validated");
    let mut count = 0;
    let mut previous = None;
    for record in &records {
        let record = record.expect("validated");
        assert!(previous < Some(record.offset), "offsets grow");
        assert!(record.offset <= batch.last_offset());
        assert_eq!(record.headers.iter().count(), record.headers.len());
        previous = Some(record.offset);
        count += 1;
    }
    assert_eq!(count, info.record_count);
    assert_eq!(records.size_bytes(), info.records_bytes);

    let target = Codec::from_id(switches >> 5).unwrap_or_default();
    let other = recompress(&batch, Compression::from(target), MAX_DECOMPRESSED_BYTES).expect("validated");
    let again = validate(&other, &limits).expect("the same records");
    assert_eq!(
        (again.record_count, again.max_timestamp),
        (info.record_count, info.max_timestamp)
    );
    set_log_append_time(&mut bytes, Timestamp(1));
    Batch::only(&bytes)
        .expect("stamped")
        .verify_crc()
        .expect("sealed");
});

fn read(batch: &Batch<'_>) {
    let _ = (
        batch.verify_crc(),
        batch.producer(),
        batch.next_offset(),
        batch.header().delete_horizon(),
    );
    if let Ok(records) = batch.records(MAX_DECOMPRESSED_BYTES) {
        assert!(records.size_bytes() <= MAX_DECOMPRESSED_BYTES || batch.codec() == Ok(Codec::None));
        for record in records.iter().flatten() {
            assert_eq!(record.headers.iter().count(), record.headers.len());
        }
    }
}
