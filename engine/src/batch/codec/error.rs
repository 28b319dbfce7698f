//! Why compressed bytes were refused, or bytes could not be compressed.

use thiserror::Error;

use super::Codec;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    #[error("{codec} data is malformed: {what}")]
    Malformed { codec: Codec, what: &'static str },
    #[error("{codec} data ends too early")]
    Truncated { codec: Codec },
    #[error("{codec} data decompresses to more than {max_bytes} bytes")]
    TooLarge { codec: Codec, max_bytes: usize },
    #[error("{codec} compressor failed: {what}")]
    Compressor { codec: Codec, what: String },
}
