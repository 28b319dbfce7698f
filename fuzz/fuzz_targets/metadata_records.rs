//! What a metadata log, a snapshot or another voter may hold: records are refused or decoded, and what is decoded is written as it was
//! meant; the image takes them all or none, and its snapshot makes the same image.
//!
//! Input: a byte that says how the rest is meant, then it. Parts are laid out one after the other, each with two bytes of length in front.

#![no_main]

use bytes::Bytes;
use control::image::ClusterImage;
use control::quorum::Entry;
use control::record::Record;
use control::store::kraft::decode_entries;
use engine::batch::{BatchBuilder, CRC_START, HEADER_BYTES, crc};
use engine::types::{Offset, Timestamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&how, bytes)) = data.split_first() else {
        return;
    };
    match how % 4 {
        0 => records(bytes),
        1 => batch(bytes),
        2 => controls(bytes),
        _ => drop(record(bytes)),
    }
});

fn parts(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (part, rest) = rest.split_at(length);
        parts.push(part);
        bytes = rest;
    }
    parts
}

fn record(bytes: &[u8]) -> Option<Record> {
    let record = Record::decode(bytes).ok()?;
    let again = Record::decode(&record.encode()).expect("what was written can be read");
    // bytes, for the sake of what equals nothing, itself included
    assert_eq!(again.encode(), record.encode());
    Some(record)
}

fn records(bytes: &[u8]) {
    let records: Vec<Record> = parts(bytes).into_iter().filter_map(record).collect();
    let mut image = ClusterImage::empty("c");
    for record in &records {
        // one that does not fit changes nothing
        if let Ok((next, _)) = image.apply([record]) {
            image = next;
        }
    }
    let snapshot = image.to_records();
    let (again, _) = ClusterImage::empty("c")
        .apply(&snapshot)
        .expect("a snapshot makes its image");
    assert_eq!(encoded(&again.to_records()), encoded(&snapshot));
}

fn encoded(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(Record::encode).collect()
}

/// A batch with a CRC that agrees.
fn batch(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= HEADER_BYTES {
        let length = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = 2;
        let sum = crc::crc32c(&bytes[CRC_START..]);
        bytes[17..21].copy_from_slice(&sum.to_be_bytes());
    }
    check(bytes.into());
}

/// Control records: of each part, the first byte is the kind.
fn controls(bytes: &[u8]) {
    let mut batch = BatchBuilder::new(Offset(7)).control();
    for part in parts(bytes) {
        if let Some((&kind, value)) = part.split_first() {
            batch.append(Timestamp(1), Some(&[0, 0, 0, kind]), Some(value));
        }
    }
    if let Ok(bytes) = batch.build() {
        check(Bytes::copy_from_slice(&bytes));
    }
}

fn check(bytes: Bytes) {
    let Ok(entries) = decode_entries(&bytes, Offset::ZERO) else {
        return;
    };
    for Entry {
        base_offset,
        last_offset,
        voters,
        ..
    } in entries
    {
        assert!(base_offset <= last_offset);
        // as a snapshot or a message would say them
        let _ = voters.map(|voters| voters.to_string());
    }
}
