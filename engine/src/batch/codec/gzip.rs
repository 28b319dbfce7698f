//! gzip (RFC 1952): header and trailer are read here, deflate by the library, because only a raw deflate context can be
//! reused without new allocations.
//!
//! ```text
//! 0   0x1f 0x8b, method 8
//! 3   flags: 1 text, 2 header CRC, 4 extra field, 8 name, 16 comment
//! 4   time u32, extra flags, system
//! 10  [extra: u16 length, bytes] [name, 0] [comment, 0] [header CRC u16]
//!     deflate stream, CRC-32 u32, size modulo 2^32 u32 (all little-endian)
//! ```

use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::compress::failed;
use super::scratch::Scratch;
use super::{Codec, CodecError};

const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;
/// Kafka's `-1`, zlib's own default.
const DEFAULT_LEVEL: u32 = 6;

const CODEC: Codec = Codec::Gzip;
const TRUNCATED: CodecError = CodecError::Truncated { codec: CODEC };

pub(super) struct GzipReader {
    inflate: Decompress,
}

impl Default for GzipReader {
    fn default() -> Self {
        GzipReader {
            inflate: Decompress::new(false),
        }
    }
}

impl GzipReader {
    /// Reads all members of `input`.
    pub(super) fn read(
        &mut self,
        mut input: &[u8],
        max_bytes: usize,
        scratch: &mut Scratch,
    ) -> Result<usize, CodecError> {
        let mut filled = 0;
        loop {
            let member_start = filled;
            skip_header(&mut input)?;
            self.inflate(&mut input, &mut filled, max_bytes, scratch)?;
            let mut crc = Crc::new();
            crc.update(scratch.filled(filled).get(member_start..).unwrap_or_default());
            if u32::from_le_bytes(*take_array(&mut input)?) != crc.sum() {
                return Err(malformed("bad checksum"));
            }
            if u32::from_le_bytes(*take_array(&mut input)?) != (filled - member_start) as u32 {
                return Err(malformed("bad size"));
            }
            if input.is_empty() {
                return Ok(filled);
            }
        }
    }

    fn inflate(
        &mut self,
        input: &mut &[u8],
        filled: &mut usize,
        max_bytes: usize,
        scratch: &mut Scratch,
    ) -> Result<(), CodecError> {
        self.inflate.reset(false);
        loop {
            // One spare byte: a stream that ends exactly at the bound still needs a call to say that it ends.
            let output = scratch.grow(*filled, max_bytes.saturating_add(1), CODEC)?;
            let room = output.len();
            let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(input, output, FlushDecompress::None);
            let status = status.map_err(|_| malformed("bad deflate stream"))?;
            let consumed = (self.inflate.total_in() - in_before) as usize;
            let produced = (self.inflate.total_out() - out_before) as usize;
            *input = input.get(consumed..).unwrap_or_default();
            *filled += produced;
            if *filled > max_bytes {
                return Err(CodecError::TooLarge {
                    codec: CODEC,
                    max_bytes,
                });
            }
            match status {
                Status::StreamEnd => return Ok(()),
                Status::Ok | Status::BufError if produced == room => {}
                Status::Ok | Status::BufError => return Err(TRUNCATED),
            }
        }
    }
}

fn skip_header(input: &mut &[u8]) -> Result<(), CodecError> {
    let [first, second, method, flags, ..] = *take_array::<10>(input)?;
    if [first, second, method] != [0x1f, 0x8b, 8] {
        return Err(malformed("not a gzip header"));
    }
    if flags & RESERVED != 0 {
        return Err(malformed("a reserved flag"));
    }
    if flags & EXTRA != 0 {
        let length = u16::from_le_bytes(*take_array(input)?);
        *input = input.get(usize::from(length)..).ok_or(TRUNCATED)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = input.iter().position(|byte| *byte == 0).ok_or(TRUNCATED)?;
            *input = input.get(end + 1..).ok_or(TRUNCATED)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        take_array::<2>(input)?;
    }
    Ok(())
}

fn take_array<'a, const N: usize>(input: &mut &'a [u8]) -> Result<&'a [u8; N], CodecError> {
    let (taken, rest) = input.split_first_chunk::<N>().ok_or(TRUNCATED)?;
    *input = rest;
    Ok(taken)
}

fn malformed(what: &'static str) -> CodecError {
    CodecError::Malformed { codec: CODEC, what }
}

pub(super) fn write(input: &[u8], level: Option<i32>) -> Result<Vec<u8>, CodecError> {
    let level = match level {
        Some(level) if level >= 0 => level.clamp(1, 9) as u32,
        _ => DEFAULT_LEVEL,
    };
    let mut encoder = GzEncoder::new(
        Vec::with_capacity(input.len() / 4),
        flate2::Compression::new(level),
    );
    encoder.write_all(input).map_err(|error| failed(CODEC, error))?;
    encoder.finish().map_err(|error| failed(CODEC, error))
}
