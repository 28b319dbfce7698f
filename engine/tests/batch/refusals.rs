//! The rules of Kafka's LogValidator, one by one.

use engine::batch::codec::Codec;
use engine::batch::{
    BatchBuilder, BatchError, BatchFault, BuildError, CodecError, InnerCheck, Limits, Origin, Record,
    RecordFault, TimestampRule, TimestampType, validate,
};
use engine::batch::{Headers, crc};
use engine::types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::support::{
    NOW, client, records_of, refusal, replication, resealed, three_records, with_records, within,
};

fn zigzag(value: i8) -> u8 {
    ((value << 1) ^ (value >> 7)) as u8
}

/// attributes, timestamp delta 0, the offset delta, null key, value "v", no headers; with its length in front.
fn record(offset_delta: i8) -> Vec<u8> {
    vec![14, 0, 0, zigzag(offset_delta), 1, 2, b'v', 0]
}

#[test]
fn the_bytes_must_be_one_batch_of_magic_2() {
    let batch = three_records(Codec::None);
    assert_eq!(refusal(b"", &client()), BatchError::Empty);
    assert!(matches!(
        refusal(&batch[..40], &client()),
        BatchError::Truncated { .. }
    ));

    let twice = [batch.as_slice(), &batch].concat();
    let error = refusal(&twice, &client());
    assert_eq!(
        error,
        BatchError::MoreThanOne {
            trailing_bytes: batch.len()
        }
    );
    assert_eq!(error.fault(), BatchFault::InvalidRecord);

    for (magic, fault) in [
        (0, BatchFault::InvalidRecord),
        (1, BatchFault::InvalidRecord),
        (3, BatchFault::Corrupt),
    ] {
        let mut other = batch.clone();
        other[16] = magic;
        assert_eq!(refusal(&other, &client()).fault(), fault, "magic {magic}");
    }
    for length in [i32::MIN, -1, 0, 48] {
        let mut other = batch.clone();
        other[8..12].copy_from_slice(&length.to_be_bytes());
        let error = refusal(&other, &client());
        assert!(
            matches!(error, BatchError::SizeTooSmall { .. }),
            "{length}: {error}"
        );
        assert_eq!(error.fault(), BatchFault::Corrupt);
    }
    let mut endless = batch.clone();
    endless[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(matches!(
        refusal(&endless, &client()),
        BatchError::Truncated { .. }
    ));
}

#[test]
fn a_wrong_checksum_is_corruption_and_a_large_batch_too_large() {
    let mut batch = three_records(Codec::None);
    let limits = Limits {
        max_batch_bytes: batch.len() - 1,
        ..client()
    };
    assert_eq!(refusal(&batch, &limits).fault(), BatchFault::TooLarge);
    batch[70] ^= 1;
    let error = refusal(&batch, &client());
    assert!(matches!(error, BatchError::Crc { stored, computed } if stored != computed));
    assert_eq!(error.fault(), BatchFault::Corrupt);
}

#[test]
fn counts_must_agree_with_each_other() {
    let set = |at: usize, value: i32| {
        resealed(&three_records(Codec::None), |bytes| {
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes())
        })
    };
    for count in [0, -1, i32::MIN] {
        assert_eq!(
            refusal(&set(57, count), &client()),
            BatchError::RecordCount { count }
        );
    }
    for count in [1, 4, i32::MAX] {
        let error = refusal(&set(57, count), &client());
        assert_eq!(
            error,
            BatchError::CountMismatch {
                count,
                last_offset_delta: 2
            }
        );
    }
    for last_offset_delta in [-1, 0, 3, i32::MAX, i32::MIN] {
        let error = refusal(&set(23, last_offset_delta), &client());
        assert_eq!(
            error,
            BatchError::CountMismatch {
                count: 3,
                last_offset_delta
            }
        );
        assert_eq!(error.fault(), BatchFault::InvalidRecord);
    }
}

#[test]
fn the_announced_count_must_be_there_and_nothing_more() {
    let two = [record(0), record(1)].concat();
    assert!(validate(&with_records(2, &two), &client()).is_ok());
    assert_eq!(
        refusal(&with_records(1, &two), &client()),
        BatchError::Remaining { count: 1, bytes: 8 }
    );
    let error = refusal(&with_records(3, &two), &client());
    assert_eq!(
        error,
        BatchError::Malformed {
            index: 2,
            what: RecordFault::Truncated
        }
    );
    let limits = Limits {
        max_records: 1,
        ..client()
    };
    assert_eq!(
        refusal(&with_records(2, &two), &limits),
        BatchError::TooManyRecords { count: 2, max: 1 }
    );
    // two billion records in 16 bytes must not cost two billion steps or bytes
    assert!(matches!(
        refusal(&with_records(i32::MAX, &two), &client()),
        BatchError::TooManyRecords { .. }
    ));
}

#[test]
fn offset_deltas_count_from_zero() {
    for deltas in [[0, 0], [1, 0], [0, 2], [-1, 0], [0, -1]] {
        let batch = with_records(2, &[record(deltas[0]), record(deltas[1])].concat());
        let error = refusal(&batch, &client());
        assert!(
            matches!(
                error,
                BatchError::Malformed {
                    what: RecordFault::OffsetDelta { .. },
                    ..
                }
            ),
            "{deltas:?}: {error}"
        );
    }
    // compaction leaves gaps, a follower takes them; it never leaves disorder
    let widened = |deltas: [i8; 2]| {
        resealed(
            &with_records(2, &[record(deltas[0]), record(deltas[1])].concat()),
            |bytes| bytes[26] = 5,
        )
    };
    assert!(validate(&widened([1, 4]), &replication()).is_ok());
    assert!(validate(&widened([1, 6]), &replication()).is_err());
    assert!(validate(&widened([4, 1]), &replication()).is_err());
    assert!(validate(&widened([1, 4]), &client()).is_err());
}

#[test]
fn records_whose_lengths_lie_are_refused() {
    let lies: [(&str, Vec<u8>, RecordFault); 9] = [
        ("no bytes", vec![], RecordFault::Truncated),
        (
            "negative size",
            vec![1],
            RecordFault::Size {
                announced: -1,
                available: 0,
            },
        ),
        (
            "size beyond the batch",
            vec![16, 0, 0, 0, 1, 1, 0],
            RecordFault::Size {
                announced: 8,
                available: 6,
            },
        ),
        (
            "size too large",
            vec![14, 0, 0, 0, 1, 1, 0, 0],
            RecordFault::SizeMismatch {
                announced: 7,
                found: 6,
            },
        ),
        (
            "size too small",
            vec![8, 0, 0, 0, 1, 1, 0],
            RecordFault::Truncated,
        ),
        (
            "key beyond",
            vec![12, 0, 0, 0, 20, 1, 0],
            RecordFault::Length {
                length: 10,
                available: 2,
            },
        ),
        (
            "key of -2 bytes",
            vec![12, 0, 0, 0, 3, 1, 0],
            RecordFault::Length {
                length: -2,
                available: 2,
            },
        ),
        (
            "headers -1",
            vec![12, 0, 0, 0, 1, 1, 1],
            RecordFault::HeaderCount {
                count: -1,
                available: 0,
            },
        ),
        (
            "headers beyond",
            vec![14, 0, 0, 0, 1, 1, 4, 0],
            RecordFault::HeaderCount {
                count: 2,
                available: 1,
            },
        ),
    ];
    for (name, bytes, what) in lies {
        let batch = with_records(1, &bytes);
        assert_eq!(
            refusal(&batch, &client()),
            BatchError::Malformed { index: 0, what },
            "{name}"
        );
        assert!(records_of(&batch).is_err(), "{name}");
    }
}

#[test]
fn clients_write_no_control_batches_and_begin_at_zero() {
    let control = resealed(&three_records(Codec::None), |bytes| bytes[22] |= 0x20);
    assert_eq!(refusal(&control, &client()), BatchError::Control);
    let coordinator = Limits {
        origin: Origin::Coordinator,
        ..client()
    };
    assert!(validate(&control, &coordinator).unwrap().is_control);

    let horizon = resealed(&three_records(Codec::None), |bytes| bytes[22] |= 0x40);
    assert_eq!(refusal(&horizon, &client()), BatchError::DeleteHorizon);

    let mut later = three_records(Codec::None);
    later[7] = 1;
    assert_eq!(
        refusal(&later, &client()),
        BatchError::BaseOffset { found: Offset(1) }
    );
    assert!(validate(&later, &replication()).is_ok());
}

#[test]
fn an_idempotent_batch_needs_a_sequence() {
    let batch = |sequence| {
        let mut builder = BatchBuilder::new(Offset::ZERO).producer(ProducerId(5), ProducerEpoch(0), sequence);
        builder.append(NOW, None, Some(b"v"));
        builder.build().unwrap()
    };
    assert!(validate(&batch(Sequence(0)), &client()).is_ok());
    let error = refusal(&batch(Sequence(-1)), &client());
    assert_eq!(
        error,
        BatchError::Sequence {
            producer: ProducerId(5),
            sequence: Sequence(-1)
        }
    );
    assert!(
        validate(&batch(Sequence::NONE), &replication()).is_ok(),
        "markers have none"
    );
}

#[test]
fn unknown_codecs_and_broken_streams_are_told_apart() {
    for id in 5..8 {
        let batch = resealed(&three_records(Codec::None), |bytes| bytes[22] = id);
        assert_eq!(
            refusal(&batch, &client()).fault(),
            BatchFault::UnsupportedCompression
        );
    }
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let plain_records = resealed(&three_records(Codec::None), |bytes| bytes[22] = codec.id());
        let error = refusal(&plain_records, &client());
        assert!(matches!(error, BatchError::Codec(_)), "{codec}: {error}");
        assert_eq!(error.fault(), BatchFault::InvalidRecord);
    }
}

#[test]
fn a_bomb_stops_at_the_bound() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new(Offset::ZERO).compression(codec);
        builder.append(NOW, None, Some(&vec![0; 2 << 20]));
        let bomb = builder.build().unwrap();
        assert!(bomb.len() < 300 << 10, "{codec}: {}", bomb.len());
        let limits = Limits {
            max_decompressed_bytes: 1 << 20,
            ..client()
        };
        let error = refusal(&bomb, &limits);
        assert_eq!(
            error,
            BatchError::Codec(CodecError::TooLarge {
                codec,
                max_bytes: 1 << 20
            })
        );
        assert!(validate(&bomb, &client()).is_ok());
    }
}

#[test]
fn timestamps_stay_within_the_topics_bounds() {
    let batch = |timestamps: &[i64]| {
        let mut builder = BatchBuilder::new(Offset::ZERO);
        for timestamp in timestamps {
            builder.append(Timestamp(*timestamp), Some(b"k"), Some(b"v"));
        }
        builder.build().unwrap()
    };
    let limits = within(1000, 500);
    assert!(
        validate(&batch(&[NOW.0 - 1000, NOW.0 + 500, -1]), &limits).is_ok(),
        "bounds are inclusive, -1 is none"
    );
    let error = refusal(&batch(&[NOW.0, NOW.0 - 1001, NOW.0, NOW.0 + 501]), &limits);
    assert_eq!(error.fault(), BatchFault::InvalidTimestamp);
    let indexes: Vec<_> = error.record_errors().iter().map(|error| error.index).collect();
    assert_eq!(indexes, [1, 3], "the client learns which records");
    // Kafka's default: any past, one hour of future; -2 and 1970 are past
    let defaults = within(i64::MAX, 3_600_000);
    assert!(validate(&batch(&[0, -2, i64::MIN, NOW.0]), &defaults).is_ok());
    assert!(validate(&batch(&[NOW.0 + 3_600_001]), &defaults).is_err());
    // timestamps the broker replaces are not judged
    let replaced = Limits {
        timestamp: TimestampRule {
            timestamp_type: TimestampType::LogAppendTime,
            ..limits.timestamp
        },
        ..limits
    };
    assert!(validate(&batch(&[1, i64::MAX]), &replaced).is_ok());
}

#[test]
fn a_client_does_not_send_log_append_time() {
    let batch = resealed(&three_records(Codec::Lz4), |bytes| bytes[22] |= 0x08);
    let error = refusal(&batch, &client());
    assert_eq!(error.fault(), BatchFault::InvalidTimestamp);
    assert_eq!(error.record_errors().len(), 3);
}

#[test]
fn compacted_topics_need_keys() {
    let mut builder = BatchBuilder::new(Offset::ZERO);
    builder.append(NOW, Some(b""), None).append(NOW, None, Some(b"v"));
    let batch = builder.build().unwrap();
    assert!(validate(&batch, &client()).is_ok());
    let error = refusal(
        &batch,
        &Limits {
            require_keys: true,
            ..client()
        },
    );
    assert_eq!(error.fault(), BatchFault::InvalidRecord);
    assert_eq!(
        (error.record_errors()[0].index, &error.record_errors()[0].what),
        (1, &RecordFault::NoKey)
    );
    assert!(error.to_string().contains("record 1"), "{error}");
}

#[test]
fn the_list_of_refused_records_is_bounded() {
    let mut builder = BatchBuilder::new(Offset::ZERO);
    for _ in 0..5000 {
        builder.append(NOW, None, None);
    }
    let error = refusal(
        &builder.build().unwrap(),
        &Limits {
            require_keys: true,
            ..client()
        },
    );
    assert_eq!(error.record_errors().len(), 100);
}

#[test]
fn a_max_timestamp_that_lies_is_noticed() {
    let batch = resealed(&three_records(Codec::Gzip), |bytes| {
        bytes[35..43].copy_from_slice(&i64::MAX.to_be_bytes())
    });
    let info = validate(&batch, &within(1000, 1000)).unwrap();
    assert!(info.max_timestamp_lies);
    assert_eq!(
        (info.max_timestamp, info.max_timestamp_delta),
        (Timestamp(NOW.0 + 2), 2)
    );
}

#[test]
fn lz4_frames_the_java_consumer_cannot_read_stay_out() {
    let mut frame = lz4_flex::frame::FrameEncoder::with_frame_info(
        lz4_flex::frame::FrameInfo::new().block_mode(lz4_flex::frame::BlockMode::Linked),
        Vec::new(),
    );
    std::io::Write::write_all(&mut frame, &record(0)).unwrap();
    let linked = frame.finish().unwrap();
    let batch = resealed(&with_records(1, &linked), |bytes| bytes[22] = Codec::Lz4.id());
    assert!(matches!(refusal(&batch, &client()), BatchError::Codec(_)));
    assert_eq!(
        records_of(&batch).unwrap().len(),
        1,
        "what lies in an adopted log is read all the same"
    );
}

#[test]
fn the_header_alone_is_checked_when_a_leader_has_checked_the_rest() {
    let limits = Limits {
        inner: InnerCheck::HeaderOnly,
        ..replication()
    };
    let info = validate(&with_records(2, b"not records"), &limits).unwrap();
    assert_eq!((info.record_count, info.records_bytes), (2, 11));
    let mut damaged = with_records(2, b"not records");
    damaged[65] ^= 1;
    assert!(matches!(refusal(&damaged, &limits), BatchError::Crc { .. }));
}

#[test]
fn the_builder_refuses_what_does_not_fit_the_format() {
    let at = |offset| Record {
        offset: Offset(offset),
        timestamp: NOW,
        key: None,
        value: None,
        headers: Headers::NONE,
    };
    for offsets in [[9, 11], [12, 12], [12, 11], [10, 10 + i64::from(i32::MAX)]] {
        let mut builder = BatchBuilder::new(Offset(10));
        builder
            .append_record(&at(offsets[0]))
            .append_record(&at(offsets[1]))
            .append_record(&at(20));
        assert!(
            matches!(builder.build(), Err(BuildError::Offset { .. })),
            "{offsets:?}"
        );
    }
    assert_eq!(BatchBuilder::new(Offset(10)).build(), Err(BuildError::Empty));
    let mut gaps = BatchBuilder::new(Offset(10)).last_offset(Offset(15));
    gaps.append_record(&at(12)).append_record(&at(14));
    let batch = gaps.build().unwrap();
    assert_eq!(validate(&batch, &replication()).unwrap().last_offset_delta, 5);
    assert_eq!(
        records_of(&batch)
            .unwrap()
            .iter()
            .map(|record| record.offset)
            .collect::<Vec<_>>(),
        [12, 14]
    );
    let mut beyond = BatchBuilder::new(Offset(10)).last_offset(Offset(13));
    beyond.append_record(&at(14));
    assert!(matches!(beyond.build(), Err(BuildError::Offset { .. })));
    assert_eq!(
        crc::crc32c(b"123456789"),
        0xe306_9283,
        "the check value of CRC-32C"
    );
}
