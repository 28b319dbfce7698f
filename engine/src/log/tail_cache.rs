//! The newest batches of a log, in the buffers they were received in: what hot consumers and followers are answered from,
//! and what the segment file does not have yet.
//!
//! Invariants: the batches lie one behind the other and end where the active segment ends; `written` is the size of the
//! file; every byte of the segment behind `written` is here.

use std::collections::VecDeque;

use bytes::Bytes;

use super::read::Span;
use crate::types::Offset;

#[derive(Debug)]
struct Held {
    base_offset: Offset,
    next_offset: Offset,
    position: u64,
    bytes: Bytes,
}

impl Held {
    fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }
}

/// The tail of the active segment.
#[derive(Debug, Default)]
pub(crate) struct TailCache {
    batches: VecDeque<Held>,
    held_bytes: u64,
    /// The file has everything before this position.
    written: u64,
    /// Somebody will come to write it.
    pub(crate) is_queued: bool,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TailSlice {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) bytes: u32,
    pub(crate) next_offset: Offset,
}

/// Batches answered from memory at once; a reader that asks for more comes again. As many as one gathered send takes.
const PIECES_MAX: usize = 512;

impl TailCache {
    /// Of a segment whose file has `written` bytes.
    pub(crate) fn new(written: u64) -> Self {
        TailCache {
            written,
            ..TailCache::default()
        }
    }

    pub(crate) fn push(&mut self, base_offset: Offset, next_offset: Offset, position: u64, bytes: Bytes) {
        debug_assert!(self.batches.back().is_none_or(|last| last.end() == position));
        self.held_bytes += bytes.len() as u64;
        self.batches.push_back(Held {
            base_offset,
            next_offset,
            position,
            bytes,
        });
    }

    /// The batches end at `position` from now on, and all of it is in the file: it was written past the cache.
    pub(crate) fn restart(&mut self, position: u64) {
        self.batches.clear();
        self.held_bytes = 0;
        self.written = position;
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn unwritten_bytes(&self) -> u64 {
        self.batches
            .back()
            .map_or(0, |last| last.end().saturating_sub(self.written))
    }

    /// Where readers of the file must stop; `None` when the file has everything.
    pub(crate) fn first_unwritten_offset(&self) -> Option<Offset> {
        self.batches
            .get(self.first_unwritten())
            .map(|batch| batch.base_offset)
    }

    fn first_unwritten(&self) -> usize {
        self.batches
            .partition_point(|batch| batch.position < self.written)
    }

    /// The next bytes for the file, at most `count` batches.
    pub(crate) fn unwritten(&self, count: usize) -> impl Iterator<Item = &[u8]> {
        self.batches
            .iter()
            .skip(self.first_unwritten())
            .take(count)
            .map(|batch| &batch.bytes[..])
    }

    /// The file has `bytes` more.
    pub(crate) fn note_written(&mut self, bytes: u64) {
        self.written += bytes;
        debug_assert!(self.batches.back().is_none_or(|last| self.written <= last.end()));
    }

    /// Lets go of all written batches.
    pub(crate) fn clear_written(&mut self) {
        self.shrink_to(0);
        if self.batches.is_empty() {
            self.batches = VecDeque::new();
        }
    }

    /// Lets go of written batches beyond what is kept for readers.
    pub(crate) fn shrink_to(&mut self, kept_bytes: u64) {
        while let Some(first) = self.batches.front()
            && first.end() <= self.written
            && self.held_bytes > kept_bytes
        {
            if let Some(first) = self.batches.pop_front() {
                self.held_bytes -= first.bytes.len() as u64;
            }
        }
    }

    /// Whole batches; `None` when `from` lies before what is held.
    pub(crate) fn slice(&self, span: &Span) -> Option<TailSlice> {
        let from = span.from;
        if self.batches.front().is_none_or(|first| from < first.base_offset) {
            return None;
        }
        let mut slice = TailSlice {
            pieces: Vec::new(),
            bytes: 0,
            next_offset: from,
        };
        let first = self.batches.partition_point(|batch| batch.next_offset <= from);
        for batch in self.batches.iter().skip(first).take(PIECES_MAX) {
            let size = u32::try_from(batch.bytes.len()).unwrap_or(u32::MAX);
            let is_first = slice.pieces.is_empty();
            let bytes = u64::from(slice.bytes) + u64::from(size);
            if batch.next_offset > span.below || !span.allows(bytes, is_first) {
                break;
            }
            slice.bytes = slice.bytes.saturating_add(size);
            slice.next_offset = batch.next_offset;
            slice.pieces.push(batch.bytes.clone());
        }
        Some(slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches of 10 bytes and 5 offsets each, from offset 100 and position 1000 on.
    fn tail(count: i64) -> TailCache {
        let mut tail = TailCache::new(1000);
        for number in 0..count {
            let base = 100 + number * 5;
            let bytes = Bytes::from(vec![number as u8; 10]);
            tail.push(Offset(base), Offset(base + 5), 1000 + number as u64 * 10, bytes);
        }
        tail
    }

    fn span(from: Offset, max_bytes: u32, below: Offset, at_least_one: bool) -> Span {
        Span {
            from,
            max_bytes,
            below,
            at_least_one,
        }
    }

    #[test]
    fn a_reader_gets_whole_batches_below_its_bound() {
        // A batch that reaches beyond the high watermark holds records that may vanish.
        let tail = tail(4);
        assert_eq!(tail.slice(&span(Offset(99), 100, Offset(120), true)), None);
        let all = tail.slice(&span(Offset(100), 100, Offset(120), true)).unwrap();
        assert_eq!(
            (all.bytes, all.next_offset, all.pieces.len()),
            (40, Offset(120), 4)
        );
        let bound = tail.slice(&span(Offset(107), 100, Offset(113), true)).unwrap();
        assert_eq!((bound.bytes, bound.next_offset), (10, Offset(110)));
        let small = tail.slice(&span(Offset(110), 5, Offset(120), true)).unwrap();
        assert_eq!((small.bytes, small.next_offset), (10, Offset(115)));
        let none = tail.slice(&span(Offset(110), 5, Offset(120), false)).unwrap();
        assert_eq!((none.bytes, none.next_offset), (0, Offset(110)));
        assert_eq!(
            tail.slice(&span(Offset(120), 5, Offset(120), true))
                .unwrap()
                .bytes,
            0
        );
    }

    #[test]
    fn only_what_the_file_has_is_let_go() {
        // A batch dropped before it is written is served by nobody and lost to the next checkpoint.
        let mut tail = tail(4);
        assert_eq!(tail.unwritten_bytes(), 40);
        assert_eq!(tail.first_unwritten_offset(), Some(Offset(100)));
        tail.clear_written();
        assert_eq!(tail.unwritten(2).count(), 2);
        tail.note_written(20);
        assert_eq!(tail.first_unwritten_offset(), Some(Offset(110)));
        tail.clear_written();
        assert_eq!(tail.slice(&span(Offset(109), 100, Offset(120), true)), None);
        assert_eq!(
            tail.slice(&span(Offset(110), 100, Offset(120), true))
                .unwrap()
                .bytes,
            20
        );
        tail.note_written(20);
        assert_eq!((tail.unwritten_bytes(), tail.first_unwritten_offset()), (0, None));
        tail.clear_written();
        assert_eq!(tail.slice(&span(Offset(120), 100, Offset(120), true)), None);
        assert_eq!(tail.written(), 1040);
    }
}
