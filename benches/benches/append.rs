//! Appending to one log: into the page cache, and with a sync before the answer, alone and in a group.

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::log::OpenState;
use ringlog_benches::BATCH_BYTES;
use ringlog_benches::log::{Producer, open, run};

/// After so many bytes a log is thrown away, so that the page cache and not the disk's write-back is measured.
const ROUND_BYTES: u64 = 256 << 20;

/// Time of `appends` appends, a commit after every `group` of them; none when `group` is 0.
async fn append_all(dir: &Path, size_bytes: usize, appends: u64, group: u64) -> Duration {
    let mut producer = Producer::new(size_bytes);
    let per_round = (ROUND_BYTES / producer.size_bytes() as u64).max(1);
    let mut elapsed = Duration::ZERO;
    let mut left = appends;
    while left > 0 {
        let count = left.min(per_round);
        let log = open(dir, OpenState::default()).await;
        let start = Instant::now();
        for appended in 1..=count {
            producer.append(&log);
            if group != 0 && appended % group == 0 {
                log.commit(log.end_offset()).await.expect("a disk that works");
            }
        }
        elapsed += start.elapsed();
        log.delete().await.expect("a directory that can go");
        left -= count;
    }
    elapsed
}

fn append(criterion: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    for (group_name, commit_group, sizes) in [
        ("append to the page cache", 0, &BATCH_BYTES[..]),
        ("append and sync", 1, &BATCH_BYTES[..3]),
        ("append and sync each 64", 64, &BATCH_BYTES[..3]),
    ] {
        let mut group = criterion.benchmark_group(group_name);
        for (name, size_bytes) in sizes {
            group.throughput(Throughput::Bytes(Producer::new(*size_bytes).size_bytes() as u64));
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher
                    .iter_custom(|appends| run(append_all(dir.path(), *size_bytes, appends, commit_group)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, append);
criterion_main!(benches);
