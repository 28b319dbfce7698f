//! `leader-epoch-checkpoint`: parsed or refused; what is parsed grows, and truncation keeps it so.

#![no_main]

use engine::log::epoch_cache::EpochCache;
use engine::types::{LeaderEpoch, Offset};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
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
});
