//! Sound files in the wrong place.

use engine::log::partition_metadata;
use uuid::Uuid;

use crate::fixture::*;

fn of_kind(partition: &Partition, end: &str) -> Vec<String> {
    let files = partition.files().into_iter();
    files.filter(|name| name.ends_with(end)).collect()
}

#[test]
fn indexes_of_other_segments_are_rebuilt() {
    run(async {
        let partition = Partition::new(1).await;
        let other = Partition::new(200).await;
        for kind in [".index", ".timeindex"] {
            let names = of_kind(&partition, kind);
            assert!(names.len() > 2, "{names:?}");
            for name in &names {
                for source in &of_kind(&other, kind) {
                    let bytes = std::fs::read(other.dir.join(source)).expect("readable");
                    let copy = partition.with(name, |file| *file = bytes.clone());
                    let what = format!("{source} of another partition as {name}");
                    let log = open(&copy.dir, Start::Clean, partition.end)
                        .await
                        .expect("opened");
                    partition.assert_sound(&log, &what);
                    partition.assert_times(&log, &what);
                    log.close().await.expect("closed");
                }
            }
        }
    });
}

#[test]
fn a_segment_under_the_name_of_another_is_not_served_under_its_offsets() {
    run(async {
        let partition = Partition::new(1).await;
        let names = of_kind(&partition, ".log");
        for name in &names {
            for source in names.iter().filter(|source| *source != name) {
                let bytes = std::fs::read(partition.dir.join(source)).expect("readable");
                let copy = partition.with(name, |file| *file = bytes.clone());
                for start in STARTS {
                    let what = format!("{source} as {name}, {start:?}");
                    match open(&copy.dir, start, partition.end).await {
                        Ok(log) => {
                            let served = partition.judge(&log, &what);
                            assert_eq!(served.moved, Vec::<i64>::new(), "{what}");
                            assert!(
                                served.whole.windows(2).all(|pair| pair[0] < pair[1]),
                                "{what}: offsets fall: {served:?}"
                            );
                            log.close().await.expect("closed");
                        }
                        Err(error) => assert!(error.to_string().contains(PARTITION), "{what}: {error}"),
                    }
                }
            }
        }
    });
}

#[test]
fn a_snapshot_of_another_offset_or_partition_is_not_believed() {
    // A producer's next batch would be refused as out of order, or a retry be stored twice.
    run(async {
        let partition = Partition::new(1).await;
        let names = of_kind(&partition, ".snapshot");
        let newest = names.last().expect("a snapshot");
        let first = std::fs::read(partition.dir.join(&names[0])).expect("readable");
        for start in [Start::Synced, Start::Unknown] {
            // one that tells of offsets the log does not have
            let copy = partition.with(newest, |_| {});
            let beyond = copy.dir.join("00000000000000009999.snapshot");
            std::fs::copy(partition.dir.join(newest), beyond).expect("copied");
            let log = open(&copy.dir, start, partition.end).await.expect("opened");
            partition.assert_producer(&log, "a snapshot beyond the end");
            log.close().await.expect("closed");
            // and one that is cut off from what it tells
            let copy = partition.with(&names[0], |_| {});
            for name in names.iter().skip(1) {
                std::fs::remove_file(copy.dir.join(name)).expect("removed");
            }
            std::fs::write(copy.dir.join(&names[0]), &first).expect("written");
            let log = open(&copy.dir, start, partition.end).await.expect("opened");
            partition.assert_producer(&log, "an old snapshot");
            log.close().await.expect("closed");
        }
        // the newest content under the oldest name tells of batches behind its own offset
        let late = std::fs::read(partition.dir.join(newest)).expect("readable");
        let copy = partition.with(&names[0], |file| *file = late);
        for name in names.iter().skip(1) {
            std::fs::remove_file(copy.dir.join(name)).expect("removed");
        }
        let log = open(&copy.dir, Start::Unknown, partition.end)
            .await
            .expect("opened");
        partition.assert_producer(&log, "a snapshot of a later offset");
        log.close().await.expect("closed");
    });
}

#[test]
fn epochs_of_another_partition_do_not_outlive_what_the_batches_say() {
    run(async {
        let partition = Partition::new(1).await;
        for text in ["0\n1\n9 0\n", "0\n2\n0 0\n2 3\n", "0\n0\n", "0\n1\n0 500\n"] {
            let copy = partition.with("leader-epoch-checkpoint", |file| *file = text.into());
            let log = open(&copy.dir, Start::Unknown, partition.end)
                .await
                .expect("opened");
            partition.assert_sound(&log, text);
            partition.assert_epochs(&log, text);
            log.close().await.expect("closed");
        }
    });
}

#[test]
fn the_topic_id_of_another_partition_is_told_to_the_caller() {
    run(async {
        let partition = Partition::new(1).await;
        let other = Uuid::from_u128(78);
        let copy = partition.with("partition.metadata", |file| {
            *file = partition_metadata::encode(other).into();
        });
        let log = open(&copy.dir, Start::Clean, partition.end)
            .await
            .expect("opened");
        assert_eq!(log.topic_id(), Some(other), "and not {TOPIC_ID}");
        log.close().await.expect("closed");
    });
}
