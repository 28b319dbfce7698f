//! The log against crashes: torn at every byte, damaged in the middle, interrupted while a snapshot is made.

use std::fs;
use std::path::Path;

use engine::batch::{BatchBuilder, ControlRecordType};
use engine::types::{LeaderEpoch, Offset, Timestamp};
use uuid::Uuid;

use super::*;
use crate::image::{ClusterImage, MetadataPosition};
use crate::record::{BrokerId, ControllerEpoch, Record, TopicRecord};
use crate::store::batch::{self, Control};
use crate::store::quorum::Quorum;
use crate::store::{AppendError, Member, OpenError, ReadError, SnapshotId};

fn topic(number: u32) -> Record {
    TopicRecord {
        name: format!("topic-{number}"),
        topic_id: Uuid::from_u128(u128::from(number)),
        ..TopicRecord::default()
    }
    .into()
}

fn run<F: Future>(future: F) -> F::Output {
    reactor::run(reactor::Config::default(), future).expect("a reactor")
}

fn member() -> Member {
    Member::for_tests(1)
}

async fn lead(dir: &Path) -> (EmbeddedMetaLog, ControllerEpoch) {
    let log = EmbeddedMetaLog::open(dir, member()).expect("opens");
    let epoch = log.lead().await.expect("leads");
    (log, epoch)
}

/// Every record in the log, from its first offset on.
fn records(log: &EmbeddedMetaLog) -> Vec<Record> {
    let batches = log.read(log.start_offset(), usize::MAX).expect("reads");
    batches.into_iter().flat_map(|batch| batch.records).collect()
}

fn image(records: &[Record], offset: i64, epoch: ControllerEpoch) -> ClusterImage {
    let (image, _) = ClusterImage::empty("c").apply(records).expect("fits");
    image.at(MetadataPosition {
        offset: Offset(offset),
        epoch,
    })
}

fn log_files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir.join(LOG_DIR))
        .expect("log directory")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("name"))
        .collect();
    names.sort();
    names
}

/// A log of three batches; its bytes, and where each batch after the leader change begins.
fn three_batches(dir: &Path) -> (Vec<u8>, Vec<usize>) {
    let path = dir.join(LOG_DIR).join(segment::file_name(Offset(0)));
    let starts = run(async {
        let (log, epoch) = lead(dir).await;
        let mut starts = Vec::new();
        for number in 1..=3 {
            starts.push(log.bytes_since_snapshot() as usize);
            log.append(epoch, &[topic(number)]).await.expect("appends");
        }
        starts
    });
    (fs::read(path).expect("log"), starts)
}

fn open_with(bytes: &[u8]) -> Result<EmbeddedMetaLog, OpenError> {
    let dir = tempfile::tempdir().expect("dir");
    let log_dir = dir.path().join(LOG_DIR);
    fs::create_dir_all(&log_dir).expect("dir");
    fs::write(log_dir.join(segment::file_name(Offset(0))), bytes).expect("write");
    EmbeddedMetaLog::open(dir.path(), member())
}

#[test]
fn what_was_appended_is_read_after_a_restart_under_a_new_epoch() {
    // Without a greater epoch a deposed controller's batches would look like the new one's.
    let dir = tempfile::tempdir().expect("dir");
    run(async {
        let (log, epoch) = lead(dir.path()).await;
        assert_eq!(epoch, ControllerEpoch(1));
        let appended = log.append(epoch, &[topic(1), topic(2)]).await.expect("appends");
        assert_eq!(
            (appended.base_offset, appended.last_offset),
            (Offset(1), Offset(2))
        );
        assert_eq!(log.end_offset(), Offset(3));
    });
    run(async {
        let (log, epoch) = lead(dir.path()).await;
        assert_eq!(epoch, ControllerEpoch(2));
        assert_eq!(records(&log), [topic(1), topic(2)]);
        let late = log.append(ControllerEpoch(1), &[topic(3)]).await;
        assert_eq!(
            late,
            Err(AppendError::Fenced {
                own: ControllerEpoch(1),
                current: ControllerEpoch(2)
            })
        );
        assert_eq!(log.append(epoch, &[]).await, Err(AppendError::Empty));
    });
}

#[test]
fn a_tail_torn_at_any_byte_costs_only_the_batch_nobody_was_told_about() {
    // kill -9 or a power cut in the middle of a write must neither lose an answered change nor stop the start.
    let dir = tempfile::tempdir().expect("dir");
    let (bytes, starts) = three_batches(dir.path());
    for cut in starts[2]..=bytes.len() {
        let whole = if cut == bytes.len() { 3 } else { 2 };
        let expected: Vec<_> = (1..=whole).map(topic).collect();
        let log = open_with(&bytes[..cut]).expect("opens");
        assert_eq!(records(&log), expected, "cut at {cut}");
        assert_eq!(log.end_offset(), Offset(1 + i64::from(whole)));
        // The file was longer already, but some of its blocks never arrived.
        let mut zeros = bytes[..cut].to_vec();
        zeros.resize(bytes.len(), 0);
        let log = open_with(&zeros).expect("opens");
        assert!(records(&log).starts_with(&expected[..2]), "zeros from {cut}");
    }
}

#[test]
fn a_log_goes_on_behind_a_torn_tail() {
    // What is written over the torn batch must not be followed by its remains.
    let dir = tempfile::tempdir().expect("dir");
    let (bytes, _) = three_batches(dir.path());
    let path = dir.path().join(LOG_DIR).join(segment::file_name(Offset(0)));
    fs::write(&path, &bytes[..bytes.len() - 1]).expect("write");
    run(async {
        let (log, epoch) = lead(dir.path()).await;
        log.append(epoch, &[topic(4)]).await.expect("appends");
    });
    run(async {
        let (log, _) = lead(dir.path()).await;
        assert_eq!(records(&log), [topic(1), topic(2), topic(4)]);
    });
}

#[test]
fn damage_before_the_last_batch_stops_the_start() {
    // Cutting there would forget topics whose creation was acknowledged.
    let dir = tempfile::tempdir().expect("dir");
    let (bytes, starts) = three_batches(dir.path());
    for position in starts[0]..starts[2] {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x40;
        let within_batch = starts
            .iter()
            .rev()
            .find(|start| **start <= position)
            .expect("a batch");
        let in_epoch = (12..16).contains(&(position - within_batch));
        let in_offset = (0..8).contains(&(position - within_batch));
        match open_with(&damaged).map(|_| ()) {
            Err(OpenError::DamagedWithin { .. }) => {}
            Err(OpenError::Offset { .. }) if in_offset => {}
            Err(OpenError::Epoch { .. }) if in_epoch => {}
            other => panic!("byte {position}: {other:?}"),
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_more_is_written() {
    // The kernel reports a failed sync once; trying again would acknowledge what was lost.
    let dir = tempfile::tempdir().expect("dir");
    run(async {
        let (log, epoch) = lead(dir.path()).await;
        log.append(epoch, &[topic(1)]).await.expect("appends");
        log.plant_failing_sync();
        let fault = match log.append(epoch, &[topic(2)]).await {
            Err(AppendError::Fault(fault)) => fault,
            other => panic!("{other:?}"),
        };
        let end = log.end_offset();
        assert_eq!(
            log.append(epoch, &[topic(3)]).await,
            Err(AppendError::Fault(fault.clone()))
        );
        assert_eq!(log.end_offset(), end);
        assert_eq!(log.wait_past(end).await, Err(fault));
    });
}

#[test]
fn a_snapshot_takes_the_place_of_the_log_behind_it() {
    // A start would otherwise replay every change since the cluster was made.
    let dir = tempfile::tempdir().expect("dir");
    let id = SnapshotId {
        end_offset: Offset(3),
        epoch: ControllerEpoch(1),
    };
    run(async {
        let (log, epoch) = lead(dir.path()).await;
        log.append(epoch, &[topic(1), topic(2)]).await.expect("appends");
        let image = image(&[topic(1), topic(2)], 2, epoch);
        assert_eq!(log.write_snapshot(image).await.expect("snapshot"), id);
        assert_eq!(log.bytes_since_snapshot(), 0);
        log.append(epoch, &[topic(3)]).await.expect("appends");
        assert!(matches!(
            log.read(Offset(2), 1),
            Err(ReadError::BehindLog {
                log_start: Offset(3),
                ..
            })
        ));
    });
    assert_eq!(
        log_files(dir.path()),
        [
            "00000000000000000003-0000000001.checkpoint",
            "00000000000000000003.log"
        ]
    );
    run(async {
        let (log, epoch) = lead(dir.path()).await;
        assert_eq!(epoch, ControllerEpoch(2));
        let snapshot = log.snapshot().expect("reads").expect("is there");
        assert_eq!((snapshot.id, snapshot.records), (id, vec![topic(1), topic(2)]));
        assert_eq!(records(&log), [topic(3)]);
        // a second one replaces the first
        let image = image(&[topic(1), topic(2), topic(3)], 4, epoch);
        log.write_snapshot(image).await.expect("snapshot");
    });
    assert_eq!(
        log_files(dir.path()),
        [
            "00000000000000000005-0000000002.checkpoint",
            "00000000000000000005.log"
        ]
    );
    // nothing but the snapshot says how far the epochs had come
    run(async { assert_eq!(lead(dir.path()).await.1, ControllerEpoch(3)) });
}

#[test]
fn a_snapshot_interrupted_anywhere_leaves_a_log_that_starts() {
    // Every state of the directory between "begin a new file" and "remove the old ones" is a possible crash.
    let dir = tempfile::tempdir().expect("dir");
    let (old_log, _) = three_batches(dir.path());
    let all = [topic(1), topic(2), topic(3)];
    run(async {
        let (log, epoch) = (
            EmbeddedMetaLog::open(dir.path(), member()).expect("opens"),
            ControllerEpoch(1),
        );
        log.write_snapshot(image(&all, 3, epoch)).await.expect("snapshot");
    });
    let checkpoint = "00000000000000000004-0000000001.checkpoint";
    let bytes = fs::read(dir.path().join(LOG_DIR).join(checkpoint)).expect("snapshot");
    let tmp = format!("{checkpoint}.tmp");
    let (old, new) = (segment::file_name(Offset(0)), segment::file_name(Offset(4)));
    let states: [&[(&str, &[u8])]; 4] = [
        &[(&old, &old_log), (&new, &[])],
        &[(&old, &old_log), (&new, &[]), (&tmp, &bytes[..10])],
        &[(&old, &old_log), (&new, &[]), (checkpoint, &bytes)],
        &[(&new, &[]), (checkpoint, &bytes)],
    ];
    for (number, files) in states.into_iter().enumerate() {
        let dir = tempfile::tempdir().expect("dir");
        fs::create_dir(dir.path().join(LOG_DIR)).expect("dir");
        for (name, bytes) in files {
            fs::write(dir.path().join(LOG_DIR).join(name), bytes).expect("write");
        }
        run(async {
            let (log, epoch) = lead(dir.path()).await;
            assert_eq!(epoch, ControllerEpoch(2));
            let snapshot = log.snapshot().expect("reads");
            let mut found = snapshot.map_or(Vec::new(), |snapshot| snapshot.records);
            found.extend(records(&log));
            assert_eq!(found, all, "state {number}");
            log.append(epoch, &[topic(4)]).await.expect("appends");
        });
        assert!(!log_files(dir.path()).contains(&tmp), "state {number}");
        assert!(
            EmbeddedMetaLog::open(dir.path(), member()).is_ok(),
            "state {number}"
        );
    }
}

#[test]
fn a_damaged_or_missing_snapshot_stops_the_start() {
    // Starting from the rest of the log would bring up a cluster without most of its topics.
    let dir = tempfile::tempdir().expect("dir");
    run(async {
        let (log, epoch) = lead(dir.path()).await;
        log.append(epoch, &[topic(1)]).await.expect("appends");
        log.write_snapshot(image(&[topic(1)], 1, epoch))
            .await
            .expect("snapshot");
        log.append(epoch, &[topic(2)]).await.expect("appends");
    });
    let path = dir
        .path()
        .join(LOG_DIR)
        .join("00000000000000000002-0000000001.checkpoint");
    let bytes = fs::read(&path).expect("snapshot");
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).expect("write");
        let opened = EmbeddedMetaLog::open(dir.path(), member()).map(|_| ());
        assert!(
            matches!(
                opened,
                Err(OpenError::Damaged { .. } | OpenError::Snapshot { .. })
            ),
            "cut at {cut}: {opened:?}"
        );
    }
    fs::remove_file(&path).expect("removal");
    let opened = EmbeddedMetaLog::open(dir.path(), member()).map(|_| ());
    assert!(matches!(opened, Err(OpenError::Gap { .. })), "{opened:?}");
}

#[test]
fn reads_begin_anywhere_and_end_at_their_bound() {
    // Followers read from where they are, in pieces.
    let dir = tempfile::tempdir().expect("dir");
    run(async {
        let (log, epoch) = lead(dir.path()).await;
        let many: Vec<_> = (1..=900).map(topic).collect();
        for chunk in many.chunks(3) {
            log.append(epoch, chunk).await.expect("appends");
        }
        for from in (0..=901).step_by(7) {
            let batches = log.read(Offset(from), 1).expect("reads");
            match batches.as_slice() {
                [] => assert_eq!(Offset(from), log.end_offset()),
                [one] => assert!((one.base_offset.0..=one.last_offset.0).contains(&from)),
                more => panic!("{} batches for one byte", more.len()),
            }
        }
        assert!(log.read(Offset(902), 1).is_err());
        assert_eq!(records(&log), many);
    });
}

#[test]
fn watchers_see_the_end_move() {
    // A broker that misses the move would serve old metadata until the next change.
    let dir = tempfile::tempdir().expect("dir");
    run(async {
        let (log, epoch) = lead(dir.path()).await;
        let watcher = log.clone();
        let end = log.end_offset();
        let waiting = reactor::spawn(async move { watcher.wait_past(end).await });
        reactor::yield_now().await;
        assert!(!waiting.is_finished());
        log.append(epoch, &[topic(1)]).await.expect("appends");
        assert_eq!(waiting.await, Ok(Offset(2)));
    });
}

#[test]
fn what_a_newer_version_wrote_is_not_cut_off_as_a_torn_tail() {
    // The last batch of a directory that a newer Kafka used was acknowledged; cutting it off would undo it in silence.
    let dir = tempfile::tempdir().expect("dir");
    let (whole, _) = three_batches(dir.path());
    let newer_frame: &[u8] = &[2, 0, 0];
    let mut record = BatchBuilder::new(Offset(4)).leader_epoch(LeaderEpoch(1));
    record.append(Timestamp(0), None, Some(newer_frame));
    let mut control = BatchBuilder::new(Offset(4))
        .leader_epoch(LeaderEpoch(1))
        .control();
    control.append(
        Timestamp(0),
        Some(&ControlRecordType::Unknown(99).key()),
        Some(&[0; 8]),
    );
    for (batch, said) in [(record, "frame version"), (control, "type 99")] {
        let mut bytes = whole.clone();
        bytes.extend_from_slice(&batch.build().expect("builds"));
        let error = open_with(&bytes).err().expect("refused");
        assert!(matches!(error, OpenError::Unreadable { .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains(said) && text.contains(&whole.len().to_string()),
            "{text}"
        );
    }
}

#[test]
fn a_dynamic_quorum_stays_in_every_snapshot() {
    // Its voters are in the log alone: a Kafka that takes the directory back would find no quorum and never start.
    let dir = tempfile::tempdir().expect("dir");
    let quorum = [
        Control::KraftVersion([0, 0, 0, 1, 0].into()),
        Control::KraftVoters([0, 0, 1, 0].into()),
    ];
    let header = Control::SnapshotHeader {
        last_contained_timestamp: Timestamp(1),
    };
    let id = SnapshotId {
        end_offset: Offset(0),
        epoch: ControllerEpoch(0),
    };
    let mut controls = vec![header];
    controls.extend(quorum.clone());
    // as `kafka-storage format --standalone` leaves it
    let mut bytes = batch::encode_control(Offset(0), id.epoch, Timestamp(1), &controls).expect("encodes");
    let footer = [Control::SnapshotFooter];
    bytes.extend(batch::encode_control(Offset(3), id.epoch, Timestamp(1), &footer).expect("encodes"));
    fs::create_dir_all(dir.path().join(LOG_DIR)).expect("dir");
    fs::write(dir.path().join(LOG_DIR).join(snapshot::file_name(id)), bytes).expect("write");
    for round in 1..3 {
        run(async {
            let (log, epoch) = lead(dir.path()).await;
            assert_eq!(log.voters(), [BrokerId(1)]);
            let appended = log.append(epoch, &[topic(round)]).await.expect("appends");
            let image = image(&[topic(round)], appended.last_offset.0, epoch);
            let id = log.write_snapshot(image).await.expect("snapshot");
            let kept = recover::load_snapshot(&dir.path().join(LOG_DIR), id)
                .expect("reads")
                .1;
            assert_eq!(kept.to_controls(), quorum);
        });
    }
}

#[test]
fn the_voters_are_read_in_both_versions_of_a_leader_change() {
    // Version 1 has a directory id per voter; skipped wrongly, a cluster of three would pass for a cluster of one.
    let voters = |version: i16, ids: &[i32]| {
        let mut value = version.to_be_bytes().to_vec();
        value.extend(1i32.to_be_bytes());
        for _ in 0..2 {
            value.push(ids.len() as u8 + 1);
            for id in ids {
                value.extend(id.to_be_bytes());
                value.extend_from_slice(&[9; 16][..16 * version as usize]);
                value.push(0);
            }
        }
        value.push(0);
        let mut bytes = BatchBuilder::new(Offset(0))
            .leader_epoch(LeaderEpoch(1))
            .control();
        bytes.append(
            Timestamp(0),
            Some(&ControlRecordType::LeaderChange.key()),
            Some(&value),
        );
        open_with(&bytes.build().expect("builds")).map(|log| log.voters())
    };
    for version in [0, 1] {
        let ids = voters(version, &[1, 2, 300]).expect("opens");
        assert_eq!(ids, [BrokerId(1), BrokerId(2), BrokerId(300)]);
    }
}

#[test]
fn a_formatted_directory_tells_what_to_begin_with() {
    // `kafka-storage format --add-scram` puts the first credentials there, and nowhere else.
    let dir = tempfile::tempdir().expect("dir");
    run(async {
        let (log, _) = lead(dir.path()).await;
        assert_eq!(log.bootstrap_records().expect("reads"), None);
        let id = SnapshotId {
            end_offset: Offset(0),
            epoch: ControllerEpoch(0),
        };
        let bytes = snapshot::encode(id, Timestamp(0), &Quorum::default(), &[topic(7)]).expect("encodes");
        let path = dir.path().join("bootstrap.checkpoint");
        fs::write(&path, &bytes).expect("write");
        assert_eq!(log.bootstrap_records().expect("reads"), Some(vec![topic(7)]));
        fs::write(&path, &bytes[..bytes.len() - 1]).expect("write");
        assert!(log.bootstrap_records().is_err());
    });
}
