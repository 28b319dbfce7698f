//! A journal file, whatever lies in it: the scan ends, gives no frame but whole ones of this journal in their order, and every
//! entry lies within its frame.
//!
//! Input: a byte of switches, then blocks that are laid out one after the other: each begins with two bytes for its length.

#![no_main]

use std::path::Path;

use engine::journal::format::{BLOCK_BYTES, FileHeader, FrameHeader, entries, entry_bytes};
use engine::journal::scan::{find_later_frame, read_frame, scan_file};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

/// Write a good file header in front.
const HEADER: u8 = 1;
/// Repair journal id and checksum of whatever begins like a frame.
const RESEAL: u8 = 2;

const JOURNAL_ID: Uuid = Uuid::from_u128(77);

fuzz_target!(|data: &[u8]| {
    let Some((&switches, rest)) = data.split_first() else {
        return;
    };
    let mut bytes = Vec::new();
    let mut rest = rest;
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)) % (2 * BLOCK_BYTES);
        let (block, more) = more.split_at(length.min(more.len()));
        bytes.extend_from_slice(block);
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        rest = more;
    }
    if switches & HEADER != 0 && bytes.len() >= 2 * BLOCK_BYTES {
        let header = FileHeader {
            journal_id: JOURNAL_ID,
            shard: 0,
            file_number: 1,
            file_bytes: bytes.len() as u64,
        };
        bytes[..BLOCK_BYTES].copy_from_slice(&header.encode());
    }
    if switches & RESEAL != 0 {
        reseal(&mut bytes);
    }
    check(&bytes);
});

fn reseal(bytes: &mut [u8]) {
    for position in (BLOCK_BYTES..bytes.len()).step_by(BLOCK_BYTES) {
        let frame = &mut bytes[position..];
        frame[8..24].copy_from_slice(JOURNAL_ID.as_bytes());
        let is_whole = FrameHeader::parse(frame).is_ok_and(|header| header.written_bytes() <= frame.len());
        if is_whole {
            FrameHeader::seal(frame);
        }
    }
}

fn check(bytes: &[u8]) {
    let name = Path::new("00000001.journal");
    let len = bytes.len() as u64;
    let Ok(scan) = scan_file(bytes, len, name) else {
        return;
    };
    let mut position = BLOCK_BYTES as u64;
    let mut sequence = None;
    for frame in &scan.frames {
        assert_eq!(frame.position, position, "frames lie one behind the other");
        assert!(sequence.is_none_or(|before| frame.header.sequence == before + 1));
        assert_eq!(frame.header.journal_id, scan.header.journal_id);
        let frame_bytes = read_frame(bytes, len, name, *frame).expect("what was scanned can be read");
        let payload = frame.header.payload(&frame_bytes);
        let mut count = 0;
        let mut size = 0;
        for entry in entries(payload) {
            let entry = entry.expect("what was scanned is entries");
            assert_eq!(entry.body.len(), entry.header.body_bytes as usize);
            assert_eq!(entry.position, size);
            size += entry_bytes(entry.body.len());
            count += 1;
        }
        assert_eq!((count, size), (frame.header.entry_count, payload.len()));
        position = frame.end();
        sequence = Some(frame.header.sequence);
    }
    assert_eq!(scan.end.position(), position.min(len.max(position)));
    let above = sequence.unwrap_or(0);
    let later = find_later_frame(bytes, len, name, scan.header.journal_id, position, above);
    if let Ok(Some(later)) = later {
        assert!(later.header.sequence > above && later.position >= position);
        read_frame(bytes, len, name, later).expect("it is whole");
    }
}
