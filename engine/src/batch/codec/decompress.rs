//! Decompression into a reused buffer, bounded in bytes.

use std::cell::Cell;

use super::gzip::GzipReader;
use super::scratch::Scratch;
use super::snappy::SnappyReader;
use super::zstd::ZstdReader;
use super::{Codec, CodecError, lz4};

/// The buffer and the codecs' contexts, each made when first needed. One per thread on the hot path.
#[derive(Default)]
pub struct Decompressor {
    scratch: Scratch,
    gzip: Option<GzipReader>,
    snappy: Option<SnappyReader>,
    zstd: Option<ZstdReader>,
}

impl Decompressor {
    pub fn new() -> Self {
        Decompressor::default()
    }

    /// `input` decompressed, in this value's buffer until the next call (or `input` itself under `Codec::None`).
    ///
    /// The buffer never grows beyond `max_bytes`, and never to more than about twice what was produced so far: a bomb
    /// costs the time to produce `max_bytes`, a lie about its size costs nothing.
    pub fn decompress<'a>(
        &'a mut self,
        codec: Codec,
        input: &'a [u8],
        max_bytes: usize,
    ) -> Result<&'a [u8], CodecError> {
        self.scratch.trim();
        let count = match codec {
            Codec::None if input.len() > max_bytes => return Err(CodecError::TooLarge { codec, max_bytes }),
            Codec::None => return Ok(input),
            Codec::Gzip => self
                .gzip
                .get_or_insert_default()
                .read(input, max_bytes, &mut self.scratch)?,
            Codec::Snappy => self
                .snappy
                .get_or_insert_default()
                .read(input, max_bytes, &mut self.scratch)?,
            Codec::Lz4 => lz4::read(input, max_bytes, &mut self.scratch)?,
            Codec::Zstd => {
                let reader = match &mut self.zstd {
                    Some(reader) => reader,
                    empty => empty.insert(ZstdReader::new()?),
                };
                reader.read(input, max_bytes, &mut self.scratch)?
            }
        };
        Ok(self.scratch.filled(count))
    }

    /// Bytes the buffer takes now.
    pub fn buffer_bytes(&self) -> usize {
        self.scratch.capacity()
    }
}

thread_local! {
    static DECOMPRESSOR: Cell<Option<Box<Decompressor>>> = const { Cell::new(None) };
}

/// Lets `look` see `input` decompressed, in this thread's buffer. Nested calls get a buffer of their own.
pub fn with_decompressed<R>(
    codec: Codec,
    input: &[u8],
    max_bytes: usize,
    look: impl FnOnce(&[u8]) -> R,
) -> Result<R, CodecError> {
    if codec == Codec::None {
        return if input.len() > max_bytes {
            Err(CodecError::TooLarge { codec, max_bytes })
        } else {
            Ok(look(input))
        };
    }
    let mut decompressor = DECOMPRESSOR.take().unwrap_or_default();
    let result = decompressor.decompress(codec, input, max_bytes).map(look);
    DECOMPRESSOR.set(Some(decompressor));
    result
}

/// `input` decompressed, in a buffer of its own.
pub fn decompress_to_vec(codec: Codec, input: &[u8], max_bytes: usize) -> Result<Vec<u8>, CodecError> {
    // The copy out of the scratch makes the result as large as its content, not as large as a guess.
    with_decompressed(codec, input, max_bytes, <[u8]>::to_vec)
}
