//! Giving a batch another codec, for topics whose `compression.type` is not `producer`.

use bytes::BytesMut;

use super::builder::{BuildError, assemble};
use super::codec::{self, CodecError, Compression};
use super::error::BatchError;
use super::view::Batch;

/// The same batch under another compression, with a new length and CRC; offsets, timestamps and producer fields stay.
///
/// The records are not parsed: their deltas do not depend on the codec. `batch` should be validated before.
pub fn recompress(
    batch: &Batch<'_>,
    compression: Compression,
    max_decompressed_bytes: usize,
) -> Result<BytesMut, BatchError> {
    let codec = batch.codec()?;
    if batch.record_count() == 0 {
        return Ok(BytesMut::from(batch.bytes()));
    }
    let assembled =
        codec::with_decompressed(codec, batch.records_bytes(), max_decompressed_bytes, |records| {
            assemble(*batch.header(), compression, records)
        })?;
    assembled.map_err(|error| match error {
        BuildError::Codec(error) => BatchError::Codec(error),
        // A codec that inflates beyond 2 GiB, which the bound above and every codec's worst case exclude.
        BuildError::TooLarge { .. } | BuildError::Offset { .. } | BuildError::Empty => {
            let codec = compression.codec;
            BatchError::Codec(CodecError::TooLarge {
                codec,
                max_bytes: i32::MAX as usize,
            })
        }
    })
}
