//! LZ4 frames (lz4_Frame_format.md 1.6.1), read here rather than by the crate's reader: straight into the scratch,
//! where the decoded bytes serve linked blocks as their dictionary, without buffers per frame.
//!
//! ```text
//! magic 0x184D2204 (little-endian, as all numbers)
//! FLG   version 01, block independence, block checksum, content size, content checksum, reserved, dictionary id
//! BD    block maximum size: 4 = 64 KiB .. 7 = 4 MiB
//! [content size u64] [dictionary id u32]  HC: second byte of xxh32(descriptor)
//! { block size u32, top bit = stored; block; [xxh32(block)] }*  end mark 0  [xxh32(content)]
//! ```

use std::io::Write;

use lz4_flex::block::{DecompressError, decompress_into, decompress_into_with_dict};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use super::compress::failed;
use super::scratch::Scratch;
use super::{Codec, CodecError};

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
const STORED_BIT: u32 = 1 << 31;
/// A match length grows by at most 255 per byte of a block.
const MAX_RATIO: usize = 255;
/// How far back a match reaches.
const WINDOW_BYTES: usize = 64 << 10;

const CODEC: Codec = Codec::Lz4;

/// Whether a frame says that its blocks refer to each other. Kafka's broker and its Java consumer refuse such frames.
pub fn has_linked_blocks(input: &[u8]) -> bool {
    input.starts_with(&MAGIC) && input.get(4).is_some_and(|flags| flags & 0x20 == 0)
}

pub(super) fn read(input: &[u8], max_bytes: usize, scratch: &mut Scratch) -> Result<usize, CodecError> {
    let mut input = Input(input);
    let frame = Frame::read(&mut input)?;
    let mut filled = 0;
    loop {
        let word = input.u32()?;
        if word == 0 {
            break;
        }
        let block = input.take((word & !STORED_BIT) as usize)?;
        if block.is_empty() {
            return Err(malformed("an empty block"));
        }
        if block.len() > frame.max_block_bytes {
            return Err(malformed("a block is larger than the frame allows"));
        }
        if frame.block_checksums && input.u32()? != XxHash32::oneshot(0, block) {
            return Err(malformed("bad block checksum"));
        }
        filled += match word & STORED_BIT {
            0 => decode_block(block, filled, &frame, max_bytes, scratch)?,
            _ => {
                let (_, output) = scratch.exact(filled, block.len(), max_bytes, CODEC)?;
                output.copy_from_slice(block);
                block.len()
            }
        };
    }
    // Kafka skips the content checksum; liblz4, below most consumers, does not: what it would choke on stays out.
    if frame.content_checksum && input.u32()? != XxHash32::oneshot(0, scratch.filled(filled)) {
        return Err(malformed("bad content checksum"));
    }
    if frame
        .content_bytes
        .is_some_and(|announced| announced != filled as u64)
    {
        return Err(malformed("content size differs from the announced one"));
    }
    if !input.0.is_empty() {
        return Err(malformed("bytes after the frame"));
    }
    Ok(filled)
}

fn decode_block(
    block: &[u8],
    at: usize,
    frame: &Frame,
    max_bytes: usize,
    scratch: &mut Scratch,
) -> Result<usize, CodecError> {
    let possible = frame.max_block_bytes.min(block.len().saturating_mul(MAX_RATIO));
    let allowed = possible.min(max_bytes.saturating_sub(at));
    let (before, output) = scratch.exact(at, allowed, max_bytes, CODEC)?;
    let result = if frame.linked {
        let window = before.get(at.saturating_sub(WINDOW_BYTES)..).unwrap_or_default();
        decompress_into_with_dict(block, output, window)
    } else {
        decompress_into(block, output)
    };
    result.map_err(|error| match error {
        DecompressError::OutputTooSmall { .. } if allowed < possible => CodecError::TooLarge {
            codec: CODEC,
            max_bytes,
        },
        _ => malformed("bad block"),
    })
}

struct Frame {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_bytes: Option<u64>,
    max_block_bytes: usize,
}

impl Frame {
    fn read(input: &mut Input<'_>) -> Result<Frame, CodecError> {
        if input.take(4)? != MAGIC {
            return Err(malformed("not an LZ4 frame"));
        }
        let descriptor = input.0;
        let flags = input.u8()?;
        let block_descriptor = input.u8()?;
        if flags >> 6 != 1 {
            return Err(malformed("unknown frame version"));
        }
        if flags & 0x03 != 0 {
            return Err(malformed("a dictionary or a reserved bit"));
        }
        let max_block_bytes = match block_descriptor {
            0x40 => 64 << 10,
            0x50 => 256 << 10,
            0x60 => 1 << 20,
            0x70 => 4 << 20,
            _ => return Err(malformed("bad block maximum size")),
        };
        let content_bytes = if flags & 0x08 != 0 {
            Some(input.u64()?)
        } else {
            None
        };
        let described = descriptor
            .get(..descriptor.len() - input.0.len())
            .unwrap_or_default();
        if input.u8()? != (XxHash32::oneshot(0, described) >> 8) as u8 {
            return Err(malformed("bad header checksum"));
        }
        Ok(Frame {
            linked: flags & 0x20 == 0,
            block_checksums: flags & 0x10 != 0,
            content_checksum: flags & 0x04 != 0,
            content_bytes,
            max_block_bytes,
        })
    }
}

/// What is left of the compressed bytes.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(CodecError::Truncated { codec: CODEC })?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (taken, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(CodecError::Truncated { codec: CODEC })?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, CodecError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, CodecError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, CodecError> {
        self.array().map(u64::from_le_bytes)
    }
}

fn malformed(what: &'static str) -> CodecError {
    CodecError::Malformed { codec: CODEC, what }
}

pub(super) fn write(input: &[u8]) -> Result<Vec<u8>, CodecError> {
    // As Kafka's own writer: independent blocks of 64 KiB, no checksums (the batch has its CRC).
    let info = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(input.len() / 2));
    encoder.write_all(input).map_err(|error| failed(CODEC, error))?;
    encoder.finish().map_err(|error| failed(CODEC, error))
}
