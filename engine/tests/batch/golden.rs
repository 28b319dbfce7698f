//! Batches written by Apache Kafka itself (see `../data/GoldenBatches.java`).

use engine::batch::codec::{Codec, Compression};
use engine::batch::{
    Batch, BatchBuilder, ControlRecordType, EndTransactionMarker, TimestampType, recompress, validate,
};
use engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::support::{OwnedRecord, append, client, records_of, replication};

const TIME: i64 = 1_700_000_000_000;

macro_rules! golden {
    ($name:expr) => {
        include_bytes!(concat!("../data/", $name, ".batch")).as_slice()
    };
}

pub const BY_CODEC: [(Codec, &[u8]); 9] = [
    (Codec::None, golden!("none")),
    (Codec::Gzip, golden!("gzip")),
    (Codec::Gzip, golden!("gzip-large")),
    (Codec::Snappy, golden!("snappy")),
    (Codec::Snappy, golden!("snappy-large")),
    (Codec::Lz4, golden!("lz4")),
    (Codec::Lz4, golden!("lz4-large")),
    (Codec::Zstd, golden!("zstd")),
    (Codec::Zstd, golden!("zstd-large")),
];

/// The same records as the Java program's `fill`.
fn filled(count: usize, repeat: usize) -> Vec<OwnedRecord> {
    let record = |i: usize| {
        let header_count = i % 4;
        OwnedRecord {
            offset: i as i64,
            timestamp: if i == 2 {
                TIME + 100_000
            } else {
                TIME + 10 * i as i64
            },
            key: (!i.is_multiple_of(3)).then(|| format!("key-{i}").into_bytes()),
            value: (i % 5 != 4).then(|| format!("value-{i} ").repeat(i * repeat).into_bytes()),
            headers: (0..header_count)
                .map(|h| {
                    let value = (h + 1 != header_count).then(|| format!("x{h}").into_bytes());
                    (format!("header-{h}").into_bytes(), value)
                })
                .collect(),
        }
    };
    (0..count).map(record).collect()
}

#[test]
fn kafkas_batches_are_understood_in_every_codec() {
    // Otherwise we would refuse, or misread, what the Java client sends.
    for (codec, bytes) in BY_CODEC {
        let info = validate(bytes, &client()).unwrap();
        let expected = if info.record_count == 8 {
            filled(8, 1)
        } else {
            filled(40, 40)
        };
        assert_eq!(records_of(bytes).unwrap(), expected, "{codec}");
        assert_eq!(info.codec, codec);
        assert_eq!(info.record_count as usize, expected.len());
        assert_eq!(
            (info.max_timestamp, info.max_timestamp_delta),
            (Timestamp(TIME + 100_000), 2)
        );
        assert!(!info.max_timestamp_lies);
        assert_eq!(info.producer, None);
    }
}

#[test]
fn we_write_the_very_bytes_kafka_writes() {
    // Format drift would show only when a foreign tool reads our log.
    let mut builder = BatchBuilder::new(Offset::ZERO);
    filled(8, 1)
        .iter()
        .for_each(|record| append(&mut builder, record));
    assert_eq!(builder.build().unwrap(), golden!("none"));

    let idempotent = || {
        let mut builder =
            BatchBuilder::new(Offset::ZERO).producer(ProducerId(4711), ProducerEpoch(3), Sequence(40));
        filled(3, 1)
            .iter()
            .for_each(|record| append(&mut builder, record));
        builder
    };
    assert_eq!(idempotent().build().unwrap(), golden!("idempotent"));
    assert_eq!(
        idempotent().transactional().build().unwrap(),
        golden!("transactional")
    );

    let mut marker = BatchBuilder::new(Offset(17))
        .leader_epoch(LeaderEpoch(5))
        .producer(ProducerId(4711), ProducerEpoch(3), Sequence::NONE)
        .transactional()
        .control();
    let value = EndTransactionMarker { coordinator_epoch: 9 }.value();
    marker.append(
        Timestamp(TIME),
        Some(&ControlRecordType::Commit.key()),
        Some(&value),
    );
    assert_eq!(marker.build().unwrap(), golden!("commit"));

    let mut append_time = BatchBuilder::new(Offset(90))
        .leader_epoch(LeaderEpoch(6))
        .log_append_time(Timestamp(TIME + 5));
    append_time.append(Timestamp(TIME), Some(b"k"), Some(b"v"));
    assert_eq!(append_time.build().unwrap(), golden!("log-append-time"));

    let emptied = BatchBuilder::new(Offset(100))
        .leader_epoch(LeaderEpoch(6))
        .producer(ProducerId(4711), ProducerEpoch(3), Sequence(40))
        .last_offset(Offset(104))
        .max_timestamp(Timestamp(TIME));
    assert_eq!(emptied.build().unwrap(), golden!("emptied"));
}

#[test]
fn producer_fields_and_flags_are_read() {
    let info = validate(golden!("transactional"), &client()).unwrap();
    let producer = info.producer.unwrap();
    assert_eq!(
        (producer.id, producer.epoch),
        (ProducerId(4711), ProducerEpoch(3))
    );
    assert_eq!(
        (producer.base_sequence, producer.last_sequence),
        (Sequence(40), Sequence(42))
    );
    assert!(info.is_transactional && !info.is_control);

    let marker = Batch::only(golden!("commit")).unwrap();
    assert!(marker.attributes().is_control());
    assert_eq!(
        (marker.base_offset(), marker.leader_epoch()),
        (Offset(17), LeaderEpoch(5))
    );
    assert_eq!(marker.producer().unwrap().last_sequence, Sequence::NONE);
    let records = marker.records(100).unwrap();
    let record = records.iter().next().unwrap().unwrap();
    assert_eq!(
        ControlRecordType::parse(record.key.unwrap()),
        Ok(ControlRecordType::Commit)
    );
    let value = EndTransactionMarker::parse(record.value.unwrap()).unwrap();
    assert_eq!(value.coordinator_epoch, 9);
}

#[test]
fn log_append_time_replaces_the_records_timestamps() {
    let bytes = golden!("log-append-time");
    assert_eq!(records_of(bytes).unwrap()[0].timestamp, TIME + 5);
    let info = validate(bytes, &replication()).unwrap();
    assert_eq!(info.timestamp_type, TimestampType::LogAppendTime);
    assert_eq!(
        (info.max_timestamp, info.max_timestamp_delta),
        (Timestamp(TIME + 5), 0)
    );
}

#[test]
fn an_emptied_batch_of_kafkas_cleaner_is_taken_from_a_leader_only() {
    let bytes = golden!("emptied");
    let info = validate(bytes, &replication()).unwrap();
    assert_eq!((info.record_count, info.last_offset_delta), (0, 4));
    assert_eq!(Batch::only(bytes).unwrap().next_offset(), Offset(105));
    assert!(records_of(bytes).unwrap().is_empty());
    assert!(validate(bytes, &client()).is_err());
}

#[test]
fn every_codec_becomes_every_other() {
    for (_, bytes) in BY_CODEC {
        let expected = records_of(bytes).unwrap();
        for target in Codec::ALL {
            let again = recompress(&Batch::only(bytes).unwrap(), Compression::from(target), 1 << 24).unwrap();
            let info = validate(&again, &client()).unwrap();
            assert_eq!(info.codec, target);
            assert_eq!(records_of(&again).unwrap(), expected);
        }
    }
}
