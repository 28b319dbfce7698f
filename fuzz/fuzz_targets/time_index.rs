//! A time index: parsed or refused; what is parsed has one form and finds what it holds.

#![no_main]

use engine::log::time_index::TimeIndex;
use engine::types::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = TimeIndex::parse(bytes) else {
        return;
    };
    assert_eq!(index.encode(), bytes, "an index has one form only");
    for timestamp in [i64::MIN, 0, 1 << 40, i64::MAX] {
        if let Some(entry) = index.floor(Timestamp(timestamp)) {
            assert!(entry.timestamp.0 <= timestamp);
        }
    }
    assert_eq!(index.floor(Timestamp(i64::MAX)), index.last());
});
