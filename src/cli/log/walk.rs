//! The batches of a segment file, one after the other, with little of the file in memory.

use std::io;
use std::path::Path;

use engine::batch::{Batch, BatchError, BatchHeader, HEADER_BYTES};
use reactor::{File, OpenMode};

/// How much is read at once; a larger batch is read whole.
const PIECE_BYTES: u64 = 1 << 20;
/// The header up to and with the magic.
const UP_TO_MAGIC_BYTES: u64 = 17;

/// Why the walk cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
}

pub struct Walk {
    file: File,
    file_bytes: u64,
    position: u64,
    piece: Vec<u8>,
    piece_at: u64,
}

impl Walk {
    pub fn open(path: &Path) -> io::Result<Walk> {
        let file = File::open(path, OpenMode::Read)?;
        let file_bytes = file.len()?;
        Ok(Walk {
            file,
            file_bytes,
            position: 0,
            piece: Vec::new(),
            piece_at: 0,
        })
    }

    /// Where the next batch begins; after an error, where the damage is.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next batch and its position; `None` at the end. Zeros to the end of the file are space that was allocated
    /// and not used.
    pub fn next_batch(&mut self) -> Result<Option<(u64, Batch<'_>)>, WalkError> {
        let left = self.file_bytes.saturating_sub(self.position);
        if left == 0 || (self.at_zeros()? && self.rest_is_zeros()?) {
            return Ok(None);
        }
        let at = self.position;
        let header_bytes = left.min(HEADER_BYTES as u64);
        let announced = BatchHeader::peek(self.bytes(header_bytes)?).map_or(0, BatchHeader::size_bytes);
        // what announces more than there is gets what there is: the batch itself then says that it is cut
        let wanted = u64::try_from(announced).unwrap_or(0).clamp(header_bytes, left);
        self.position += wanted;
        match Batch::split_first(self.bytes_at(at, wanted)?) {
            Ok((batch, _)) => Ok(Some((at, batch))),
            Err(error) => Err(error.into()),
        }
    }

    /// No batch begins so: its magic is not zero. A shorter tail of zeros may be the begin of one.
    fn at_zeros(&mut self) -> io::Result<bool> {
        let left = self.file_bytes.saturating_sub(self.position);
        Ok(left >= UP_TO_MAGIC_BYTES && self.bytes(UP_TO_MAGIC_BYTES)?.iter().all(|byte| *byte == 0))
    }

    fn rest_is_zeros(&mut self) -> io::Result<bool> {
        let mut at = self.position;
        while at < self.file_bytes {
            let count = (self.file_bytes - at).min(PIECE_BYTES);
            if self.bytes_at(at, count)?.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += count;
        }
        Ok(true)
    }

    fn bytes(&mut self, count: u64) -> io::Result<&[u8]> {
        self.bytes_at(self.position, count)
    }

    /// `count` bytes of the file, which must be there.
    fn bytes_at(&mut self, at: u64, count: u64) -> io::Result<&[u8]> {
        let has = at >= self.piece_at && at + count <= self.piece_at + self.piece.len() as u64;
        if !has {
            let piece_bytes = count.max(PIECE_BYTES).min(self.file_bytes.saturating_sub(at));
            self.piece.resize(piece_bytes as usize, 0);
            self.piece_at = at;
            self.file.read_exact_at(&mut self.piece, at)?;
        }
        let start = (at - self.piece_at) as usize;
        self.piece
            .get(start..start + count as usize)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::batch::BatchBuilder;
    use engine::types::{Offset, Timestamp};

    fn batch(base: i64, value_bytes: usize) -> Vec<u8> {
        let mut batch = BatchBuilder::new(Offset(base));
        batch.append(Timestamp(1), None, Some(&vec![7; value_bytes]));
        batch.build().unwrap().to_vec()
    }

    fn positions(bytes: &[u8]) -> (Vec<u64>, Option<String>, u64) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000.log");
        std::fs::write(&path, bytes).unwrap();
        let mut walk = Walk::open(&path).unwrap();
        let mut found = Vec::new();
        loop {
            match walk.next_batch() {
                Ok(Some((position, _))) => found.push(position),
                Ok(None) => return (found, None, walk.position()),
                Err(error) => return (found, Some(error.to_string()), 0),
            }
        }
    }

    #[test]
    fn batches_of_any_size_are_found_and_unused_space_is_the_end() {
        // A batch across two reads must not look torn.
        let mut bytes = batch(0, 10);
        let mut expected = vec![0];
        for (offset, value_bytes) in (1..).zip([900_000, 300_000, 3_000_000, 5]) {
            expected.push(bytes.len() as u64);
            bytes.extend(batch(offset, value_bytes));
        }
        let end = bytes.len() as u64;
        assert_eq!(positions(&bytes), (expected.clone(), None, end));
        bytes.resize(bytes.len() + 2_500_000, 0);
        assert_eq!(positions(&bytes), (expected, None, end));
        assert_eq!(positions(b""), (vec![], None, 0));
    }

    #[test]
    fn a_cut_or_foreign_tail_is_an_error() {
        let mut bytes = batch(0, 10);
        let first = bytes.len();
        bytes.extend(batch(1, 100));
        for cut in [first + 1, first + 20, first + 61, bytes.len() - 1] {
            let (found, error, _) = positions(&bytes[..cut]);
            assert_eq!(found, [0]);
            assert!(error.is_some(), "cut at {cut}");
        }
        bytes.truncate(first);
        bytes.extend([0; 30]);
        bytes.extend([1; 30]);
        assert!(positions(&bytes).1.is_some());
    }
}
