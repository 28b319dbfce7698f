//! The files that speak for a whole data directory.

use engine::directory::{DataDirectory, MetaProperties, PartitionCheckpoint, TopicPartition};
use engine::types::Offset;
use uuid::Uuid;

use crate::store;

const DIRECTORY: &str = "directory-1";
const FILES: [&str; 6] = [
    ".kafka_cleanshutdown",
    "cleaner-offset-checkpoint",
    "log-start-offset-checkpoint",
    "meta.properties",
    "recovery-point-offset-checkpoint",
    "replication-offset-checkpoint",
];

fn properties() -> MetaProperties {
    MetaProperties {
        cluster_id: "MkU3OEVBNTcwNTJENDM2Qg".to_owned(),
        node_id: 1,
        directory_id: Some(Uuid::from_u128(0xf12f_d777_8ac3_433a_b86c_1005_7f25_7da4)),
    }
}

fn checkpoints() -> [PartitionCheckpoint; 2] {
    [("my-topic", 0, 1500, None), ("orders", 12, 7, Some(5))].map(|(topic, partition, end, cleaned)| {
        PartitionCheckpoint {
            partition: TopicPartition::new(topic, partition),
            recovery_point: Some(Offset(end)),
            log_start: Some(Offset(end / 5)),
            high_watermark: Some(Offset(end - 1)),
            cleaned: cleaned.map(Offset),
        }
    })
}

#[test]
fn a_directory_is_written_as_ever() {
    let temp = tempfile::tempdir().expect("a directory");
    let mut directory = DataDirectory::open(temp.path()).expect("opened");
    directory.write_meta_properties(&properties()).expect("written");
    directory.write_checkpoints(&checkpoints()).expect("written");
    directory.mark_clean(42).expect("written");
    for name in FILES {
        let bytes = std::fs::read(temp.path().join(name)).expect("readable");
        store::compare(&format!("{DIRECTORY}/{name}"), &bytes);
    }
}

#[test]
fn a_directory_is_read_as_ever() {
    let temp = tempfile::tempdir().expect("a directory");
    for name in FILES {
        let from = store::path(&format!("{DIRECTORY}/{name}"));
        std::fs::copy(from, temp.path().join(name)).expect("copied");
    }
    let directory = DataDirectory::open(temp.path()).expect("opened");
    assert_eq!(directory.meta_properties().expect("readable"), Some(properties()));
    assert_eq!(
        (directory.was_clean(), directory.last_broker_epoch()),
        (true, Some(42))
    );
    for checkpoint in checkpoints() {
        let state = directory.open_state(&checkpoint.partition);
        assert_eq!(state.recovery_point, checkpoint.recovery_point);
        assert_eq!(state.log_start, checkpoint.log_start);
        assert_eq!(state.cleaned, checkpoint.cleaned);
        assert_eq!(
            directory.high_watermark(&checkpoint.partition),
            checkpoint.high_watermark
        );
    }
}
