//! What happened, as a number to compare and as lines to read.

/// Lines kept; older ones go.
const LINES_MAX: usize = 200_000;

#[derive(Clone, Debug)]
pub(super) struct Trace {
    hash: u64,
    pub(super) is_readable: bool,
    lines: std::collections::VecDeque<String>,
}

impl Default for Trace {
    fn default() -> Trace {
        Trace {
            hash: 0xcbf2_9ce4_8422_2325,
            is_readable: false,
            lines: Default::default(),
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
        self.lines.push_back(line());
    }

    pub(super) fn take_lines(&mut self) -> Vec<String> {
        self.lines.drain(..).collect()
    }
}
