//! A partition's directory: segments, indexes, producer snapshots, leader epochs.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine::batch::{
    BatchBuilder, Batches, ControlRecordType, EndTransactionMarker, Limits, Origin, validate,
};
use engine::log::{AppendContext, Log, LogConfig, OpenState, partition_metadata};
use engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use reactor::Piece;
use tempfile::TempDir;
use uuid::Uuid;

use crate::store;

pub const NOW: Timestamp = Timestamp(1_700_000_000_000);
pub const TOPIC_ID: Uuid = Uuid::from_u128(0xf12f_d777_8ac3_433a_b86c_1005_7f25_7da4);
/// Directory of the golden, and the partition's name.
const PARTITION: &str = "partition-1/orders-0";

fn config() -> Rc<LogConfig> {
    Rc::new(LogConfig {
        segment_bytes: 900,
        index_interval_bytes: 150,
        producer_id_expiration_ms: i64::MAX,
        retention_ms: -1,
        ..LogConfig::default()
    })
}

pub async fn open(dir: &Path, start: OpenState) -> Log {
    Log::open(dir, config(), start, None)
        .await
        .expect("the log opens")
        .0
}

pub fn append(log: &Log, builder: BatchBuilder, epoch: i32, origin: Origin) {
    let batch = builder.build().expect("a batch");
    let limits = Limits {
        origin,
        ..Limits::default()
    };
    let info = validate(&batch, &limits).expect("valid");
    let context = AppendContext {
        leader_epoch: LeaderEpoch(epoch),
        origin,
        now: NOW,
    };
    log.append(batch, &info, &context).expect("an append");
}

pub fn records(builder: BatchBuilder, first: i64, count: i64) -> BatchBuilder {
    let mut builder = builder;
    for number in first..first + count {
        let text = format!("{number}");
        builder.append(
            Timestamp(NOW.0 + number),
            Some(format!("key-{number}").as_bytes()),
            Some(text.as_bytes()),
        );
    }
    builder
}

/// Two leaders, an idempotent producer, a transaction that is committed and one that is left open; three segments.
async fn fill(log: &Log) {
    let plain = || BatchBuilder::new(Offset(0));
    let producer = |id, sequence| plain().producer(ProducerId(id), ProducerEpoch(1), Sequence(sequence));
    for number in 0..4 {
        append(log, records(plain(), number * 3, 3), 0, Origin::Client);
    }
    append(log, records(producer(9, 0), 12, 2), 0, Origin::Client);
    append(log, records(producer(9, 2), 14, 1), 3, Origin::Client);
    append(
        log,
        records(producer(5, 0).transactional(), 15, 2),
        3,
        Origin::Client,
    );
    let mut marker = plain()
        .producer(ProducerId(5), ProducerEpoch(1), Sequence::NONE)
        .transactional()
        .control();
    let content = EndTransactionMarker { coordinator_epoch: 4 };
    marker.append(
        NOW,
        Some(&ControlRecordType::Commit.key()),
        Some(&content.value()),
    );
    append(log, marker, 3, Origin::Coordinator);
    append(log, records(plain(), 18, 2), 3, Origin::Client);
    append(
        log,
        records(producer(5, 2).transactional(), 20, 1),
        3,
        Origin::Client,
    );
    log.commit(log.end_offset()).await.expect("a commit");
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("the golden") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// A partition's directory before there is a log in it.
pub fn make() -> (TempDir, PathBuf) {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("orders-0");
    std::fs::create_dir(&dir).expect("made");
    std::fs::write(
        dir.join("partition.metadata"),
        partition_metadata::encode(TOPIC_ID),
    )
    .expect("written");
    (temp, dir)
}

/// Holds each file of a partition against the golden's; files of these kinds must be among them.
pub fn is_as_ever(partition: &str, dir: &Path, kinds: &[&str]) {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).expect("the directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = std::fs::read(entry.path()).expect("readable");
        store::compare(&format!("{partition}/{name}"), &bytes);
        names.push(name);
    }
    for kind in kinds {
        assert!(names.iter().any(|name| name.ends_with(kind)), "{names:?}");
    }
    let golden = std::fs::read_dir(store::path(partition)).expect("the golden");
    assert_eq!(golden.count(), names.len(), "{names:?}");
}

pub fn run<F: Future>(future: F) -> F::Output {
    reactor::run(reactor::Config::default(), future).expect("a reactor")
}

#[test]
fn a_partition_is_written_as_ever() {
    let (_temp, dir) = make();
    run(async {
        let log = open(&dir, OpenState::default()).await;
        fill(&log).await;
        log.close().await.expect("closed");
    });
    is_as_ever(PARTITION, &dir, &["log", "index", "timeindex", "snapshot"]);
}

#[test]
fn a_partition_is_read_as_ever() {
    for clean in [true, false] {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = temp.path().join("orders-0");
        copy(&store::path(PARTITION), &dir);
        run(async {
            let start = OpenState {
                clean,
                recovery_point: Some(Offset(21)),
                ..OpenState::default()
            };
            let (log, report) = Log::open(&dir, config(), start, None)
                .await
                .expect("the log opens");
            assert_eq!(report.truncation, None);
            assert_eq!(log.topic_id(), Some(TOPIC_ID));
            assert_eq!((log.start_offset(), log.end_offset()), (Offset(0), Offset(21)));
            assert_eq!(log.epoch_of(Offset(13)), Some(LeaderEpoch(0)));
            assert_eq!(log.epoch_of(Offset(14)), Some(LeaderEpoch(3)));
            log.set_high_watermark(Offset(21));
            assert_eq!(
                log.last_stable_offset(),
                Offset(20),
                "one transaction is left open"
            );
            let mut producers = log.producers();
            producers.sort_by_key(|producer| producer.producer_id);
            let known: Vec<_> = producers
                .iter()
                .map(|producer| {
                    (
                        producer.producer_id.0,
                        producer.last_sequence.0,
                        producer.coordinator_epoch,
                    )
                })
                .collect();
            assert_eq!(known, [(5, 2, 4), (9, 2, -1)]);
            assert_eq!(values(&log), expected_values());
            log.close().await.expect("closed");
        });
    }
}

fn expected_values() -> Vec<(i64, String)> {
    (0..21)
        .filter(|offset| *offset != 17)
        .map(|number| (number, number.to_string()))
        .collect()
}

/// Offset and value of every record that is no marker.
fn values(log: &Log) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    let mut from = log.start_offset();
    while from < log.end_offset() {
        let slice = log.read(from, 1 << 20, log.end_offset(), true).expect("a read");
        for piece in &slice.pieces {
            let bytes = match piece {
                Piece::Bytes(bytes) => bytes.to_vec(),
                Piece::File { file, offset, len } => {
                    let mut bytes = vec![0; *len as usize];
                    file.read_exact_at(&mut bytes, *offset).expect("readable");
                    bytes
                }
            };
            for batch in Batches::new(&bytes) {
                let batch = batch.expect("a batch");
                batch.verify_crc().expect("sound");
                if batch.attributes().is_control() {
                    continue;
                }
                for record in &batch.records(1 << 20).expect("records") {
                    let record = record.expect("a record");
                    let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                    found.push((record.offset.0, value));
                }
            }
        }
        from = slice.next_offset;
    }
    found
}
