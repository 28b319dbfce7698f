//! Finding what a fetch answers with, in a log of 16 KiB batches: the slice of the file, not its way to the socket.

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::log::{Log, OpenState};
use engine::types::Offset;
use ringlog_benches::log::{Producer, open, run};

/// Enough for some thousand index entries.
const LOG_BYTES: usize = 64 << 20;
/// Consumers' `max.partition.fetch.bytes`, and a small one that cuts inside the index interval.
const FETCH_BYTES: [(&str, u32); 2] = [("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];

/// Writes the log that all reads go to.
async fn fill(dir: &Path) {
    let log = open(dir, OpenState::default()).await;
    let mut producer = Producer::new(16 << 10);
    for _ in 0..LOG_BYTES / producer.size_bytes() {
        producer.append(&log);
    }
    log.close().await.expect("a disk that works");
}

/// Opens the log as after a clean stop, and reads over it once: a broker's first second is not what is measured.
async fn warm(dir: &Path) -> Log {
    let log = open(
        dir,
        OpenState {
            clean: true,
            ..OpenState::default()
        },
    )
    .await;
    log.set_high_watermark(log.end_offset());
    read_on(&log, 64 << 10, 2 * LOG_BYTES as u64 / (64 << 10));
    log
}

/// One consumer from the start to the end and again.
fn read_on(log: &Log, max_bytes: u32, reads: u64) -> Duration {
    let end = log.high_watermark();
    let start = Instant::now();
    let mut from = Offset::ZERO;
    for _ in 0..reads {
        let slice = log
            .read(from, max_bytes, end, true)
            .expect("an offset of the log");
        from = if slice.next_offset < end {
            slice.next_offset
        } else {
            Offset::ZERO
        };
    }
    start.elapsed()
}

/// Consumers that begin anywhere.
fn read_anywhere(log: &Log, max_bytes: u32, reads: u64) -> Duration {
    let end = log.high_watermark();
    let start = Instant::now();
    for read in 0..reads {
        // a stride that is prime to the number of records visits all of them in no order
        let from = Offset((read as i64).wrapping_mul(7_368_787).rem_euclid(end.0));
        std::hint::black_box(
            log.read(from, max_bytes, end, true)
                .expect("an offset of the log"),
        );
    }
    start.elapsed()
}

fn fetch(criterion: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    run(fill(dir.path()));
    type Read = fn(&Log, u32, u64) -> Duration;
    let ways: [(&str, Read); 2] = [("read on", read_on), ("read anywhere", read_anywhere)];
    for (way, read) in ways {
        let mut group = criterion.benchmark_group(way);
        for (name, max_bytes) in FETCH_BYTES {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter_custom(|reads| run(async { read(&warm(dir.path()).await, max_bytes, reads) }));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, fetch);
criterion_main!(benches);
