//! The files beside a segment: indexes, checkpoints, snapshots. Derived data, read at every start, written by us, by
//! Kafka, or by a disk that lies.
//!
//! Input: a byte that picks the file, then its content.

#![no_main]

use engine::batch::crc;
use engine::log::checkpoint;
use engine::log::epoch_cache::EpochCache;
use engine::log::file_name::FileName;
use engine::log::offset_index::OffsetIndex;
use engine::log::partition_metadata;
use engine::log::producer_snapshot;
use engine::log::time_index::TimeIndex;
use engine::types::{LeaderEpoch, Offset};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&pick, bytes)) = data.split_first() else {
        return;
    };
    match pick % 8 {
        0 => offset_index(bytes),
        1 => time_index(bytes),
        2 => epochs(bytes),
        3 => {
            let _ = producer_snapshot::parse(bytes);
            let _ = producer_snapshot::parse(&resealed(bytes));
        }
        4 => {
            let _ = checkpoint::parse_lines(bytes, 0);
        }
        5 => {
            if let Ok(id) = partition_metadata::parse(bytes) {
                assert_eq!(
                    partition_metadata::parse(partition_metadata::encode(id).as_bytes()).ok(),
                    Some(id)
                );
            }
        }
        6 => {
            let _ = std::str::from_utf8(bytes).map(FileName::parse);
        }
        _ => {
            let _ = std::str::from_utf8(bytes).map(partition_metadata::from_base64);
        }
    }
});

fn offset_index(bytes: &[u8]) {
    let segment_bytes = 1 << 30;
    let Ok(index) = OffsetIndex::parse(bytes, segment_bytes) else {
        return;
    };
    assert_eq!(index.encode(), bytes, "an index has one form only");
    for relative_offset in [0, 1, 1 << 20, u32::MAX] {
        if let Some(entry) = index.floor(relative_offset) {
            assert!(entry.relative_offset <= relative_offset);
            assert!(u64::from(entry.position) < segment_bytes);
            assert!(index.floor_by_position(entry.position).is_some());
        }
    }
}

fn time_index(bytes: &[u8]) {
    let Ok(index) = TimeIndex::parse(bytes) else {
        return;
    };
    assert_eq!(index.encode(), bytes, "an index has one form only");
}

fn epochs(bytes: &[u8]) {
    let Ok(mut cache) = EpochCache::parse(bytes) else {
        return;
    };
    assert_eq!(EpochCache::parse(&cache.encode()).as_ref(), Ok(&cache));
    for pair in cache.entries().windows(2) {
        assert!(pair[0].epoch < pair[1].epoch && pair[0].start_offset <= pair[1].start_offset);
    }
    for epoch in [-1, 0, 1, i32::MAX] {
        let _ = cache.end_offset_of(LeaderEpoch(epoch), Offset::MAX);
    }
    cache.truncate_from_end(Offset(100));
    cache.truncate_from_start(Offset(50));
    assert!(
        cache
            .entries()
            .iter()
            .all(|entry| entry.start_offset < Offset(100))
    );
}

/// A producer snapshot with a checksum that agrees: CRC-32C at byte 2, of everything from byte 6.
fn resealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() > 6 {
        let sum = crc::crc32c(&bytes[6..]);
        bytes[2..6].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}
