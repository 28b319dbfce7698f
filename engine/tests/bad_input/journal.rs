//! Journal files: bits, cuts, foreign and recycled blocks, each told apart. What replay makes of it is tested beside replay.

use std::path::Path;

use engine::journal::format::{FileHeader, entries};
use engine::journal::scan::{Scan, ScanEnd, ScanError, find_later_frame, read_frame, scan_file};
use uuid::Uuid;

use crate::fixture::Dice;

const NAME: &str = "shard-3/00000007.journal";

/// The golden file: a header, a frame of one block, one of two blocks, one of an earlier round, an unused block.
fn golden() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data/journal-1/00000007.journal");
    std::fs::read(path).expect("readable")
}

fn scan(bytes: &[u8]) -> Result<Scan, ScanError> {
    scan_file(bytes, bytes.len() as u64, Path::new(NAME))
}

/// Entries of all frames, as they would be replayed.
fn replayed(bytes: &[u8], scan: &Scan) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    for frame in &scan.frames {
        let frame_bytes = read_frame(bytes, bytes.len() as u64, Path::new(NAME), *frame).expect("a frame");
        for entry in entries(frame.header.payload(&frame_bytes)) {
            bodies.push(entry.expect("an entry").body.to_vec());
        }
    }
    bodies
}

#[test]
fn a_flipped_bit_ends_the_journal_before_it_and_never_changes_an_entry() {
    let golden = golden();
    let sound = replayed(&golden, &scan(&golden).expect("a journal"));
    let mut dice = Dice(7);
    for _ in 0..3000 {
        let mut bytes = golden.clone();
        let (at, bit) = (dice.roll(bytes.len()), dice.roll(8));
        bytes[at] ^= 1 << bit;
        match scan(&bytes) {
            Ok(scan) => {
                let found = replayed(&bytes, &scan);
                assert_eq!(found, sound[..found.len()], "byte {at}, bit {bit}");
            }
            Err(error) => {
                assert!(at < 64, "byte {at}, bit {bit}: {error}");
                assert!(
                    error.to_string().starts_with(&format!("{NAME}: at 0: ")),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn damage_within_is_told_from_a_torn_tail() {
    let mut bytes = golden();
    bytes[4096 + 200] ^= 1;
    let scan = scan(&bytes).expect("a journal");
    assert_eq!(scan.frames, []);
    assert!(matches!(scan.end, ScanEnd::Torn { position: 4096, .. }));
    let later = |above| {
        let id = scan.header.journal_id;
        find_later_frame(
            &bytes[..],
            bytes.len() as u64,
            Path::new(NAME),
            id,
            scan.end.position(),
            above,
        )
        .expect("readable")
        .map(|frame| frame.header.sequence)
    };
    assert_eq!(later(41), Some(42));
    assert_eq!(later(42), None);
}

#[test]
fn every_cut_is_told() {
    let golden = golden();
    let sound = replayed(&golden, &scan(&golden).expect("a journal"));
    for cut in (0..golden.len()).step_by(97) {
        match scan(&golden[..cut]) {
            Ok(scan) => {
                let found = replayed(&golden[..cut], &scan);
                assert_eq!(found, sound[..found.len()], "cut at {cut}");
                if found.len() < sound.len() {
                    assert!(
                        matches!(scan.end, ScanEnd::Cut { expected: 24576, found, .. } if found == cut as u64),
                        "cut at {cut}: {:?}",
                        scan.end
                    );
                }
            }
            Err(error) => {
                assert!(cut < 64, "cut at {cut}");
                assert_eq!(
                    error.to_string(),
                    format!("{NAME}: at 0: journal file header of 64 bytes ends after {cut}")
                );
            }
        }
    }
}

#[test]
fn the_frames_of_a_foreign_journal_are_not_ours() {
    // A directory restored from two backups: the header of one journal, the frames of another.
    let mut bytes = golden();
    let ours = scan(&bytes).expect("a journal").header;
    let other = FileHeader {
        journal_id: Uuid::from_u128(99),
        ..ours
    };
    bytes[..4096].copy_from_slice(&other.encode());
    let scan = scan(&bytes).expect("a journal");
    assert_eq!(scan.frames, []);
    assert_eq!(
        scan.end,
        ScanEnd::Foreign {
            position: 4096,
            found: ours.journal_id
        }
    );
}

#[test]
fn random_bytes_are_no_journal() {
    let mut dice = Dice(11);
    let golden = golden();
    for _ in 0..200 {
        let mut bytes: Vec<u8> = (0..16384).map(|_| dice.roll(256) as u8).collect();
        assert!(scan(&bytes).is_err());
        bytes[..4096].copy_from_slice(&golden[..4096]);
        let scan = scan(&bytes).expect("a header");
        assert_eq!(scan.frames, []);
    }
}
