//! A transaction index: parsed or refused; what is parsed lies in order and has one form.

#![no_main]

use engine::log::transaction_index::{ENTRY_BYTES, encode, parse};
use engine::types::Offset;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(entries) = parse(bytes) else {
        return;
    };
    // half an entry at the end is what a crash leaves
    let whole = bytes.len() - bytes.len() % ENTRY_BYTES;
    assert_eq!(encode(&entries), &bytes[..whole], "an index has one form only");
    for pair in entries.windows(2) {
        assert!(pair[0].last_offset < pair[1].last_offset);
    }
    for entry in entries {
        assert!(entry.first_offset < entry.last_offset);
        assert!(entry.touches(entry.first_offset, entry.first_offset.next()));
        assert!(entry.touches(entry.last_offset, Offset::MAX));
        assert!(!entry.touches(Offset::ZERO, entry.first_offset));
    }
});
