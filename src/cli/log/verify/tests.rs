//! Partitions, directories and journals with one thing wrong each.

use super::*;
use engine::batch::{BatchBuilder, Codec};
use engine::journal::format::{
    EntryHeader, EntryKind, FileHeader, FrameHeader, entry_bytes, write_entry_header,
};
use engine::types::{LeaderEpoch, Offset, Timestamp};
use uuid::Uuid;

/// A partition of two segments with an index, as a broker would leave it.
struct Partition {
    dir: tempfile::TempDir,
    /// Position of each batch of the first segment.
    positions: Vec<u64>,
}

fn batch(base: i64, epoch: i32) -> Vec<u8> {
    let mut batch = BatchBuilder::new(Offset(base))
        .leader_epoch(LeaderEpoch(epoch))
        .compression(Codec::Lz4);
    for at in 0..10 {
        batch.append(
            Timestamp(1_000 + base + at),
            Some(b"key"),
            Some(b"a value that is long enough"),
        );
    }
    batch.build().unwrap().to_vec()
}

impl Partition {
    fn new() -> Partition {
        let dir = tempfile::tempdir().unwrap();
        let mut partition = Partition {
            dir,
            positions: Vec::new(),
        };
        let (mut log, mut index, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for base in [0, 10, 20] {
            let position = log.len() as u32;
            partition.positions.push(position.into());
            log.extend(batch(base, base as i32 / 20));
            let last = base as u32 + 9;
            index.extend([last.to_be_bytes(), position.to_be_bytes()].concat());
            times.extend((1_000 + base + 9).to_be_bytes());
            times.extend(last.to_be_bytes());
        }
        partition.write("00000000000000000000.log", &log);
        partition.write("00000000000000000000.index", &index);
        partition.write("00000000000000000000.timeindex", &times);
        partition.write("00000000000000000030.log", &batch(30, 1));
        partition.write("leader-epoch-checkpoint", b"0\n2\n0 0\n1 20\n");
        partition
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn damage(&self, name: &str, at: usize) {
        let mut bytes = std::fs::read(self.path(name)).unwrap();
        bytes[at] ^= 1;
        self.write(name, &bytes);
    }

    fn findings(&self) -> Vec<String> {
        let mut findings = Findings::default();
        verify(files::find(self.dir.path()).unwrap(), &mut findings).unwrap();
        let prefix = format!("{}/", self.dir.path().display());
        findings
            .0
            .iter()
            .map(|finding| finding.to_string().replace(&prefix, ""))
            .collect()
    }
}

#[test]
fn a_sound_partition_has_no_findings() {
    assert_eq!(Partition::new().findings(), Vec::<String>::new());
}

#[test]
fn every_flipped_byte_of_a_batch_behind_its_length_is_found() {
    let partition = Partition::new();
    let batch_bytes = partition.positions[1] as usize;
    for at in (0..batch_bytes).filter(|at| !(8..12).contains(at)) {
        partition.damage("00000000000000000000.log", at);
        assert!(!partition.findings().is_empty(), "byte {at}");
        partition.damage("00000000000000000000.log", at);
    }
}

#[test]
fn findings_name_file_position_expected_and_found() {
    let partition = Partition::new();
    let second = partition.positions[1];
    partition.damage("00000000000000000000.log", second as usize + 70);
    let [finding] = &partition.findings()[..] else {
        panic!("one finding")
    };
    let start = format!("00000000000000000000.log: position {second}: CRC: expected 0x");
    assert!(
        finding.starts_with(&start) && finding.contains(", found 0x"),
        "{finding}"
    );
}

#[test]
fn a_torn_tail_and_stale_indexes_are_found() {
    let partition = Partition::new();
    let log = std::fs::read(partition.path("00000000000000000000.log")).unwrap();
    partition.write("00000000000000000000.log", &log[..log.len() - 5]);
    let third = partition.positions[2];
    let findings = partition.findings();
    let start = format!("00000000000000000000.log: position {third}: size of the batch: expected ");
    assert!(
        findings.iter().any(|finding| finding.starts_with(&start)),
        "{findings:?}"
    );

    partition.write("00000000000000000000.log", &log[..third as usize]);
    let findings = partition.findings();
    assert!(
        findings
            .iter()
            .any(|finding| finding.starts_with("00000000000000000000.index: position 16"))
    );

    partition.write("00000000000000000000.log", &log);
    partition.damage("00000000000000000000.index", 3);
    partition.damage("00000000000000000000.timeindex", 7);
    let findings = partition.findings();
    let expected = [
        "00000000000000000000.index: position 0: offset of the entry: expected 9, found 8",
        "00000000000000000000.timeindex: position 0: timestamp, the greatest of its batch: expected 1009, found 1008",
    ];
    assert_eq!(findings, expected);
}

#[test]
fn offsets_and_epochs_that_fall_are_found() {
    let partition = Partition::new();
    partition.write("00000000000000000030.log", &batch(25, 0));
    let findings = partition.findings();
    let expected = [
        "00000000000000000030.log: position 0: base offset: expected at least 30, found 25",
        "00000000000000000030.log: position 0: leader epoch: expected at least 1, found 0",
        "00000000000000000030.log: position 0: leader epoch, by the checkpoint: expected 1, found 0",
    ];
    assert_eq!(findings, expected);
}

#[test]
fn unreadable_snapshots_and_checkpoints_are_found() {
    let partition = Partition::new();
    partition.write("00000000000000000030.snapshot", b"junk");
    partition.write("leader-epoch-checkpoint", b"0\n9\n0 0\n");
    partition.write("partition.metadata", b"version: 7\n");
    assert_eq!(partition.findings().len(), 3);
}

/// A data directory with a partition that ends at 40, stopped cleanly.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Directory {
        let dir = Directory(tempfile::tempdir().unwrap());
        for partition in ["t-0", "t-1"] {
            std::fs::create_dir(dir.0.path().join(partition)).unwrap();
            dir.write(
                &format!("{partition}/partition.metadata"),
                partition_metadata::encode(Uuid::from_u128(5)).as_bytes(),
            );
        }
        dir.write(
            "t-0/00000000000000000000.log",
            &[batch(0, 0), batch(10, 0), batch(20, 0), batch(30, 0)].concat(),
        );
        dir.write(".kafka_cleanshutdown", b"");
        dir.write("recovery-point-offset-checkpoint", b"0\n1\nt 0 40\n");
        dir.write("meta.properties", b"version=1\ncluster.id=c\nnode.id=1\n");
        dir.write("ringlog-checkpoint-topic-ids", b"t AAAAAAAAAAAAAAAAAAAABQ\n");
        dir
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn findings(&self) -> Vec<String> {
        let mut findings = Findings::default();
        verify(files::find(self.0.path()).unwrap(), &mut findings).unwrap();
        let prefix = format!("{}/", self.0.path().display());
        let text = |finding: &crate::cli::log::finding::Finding| finding.to_string().replace(&prefix, "");
        findings.0.iter().map(text).collect()
    }
}

#[test]
fn files_of_other_partitions_and_other_times_are_found() {
    let dir = Directory::new();
    assert_eq!(dir.findings(), Vec::<String>::new());
    dir.write(
        "t-1/partition.metadata",
        partition_metadata::encode(Uuid::from_u128(6)).as_bytes(),
    );
    dir.write("recovery-point-offset-checkpoint", b"0\n1\nt 0 41\n");
    dir.write("log-start-offset-checkpoint", b"0\n1\nt 0 x\n");
    dir.write("meta.properties", b"version=2\ncluster.id=c\nnode.id=1\n");
    dir.write("ringlog-checkpoint-topic-ids", b"t short\n");
    assert_eq!(
        dir.findings(),
        [
            "log-start-offset-checkpoint: checkpoint: line 3 is malformed: \"t 0 x\"",
            "meta.properties: properties: version \"2\", expected 1",
            "ringlog-checkpoint-topic-ids: topic ids: line 1 is \"t short\", expected a topic and its id",
            "t-1/partition.metadata: position 0: topic id: expected AAAAAAAAAAAAAAAAAAAABQ as in t-0/partition.metadata, found AAAAAAAAAAAAAAAAAAAABg",
            "recovery-point-offset-checkpoint: position 0: recovery point of a partition: expected at most 40, the end of t-0, found 41",
        ]
    );
}

#[test]
fn a_transaction_index_of_another_segment_is_found() {
    let dir = Directory::new();
    let mut entry = vec![0, 0];
    for number in [7i64, 3, 12, 13] {
        entry.extend(number.to_be_bytes());
    }
    dir.write("t-0/00000000000000000000.txnindex", &entry);
    assert_eq!(dir.findings(), Vec::<String>::new());
    dir.write("t-0/00000000000000000020.txnindex", &[&entry[..], &[1]].concat());
    assert_eq!(
        dir.findings(),
        [
            "t-0/00000000000000000020.txnindex: position 34: bytes after the last entry: expected 0, found 1",
            "t-0/00000000000000000020.txnindex: position 0: last offset: expected at least 20, found 12",
        ]
    );
}

/// A quarantine file of these ranges: position, end, first offset, next offset.
fn quarantine(ranges: &[[u64; 4]]) -> Vec<u8> {
    let mut bytes = Vec::from(*b"RNGLOGQ1");
    bytes.extend([0; 4]);
    bytes.extend([1, 0, 0, 0]);
    bytes.extend((ranges.len() as u32).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(ranges.iter().flatten().flat_map(|number| number.to_le_bytes()));
    let crc = engine::batch::crc::crc32c(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn a_quarantine_that_is_damaged_or_of_another_segment_is_found() {
    // Believed, it would refuse offsets that are whole; unread, the bad bytes look like nobody knew of them.
    let partition = Partition::new();
    let [_, second, third] = partition.positions[..] else {
        panic!("three batches")
    };
    let name = "00000000000000000000.quarantine";
    let whole = quarantine(&[[second, third, 10, 20]]);
    partition.write(name, &whole);
    assert_eq!(partition.findings(), Vec::<String>::new());
    for at in 0..whole.len() {
        partition.damage(name, at);
        let findings = partition.findings();
        assert!(
            findings.iter().any(|finding| finding.starts_with(name)),
            "byte {at}"
        );
        partition.damage(name, at);
    }

    let segment_bytes = std::fs::metadata(partition.path("00000000000000000000.log"))
        .unwrap()
        .len();
    partition.write(
        name,
        &quarantine(&[[0, second, 0, 11], [third, segment_bytes + 1, 20, 30]]),
    );
    partition.write(
        "00000000000000000030.quarantine",
        &quarantine(&[[0, second, 29, 40]]),
    );
    partition.write(
        "00000000000000000050.quarantine",
        &quarantine(&[[0, second, 50, 60]]),
    );
    assert_eq!(
        partition.findings(),
        [
            "00000000000000000000.quarantine: position 48: next offset of a range, the batch behind it: expected 10, found 11".to_owned(),
            format!(
                "00000000000000000000.quarantine: position 64: end of a range: expected at most {segment_bytes}, the bytes of its segment, found {}",
                segment_bytes + 1
            ),
            "00000000000000000030.quarantine: position 40: first offset of a range: expected at least 30, found 29".to_owned(),
            "00000000000000000050.quarantine: quarantine: its segment does not exist".to_owned(),
        ]
    );
}

/// A journal file of four blocks: frames with these sequences, one batch each.
fn journal(id: u128, file_number: u32, sequences: &[u64]) -> Vec<u8> {
    let journal_id = Uuid::from_u128(id);
    let header = FileHeader {
        journal_id,
        shard: 0,
        file_number,
        file_bytes: 4 * 4096,
    };
    let mut bytes = header.encode().to_vec();
    for sequence in sequences {
        let body = batch(*sequence as i64 * 10, 0);
        let header = FrameHeader {
            journal_id,
            sequence: *sequence,
            replay_from: 1,
            payload_bytes: entry_bytes(body.len()) as u32,
            entry_count: 1,
        };
        let mut frame = vec![0; header.frame_bytes() as usize];
        header.write(frame.first_chunk_mut().unwrap());
        let entry = EntryHeader {
            kind: EntryKind::Batch,
            partition: 0,
            topic_id: Uuid::from_u128(5),
            offset: *sequence as i64 * 10,
            body_bytes: body.len() as u32,
            gap: 0,
        };
        write_entry_header(&mut frame[48..], &entry);
        frame[88..88 + body.len()].copy_from_slice(&body);
        FrameHeader::seal(&mut frame);
        bytes.extend(frame);
    }
    bytes.resize(4 * 4096, 0);
    bytes
}

const FIRST: &str = "ringlog-journal/shard-0/00000001.journal";
const SECOND: &str = "ringlog-journal/shard-0/00000002.journal";

#[test]
fn journals_are_checked_file_by_file_and_as_a_whole() {
    let dir = Directory::new();
    dir.write(FIRST, &journal(9, 1, &[1, 2, 3]));
    dir.write(SECOND, &journal(9, 2, &[4]));
    assert_eq!(dir.findings(), Vec::<String>::new());

    let whole = journal(9, 1, &[1, 2, 3]);
    let mut damaged = whole.clone();
    damaged[8192 + 100] ^= 1;
    dir.write(FIRST, &damaged);
    assert_eq!(
        dir.findings(),
        [
            "ringlog-journal/shard-0/00000002.journal: position 4096: sequence of a frame that is needed before this one: expected 2, found 3"
        ]
    );
    dir.write(FIRST, &whole[..9000]);
    let findings = dir.findings();
    assert!(
        findings[0].contains("position 12288: frames: the file was cut to 9000 bytes"),
        "{findings:?}"
    );
    dir.write(FIRST, &whole);
    dir.write(SECOND, &journal(8, 3, &[4]));
    assert_eq!(
        dir.findings(),
        [
            format!(
                "{SECOND}: position 16: journal id: expected 00000000-0000-0000-0000-000000000009 as in {FIRST}, found 00000000-0000-0000-0000-000000000008"
            ),
            format!("{SECOND}: position 36: file number, by the name: expected 2, found 3"),
        ]
    );
    dir.write(SECOND, b"junk");
    assert_eq!(
        dir.findings(),
        [format!(
            "{SECOND}: position 0: journal: journal file header of 64 bytes ends after 4"
        )]
    );
}

#[test]
fn every_flipped_byte_of_the_used_part_of_a_journal_is_found_or_is_padding() {
    let dir = Directory::new();
    let bytes = journal(9, 1, &[1, 2]);
    let written = 48 + 40 + batch(10, 0).len().next_multiple_of(8);
    for at in (0..64).chain(4096..4096 + written).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        dir.write(FIRST, &damaged);
        assert!(!dir.findings().is_empty(), "byte {at}");
    }
}
