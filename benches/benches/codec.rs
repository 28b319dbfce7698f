//! The codecs on JSON lines; throughput counts uncompressed bytes.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::batch::codec::{Codec, Decompressor, compress};

const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn codec(criterion: &mut Criterion) {
    for (name, size) in [("16 KiB", 16 << 10), ("1 MiB", 1 << 20)] {
        let input = ringlog_benches::json(size);
        let mut group = criterion.benchmark_group(format!("decompress {name}"));
        group.throughput(Throughput::Bytes(size as u64));
        for codec in CODECS {
            let packed = compress(codec.into(), &input).expect("any bytes can be compressed");
            let mut decompressor = Decompressor::new();
            group.bench_with_input(BenchmarkId::from_parameter(codec), &packed, |bencher, packed| {
                bencher.iter(|| decompressor.decompress(codec, packed, 1 << 24).map(<[u8]>::len));
            });
        }
        group.finish();
        let mut group = criterion.benchmark_group(format!("compress {name}"));
        group.throughput(Throughput::Bytes(size as u64));
        for codec in CODECS {
            group.bench_with_input(BenchmarkId::from_parameter(codec), &input, |bencher, input| {
                bencher.iter(|| compress(codec.into(), input));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
