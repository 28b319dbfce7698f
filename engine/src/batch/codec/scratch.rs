//! The buffer that decompressed records go to: reused from batch to batch, grown by what was produced, never by what
//! was announced.

use super::{Codec, CodecError};

/// Size of the buffer before the first batch asks for more: the compressed batches of most producers (`batch.size` is
/// 16 KiB by default) decompress to less.
const INITIAL_BYTES: usize = 64 << 10;
/// What a thread keeps between batches. A guess: four times the default of `max.message.bytes`, so that only batches
/// that decompress to more pay for an allocation.
const RETAINED_BYTES: usize = 4 << 20;

/// Initialised bytes, all of them: codecs write into slices, so growing costs one zeroing and never `unsafe`.
#[derive(Default)]
pub(super) struct Scratch {
    bytes: Vec<u8>,
}

impl Scratch {
    /// All there is from `at` on, at least one byte and at most up to `max_bytes`; doubles the buffer when `at` is its
    /// end. Call it when the bytes before `at` are really filled: then memory follows production.
    pub(super) fn grow(
        &mut self,
        at: usize,
        max_bytes: usize,
        codec: Codec,
    ) -> Result<&mut [u8], CodecError> {
        if at >= max_bytes {
            return Err(CodecError::TooLarge { codec, max_bytes });
        }
        if at >= self.bytes.len() {
            let doubled = self.bytes.len().saturating_mul(2);
            self.resize(doubled.max(INITIAL_BYTES).max(at + 1).min(max_bytes));
        }
        let end = self.bytes.len().min(max_bytes);
        Ok(self.bytes.get_mut(at..end).unwrap_or_default())
    }

    /// Exactly `count` bytes from `at` on, and all bytes before them. The caller has shown that the input can fill
    /// them.
    pub(super) fn exact(
        &mut self,
        at: usize,
        count: usize,
        max_bytes: usize,
        codec: Codec,
    ) -> Result<(&[u8], &mut [u8]), CodecError> {
        let end = at.checked_add(count).filter(|end| *end <= max_bytes);
        let end = end.ok_or(CodecError::TooLarge { codec, max_bytes })?;
        if end > self.bytes.len() {
            let doubled = self.bytes.len().saturating_mul(2);
            self.resize(doubled.max(INITIAL_BYTES).min(max_bytes).max(end));
        }
        let (before, rest) = self.bytes.split_at_mut(at);
        Ok((before, rest.get_mut(..count).unwrap_or_default()))
    }

    pub(super) fn filled(&self, count: usize) -> &[u8] {
        self.bytes.get(..count).unwrap_or_default()
    }

    /// Gives back what one unusual batch needed. Called before the next one, so that the bytes stay readable until
    /// then.
    pub(super) fn trim(&mut self) {
        if self.bytes.len() > RETAINED_BYTES {
            self.bytes = Vec::new();
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    fn resize(&mut self, bytes: usize) {
        // `reserve_exact`, or the vector's own doubling would exceed the cap.
        self.bytes.reserve_exact(bytes.saturating_sub(self.bytes.len()));
        self.bytes.resize(bytes, 0);
    }
}
