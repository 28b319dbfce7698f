//! Slices of files that the page cache lacks, sent and read over both fillings.

mod common;

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::{assert_same, drain, pair, pattern, piece};
use reactor::{BackendChoice, Config, File, OpenMode, Piece, metrics, sleep, spawn, timeout, yield_now};

const MIB: usize = 1 << 20;

/// Beside the build, where the disk is a real one; temporary directories often lie in memory.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

/// Writes the clean pages of a file out of the page cache. False where its file system lives there.
fn evict(path: &Path) -> bool {
    let file = std::fs::File::open(path).expect("open");
    file.sync_all().expect("sync");
    // SAFETY: no pointers.
    let advised = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(advised, 0);
    let file = File::open(path, OpenMode::Read).expect("open");
    let len = file.len().expect("len");
    let evicted = pages_cached(&file, 0, len) == 0;
    if !evicted {
        eprintln!("skipped: this file system does not let go of its pages");
    }
    evicted
}

fn pages_cached(file: &File, offset: u64, len: u64) -> usize {
    (offset..offset + len)
        .step_by(4096)
        .filter(|at| file.is_resident(*at, 1))
        .count()
}

fn write(path: &Path, content: &[u8]) -> File {
    let file = File::open(path, OpenMode::CreateNew).expect("open");
    file.write_all_at(content, 0).expect("write");
    file
}

fn slice(file: &File, offset: usize, len: usize) -> Piece {
    Piece::File {
        file: file.clone(),
        offset: offset as u64,
        len: len as u32,
    }
}

/// Sends and gives what came out at the other end.
async fn sent(pieces: Vec<Piece>) -> (std::io::Result<()>, BytesMut) {
    let (client, server) = pair().await;
    let receiver = spawn(async move { drain(&client).await });
    let result = server.send(pieces).await;
    drop(server);
    (result, receiver.await)
}

fn with_budget(bytes: usize, test: impl AsyncFn()) {
    for backend in [BackendChoice::Uring, BackendChoice::Epoll] {
        let config = Config {
            cold_read_bytes: bytes,
            ..common::config(backend)
        };
        common::run_with(config, test());
    }
}

on_both! {
    /// A reader of old data gets the same bytes as from the cache, and leaves the cache to the others.
    async fn cold_slices_are_sent_and_not_cached() {
        let dir = directory();
        let content = pattern(5 * MIB + 1234);
        let file = write(&dir.path().join("segment"), &content);
        if !evict(&dir.path().join("segment")) {
            return;
        }
        let text = Bytes::from_static(b"between");
        let pieces = vec![
            Piece::Bytes(text.clone()),
            slice(&file, 5, 3 * MIB),
            slice(&file, 4 * MIB - 1, 2),
            Piece::Bytes(text.clone()),
            slice(&file, 4 * MIB, MIB + 1234),
            Piece::Bytes(text.clone()),
        ];
        let (result, got) = sent(pieces).await;
        result.expect("sent");
        let mut want = Vec::new();
        want.extend_from_slice(&text);
        want.extend_from_slice(&content[5..5 + 3 * MIB]);
        want.extend_from_slice(&content[4 * MIB - 1..4 * MIB + 1]);
        want.extend_from_slice(&text);
        want.extend_from_slice(&content[4 * MIB..]);
        want.extend_from_slice(&text);
        assert_same(&got, &want);
        assert_eq!(metrics().cold_bytes, (want.len() - 3 * text.len()) as u64, "each byte was read once");
        assert_eq!(pages_cached(&file, 0, content.len() as u64), 0);
        // a removed segment is read to the end by those who had it
        std::fs::remove_file(dir.path().join("segment")).expect("remove");
        let (result, got) = sent(vec![slice(&file, 0, 2 * MIB)]).await;
        result.expect("sent");
        assert_same(&got, &content[..2 * MIB]);
    }
}

on_both! {
    /// What is in the cache is sent from there: a copy less, and no wait.
    async fn cached_slices_need_no_reads() {
        let dir = directory();
        let content = pattern(3 * MIB);
        let file = write(&dir.path().join("segment"), &content);
        assert!(file.is_resident(0, 3 << 20));
        file.start_writeback(0, 3 << 20).expect("start");
        file.start_writeback(0, 0).expect("start");
        let (result, got) = sent(vec![slice(&file, 77, 3 * MIB - 77)]).await;
        result.expect("sent");
        assert_same(&got, &content[77..]);
        assert_same(&file.read(0, 3 * MIB).await.expect("read"), &content);
        assert_eq!(metrics().cold_reads, 0);
        assert!(!file.is_resident(0, (3 << 20) + 1), "nothing is there past the end");
    }
}

on_both! {
    /// The end of a log is dirty while its beginning is long gone; the disk alone does not have it all.
    async fn partly_cached_and_dirty_slices_are_sent_right() {
        let dir = directory();
        let mut content = pattern(4 * MIB).to_vec();
        let file = write(&dir.path().join("segment"), &content);
        if !evict(&dir.path().join("segment")) {
            return;
        }
        for at in [0, 300_000, 2 * MIB - 10, 3 * MIB] {
            content[at..at + 50_000].fill(0xee);
            file.write_all_at(&content[at..at + 50_000], at as u64).expect("write");
        }
        let (result, got) = sent(vec![slice(&file, 0, 4 * MIB)]).await;
        result.expect("sent");
        assert_same(&got, &content);
        assert!(metrics().cold_reads > 0);
        assert_same(&file.read(1, 4 * MIB).await.expect("read"), &content[1..]);
    }
}

on_both! {
    /// A slice that the file does not hold ends the connection with an error: never with bytes that are not there.
    async fn a_slice_past_the_end_is_an_error() {
        let dir = directory();
        let content = pattern(2 * MIB + 100);
        let file = write(&dir.path().join("segment"), &content);
        for is_cold in [false, true] {
            if is_cold && !evict(&dir.path().join("segment")) {
                return;
            }
            for (offset, len) in [(0, 2 * MIB + 101), (2 * MIB, 5000), (2 * MIB + 100, 1), (8 * MIB, MIB)] {
                let (result, got) = sent(vec![slice(&file, offset, len), Piece::Bytes(content.clone())]).await;
                assert_eq!(result.expect_err("it is not there").kind(), ErrorKind::UnexpectedEof);
                let held = content.get(offset..).unwrap_or_default();
                assert!(got.len() <= held.len());
                assert_same(&got, &held[..got.len()]);
            }
        }
    }
}

on_both! {
    /// Whole files are read by recovery and coordinators: they must not push out what consumers read now.
    async fn big_cold_reads_are_not_cached() {
        let dir = directory();
        let content = pattern(3 * MIB + 100);
        let file = write(&dir.path().join("segment"), &content);
        if !evict(&dir.path().join("segment")) {
            return;
        }
        assert_same(&file.read(10, 2 * MIB).await.expect("read"), &content[10..10 + 2 * MIB]);
        assert_same(&file.read(2 * MIB as u64, 8 * MIB).await.expect("read"), &content[2 * MIB..]);
        assert!(file.read(64 * MIB as u64, MIB).await.expect("read").is_empty());
        assert_eq!(pages_cached(&file, 0, content.len() as u64), 0);
        assert_eq!(metrics().cold_reads, 3);
        assert_same(&file.read(100, 1000).await.expect("read"), &content[100..1100]);
    }
}

on_both! {
    /// A consumer that fetches little at a time must not cost a read of the disk per fetch.
    async fn small_fetches_are_served_from_few_reads() {
        let dir = directory();
        let content = pattern(4 * MIB);
        let file = write(&dir.path().join("segment"), &content);
        if !evict(&dir.path().join("segment")) {
            return;
        }
        let mut got = BytesMut::new();
        let mut longest = Duration::ZERO;
        for part in (0..content.len()).step_by(50_000) {
            let began = reactor::now();
            let len = (content.len() - part).min(50_000);
            let (result, part) = sent(vec![Piece::Bytes(Bytes::from_static(b"head")), slice(&file, part, len)]).await;
            result.expect("sent");
            got.extend_from_slice(&part[4..]);
            longest = longest.max(reactor::now().saturating_since(began));
        }
        assert_same(&got, &content);
        if longest > Duration::from_millis(500) {
            eprintln!("skipped: the machine stood still, and what is read in advance is kept for a second");
            return;
        }
        let metrics = metrics();
        assert!(metrics.cold_reads <= 20, "{} reads", metrics.cold_reads);
        assert!(metrics.cold_bytes <= 4 * MIB as u64 + 50_000, "{} bytes", metrics.cold_bytes);
        assert_eq!(pages_cached(&file, 0, content.len() as u64), 0);
    }
}

on_both! {
    /// A follower that cuts off what its new leader lacks and copies other batches: nobody may get the old ones, though
    /// they were read in advance.
    async fn what_was_cut_off_is_not_sent() {
        let dir = directory();
        let mut content = pattern(2 * MIB).to_vec();
        let file = write(&dir.path().join("segment"), &content);
        for (i, cut) in [MIB, MIB + 100_000].into_iter().enumerate() {
            if !evict(&dir.path().join("segment")) {
                return;
            }
            sent(vec![slice(&file, 0, cut)]).await.0.expect("sent");
            file.set_len(cut as u64).expect("set_len");
            content[cut..].fill(i as u8);
            file.write_all_at(&content[cut..], cut as u64).expect("write");
            assert!(evict(&dir.path().join("segment")));
            let (result, got) = sent(vec![slice(&file, cut, 2 * MIB - cut)]).await;
            result.expect("sent");
            assert_same(&got, &content[cut..]);
        }
    }
}

on_both! {
    /// Each of many consumers is read for in advance, and goes away: what was read for them must not be kept for ever,
    /// nor from others.
    async fn many_readers_come_and_go() {
        let dir = directory();
        let content = pattern(8 * MIB);
        let file = write(&dir.path().join("segment"), &content);
        if !evict(&dir.path().join("segment")) {
            return;
        }
        for at in (0..60).map(|i| i * 100_000) {
            let (result, got) = sent(vec![slice(&file, at, 10_000)]).await;
            result.expect("sent");
            assert_same(&got, &content[at..at + 10_000]);
        }
        let reads = (0..3).map(|_| spawn({
            let file = file.clone();
            async move { file.read(0, 8 * MIB).await }
        })).collect::<Vec<_>>(); // each takes half of the budget
        for read in reads {
            assert_same(&read.await.expect("read"), &content);
        }
    }
}

/// More readers than memory for them: they wait for each other, in order, and all get everything.
#[test]
fn readers_share_the_budget() {
    for budget in [4096, 2 * MIB] {
        with_budget(budget, async || {
            let dir = directory();
            let content = pattern(4 * MIB);
            let file = write(&dir.path().join("segment"), &content);
            if !evict(&dir.path().join("segment")) {
                return;
            }
            let readers: Vec<_> = (0..4)
                .map(|i| {
                    let file = file.clone();
                    spawn(async move { sent(vec![slice(&file, i * 1000, 3 * MIB)]).await })
                })
                .collect();
            let read = file.read(0, 4 * MIB).await.expect("read");
            assert_same(&read, &content);
            for (i, reader) in readers.into_iter().enumerate() {
                let (result, got) = reader.await;
                result.expect("sent");
                assert_same(&got, &content[i * 1000..i * 1000 + 3 * MIB]);
            }
        });
    }
}

/// A consumer that stopped reading holds bytes of the budget; with some of those, nobody else would get old data any
/// more. What is in the cache needs no budget at all.
#[test]
fn a_peer_that_does_not_read_gives_its_share_back() {
    with_budget(512 * 1024, async || {
        let dir = directory();
        let content = pattern(24 * MIB);
        let file = write(&dir.path().join("segment"), &content);
        let hot = write(&dir.path().join("hot"), &content[..MIB]);
        if !evict(&dir.path().join("segment")) {
            return;
        }
        let (lazy, server) = pair().await;
        let sending = spawn({
            let file = file.clone();
            async move { server.send(vec![slice(&file, 0, 24 * MIB)]).await }
        });
        let mut before = 0;
        while before == 0 || metrics().cold_bytes != before {
            before = metrics().cold_bytes; // until the sockets' buffers are full
            sleep(Duration::from_millis(500)).await; // longer than a slow disk takes for one read
        }
        assert!(
            !sending.is_finished(),
            "the sockets' buffers hold less than 24 MiB"
        );
        let (result, got) = sent(vec![slice(&hot, 0, MIB)]).await;
        result.expect("sent");
        assert_same(&got, &content[..MIB]);
        assert_eq!(metrics().cold_given_up, 0, "nobody has waited");
        let (result, got) = sent(vec![slice(&file, MIB, 2 * MIB)]).await;
        result.expect("sent");
        assert_same(&got, &content[MIB..3 * MIB]);
        assert_eq!(metrics().cold_given_up, 1);
        let mut all = BytesMut::new();
        lazy.recv_exact(&mut all, 24 * MIB).await.expect("recv");
        assert_same(&all, &content);
        sending.await.expect("sent");
    });
}

/// Connections that end in the middle give everything back: else the last reader would wait for ever.
#[test]
fn dropped_readers_give_their_share_back() {
    with_budget(MIB, async || {
        let dir = directory();
        let content = pattern(4 * MIB);
        let file = write(&dir.path().join("segment"), &content);
        if !evict(&dir.path().join("segment")) {
            return;
        }
        for i in 0..100u64 {
            let others: Vec<_> = (0..3)
                .map(|_| {
                    let file = file.clone();
                    spawn(async move { sent(vec![slice(&file, 100, 3 * MIB)]).await })
                })
                .collect();
            let (_peer, server) = pair().await; // does not read
            let _ = timeout(
                Duration::from_micros(i * 20),
                server.send(vec![slice(&file, 0, 4 * MIB)]),
            )
            .await;
            let _ = timeout(Duration::from_micros(i * 20), file.read(0, 4 * MIB)).await;
            others.iter().for_each(|other| other.abort());
            yield_now().await;
        }
        assert_same(&file.read(0, 4 * MIB).await.expect("read"), &content);
        let (result, got) = sent(vec![slice(&file, 0, 4 * MIB)]).await;
        result.expect("sent");
        assert_same(&got, &content);
    });
}

/// A file in memory is cached by nature, and its file system may refuse to go around that.
#[test]
fn files_in_memory_are_sent() {
    with_budget(MIB, async || {
        let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let content = pattern(3 * MIB);
        let file = write(&dir.path().join("segment"), &content);
        file.set_len(4 << 20).expect("set_len"); // a hole, which has no pages
        let mut want = content.to_vec();
        want.resize(4 * MIB, 0);
        let (result, got) = sent(
            vec![slice(&file, 1, 4 * MIB - 1)]
                .into_iter()
                .chain(piece(&content))
                .collect(),
        )
        .await;
        result.expect("sent");
        assert_same(&got[..4 * MIB - 1], &want[1..]);
        assert_same(&got[4 * MIB - 1..], &content);
        assert_same(&file.read(0, 4 * MIB).await.expect("read"), &want);
    });
}
