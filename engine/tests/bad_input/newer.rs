//! Files of a later format version: refused by name where they cannot be made anew, never half understood.

use std::path::Path;

use engine::batch::crc::crc32c;
use engine::directory::{DataDirectory, DirectoryError};
use engine::journal::format::{FormatError, VERSION};
use engine::journal::scan::{ScanError, scan_file};
use engine::log::checkpoint::CheckpointError;
use engine::log::producer_snapshot;

use crate::fixture::*;

#[test]
fn a_newer_journal_is_named_and_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data/journal-1/00000007.journal");
    let mut bytes = std::fs::read(path).expect("readable");
    bytes[12] = VERSION as u8 + 1;
    let crc = crc32c(&bytes[12..64]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    let error = scan_file(
        &bytes[..],
        bytes.len() as u64,
        Path::new("shard-3/00000007.journal"),
    )
    .expect_err("a newer file");
    assert!(matches!(
        error,
        ScanError::Damaged {
            position: 0,
            error: FormatError::NewerVersion { found: 2 },
            ..
        }
    ));
    assert_eq!(
        error.to_string(),
        "shard-3/00000007.journal: at 0: format version 2, expected at most 1: written by a newer ringlog"
    );
}

#[test]
fn newer_checkpoints_and_properties_are_named_and_refused() {
    // Ignored, a log start offset would bring back what was deleted; the checkpoint would be written over.
    for name in [
        "log-start-offset-checkpoint",
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
        "cleaner-offset-checkpoint",
    ] {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join(name);
        std::fs::write(&path, b"1\n1\nt 0 5 more\n").expect("written");
        let error = DataDirectory::open(temp.path()).expect_err("a newer file");
        assert!(matches!(
            error,
            DirectoryError::Checkpoint {
                source: CheckpointError::Version { .. },
                ..
            }
        ));
        assert_eq!(
            error.to_string(),
            format!("{}: line 1: version \"1\", expected 0", path.display())
        );
    }
    let temp = tempfile::tempdir().expect("a directory");
    let path = temp.path().join("meta.properties");
    std::fs::write(&path, b"version=2\nnode.id=1\ncluster.id=x\n").expect("written");
    let directory = DataDirectory::open(temp.path()).expect("opened");
    let error = directory.meta_properties().expect_err("a newer file");
    assert_eq!(
        error.to_string(),
        format!("{}: version \"2\", expected 1", path.display())
    );
}

#[test]
fn newer_derived_files_are_made_anew() {
    run(async {
        let partition = Partition::new(1).await;
        let newest = partition
            .files()
            .into_iter()
            .rfind(|name| name.ends_with(".snapshot"))
            .expect("a snapshot");
        for start in STARTS {
            let copy = partition.with(&newest, |bytes| bytes[1] = 2);
            let bytes = std::fs::read(copy.dir.join(&newest)).expect("readable");
            assert_eq!(
                producer_snapshot::parse(&bytes).expect_err("newer").to_string(),
                "version 2, expected 1"
            );
            let log = open(&copy.dir, start, partition.end).await.expect("opened");
            partition.assert_sound(&log, "snapshot");
            partition.assert_producer(&log, "snapshot");
            log.close().await.expect("closed");

            let copy = partition.with("leader-epoch-checkpoint", |bytes| bytes[0] = b'1');
            let log = open(&copy.dir, start, partition.end).await.expect("opened");
            partition.assert_sound(&log, "epochs");
            partition.assert_epochs(&log, "epochs");
            log.close().await.expect("closed");
        }
    });
}
