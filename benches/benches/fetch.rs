//! Finding what a fetch answers with, in a log of 16 KiB batches: the slice of the file, not its way to the socket.

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::log::Log;
use engine::types::Offset;
use ringlog_benches::log::{Producer, open, run};

/// Enough for some thousand index entries.
const LOG_BYTES: usize = 64 << 20;
/// Consumers' `max.partition.fetch.bytes`, and a small one that cuts inside the index interval.
const FETCH_BYTES: [(&str, u32); 2] = [("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];

async fn filled(dir: &Path) -> Log {
    let log = open(dir).await;
    let mut producer = Producer::new(16 << 10);
    for _ in 0..LOG_BYTES / producer.size_bytes() {
        producer.append(&log);
    }
    log.commit(log.end_offset()).await.expect("a disk that works");
    log.set_high_watermark(log.end_offset());
    log
}

/// One consumer from the start to the end and again.
async fn read_on(dir: &Path, max_bytes: u32, reads: u64) -> Duration {
    let log = filled(dir).await;
    let end = log.high_watermark();
    let start = Instant::now();
    let mut from = Offset::ZERO;
    for _ in 0..reads {
        let slice = log.read(from, max_bytes, end, true).expect("an offset of the log");
        from = if slice.next_offset < end { slice.next_offset } else { Offset::ZERO };
    }
    let elapsed = start.elapsed();
    log.delete().await.expect("a directory that can go");
    elapsed
}

/// Consumers that begin anywhere.
async fn read_anywhere(dir: &Path, max_bytes: u32, reads: u64) -> Duration {
    let log = filled(dir).await;
    let end = log.high_watermark();
    let start = Instant::now();
    for read in 0..reads {
        // a stride that is prime to the number of records visits all of them in no order
        let from = Offset((read as i64).wrapping_mul(7_368_787).rem_euclid(end.0));
        std::hint::black_box(log.read(from, max_bytes, end, true).expect("an offset of the log"));
    }
    let elapsed = start.elapsed();
    log.delete().await.expect("a directory that can go");
    elapsed
}

fn fetch(criterion: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mut group = criterion.benchmark_group("read on");
    for (name, max_bytes) in FETCH_BYTES {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|reads| run(read_on(dir.path(), max_bytes, reads)));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("read anywhere");
    for (name, max_bytes) in FETCH_BYTES {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|reads| run(read_anywhere(dir.path(), max_bytes, reads)));
        });
    }
    group.finish();
}

criterion_group!(benches, fetch);
criterion_main!(benches);
