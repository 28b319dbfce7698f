//! Files and directories, over both fillings.

mod common;

use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

use common::{assert_same, pattern};
use reactor::{File, OpenMode, disk, spawn, timeout};

on_both! {
    async fn write_sync_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("00000000000000000000.log");
        assert_eq!(File::open(&path, OpenMode::ReadWrite).expect_err("missing").kind(), ErrorKind::NotFound);
        let file = File::open(&path, OpenMode::CreateNew).expect("open");
        assert!(File::open(&path, OpenMode::CreateNew).is_err());
        let content = pattern(3_000_000);
        file.allocate(0, 1 << 22).expect("allocate");
        assert_eq!(file.len().expect("len"), 0, "allocating leaves the length");
        file.write_all_at(&content[..1_000_000], 0).expect("write");
        let slices: Vec<_> = content[1_000_000..].chunks(1500).collect(); // more than one call takes
        let mut slices: Vec<_> = [&[][..]].into_iter().chain(slices).map(IoSlice::new).collect();
        file.write_all_vectored_at(&mut slices, 1_000_000).expect("write");
        file.sync_data().await.expect("sync");
        file.sync_data_blocking().expect("sync");
        assert_same(&file.read(0, content.len()).await.expect("read"), &content);
        assert_same(&file.read(2_999_000, 5_000).await.expect("read"), &content[2_999_000..]);
        assert!(file.read(3_000_000, 10).await.expect("read").is_empty());
        assert!(file.read(0, 0).await.expect("read").is_empty());
        let mut some = [0; 16];
        file.read_exact_at(&mut some, 77).expect("read");
        assert_same(&some, &content[77..93]);
        assert_eq!(file.read_at(&mut some, 2_999_990).expect("read"), 10);
        assert!(file.read_exact_at(&mut some, 2_999_990).is_err());
        file.set_len(100).expect("set_len");
        assert_same(&File::open(&path, OpenMode::Create).expect("open").read(0, 1000).await.expect("read"), &content[..100]);
        let reader = File::open(&path, OpenMode::Read).expect("open");
        assert!(reader.write_all_at(b"x", 0).is_err());
    }
}

on_both! {
    /// Many logs commit at once; a sync must not wait for the others' turn one by one, nor block the shard.
    async fn many_syncs_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let syncs: Vec<_> = (0..50).map(|i| {
            let file = File::open(&dir.path().join(i.to_string()), OpenMode::CreateNew).expect("open");
            file.write_all_at(&pattern(10_000), 0).expect("write");
            spawn(async move { file.sync_data().await })
        }).collect();
        for sync in syncs {
            sync.await.expect("sync");
        }
    }
}

on_both! {
    /// A read given up may still be written by the kernel: into memory that nobody else has by then.
    async fn dropped_reads_and_syncs_do_no_harm() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = File::open(&dir.path().join("file"), OpenMode::CreateNew).expect("open");
        let content = pattern(4 << 20);
        file.write_all_at(&content, 0).expect("write");
        for i in 0..200u64 {
            let _ = timeout(Duration::from_micros(i % 40), file.read(0, 4 << 20)).await;
            let _ = timeout(Duration::from_micros(i % 40), file.sync_data()).await;
        }
        assert_same(&file.read(0, 4 << 20).await.expect("read"), &content);
    }
}

#[test]
fn directories() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("a/b");
    disk::create_dir_all(&data).expect("create");
    let checkpoint = data.join("recovery-point-offset-checkpoint");
    disk::write_atomic(&checkpoint, b"0\n0\n").expect("write");
    disk::write_atomic(&checkpoint, b"0\n1\nt 0 7\n").expect("write again");
    assert_eq!(disk::read(&checkpoint).expect("read"), b"0\n1\nt 0 7\n");
    disk::create_dir_all(&data.join("topic-0")).expect("create");
    let entries = disk::read_dir(&data).expect("read_dir");
    let names: Vec<_> = entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.is_dir))
        .collect();
    assert_eq!(
        names,
        [("recovery-point-offset-checkpoint", false), ("topic-0", true)]
    );
    disk::rename(&data.join("topic-0"), &data.join("topic-0.x-delete")).expect("rename");
    disk::sync_dir(&data).expect("sync");
    disk::remove_dir_all(&data.join("topic-0.x-delete")).expect("remove");
    disk::remove_file(&checkpoint).expect("remove");
    assert!(disk::exists(&data) && !disk::exists(&checkpoint));
    let space = disk::space(&data).expect("space");
    assert!(space.free <= space.total && space.total > 0);
}

/// Two brokers on one directory would ruin each other's logs.
#[test]
fn a_directory_is_locked_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let held = disk::lock(dir.path()).expect("free");
    assert_eq!(
        disk::lock(dir.path()).expect_err("taken").kind(),
        ErrorKind::WouldBlock
    );
    assert_eq!(
        disk::lock(&dir.path().join(".lock")).expect_err("taken").kind(),
        ErrorKind::WouldBlock
    );
    drop(held);
    disk::lock(dir.path()).expect("free again");
}
