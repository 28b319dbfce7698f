//! zstd (RFC 8878).

use std::cell::Cell;

use zstd::zstd_safe::{CCtx, DCtx, compress_bound, get_error_name};

use super::compress::failed;
use super::scratch::Scratch;
use super::{Codec, CodecError};

/// `ZSTD_error_dstSize_tooSmall` of zstd_errors.h, which is stable since 1.3.1; returned negated.
const OUTPUT_TOO_SMALL: usize = 70_usize.wrapping_neg();
/// Kafka's default, and the library's.
const DEFAULT_LEVEL: i32 = 3;
/// Below -7 the library only stores faster and faster.
const LEVELS: (i32, i32) = (-7, 22);

const CODEC: Codec = Codec::Zstd;

/// Decodes in one call instead of streaming: then the output is the window, and a frame that announces a window of
/// 128 MiB (legal, levels 20 and up do) allocates nothing for it.
pub(super) struct ZstdReader {
    context: DCtx<'static>,
}

impl ZstdReader {
    pub(super) fn new() -> Result<Self, CodecError> {
        let context = DCtx::try_create().ok_or(CodecError::Malformed {
            codec: CODEC,
            what: "no memory for a context",
        })?;
        Ok(ZstdReader { context })
    }

    pub(super) fn read(
        &mut self,
        input: &[u8],
        max_bytes: usize,
        scratch: &mut Scratch,
    ) -> Result<usize, CodecError> {
        if input.is_empty() {
            return Err(CodecError::Truncated { codec: CODEC });
        }
        // Begin with the whole reused buffer. When that is too small it has been filled, so doubling follows what was
        // produced; starting over costs at most the work once more, and only for batches larger than any before.
        let mut at_least = 0;
        loop {
            let output = whole(scratch, at_least, max_bytes)?;
            match self.context.decompress(output, input) {
                Ok(count) => return Ok(count),
                Err(OUTPUT_TOO_SMALL) if output.len() < max_bytes => {
                    at_least = output.len().saturating_add(1)
                }
                Err(OUTPUT_TOO_SMALL) => {
                    return Err(CodecError::TooLarge {
                        codec: CODEC,
                        max_bytes,
                    });
                }
                Err(code) => {
                    return Err(CodecError::Malformed {
                        codec: CODEC,
                        what: get_error_name(code),
                    });
                }
            }
        }
    }
}

/// The scratch from its first byte, doubled when it has fewer than `at_least` bytes.
fn whole(scratch: &mut Scratch, at_least: usize, max_bytes: usize) -> Result<&mut [u8], CodecError> {
    if max_bytes == 0 {
        return Ok(Default::default());
    }
    scratch.grow(at_least.saturating_sub(1), max_bytes, CODEC)?;
    scratch.grow(0, max_bytes, CODEC)
}

thread_local! {
    static COMPRESSOR: Cell<Option<CCtx<'static>>> = const { Cell::new(None) };
}

pub(super) fn write(input: &[u8], level: Option<i32>) -> Result<Vec<u8>, CodecError> {
    let level = level.unwrap_or(DEFAULT_LEVEL).clamp(LEVELS.0, LEVELS.1);
    let mut context = match COMPRESSOR.take().or_else(CCtx::try_create) {
        Some(context) => context,
        None => return Err(failed(CODEC, "no memory for a context")),
    };
    let mut output = Vec::with_capacity(compress_bound(input.len()));
    let result = context.compress(&mut output, input, level);
    COMPRESSOR.set(Some(context));
    result
        .map(|_| output)
        .map_err(|code| failed(CODEC, get_error_name(code)))
}
