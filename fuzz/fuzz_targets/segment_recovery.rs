//! The bytes of a segment after a crash: whatever they are, recovery finds a valid beginning, and finds the same one
//! when it looks again.
//!
//! Input: a byte of switches, then the segment.

#![no_main]

use engine::batch::{BatchHeader, Batches, CRC_START, HEADER_BYTES, crc};
use engine::log::offset_index::OffsetIndex;
use engine::log::time_index::TimeIndex;
use engine::log::{CheckStart, check_segment};
use engine::types::{LeaderEpoch, Offset};
use libfuzzer_sys::fuzz_target;

/// Repair the CRC of every batch, so that the checks behind it are reached.
const RESEAL: u8 = 1;

fuzz_target!(|data: &[u8]| {
    let Some((&switches, bytes)) = data.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if switches & RESEAL != 0 {
        reseal(&mut bytes);
    }
    let start = CheckStart {
        base_offset: Offset(0),
        next_offset: Offset(i64::from(switches >> 6)),
        leader_epoch: LeaderEpoch::NONE,
        index_interval_bytes: u32::from(switches >> 1 & 31) * 16,
    };
    let checked = check_segment(&bytes, start);
    let valid_bytes = usize::try_from(checked.valid_bytes).expect("fits memory");
    assert!(valid_bytes <= bytes.len());
    assert_eq!(checked.damage.is_none(), valid_bytes == bytes.len());

    let mut next_offset = start.next_offset;
    let mut count = 0;
    for batch in Batches::new(&bytes[..valid_bytes]) {
        let batch = batch.expect("valid bytes are whole batches");
        batch.verify_crc().expect("valid bytes have good checksums");
        assert!(batch.base_offset() >= next_offset, "offsets only grow");
        next_offset = batch.next_offset();
        count += 1;
    }
    assert_eq!((checked.batch_count, checked.next_offset), (count, next_offset));

    let (offsets, times) = checked.indexes();
    assert_eq!(
        OffsetIndex::parse(&offsets.encode(), checked.valid_bytes).as_ref(),
        Ok(offsets)
    );
    assert_eq!(TimeIndex::parse(&times.encode()).as_ref(), Ok(times));

    let again = check_segment(&bytes[..valid_bytes], start);
    assert!(again.damage.is_none());
    assert_eq!(
        (again.valid_bytes, again.next_offset),
        (checked.valid_bytes, checked.next_offset)
    );
    assert_eq!(
        (again.epochs, again.leader_epoch),
        (checked.epochs, checked.leader_epoch)
    );
});

fn reseal(mut bytes: &mut [u8]) {
    while let Some(header) = BatchHeader::peek(bytes) {
        let size = usize::try_from(header.size_bytes()).unwrap_or(0);
        if size < HEADER_BYTES || size > bytes.len() {
            return;
        }
        let (batch, rest) = bytes.split_at_mut(size);
        batch[16] = 2;
        let sum = crc::crc32c(&batch[CRC_START..]);
        batch[17..21].copy_from_slice(&sum.to_be_bytes());
        bytes = rest;
    }
}
