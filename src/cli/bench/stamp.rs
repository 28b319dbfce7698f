//! Records that tell when they were meant to be sent.
//!
//! ```text
//! value  0  run id               u64   of this run: records of others are left out
//!        8  intended send time   u64   ns of the reactor's clock, which producer and consumer share
//!       16  filling
//! ```

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::batch::{Batch, BatchBuilder, BatchError, BuildError, CRC_START, Codec, crc, recompress};
use engine::types::{Offset, Timestamp};
use reactor::Instant;

use super::load::Text;

/// The least a stamped value takes.
pub const STAMP_BYTES: usize = 16;
/// Where the checksum of a batch lies.
const CRC_AT: std::ops::Range<usize> = 17..21;

#[derive(Debug, thiserror::Error)]
pub enum StampError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// Builds batches whose records carry a time, from one template.
#[derive(Debug)]
pub struct Stamper {
    template: Bytes,
    /// Where in the template each value begins.
    values: Vec<usize>,
    codec: Codec,
    run: u64,
    epoch: Instant,
}

impl Stamper {
    /// Times count from `epoch`, which the reader must use, too.
    pub fn new(
        batch_records: u32,
        record_bytes: usize,
        codec: Codec,
        (run, epoch): (u64, Instant),
        now_ms: i64,
    ) -> Result<Stamper, StampError> {
        let mut value = vec![0; record_bytes.max(STAMP_BYTES)];
        let mut text = Text(run | 1);
        let mut batch = BatchBuilder::new(Offset(0));
        for _ in 0..batch_records {
            text.fill(&mut value);
            batch.append(Timestamp(now_ms), None, Some(&value));
        }
        let template = batch.build()?.freeze();
        let mut values = Vec::new();
        for record in &Batch::only(&template)?.records(template.len())? {
            let value = record?.value.unwrap_or_default();
            values.push(value.as_ptr() as usize - template.as_ptr() as usize);
        }
        Ok(Stamper {
            template,
            values,
            codec,
            run,
            epoch,
        })
    }

    /// A batch all of whose records were meant to be sent at `intended`.
    pub fn batch(&self, intended: Instant) -> Result<Bytes, StampError> {
        let time = intended.saturating_since(self.epoch).as_nanos() as u64;
        let mut stamp = [0; STAMP_BYTES];
        stamp[..8].copy_from_slice(&self.run.to_be_bytes());
        stamp[8..].copy_from_slice(&time.to_be_bytes());
        let mut bytes = BytesMut::from(&self.template[..]);
        for at in &self.values {
            if let Some(place) = bytes.get_mut(*at..*at + STAMP_BYTES) {
                place.copy_from_slice(&stamp);
            }
        }
        let crc = crc::crc32c(bytes.get(CRC_START..).unwrap_or_default());
        if let Some(place) = bytes.get_mut(CRC_AT) {
            place.copy_from_slice(&crc.to_be_bytes());
        }
        match self.codec {
            Codec::None => Ok(bytes.freeze()),
            codec => Ok(recompress(&Batch::only(&bytes)?, codec.into(), bytes.len())?.freeze()),
        }
    }
}

/// The intended send time of a record of this run.
pub fn read(value: &[u8], run: u64, epoch: Instant) -> Option<Instant> {
    let (found, rest) = value.split_first_chunk::<8>()?;
    let time = rest.first_chunk::<8>()?;
    (u64::from_be_bytes(*found) == run).then(|| epoch + Duration::from_nanos(u64::from_be_bytes(*time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_come_back_from_every_record_and_codec() {
        let epoch = Instant::default();
        let intended = epoch + Duration::from_micros(1_234_567);
        for codec in Codec::ALL {
            let stamper = Stamper::new(300, 40, codec, (9, epoch), 1_700_000_000_000).unwrap();
            let bytes = stamper.batch(intended).unwrap();
            let batch = Batch::only(&bytes).unwrap();
            batch.verify_crc().unwrap();
            assert_eq!(batch.codec(), Ok(codec));
            let mut count = 0;
            for record in &batch.records(1 << 20).unwrap() {
                let value = record.unwrap().value.unwrap();
                assert_eq!(value.len(), 40);
                assert_eq!(read(value, 9, epoch), Some(intended));
                assert_eq!(read(value, 8, epoch), None);
                count += 1;
            }
            assert_eq!(count, 300);
        }
        assert_eq!(read(b"short", 9, epoch), None);
    }
}
