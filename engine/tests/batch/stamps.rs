//! What the broker writes into a batch it stores.

use engine::batch::codec::Codec;
use engine::batch::{Batch, TimestampType, assign, set_log_append_time, set_max_timestamp, validate};
use engine::types::{LeaderEpoch, Offset, Timestamp};

use crate::support::{NOW, client, records_of, replication, resealed, three_records};

#[test]
fn an_assigned_batch_differs_in_offset_and_epoch_only() {
    // Invariant 6: the bytes a producer sent are the bytes stored.
    let sent = three_records(Codec::Zstd);
    let mut stored = sent.clone();
    assign(&mut stored, Offset(0x0102_0304_0506), LeaderEpoch(9));
    let batch = Batch::only(&stored).unwrap();
    assert_eq!(
        (batch.base_offset(), batch.leader_epoch()),
        (Offset(0x0102_0304_0506), LeaderEpoch(9))
    );
    assert_eq!(batch.last_offset(), Offset(0x0102_0304_0508));
    batch.verify_crc().unwrap();
    assert_eq!(stored[8..12], sent[8..12]);
    assert_eq!(stored[16..], sent[16..]);
    assert_eq!(records_of(&stored).unwrap()[1].offset, 0x0102_0304_0507);
}

#[test]
fn log_append_time_costs_a_new_checksum_and_nothing_else() {
    let mut stored = three_records(Codec::Lz4);
    set_log_append_time(&mut stored, Timestamp(NOW.0 + 77));
    let batch = Batch::only(&stored).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!(batch.attributes().timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(batch.codec(), Ok(Codec::Lz4));
    assert!(
        records_of(&stored)
            .unwrap()
            .iter()
            .all(|record| record.timestamp == NOW.0 + 77)
    );
    assert!(validate(&stored, &replication()).is_ok());
}

#[test]
fn a_corrected_max_timestamp_is_believed() {
    let mut stored = resealed(&three_records(Codec::None), |bytes| bytes[35..43].fill(0x11));
    let info = validate(&stored, &client()).unwrap();
    assert!(info.max_timestamp_lies);
    set_max_timestamp(&mut stored, info.max_timestamp);
    assert!(!validate(&stored, &client()).unwrap().max_timestamp_lies);
    assert_eq!(stored, three_records(Codec::None));
}
