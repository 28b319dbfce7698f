//! Writes `seeds/`: small valid inputs for every target, so that a run begins behind the first checks.
//!
//! ```text
//! cargo run --manifest-path fuzz/Cargo.toml --bin seeds
//! ```

use std::path::PathBuf;
use std::{fs, io};

use bytes::{BufMut, BytesMut};
use control::quorum::{ElectionState, ReplicaKey};
use control::record::{BrokerId, ControllerEpoch, DirectoryId};
use control::store::kraft::encode_election_state;
use control::store::shared::Position;
use engine::batch::{BatchBuilder, BatchProducer};
use engine::directory::{MetaProperties, encode_topic_ids};
use engine::log::producer_state::{Appended, ProducerStates};
use engine::log::{
    AbortedTransaction, CheckStart, check_segment, checkpoint, partition_metadata, producer_snapshot,
    transaction_index,
};
use engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use net::header::RequestHeader;
use net::shape::{self, Api, Field, Kind};
use net::wire::Encoding;

fn main() -> io::Result<()> {
    batches()?;
    segment_and_files()?;
    journal()?;
    operations()?;
    damage()?;
    metadata_records()?;
    group_records()?;
    requests()
}

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(name), bytes)
}

/// Kafka's own batches, with the switch that repairs the CRC of what the fuzzer makes of them.
fn batches() -> io::Result<()> {
    let goldens = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/data");
    for entry in fs::read_dir(goldens)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "batch") {
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            write(
                "record_batch",
                &name,
                &[&[1], fs::read(&path)?.as_slice()].concat(),
            )?;
        }
    }
    Ok(())
}

/// A segment of 20 batches in three epochs, as it is and with a torn end, and the files that lie beside it.
fn segment_and_files() -> io::Result<()> {
    let mut segment = Vec::new();
    for index in 0..20 {
        let mut builder = BatchBuilder::new(Offset(index * 2))
            .leader_epoch(LeaderEpoch(index as i32 / 8))
            .producer(ProducerId(9), ProducerEpoch(0), Sequence(index as i32 * 2));
        builder.append(Timestamp(1000 + index), Some(b"key"), Some(b"value"));
        builder.append(Timestamp(1000 + index), None, None);
        segment.extend_from_slice(&builder.build().map_err(io::Error::other)?);
    }
    // the switch that repairs checksums, and an index entry every 256 bytes
    let switches = 1 | 16 << 1;
    write(
        "segment_recovery",
        "whole",
        &[&[switches], segment.as_slice()].concat(),
    )?;
    write(
        "segment_recovery",
        "torn",
        &[&[switches], &segment[..segment.len() - 30]].concat(),
    )?;
    write(
        "segment_recovery",
        "as-it-is",
        &[&[0], segment.as_slice()].concat(),
    )?;

    let start = CheckStart {
        base_offset: Offset::ZERO,
        next_offset: Offset::ZERO,
        leader_epoch: LeaderEpoch::NONE,
        index_interval_bytes: 256,
    };
    let checked = check_segment(&segment, start);
    let (offsets, times) = checked.indexes();
    let epochs = checked
        .epochs
        .iter()
        .map(|entry| format!("{} {}", entry.epoch, entry.start_offset));
    let mut producers = ProducerStates::new(checked.next_offset);
    producers.record(&Appended {
        producer: BatchProducer {
            id: ProducerId(9),
            epoch: ProducerEpoch(0),
            base_sequence: Sequence(38),
            last_sequence: Sequence(39),
        },
        base_offset: Offset(38),
        last_offset: Offset(39),
        max_timestamp: Timestamp(1019),
        now: Timestamp(1019),
        is_transactional: true,
        marker: None,
    });
    let topic_id = uuid::Uuid::from_u128(77);
    let properties = MetaProperties {
        cluster_id: "MkU3OEVBNTcwNTJENDM2Qg".to_owned(),
        node_id: 1,
        directory_id: Some(topic_id),
    };
    let aborted = [(9, 0, 39), (10, 4, 41)].map(|(id, first, last)| AbortedTransaction {
        producer_id: ProducerId(id),
        first_offset: Offset(first),
        last_offset: Offset(last),
        last_stable_offset: Offset(first),
    });
    let state = ElectionState {
        epoch: ControllerEpoch(7),
        leader: Some(BrokerId(1)),
        voted: Some(ReplicaKey::new(BrokerId(2), DirectoryId(topic_id))),
    };
    let position = Position {
        store: "etcd".to_owned(),
        log_id: topic_id,
        end_offset: Offset(77),
        attempt: Some(topic_id),
    };
    let files: [(&str, &str, Vec<u8>); 13] = [
        ("offset_index", "whole", offsets.encode()),
        ("time_index", "whole", times.encode()),
        (
            "epoch_checkpoint",
            "three-epochs",
            checkpoint::encode_lines(0, epochs),
        ),
        (
            "producer_snapshot",
            "one-producer",
            producer_snapshot::encode(&producers),
        ),
        (
            "text_files",
            "recovery-point-offset-checkpoint",
            checkpoint::encode_lines(0, ["t 0 7".to_owned()].into_iter()),
        ),
        (
            "text_files",
            "partition-metadata",
            partition_metadata::encode(topic_id).into_bytes(),
        ),
        ("text_files", "meta-properties", properties.encode().into_bytes()),
        (
            "transaction_index",
            "two-transactions",
            transaction_index::encode(&aborted),
        ),
        ("text_files", "topic-ids", encode_topic_ids([("t", topic_id)])),
        ("text_files", "quorum-state", encode_election_state(&state)?),
        ("text_files", "metadata-store", position.encode().into_bytes()),
        (
            "text_files",
            "file-name",
            b"00000000000000000042.timeindex".to_vec(),
        ),
        (
            "text_files",
            "topic-id",
            partition_metadata::to_base64(topic_id).into_bytes(),
        ),
    ];
    for (target, name, content) in files {
        write(target, name, &content)?;
    }
    Ok(())
}

/// The blocks of the golden journal, each with its length in front, as they are and with the switches that repair.
fn journal() -> io::Result<()> {
    let goldens = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/golden/data");
    let bytes = fs::read(goldens.join("journal-1/00000007.journal"))?;
    for (name, switches) in [("as-it-is", 0u8), ("repaired", 3)] {
        let mut input = vec![switches];
        // what is zero up to the end of a block is laid out again
        for block in bytes.chunks(4096) {
            let used = block.len() - block.iter().rev().take_while(|byte| **byte == 0).count();
            input.extend((used as u16).to_le_bytes());
            input.extend_from_slice(&block[..used]);
        }
        write("journal_file", name, &input)?;
    }
    Ok(())
}

/// Sequences that reach every operation.
fn operations() -> io::Result<()> {
    let append = [0, 0x41, 7, 1, 0xf7, 9, 4, 1, 0x13, 20];
    let stories: [(&str, &[u8]); 5] = [
        ("append-commit-read", &[6, 11, 0, 0, 0, 9, 1, 0, 0, 13, 5]),
        ("retry", &[5, 1, 1, 5, 1, 0, 6]),
        ("delete-and-retain", &[6, 8, 9, 0, 2, 10, 3, 6, 10, 0, 13, 1]),
        ("restart", &[6, 14, 5, 1, 1, 13, 7, 8, 14]),
        ("crash", &[15, 0, 0, 3, 0, 0, 6, 15, 1, 2, 15, 0, 0, 9, 1, 1]),
    ];
    for (name, story) in stories {
        let mut input = Vec::new();
        for _ in 0..6 {
            input.extend(append);
            input.extend(story);
        }
        write("log_operations", name, &input)?;
    }
    Ok(())
}

/// Two bad ranges of a segment; the target writes the header.
fn damage() -> io::Result<()> {
    let mut bytes = vec![0; 24];
    for field in [0u64, 100, 0, 5, 4096, 4200, 70, 70] {
        bytes.extend(field.to_le_bytes());
    }
    write("quarantine", "two-ranges", &bytes)
}

/// Names and bytes of a file of goldens: `name hex`, one a line.
fn goldens(file: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = fs::read_to_string(path)?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once(' '));
    let digits = |hex: &str| {
        let bytes = (0..hex.len()).step_by(2);
        bytes
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16))
            .collect::<Result<Vec<_>, _>>()
    };
    pairs
        .map(|(name, hex)| Ok((name.to_owned(), digits(hex).map_err(io::Error::other)?)))
        .collect()
}

/// With its length in front.
fn part(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// Kafka's own records, each and all of them; a batch of them, and the control records of a quorum.
fn metadata_records() -> io::Result<()> {
    let records = goldens("control/src/record/golden/metadata_records.txt")?;
    let (mut all, mut batch) = (vec![0], BatchBuilder::new(Offset(3)));
    for (name, bytes) in &records {
        write("metadata_records", name, &[&[3], bytes.as_slice()].concat())?;
        all.extend(part(bytes));
        batch.append(Timestamp(1), None, Some(bytes));
    }
    write("metadata_records", "all", &all)?;
    let batch = batch.build().map_err(io::Error::other)?;
    write("metadata_records", "batch", &[&[1], &batch[..]].concat())?;
    // version, leader, voters, who of them voted; then a set of one voter, at localhost:9093
    let leader_change = [
        &[2, 0, 0, 0, 0, 0, 1, 2][..],
        &[0, 0, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0],
    ]
    .concat();
    let voters = [
        &[6, 0, 0, 2, 0, 0, 0, 1][..],
        &[7; 16],
        b"\x02\x0bCONTROLLER\x0alocalhost\x23\x85\0\0\0\0\x01\0\0\0",
    ]
    .concat();
    let controls = [&[2], part(&leader_change).as_slice(), &part(&voters)].concat();
    write("metadata_records", "controls", &controls)
}

/// Kafka's own: each value behind its key, written, and taken back.
fn group_records() -> io::Result<()> {
    let records = goldens("control/src/group/record/golden/kafka-4.3.1.txt")?;
    let key = |name: &str| {
        records
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, bytes)| bytes)
    };
    let (offset, group) = (key("offset_commit_key_v1"), key("group_metadata_key_v2"));
    for (name, value) in records.iter().filter(|(name, _)| name.contains("_value")) {
        let key = if name.starts_with("offset") { offset } else { group };
        let record = [part(key.map_or(&[], Vec::as_slice)), part(value)].concat();
        write("group_records", name, &[&[0], record.as_slice()].concat())?;
        // in a transaction that is committed, then taken back
        let story = [&[0x12], record.as_slice(), &[0x14, 0x01], &record].concat();
        write("group_records", &format!("{name}-and-back"), &story)?;
    }
    Ok(())
}

/// Every API at its first, its last and its first flexible version: every field there, one element per array.
fn requests() -> io::Result<()> {
    for api in shape::apis() {
        let mut versions = vec![api.version_min, api.version_max, api.flexible_since];
        versions.retain(|version| api.serves(*version));
        versions.sort_unstable();
        versions.dedup();
        for version in versions {
            let bytes = request(api, version);
            write("request_decode", &format!("{}-{version}", api.name), &bytes)?;
        }
    }
    Ok(())
}

fn request(api: &Api, version: i16) -> BytesMut {
    let encoding = if api.is_flexible(version) {
        Encoding::Flexible
    } else {
        Encoding::Classic
    };
    let header = RequestHeader {
        api_key: api.key,
        api_version: version,
        correlation_id: 7,
        client_id: "seed".into(),
    };
    let mut out = BytesMut::new();
    header.write(encoding, &mut out);
    let header_bytes = out.len();
    put_struct(api.fields, version, encoding.is_flexible(), &mut out);
    let checked = shape::check(api.key, version, &out[header_bytes..]);
    assert_eq!(
        checked,
        Ok(out.len() - header_bytes),
        "{} v{version}: a seed must be a request",
        api.name
    );
    out
}

fn put_struct(fields: &[Field], version: i16, flexible: bool, out: &mut BytesMut) {
    let present = |field: &&Field| field.since <= version && version <= field.until;
    for field in fields.iter().filter(present).filter(|field| field.tag.is_none()) {
        put(field, version, flexible, out);
    }
    if flexible {
        let tagged: Vec<_> = fields
            .iter()
            .filter(present)
            .filter(|field| field.tag.is_some())
            .collect();
        out.put_u8(tagged.len() as u8);
        for field in tagged {
            let mut content = BytesMut::new();
            put(field, version, flexible, &mut content);
            out.put_u8(field.tag.unwrap_or_default() as u8);
            out.put_u8(content.len() as u8);
            out.put_slice(&content);
        }
    }
}

fn put(field: &Field, version: i16, flexible: bool, out: &mut BytesMut) {
    match field.kind {
        Kind::I8 => out.put_i8(1),
        Kind::I16 => out.put_i16(1),
        Kind::I32 => out.put_i32(1),
        Kind::I64 => out.put_i64(1),
        Kind::Uuid => out.put_u128(1),
        Kind::String => put_string(flexible, out),
        Kind::Bytes => {
            if flexible {
                out.put_u8(5);
            } else {
                out.put_i32(4);
            }
            out.put_slice(b"data");
        }
        Kind::Struct(fields) => {
            if version >= field.null_since {
                out.put_i8(1);
            }
            put_struct(fields, version, flexible, out);
        }
        Kind::Strings => {
            put_count(flexible, out);
            put_string(flexible, out);
        }
        Kind::I8s => {
            put_count(flexible, out);
            out.put_i8(1);
        }
        Kind::I32s => {
            put_count(flexible, out);
            out.put_i32(1);
        }
        Kind::Structs(fields) => {
            put_count(flexible, out);
            put_struct(fields, version, flexible, out);
        }
    }
}

/// One element.
fn put_count(flexible: bool, out: &mut BytesMut) {
    if flexible {
        out.put_u8(2);
    } else {
        out.put_i32(1);
    }
}

fn put_string(flexible: bool, out: &mut BytesMut) {
    if flexible {
        out.put_u8(5);
    } else {
        out.put_i16(4);
    }
    out.put_slice(b"name");
}
