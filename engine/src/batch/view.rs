//! A view over one complete batch, and the walk over batches that lie one after the other.

use super::error::BatchError;
use super::header::{Attributes, BatchHeader, BatchProducer, CRC_START, HEADER_BYTES, MAGIC};
use super::{codec::Codec, crc};
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// Exactly one batch, complete, of magic 2. What its fields and records say is not checked by being a `Batch`; the CRC
/// is by [`Batch::verify_crc`], the rest by [`super::validate`].
#[derive(Copy, Clone, Debug)]
pub struct Batch<'a> {
    header: &'a BatchHeader,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The first batch of `bytes` and what follows it.
    ///
    /// [`BatchError::Truncated`] when the batch goes on beyond `bytes`: a log that ends so has a torn tail, a fetch
    /// answer that ends so is well formed.
    pub fn split_first(bytes: &'a [u8]) -> Result<(Batch<'a>, &'a [u8]), BatchError> {
        if bytes.is_empty() {
            return Err(BatchError::Empty);
        }
        // The magic is judged before the length: what an older format calls its length means something else.
        let magic = bytes.get(16).map(|byte| *byte as i8);
        if let Some(magic) = magic
            && magic != MAGIC
        {
            return Err(BatchError::Magic { magic });
        }
        let size_bytes = match bytes.get(8..12) {
            Some(&[a, b, c, d]) => i64::from(i32::from_be_bytes([a, b, c, d])) + 12,
            _ => {
                return Err(BatchError::Truncated {
                    expected: HEADER_BYTES,
                    found: bytes.len(),
                });
            }
        };
        let size = match usize::try_from(size_bytes) {
            Ok(size) if size >= HEADER_BYTES => size,
            _ => return Err(BatchError::SizeTooSmall { size_bytes }),
        };
        let truncated = BatchError::Truncated {
            expected: size,
            found: bytes.len(),
        };
        let Some((batch, rest)) = bytes.split_at_checked(size) else {
            return Err(truncated);
        };
        let Some(header) = BatchHeader::peek(batch) else {
            return Err(truncated);
        };
        Ok((Batch { header, bytes: batch }, rest))
    }

    /// All of `bytes` as one batch.
    pub fn only(bytes: &'a [u8]) -> Result<Batch<'a>, BatchError> {
        let (batch, rest) = Batch::split_first(bytes)?;
        if rest.is_empty() {
            Ok(batch)
        } else {
            Err(BatchError::MoreThanOne {
                trailing_bytes: rest.len(),
            })
        }
    }

    pub fn header(&self) -> &'a BatchHeader {
        self.header
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header: the records, compressed if the codec says so.
    pub fn records_bytes(&self) -> &'a [u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn base_offset(&self) -> Offset {
        self.header.base_offset()
    }

    pub fn last_offset(&self) -> Offset {
        self.header.last_offset()
    }

    pub fn next_offset(&self) -> Offset {
        self.header.next_offset()
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.header.leader_epoch()
    }

    pub fn magic(&self) -> i8 {
        self.header.magic()
    }

    pub fn crc(&self) -> u32 {
        self.header.crc()
    }

    pub fn attributes(&self) -> Attributes {
        self.header.attributes()
    }

    pub fn codec(&self) -> Result<Codec, BatchError> {
        self.attributes()
            .codec()
            .map_err(|id| BatchError::UnknownCodec { id })
    }

    pub fn base_timestamp(&self) -> Timestamp {
        self.header.base_timestamp()
    }

    pub fn max_timestamp(&self) -> Timestamp {
        self.header.max_timestamp()
    }

    pub fn producer(&self) -> Option<BatchProducer> {
        self.header.producer()
    }

    pub fn record_count(&self) -> i32 {
        self.header.record_count()
    }

    /// One pass over the batch: whether it is what its writer checksummed.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let stored = self.crc();
        let computed = crc::crc32c(self.bytes.get(CRC_START..).unwrap_or_default());
        if stored == computed {
            Ok(())
        } else {
            Err(BatchError::Crc { stored, computed })
        }
    }
}

/// Walk over concatenated batches. Ends at the end of the bytes or after the first error; [`Batches::rest`] then tells
/// what was not walked.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
    stopped: bool,
}

impl<'a> Batches<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Batches {
            rest: bytes,
            stopped: false,
        }
    }

    /// Bytes after the last batch given out.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stopped || self.rest.is_empty() {
            return None;
        }
        match Batch::split_first(self.rest) {
            Ok((batch, rest)) => {
                self.rest = rest;
                Some(Ok(batch))
            }
            Err(error) => {
                self.stopped = true;
                Some(Err(error))
            }
        }
    }
}
