//! What the benches measure on: records like a log shipper's, the same on every run.

pub mod log;

use bytes::BytesMut;
use engine::batch::{BatchBuilder, Compression};
use engine::types::{Offset, Timestamp};

/// Not chance but a fixed sequence (a linear congruential generator, constants of Numerical Recipes): figures of two
/// runs must be of the same bytes.
#[derive(Clone, Debug)]
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) & 0xffff_ffff;
        (self.0 >> 8) % bound
    }
}

/// A line of JSON of about 180 bytes, with as much repetition as an access log has.
fn line(sequence: &mut Sequence, index: u64) -> String {
    let paths = [
        "/index.html",
        "/api/v1/orders",
        "/api/v1/customers",
        "/static/app.js",
        "/health",
    ];
    let agents = ["Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "okhttp/4.12.0"];
    format!(
        r#"{{"time":"2026-03-04T05:{:02}:{:02}.{:03}Z","id":{index},"client":"10.{}.{}.{}","path":"{}","status":{},"bytes":{},"agent":"{}"}}"#,
        index / 60_000 % 60,
        index / 1000 % 60,
        index % 1000,
        sequence.below(4),
        sequence.below(256),
        sequence.below(256),
        paths[sequence.below(5) as usize],
        [200, 200, 200, 204, 404, 500][sequence.below(6) as usize],
        sequence.below(100_000),
        agents[sequence.below(3) as usize],
    )
}

/// About `size_bytes` of JSON lines.
pub fn json(size_bytes: usize) -> Vec<u8> {
    let mut sequence = Sequence(1);
    let mut bytes = Vec::with_capacity(size_bytes + 200);
    let mut index = 0;
    while bytes.len() < size_bytes {
        bytes.extend_from_slice(line(&mut sequence, index).as_bytes());
        bytes.push(b'\n');
        index += 1;
    }
    bytes.truncate(size_bytes);
    bytes
}

/// A producer's batch of about `size_bytes` before compression: one record per JSON line, with a key.
pub fn batch(compression: impl Into<Compression>, size_bytes: usize) -> BytesMut {
    let mut sequence = Sequence(1);
    let mut builder = BatchBuilder::new(Offset::ZERO).compression(compression);
    let mut index = 0;
    while builder.size_bytes() < size_bytes {
        let key = format!("customer-{}", sequence.below(10_000));
        let value = line(&mut sequence, index);
        let timestamp = Timestamp(1_772_600_000_000 + index as i64);
        builder.append(timestamp, Some(key.as_bytes()), Some(value.as_bytes()));
        index += 1;
    }
    builder.build().expect("records in order")
}

/// Batch sizes of the figures: one small record's, the producer's default `batch.size`, a well-filled one, the topic's
/// default maximum.
pub const BATCH_BYTES: [(&str, usize); 4] = [
    ("256 B", 256),
    ("16 KiB", 16 << 10),
    ("64 KiB", 64 << 10),
    ("1 MiB", 1_000_000),
];
