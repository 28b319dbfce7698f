//! An offset index: parsed or refused; what is parsed has one form and finds what it holds.

#![no_main]

use engine::log::offset_index::OffsetIndex;
use libfuzzer_sys::fuzz_target;

const SEGMENT_BYTES: u64 = 1 << 30;

fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = OffsetIndex::parse(bytes, SEGMENT_BYTES) else {
        return;
    };
    assert_eq!(index.encode(), bytes, "an index has one form only");
    for relative_offset in [0, 1, 1 << 20, u32::MAX] {
        if let Some(entry) = index.floor(relative_offset) {
            assert!(entry.relative_offset <= relative_offset);
            assert!(u64::from(entry.position) < SEGMENT_BYTES);
            assert!(index.floor_by_position(entry.position).is_some());
        }
    }
});
