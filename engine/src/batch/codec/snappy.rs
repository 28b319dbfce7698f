//! snappy: raw blocks, and the framing that snappy-java ("xerial") puts around them and most clients copy.
//!
//! ```text
//! 0   0x82 'S' 'N' 'A' 'P' 'P' 'Y' 0x00
//! 8   version            i32, 1
//! 12  compatible version i32, 1
//! 16  { block length i32, raw block }*
//! ```

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::compress::failed;
use super::scratch::Scratch;
use super::{Codec, CodecError};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER: [u8; 16] = [
    0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
];
/// Block size snappy-java uses by default.
const BLOCK_BYTES: usize = 32 << 10;
/// The densest element of a raw block copies 64 bytes and takes 3.
const MAX_RATIO: usize = 22;

const CODEC: Codec = Codec::Snappy;

#[derive(Default)]
pub(super) struct SnappyReader {
    decoder: Decoder,
}

impl SnappyReader {
    pub(super) fn read(
        &mut self,
        input: &[u8],
        max_bytes: usize,
        scratch: &mut Scratch,
    ) -> Result<usize, CodecError> {
        if !input.starts_with(&MAGIC) {
            return self.block(input, 0, max_bytes, scratch);
        }
        let mut rest = input;
        let mut filled = 0;
        while !rest.is_empty() {
            // Concatenated streams repeat the header; a block length cannot begin with these bytes, it would be
            // negative.
            if rest.starts_with(&MAGIC) {
                rest = rest
                    .get(HEADER.len()..)
                    .ok_or(CodecError::Truncated { codec: CODEC })?;
                continue;
            }
            let truncated = CodecError::Truncated { codec: CODEC };
            let Some((length, after)) = rest.split_first_chunk::<4>() else {
                return Err(truncated);
            };
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                return Err(CodecError::Malformed {
                    codec: CODEC,
                    what: "negative block length",
                });
            };
            let Some((block, after)) = after.split_at_checked(length) else {
                return Err(truncated);
            };
            filled += self.block(block, filled, max_bytes, scratch)?;
            rest = after;
        }
        Ok(filled)
    }

    fn block(
        &mut self,
        block: &[u8],
        at: usize,
        max_bytes: usize,
        scratch: &mut Scratch,
    ) -> Result<usize, CodecError> {
        let malformed = |what| CodecError::Malformed { codec: CODEC, what };
        if block.is_empty() {
            return Err(CodecError::Truncated { codec: CODEC });
        }
        let announced = decompress_len(block).map_err(|_| malformed("bad length"))?;
        if announced > block.len().saturating_mul(MAX_RATIO) {
            return Err(malformed("a block announces more than it can hold"));
        }
        let (_, output) = scratch.exact(at, announced, max_bytes, CODEC)?;
        self.decoder
            .decompress(block, output)
            .map_err(|_| malformed("bad block"))
    }
}

pub(super) fn write(input: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut encoder = Encoder::new();
    let mut framed = Vec::with_capacity(HEADER.len() + input.len() / 2);
    framed.extend_from_slice(&HEADER);
    let mut block = vec![0; max_compress_len(input.len().min(BLOCK_BYTES))];
    for piece in input.chunks(BLOCK_BYTES) {
        let count = encoder
            .compress(piece, &mut block)
            .map_err(|error| failed(CODEC, error))?;
        framed.extend_from_slice(&(count as i32).to_be_bytes());
        framed.extend_from_slice(block.get(..count).unwrap_or_default());
    }
    Ok(framed)
}
