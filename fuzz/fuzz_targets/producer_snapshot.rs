//! A producer snapshot, as it is and with a checksum that agrees: parsed or refused; what is parsed can be written again.

#![no_main]

use engine::batch::crc;
use engine::log::producer_snapshot;
use engine::log::producer_state::ProducerStates;
use engine::types::{Offset, Timestamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&resealed(bytes));
});

fn check(bytes: &[u8]) {
    let Ok(entries) = producer_snapshot::parse(bytes) else {
        return;
    };
    let states = ProducerStates::from_entries(Offset(i64::MAX), entries, Timestamp(0), i64::MAX);
    let again = producer_snapshot::encode(&states);
    let entries = producer_snapshot::parse(&again).expect("what was written can be read");
    let states = ProducerStates::from_entries(Offset(i64::MAX), entries, Timestamp(0), i64::MAX);
    assert_eq!(
        producer_snapshot::encode(&states),
        again,
        "a state has one form only"
    );
}

/// CRC-32C at byte 2, of everything from byte 6.
fn resealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() > 6 {
        bytes[..2].copy_from_slice(&[0, 1]);
        let sum = crc::crc32c(&bytes[6..]);
        bytes[2..6].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}
