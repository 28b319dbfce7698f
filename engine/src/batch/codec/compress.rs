//! Compression, for the broker's own batches and for topics whose `compression.type` asks for another codec than the
//! producer's. Off the hot path: batches are stored as they were sent.

use super::{Codec, CodecError, gzip, lz4, snappy, zstd};

/// A codec and how hard it works.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Compression {
    pub codec: Codec,
    /// `compression.gzip.level` or `compression.zstd.level`, clamped to what the codec knows; its default when absent.
    /// snappy has none, and the lz4 encoder here has one only.
    pub level: Option<i32>,
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        Compression { codec, level: None }
    }
}

/// `input` as `compression` writes it.
pub fn compress(compression: Compression, input: &[u8]) -> Result<Vec<u8>, CodecError> {
    match compression.codec {
        Codec::None => Ok(input.to_vec()),
        Codec::Gzip => gzip::write(input, compression.level),
        Codec::Snappy => snappy::write(input),
        Codec::Lz4 => lz4::write(input),
        Codec::Zstd => zstd::write(input, compression.level),
    }
}

/// The compressor's own complaint; never about the input, every byte string can be compressed.
pub(super) fn failed(codec: Codec, error: impl ToString) -> CodecError {
    CodecError::Compressor {
        codec,
        what: error.to_string(),
    }
}
