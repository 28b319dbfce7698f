//! Directories that cannot be had.

use std::os::unix::fs::PermissionsExt;

use engine::directory::{DataDirectory, DirectoryError};

use crate::fixture::*;

#[test]
fn a_second_broker_on_a_directory_is_refused_and_harms_nothing() {
    run(async {
        let temp = tempfile::tempdir().expect("a directory");
        let first = DataDirectory::open(temp.path()).expect("opened");
        first.mark_clean(1).expect("marked");
        let before = names(temp.path());
        for _ in 0..3 {
            let error = DataDirectory::open(temp.path()).expect_err("in use");
            assert!(matches!(&error, DirectoryError::InUse { dir } if dir == temp.path()));
            assert!(
                error.to_string().contains(&temp.path().display().to_string()),
                "{error}"
            );
        }
        assert_eq!(
            names(temp.path()),
            before,
            "the clean-stop marker is the first one's"
        );
        drop(first);
        assert!(DataDirectory::open(temp.path()).expect("free again").was_clean());
    });
}

fn names(dir: &std::path::Path) -> Vec<String> {
    let entries = reactor::disk::read_dir(dir).expect("the directory");
    entries.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_directory_that_is_none_is_named() {
    let temp = tempfile::tempdir().expect("a directory");
    let file = temp.path().join("file");
    std::fs::write(&file, b"x").expect("written");
    for path in [file.clone(), file.join("data")] {
        let error = DataDirectory::open(&path).expect_err("a file");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    run(async {
        let error = open(&file.join(PARTITION), Start::Clean, 0).await.err();
        let error = error.expect("a file").to_string();
        assert!(error.starts_with(PARTITION), "{error}");
    });
}

#[test]
fn a_directory_without_permission_is_named() {
    let temp = tempfile::tempdir().expect("a directory");
    let data = temp.path().join("data");
    std::fs::create_dir(&data).expect("made");
    let set = |mode| std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).expect("changed");
    set(0);
    // the administrator may do everything: there is nothing to see then
    let is_refused = std::fs::read_dir(&data).is_err();
    let opened = DataDirectory::open(&data);
    set(0o700);
    if !is_refused {
        return;
    }
    let error = opened.expect_err("no permission").to_string();
    assert!(error.contains(&data.display().to_string()), "{error}");
    assert!(error.contains("ermission denied"), "{error}");
}

#[test]
fn files_that_are_directories_are_errors_with_their_names() {
    run(async {
        for name in [
            "00000000000000000000.log",
            "partition.metadata",
            "leader-epoch-checkpoint",
        ] {
            let temp = tempfile::tempdir().expect("a directory");
            let dir = temp.path().join(PARTITION);
            std::fs::create_dir_all(dir.join(name)).expect("made");
            let error = open(&dir, Start::Clean, 0).await.err();
            let error = error
                .unwrap_or_else(|| panic!("{name} is a directory"))
                .to_string();
            assert!(error.starts_with(PARTITION), "{error}");
        }
    });
}
