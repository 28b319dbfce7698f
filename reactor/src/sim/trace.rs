//! What happened, as a number to compare and as lines to read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lines kept; older ones go.
const LINES_MAX: usize = 200_000;

#[derive(Clone, Debug)]
pub(super) struct Trace {
    hash: u64,
    pub(super) is_readable: bool,
    /// Numbered in the order they were written, over all traces of a world.
    lines: VecDeque<(u64, String)>,
    next_line: Arc<AtomicU64>,
}

impl Default for Trace {
    fn default() -> Trace {
        Trace {
            hash: 0xcbf2_9ce4_8422_2325,
            is_readable: false,
            lines: VecDeque::new(),
            next_line: Arc::default(),
        }
    }
}

impl Trace {
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(29);
    }

    pub(super) fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.mix(u64::from(*byte));
        }
    }

    pub(super) fn line(&mut self, line: impl FnOnce() -> String) {
        if !self.is_readable {
            return;
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        let number = self.next_line.fetch_add(1, Ordering::Relaxed);
        self.lines.push_back((number, line()));
    }

    /// An empty trace whose lines are numbered together with those of this one.
    pub(super) fn beside(&self) -> Trace {
        Trace {
            is_readable: self.is_readable,
            next_line: self.next_line.clone(),
            ..Trace::default()
        }
    }

    pub(super) fn take_lines(&mut self) -> Vec<String> {
        self.lines.drain(..).map(|(_, line)| line).collect()
    }

    pub(super) fn take_numbered_lines(&mut self) -> Vec<(u64, String)> {
        self.lines.drain(..).collect()
    }
}
