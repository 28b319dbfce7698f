//! What holds for any batch, and for any damage to one.

use engine::batch::codec::Codec;
use engine::batch::{Batch, BatchBuilder, BatchError, Batches, HEADER_BYTES, Limits, validate};
use engine::types::{Offset, Sequence, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::golden::BY_CODEC;
use crate::support::{NOW, OwnedRecord, append, client, records_of, replication, resealed, three_records};

fn bytes_of(max: usize) -> impl Strategy<Value = Vec<u8>> {
    // repeated short patterns as well as noise, so that codecs take both of their ways
    prop_oneof![
        vec(any::<u8>(), 0..max),
        (vec(any::<u8>(), 1..8), 0..max).prop_map(|(pattern, count)| pattern
            .into_iter()
            .cycle()
            .take(count)
            .collect()),
    ]
}

fn any_record() -> impl Strategy<Value = OwnedRecord> {
    let headers = vec((bytes_of(20), option::of(bytes_of(40))), 0..4);
    (
        -1_000_000_i64..1_000_000,
        option::of(bytes_of(50)),
        option::of(bytes_of(3000)),
        headers,
    )
        .prop_map(|(delta, key, value, headers)| OwnedRecord {
            offset: 0,
            timestamp: NOW.0 + delta,
            key,
            value,
            headers,
        })
}

fn any_codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(Codec::ALL.to_vec())
}

fn build(codec: Codec, records: &mut [OwnedRecord]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Offset::ZERO).compression(codec);
    for (offset, record) in records.iter_mut().enumerate() {
        record.offset = offset as i64;
        append(&mut builder, record);
    }
    builder.build().unwrap().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_built_is_valid_and_read_back(codec in any_codec(), mut records in vec(any_record(), 1..40)) {
        let bytes = build(codec, &mut records);
        let info = validate(&bytes, &client()).unwrap();
        let latest = records.iter().map(|record| record.timestamp).max().unwrap();
        prop_assert_eq!(info.max_timestamp, Timestamp(latest));
        prop_assert_eq!(records[info.max_timestamp_delta as usize].timestamp, latest);
        prop_assert_eq!(info.size_bytes, bytes.len());
        prop_assert!(!info.max_timestamp_lies);
        prop_assert_eq!(records_of(&bytes).unwrap(), records);
    }

    #[test]
    fn bytes_that_are_no_batch_are_refused_without_harm(bytes in vec(any::<u8>(), 0..300)) {
        let _ = validate(&bytes, &client());
        let _ = validate(&bytes, &replication());
        for batch in Batches::new(&bytes).flatten() {
            let _ = records_of(batch.bytes());
        }
    }

    #[test]
    fn any_change_behind_a_good_checksum_is_refused_or_readable(
        codec in any_codec(),
        mut records in vec(any_record(), 1..6),
        at in any::<proptest::sample::Index>(),
        noise in vec(any::<u8>(), 1..12),
    ) {
        let bytes = resealed(&build(codec, &mut records), |bytes| {
            let at = 21 + at.index(bytes.len() - 21);
            for (byte, noise) in bytes[at..].iter_mut().zip(noise) {
                *byte = noise;
            }
        });
        for limits in [client(), replication()] {
            if let Ok(info) = validate(&bytes, &limits) {
                prop_assert_eq!(records_of(&bytes).unwrap().len(), info.record_count as usize);
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_or_lies_outside_the_checksum() {
    // A bit that flips on disk or on the way must never reach a consumer as data.
    for (codec, bytes) in BY_CODEC.into_iter().filter(|(_, bytes)| bytes.len() < 1000) {
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let result = validate(&damaged, &client());
            match bit / 8 {
                0..8 => assert!(
                    matches!(result, Err(BatchError::BaseOffset { .. })),
                    "{codec} bit {bit}: {result:?}"
                ),
                // the leader epoch: overwritten by the broker in any case
                12..16 => assert!(result.is_ok(), "{codec} bit {bit}: {result:?}"),
                16 => assert!(
                    matches!(result, Err(BatchError::Magic { .. })),
                    "{codec} bit {bit}: {result:?}"
                ),
                _ => assert!(result.is_err(), "{codec} bit {bit}"),
            }
        }
    }
}

#[test]
fn every_flipped_bit_behind_a_good_checksum_is_refused_or_readable() {
    for (codec, bytes) in BY_CODEC.into_iter().filter(|(_, bytes)| bytes.len() < 1000) {
        for bit in 21 * 8..bytes.len() * 8 {
            let damaged = resealed(bytes, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            if let Ok(info) = validate(&damaged, &client()) {
                let records =
                    records_of(&damaged).unwrap_or_else(|error| panic!("{codec} bit {bit}: {error}"));
                assert_eq!(records.len(), info.record_count as usize);
            }
        }
    }
}

#[test]
fn a_batch_cut_anywhere_is_refused() {
    // The tail of a log after a power cut, or a client that gave up in the middle.
    for (_, bytes) in BY_CODEC {
        for end in 0..bytes.len() {
            let cut = &bytes[..end];
            match Batch::split_first(cut) {
                Err(BatchError::Empty) => assert_eq!(end, 0),
                Err(BatchError::Truncated { expected, found }) => assert!(found == end && expected > end),
                other => panic!("cut at {end}: {other:?}"),
            }
            assert!(validate(cut, &client()).is_err());
        }
    }
}

#[test]
fn records_cut_anywhere_behind_a_good_checksum_are_refused() {
    for (codec, bytes) in BY_CODEC.into_iter().filter(|(_, bytes)| bytes.len() < 500) {
        for end in HEADER_BYTES..bytes.len() {
            let cut = resealed(bytes, |bytes| bytes.truncate(end));
            assert!(validate(&cut, &client()).is_err(), "{codec} cut at {end}");
            assert!(records_of(&cut).is_err(), "{codec} cut at {end}");
        }
    }
}

#[test]
fn batches_in_a_row_are_walked_up_to_a_torn_one() {
    let one = three_records(Codec::None);
    let bytes = [one.as_slice(), &one, &one[..70]].concat();
    let mut batches = Batches::new(&bytes);
    assert_eq!(batches.next().unwrap().unwrap().bytes(), one);
    assert_eq!(batches.next().unwrap().unwrap().bytes(), one);
    assert!(matches!(batches.next(), Some(Err(BatchError::Truncated { .. }))));
    assert_eq!(batches.rest(), &one[..70]);
    assert!(batches.next().is_none());
}

#[test]
fn sequences_wrap_inside_a_batch() {
    let mut builder = BatchBuilder::new(Offset::ZERO).producer(1.into(), 0.into(), Sequence(i32::MAX));
    builder.append(NOW, None, None).append(NOW, None, None);
    let info = validate(&builder.build().unwrap(), &Limits::default()).unwrap();
    assert_eq!(info.producer.unwrap().last_sequence, Sequence(0));
}
