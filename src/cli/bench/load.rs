//! Batches built before the run.

use bytes::Bytes;
use engine::batch::{BatchBuilder, BuildError, Codec};
use engine::types::{Offset, Timestamp};

/// Different batches that take turns, so that neither side compresses the same bytes all the time.
const VARIANTS: usize = 16;

/// The batches of a load.
#[derive(Debug, Clone)]
pub struct Load {
    batches: Vec<Bytes>,
    pub batch_records: u32,
}

impl Load {
    /// `batch_records` records of `record_bytes` each. All carry the time the load was built at.
    pub fn build(
        batch_records: u32,
        record_bytes: usize,
        codec: Codec,
        now_ms: i64,
    ) -> Result<Load, BuildError> {
        let mut text = Text(0x9e37_79b9_7f4a_7c15);
        let mut batches = Vec::with_capacity(VARIANTS);
        let mut value = vec![0; record_bytes];
        for _ in 0..VARIANTS {
            let mut batch = BatchBuilder::new(Offset(0)).compression(codec);
            for _ in 0..batch_records {
                text.fill(&mut value);
                batch.append(Timestamp(now_ms), None, Some(&value));
            }
            batches.push(batch.build()?.freeze());
        }
        Ok(Load {
            batches,
            batch_records,
        })
    }

    pub fn batch(&self, turn: u64) -> Bytes {
        let at = turn as usize % self.batches.len().max(1);
        self.batches.get(at).cloned().unwrap_or_default()
    }
}

/// Text-like filling: words of a small vocabulary and numbers, the same in every run; compresses two- to threefold, as
/// logs and events do.
pub struct Text(pub u64);

const WORDS: [&str; 16] = [
    "order",
    "customer",
    "payment",
    "shipped",
    "error",
    "timeout",
    "user",
    "login",
    "item",
    "quantity",
    "amount",
    "status",
    "region",
    "session",
    "retry",
    "warehouse",
];

impl Text {
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut at = 0;
        while at < out.len() {
            let random = self.next();
            let word = WORDS
                .get(random as usize % WORDS.len())
                .copied()
                .unwrap_or_default();
            let piece = format!("{word}={:x} ", (random >> 32) as u32);
            for (to, from) in out.iter_mut().skip(at).zip(piece.bytes()) {
                *to = from;
            }
            at += piece.len();
        }
    }

    /// xorshift64*: quick, and the same numbers everywhere.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::batch::Batch;

    #[test]
    fn a_load_is_valid_batches_of_the_asked_shape() {
        for codec in Codec::ALL {
            let load = Load::build(5, 100, codec, 1_700_000_000_000).unwrap();
            for turn in 0..20 {
                let bytes = load.batch(turn);
                let batch = Batch::only(&bytes).unwrap();
                batch.verify_crc().unwrap();
                assert_eq!(batch.record_count(), 5);
                for record in &batch.records(1 << 20).unwrap() {
                    assert_eq!(record.unwrap().value.map(<[u8]>::len), Some(100), "{codec}");
                }
            }
        }
        let load = Load::build(1, 0, Codec::None, 0).unwrap();
        assert_eq!(Batch::only(&load.batch(0)).unwrap().record_count(), 1);
    }

    #[test]
    fn the_filling_compresses_like_text() {
        let plain = Load::build(64, 1024, Codec::None, 0).unwrap().batch(0).len();
        let packed = Load::build(64, 1024, Codec::Zstd, 0).unwrap().batch(0).len();
        assert!(
            packed * 5 < plain * 4 && packed * 6 > plain,
            "{packed} of {plain}"
        );
    }
}
