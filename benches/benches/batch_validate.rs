//! Validation of a produced batch: CRC, decompression, walk. Throughput counts the bytes as sent.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::batch::{Codec, Limits, validate};
use ringlog_benches::{BATCH_BYTES, batch};

fn batch_validate(criterion: &mut Criterion) {
    for codec in Codec::ALL {
        let mut group = criterion.benchmark_group(format!("validate {codec}"));
        for (name, size_bytes) in BATCH_BYTES {
            let batch = batch(codec, size_bytes);
            let limits = Limits {
                require_keys: true,
                ..Limits::default()
            };
            assert!(validate(&batch, &limits).is_ok());
            group.throughput(Throughput::Bytes(batch.len() as u64));
            group.bench_with_input(BenchmarkId::from_parameter(name), &batch, |bencher, batch| {
                bencher.iter(|| validate(batch, &limits));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, batch_validate);
criterion_main!(benches);
