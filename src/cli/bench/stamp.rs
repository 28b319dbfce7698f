//! Records that tell when they were meant to be sent.
//!
//! ```text
//! value  0  run id               u64   of this run: records of others are left out
//!        8  intended send time   u64   ns of the reactor's clock, which producer and consumer share
//!       16  filling
//! ```

use std::ops::RangeInclusive;
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
    #[error("no batch for {0} records was prepared")]
    TooMany(usize),
}

/// Builds batches whose records carry a time, from templates.
#[derive(Debug)]
pub struct Stamper {
    /// For batches of one record, of two, ...
    templates: Vec<Template>,
    codec: Codec,
    run: u64,
    epoch: Instant,
}

#[derive(Debug)]
struct Template {
    batch: Bytes,
    /// Where in the batch each value begins.
    values: Vec<usize>,
}

impl Stamper {
    /// For batches of `batch_records`. Times count from `epoch`, which the reader must use, too.
    pub fn new(
        batch_records: RangeInclusive<u32>,
        record_bytes: usize,
        codec: Codec,
        (run, epoch): (u64, Instant),
        now_ms: i64,
    ) -> Result<Stamper, StampError> {
        let mut text = Text(run | 1);
        let mut template = |batch_records| Template::new(batch_records, record_bytes, &mut text, now_ms);
        Ok(Stamper {
            templates: batch_records.map(&mut template).collect::<Result<_, _>>()?,
            codec,
            run,
            epoch,
        })
    }

    /// A batch whose records were meant to be sent at the given times; where there are fewer times than records, the
    /// last goes for the rest.
    pub fn batch(&self, intended: &[Instant]) -> Result<Bytes, StampError> {
        let fits = |template: &&Template| template.values.len() >= intended.len();
        let Some(template) = self.templates.iter().find(fits) else {
            return Err(StampError::TooMany(intended.len()));
        };
        let mut stamp = [0; STAMP_BYTES];
        stamp[..8].copy_from_slice(&self.run.to_be_bytes());
        let mut bytes = BytesMut::from(&template.batch[..]);
        for (index, at) in template.values.iter().enumerate() {
            if let Some(intended) = intended.get(index) {
                let time = intended.saturating_since(self.epoch).as_nanos() as u64;
                stamp[8..].copy_from_slice(&time.to_be_bytes());
            }
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

impl Template {
    fn new(
        batch_records: u32,
        record_bytes: usize,
        text: &mut Text,
        now_ms: i64,
    ) -> Result<Template, StampError> {
        let mut value = vec![0; record_bytes.max(STAMP_BYTES)];
        let mut batch = BatchBuilder::new(Offset(0));
        for _ in 0..batch_records {
            text.fill(&mut value);
            batch.append(Timestamp(now_ms), None, Some(&value));
        }
        let batch = batch.build()?.freeze();
        let mut values = Vec::new();
        for record in &Batch::only(&batch)?.records(batch.len())? {
            let value = record?.value.unwrap_or_default();
            values.push(value.as_ptr() as usize - batch.as_ptr() as usize);
        }
        Ok(Template { batch, values })
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
            let stamper = Stamper::new(300..=300, 40, codec, (9, epoch), 1_700_000_000_000).unwrap();
            let bytes = stamper.batch(&[intended]).unwrap();
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

    #[test]
    fn records_of_one_batch_keep_their_own_times() {
        // Otherwise a record that waited for its batch would lose the wait from its latency.
        let epoch = Instant::default();
        let times: Vec<Instant> = (1..=3).map(|ms| epoch + Duration::from_millis(ms)).collect();
        let stamper = Stamper::new(1..=3, 40, Codec::None, (9, epoch), 0).unwrap();
        for count in 1..=3 {
            let bytes = stamper.batch(&times[..count]).unwrap();
            let batch = Batch::only(&bytes).unwrap();
            batch.verify_crc().unwrap();
            let records = batch.records(1 << 20).unwrap();
            let found = records
                .iter()
                .map(|record| read(record.unwrap().value.unwrap(), 9, epoch));
            let wanted = times[..count].iter().copied().map(Some);
            assert!(found.eq(wanted), "{count}");
        }
        assert!(stamper.batch(&[epoch; 4]).is_err());
    }
}
