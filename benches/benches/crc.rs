//! CRC-32C: paid once per byte produced.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::batch::crc::crc32c;

fn crc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crc32c");
    for size in [64, 1 << 10, 16 << 10, 64 << 10, 1 << 20] {
        let bytes = ringlog_benches::json(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &bytes, |bencher, bytes| {
            bencher.iter(|| crc32c(bytes));
        });
    }
    group.finish();
}

criterion_group!(benches, crc);
criterion_main!(benches);
