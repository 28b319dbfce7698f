//! A quarantine file, as it is and with a header that agrees: parsed or refused; what is parsed lies in order and has one form.

#![no_main]

use engine::batch::crc;
use engine::log::scrub::Quarantine;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&resealed(bytes));
});

fn check(bytes: &[u8]) {
    let Ok(quarantine) = Quarantine::parse(bytes) else {
        return;
    };
    assert_eq!(Quarantine::parse(&quarantine.encode()).as_ref(), Ok(&quarantine));
    assert!(!quarantine.is_empty());
    for range in quarantine.ranges() {
        assert!(range.position < range.end && range.first_offset <= range.next_offset);
    }
    for pair in quarantine.ranges().windows(2) {
        assert!(pair[0].end < pair[1].position && pair[0].next_offset <= pair[1].first_offset);
    }
}

/// With magic, version and as many ranges as there are; CRC-32C at byte 8, of everything from byte 12.
fn resealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(ranges) = bytes.len().checked_sub(24) {
        bytes.truncate(24 + ranges / 32 * 32);
        bytes[..8].copy_from_slice(b"RNGLOGQ1");
        bytes[12..16].copy_from_slice(&1u32.to_le_bytes());
        bytes[16..20].copy_from_slice(&((ranges / 32) as u32).to_le_bytes());
        let sum = crc::crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    }
    bytes
}
