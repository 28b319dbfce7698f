//! Files around the page cache, over both fillings, on a disk and where O_DIRECT may be refused.

mod common;

use std::io::ErrorKind;
use std::time::Duration;

use common::{assert_same, pattern};
use reactor::{AlignedBuf, BLOCK_BYTES, DirectFile, File, OpenMode, disk, spawn, timeout};

fn filled(content: &[u8]) -> AlignedBuf {
    let mut buf = AlignedBuf::with_capacity(content.len());
    buf.extend_from_slice(content);
    buf
}

/// Beside the build, where the disk is a real one; temporary directories often lie in memory.
fn directory_on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

fn directory_in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a directory")
}

on_both! {
    /// The journal rests on it: what was written synced is there, byte by byte, for whoever reads the file.
    async fn what_is_written_is_read() {
        for dir in [directory_on_disk(), directory_in_memory()] {
            let path = dir.path().join("journal");
            assert_eq!(DirectFile::open(&path, OpenMode::ReadWrite).expect_err("missing").kind(), ErrorKind::NotFound);
            let file = DirectFile::open(&path, OpenMode::CreateNew).expect("open");
            assert!(DirectFile::open(&path, OpenMode::CreateNew).is_err());
            let content = pattern(1 << 20);
            let (buf, written) = file.write_synced(filled(&content), 8192).await;
            written.expect("write");
            assert_same(&buf, &content);
            assert_eq!(file.len().expect("len"), 8192 + (1 << 20));
            assert_same(&disk::read(&path).expect("read")[8192..], &content);
            for (offset, len) in [(0, 1 << 20), (1, 4095), (4095, 2), (4096, 4096), (100_001, 77_777)] {
                let read = file.read(8192 + offset as u64, len).await.expect("read");
                assert_same(&read, &content[offset..offset + len]);
            }
            assert!(file.read(0, 8192).await.expect("read").iter().all(|byte| *byte == 0));
            assert!(file.read(5, 0).await.expect("read").is_empty());
            let mut buf = AlignedBuf::with_capacity(65536);
            file.write_blocking(&filled(&content[..8192]), 0).expect("write");
            file.sync_data_blocking().expect("sync");
            assert_eq!(file.read_blocking(&mut buf, 4096).expect("read"), 65536);
            assert_same(&buf[..4096], &content[4096..8192]);
            assert_same(&buf[4096..], &content[..61440]);
        }
    }
}

on_both! {
    /// Files need not end at a block; bytes beyond the end must not be made up.
    async fn files_end_where_they_end() {
        for dir in [directory_on_disk(), directory_in_memory()] {
            let path = dir.path().join("file");
            let content = pattern(10_000);
            std::fs::write(&path, &content).expect("write");
            let file = DirectFile::open(&path, OpenMode::Read).expect("open");
            assert_same(&file.read(0, 1 << 20).await.expect("read"), &content);
            assert_same(&file.read(9_990, 100).await.expect("read"), &content[9_990..]);
            assert_same(&file.read(8192, 1808).await.expect("read"), &content[8192..]);
            assert!(file.read(10_000, 1).await.expect("read").is_empty());
            assert!(file.read(1 << 40, 5000).await.expect("read").is_empty());
            assert!(file.read(u64::MAX - 10, 5).await.is_err());
            let mut buf = AlignedBuf::with_capacity(16384);
            assert_eq!(file.read_blocking(&mut buf, 4096).expect("read"), 5904);
            assert_same(&buf, &content[4096..]);
            assert_eq!(file.read_blocking(&mut buf, 12288).expect("read"), 0);
            assert!(buf.is_empty());
            assert!(file.write_synced(filled(&[0; 4096]), 0).await.1.is_err(), "opened for reading");
        }
    }
}

on_both! {
    async fn only_whole_blocks_are_written() {
        let dir = directory_on_disk();
        let file = DirectFile::open(&dir.path().join("file"), OpenMode::Create).expect("open");
        for (len, offset) in [(100, 0), (4096, 100), (4096, u64::MAX - 4095)] {
            let (buf, written) = file.write_synced(filled(&vec![1; len]), offset).await;
            assert_eq!(written.expect_err("refused").kind(), ErrorKind::InvalidInput);
            assert_eq!(buf.len(), len, "the buffer comes back");
            assert_eq!(file.write_blocking(&buf, offset).expect_err("refused").kind(), ErrorKind::InvalidInput);
        }
        let (_, written) = file.write_synced(AlignedBuf::with_capacity(1), 0).await;
        written.expect("nothing to write");
        assert_eq!(file.len().expect("len"), 0);
    }
}

on_both! {
    /// Several groups are in flight; each block has the bytes of one of them, and all are there when all have resolved.
    async fn many_writes_at_once() {
        let dir = directory_on_disk();
        let file = DirectFile::open(&dir.path().join("file"), OpenMode::Create).expect("open");
        let writes: Vec<_> = (0..64u64).map(|i| {
            let file = file.clone();
            spawn(async move { file.write_synced(filled(&vec![i as u8; BLOCK_BYTES]), i * BLOCK_BYTES as u64).await.1 })
        }).collect();
        for write in writes {
            write.await.expect("write");
        }
        let all = file.read(0, 1 << 20).await.expect("read");
        assert_eq!(all.len(), 64 * BLOCK_BYTES);
        assert!(all.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at / BLOCK_BYTES));
    }
}

on_both! {
    /// A write given up keeps its buffer until the kernel is done: were it reused at once, the disk would get the bytes
    /// of a stranger.
    async fn dropped_writes_and_reads_do_no_harm() {
        let dir = directory_on_disk();
        let file = DirectFile::open(&dir.path().join("file"), OpenMode::Create).expect("open");
        let len = 256 * 1024;
        for i in 0..200u64 {
            let write = file.write_synced(filled(&vec![i as u8; len]), i * len as u64);
            let _ = timeout(Duration::from_micros(i % 50), write).await;
            drop(filled(&vec![0xff; len])); // takes the memory from the pool, if it is there already
            let _ = timeout(Duration::from_micros(i % 50), file.read(0, len)).await;
        }
        let (_, written) = file.write_synced(filled(&vec![7; len]), 0).await;
        written.expect("write");
        let whole = file.read(0, 201 * len).await.expect("read");
        for (i, part) in whole.chunks(len).enumerate().skip(1) {
            assert!(part.iter().all(|byte| *byte == i as u8 || *byte == 0), "part {i} has bytes of another write");
        }
    }
}

on_both! {
    /// What is checkpointed is what a sync of the file system covers.
    async fn a_file_system_is_synced() {
        let dir = directory_on_disk();
        let system = disk::FileSystem::open(dir.path()).expect("open");
        let file = File::open(&dir.path().join("file"), OpenMode::CreateNew).expect("open");
        file.write_all_at(&pattern(100_000), 0).expect("write");
        system.sync_all().await.expect("sync");
        system.sync_all_blocking().expect("sync");
        assert!(disk::FileSystem::open(&dir.path().join("missing")).is_err());
    }
}

/// The buffers of a reactor that ends with writes in flight are not freed under the kernel's hands, and what outlives
/// it gets errors instead of waiting for ever.
#[test]
fn a_reactor_ends_with_writes_in_flight() {
    for backend in [reactor::BackendChoice::Uring, reactor::BackendChoice::Epoll] {
        let dir = directory_on_disk();
        common::run_with(common::config(backend), async {
            let file = DirectFile::open(&dir.path().join("file"), OpenMode::Create).expect("open");
            for i in 0..8u64 {
                let file = file.clone();
                spawn(async move { file.write_synced(filled(&vec![1; 1 << 20]), i << 20).await.1 }).detach();
            }
            reactor::yield_now().await;
        });
    }
}
