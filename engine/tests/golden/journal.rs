//! A journal file of version 1.

use std::path::Path;

use engine::batch::BatchBuilder;
use engine::journal::format::{
    BLOCK_BYTES, ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FRAME_HEADER_BYTES, FileHeader, FrameHeader,
    entries, entry_bytes, write_entry_header,
};
use engine::journal::scan::{ScanEnd, read_frame, scan_file};
use engine::types::{LeaderEpoch, Offset, Timestamp};
use uuid::Uuid;

use crate::store;

const NAME: &str = "journal-1/00000007.journal";
const JOURNAL_ID: Uuid = Uuid::from_u128(0x5eed_0000_1111_4222_8333_4444_5555_6666);
const TOPIC_ID: Uuid = Uuid::from_u128(0xf12f_d777_8ac3_433a_b86c_1005_7f25_7da4);
const HEADER: FileHeader = FileHeader {
    journal_id: JOURNAL_ID,
    shard: 3,
    file_number: 7,
    file_bytes: 6 * BLOCK_BYTES as u64,
};

fn batch(offset: i64, value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Offset(offset)).leader_epoch(LeaderEpoch(2));
    builder.append(
        Timestamp(1_700_000_000_000),
        Some(b"key"),
        Some(&vec![b'v'; value_bytes]),
    );
    builder.build().expect("a batch").to_vec()
}

fn frame(sequence: u64, contents: &[(EntryHeader, Vec<u8>)]) -> Vec<u8> {
    let payload_bytes: usize = contents.iter().map(|(_, body)| entry_bytes(body.len())).sum();
    let header = FrameHeader {
        journal_id: JOURNAL_ID,
        sequence,
        replay_from: 40,
        payload_bytes: payload_bytes as u32,
        entry_count: contents.len() as u32,
    };
    let mut frame = vec![0; header.frame_bytes() as usize];
    header.write(frame.first_chunk_mut().expect("a block"));
    let mut at = FRAME_HEADER_BYTES;
    for (header, body) in contents {
        write_entry_header(&mut frame[at..], header);
        frame[at + ENTRY_HEADER_BYTES..][..body.len()].copy_from_slice(body);
        at += entry_bytes(body.len());
    }
    FrameHeader::seal(&mut frame);
    frame
}

fn entry(kind: EntryKind, partition: i32, offset: i64, gap: u32, body: Vec<u8>) -> (EntryHeader, Vec<u8>) {
    let header = EntryHeader {
        kind,
        partition,
        topic_id: TOPIC_ID,
        offset,
        body_bytes: body.len() as u32,
        gap,
    };
    (header, body)
}

/// Two frames, the second of two blocks, and a block of an earlier round behind them.
fn contents() -> [Vec<(EntryHeader, Vec<u8>)>; 3] {
    [
        vec![
            entry(EntryKind::Batch, 0, 1000, 0, batch(1000, 20)),
            entry(EntryKind::Reset, 1, 77, 0, Vec::new()),
        ],
        vec![entry(EntryKind::Batch, 2, 500, 13, batch(500, 5000))],
        vec![entry(EntryKind::Batch, 0, 3, 0, batch(3, 1))],
    ]
}

#[test]
fn a_journal_file_is_written_as_ever() {
    let [first, second, stale] = contents();
    let mut bytes = HEADER.encode().to_vec();
    bytes.extend(frame(41, &first));
    bytes.extend(frame(42, &second));
    bytes.extend(frame(5, &stale));
    bytes.resize(HEADER.file_bytes as usize, 0);
    store::compare(NAME, &bytes);
}

#[test]
fn a_journal_file_is_read_as_ever() {
    let bytes = std::fs::read(store::path(NAME)).expect("readable");
    let len = bytes.len() as u64;
    let name = Path::new(NAME);
    let scan = scan_file(&bytes[..], len, name).expect("a journal");
    assert_eq!(scan.header, HEADER);
    let sequences: Vec<_> = scan.frames.iter().map(|frame| frame.header.sequence).collect();
    assert_eq!(sequences, [41, 42]);
    assert_eq!(
        scan.end,
        ScanEnd::Stale {
            position: 4 * 4096,
            expected: 43,
            found: 5
        }
    );
    for (frame, expected) in scan.frames.iter().zip(contents()) {
        assert_eq!(
            (frame.header.journal_id, frame.header.replay_from),
            (JOURNAL_ID, 40)
        );
        let bytes = read_frame(&bytes[..], len, name, *frame).expect("a frame");
        let found: Vec<_> = entries(frame.header.payload(&bytes))
            .map(|entry| entry.map(|entry| (entry.header, entry.body.to_vec())))
            .collect::<Result<_, _>>()
            .expect("entries");
        assert_eq!(found, expected);
    }
}
