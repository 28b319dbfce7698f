//! gzip (RFC 1952).

use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Decompress, FlushDecompress, Status};

use super::compress::failed;
use super::scratch::Scratch;
use super::{Codec, CodecError};

/// log2 of the greatest window of deflate.
const WINDOW_BITS: u8 = 15;
/// Kafka's `-1`, zlib's own default.
const DEFAULT_LEVEL: u32 = 6;

pub(super) struct GzipReader {
    inflate: Decompress,
}

impl Default for GzipReader {
    fn default() -> Self {
        GzipReader {
            inflate: Decompress::new_gzip(WINDOW_BITS),
        }
    }
}

impl GzipReader {
    pub(super) fn read(
        &mut self,
        mut input: &[u8],
        max_bytes: usize,
        scratch: &mut Scratch,
    ) -> Result<usize, CodecError> {
        const CODEC: Codec = Codec::Gzip;
        let mut filled = 0;
        loop {
            // keeps the gzip format: the context was made for it
            self.inflate.reset(false);
            loop {
                // One spare byte: a stream that ends exactly at the cap still needs a call to say that it ends.
                let output = scratch.grow(filled, max_bytes.saturating_add(1), CODEC)?;
                let room = output.len();
                let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
                let status = self
                    .inflate
                    .decompress(input, output, FlushDecompress::None)
                    .map_err(|_| CodecError::Malformed {
                        codec: CODEC,
                        what: "not a deflate stream or bad checksum",
                    })?;
                let consumed = (self.inflate.total_in() - in_before) as usize;
                let produced = (self.inflate.total_out() - out_before) as usize;
                input = input.get(consumed..).unwrap_or_default();
                filled += produced;
                if filled > max_bytes {
                    return Err(CodecError::TooLarge {
                        codec: CODEC,
                        max_bytes,
                    });
                }
                match status {
                    Status::StreamEnd => break,
                    Status::Ok | Status::BufError if produced == room => {}
                    Status::Ok | Status::BufError => return Err(CodecError::Truncated { codec: CODEC }),
                }
            }
            if input.is_empty() {
                return Ok(filled);
            }
        }
    }
}

pub(super) fn write(input: &[u8], level: Option<i32>) -> Result<Vec<u8>, CodecError> {
    let level = level.map_or(DEFAULT_LEVEL, |level| {
        if level < 0 {
            DEFAULT_LEVEL
        } else {
            level.clamp(1, 9) as u32
        }
    });
    let mut encoder = GzEncoder::new(
        Vec::with_capacity(input.len() / 4),
        flate2::Compression::new(level),
    );
    encoder
        .write_all(input)
        .map_err(|error| failed(Codec::Gzip, error))?;
    encoder.finish().map_err(|error| failed(Codec::Gzip, error))
}
