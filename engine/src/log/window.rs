//! Reading a segment piece by piece: a bounded buffer that moves over it, and the walk from header to header.

use std::io;

use reactor::File;

use super::damage::{Damage, DamageAt};
use crate::batch::{BatchHeader, HEADER_BYTES, MAGIC};

/// Bytes at positions: a file, or a slice in tests and fuzzing.
pub trait ByteSource {
    /// May read less than asked for; 0 at or past the end.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;
}

impl ByteSource for [u8] {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let rest = usize::try_from(position)
            .ok()
            .and_then(|at| self.get(at..))
            .unwrap_or_default();
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}

impl ByteSource for File {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        File::read_at(self, buf, position)
    }
}

/// Enough for the headers of a few small batches; a walk over big ones wastes little.
pub(crate) const SCAN_BYTES: usize = 4096;
/// For reading everything: one system call a MiB.
pub(crate) const BULK_BYTES: usize = 1 << 20;

/// A moving view of a source, `end` bytes of it.
pub(crate) struct Window<'s, S: ByteSource + ?Sized> {
    source: &'s S,
    end: u64,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
    capacity: usize,
}

impl<'s, S: ByteSource + ?Sized> Window<'s, S> {
    pub(crate) fn new(source: &'s S, end: u64, capacity: usize) -> Self {
        Window {
            source,
            end,
            buffer: Vec::new(),
            start: 0,
            filled: 0,
            capacity,
        }
    }

    /// `wanted` bytes at `position`, fewer where the window's capacity or the end says so.
    pub(crate) fn bytes(&mut self, position: u64, wanted: usize) -> io::Result<&[u8]> {
        let left = self.end.saturating_sub(position);
        let wanted = wanted
            .min(self.capacity)
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let held = position
            .checked_sub(self.start)
            .is_some_and(|skip| skip.saturating_add(wanted as u64) <= self.filled as u64);
        if !held {
            self.fill(position, wanted, left)?;
        }
        let from = (position - self.start) as usize; // within the buffer by now
        let to = (from + wanted).min(self.filled);
        Ok(self.buffer.get(from..to).unwrap_or_default())
    }

    fn fill(&mut self, position: u64, wanted: usize, left: u64) -> io::Result<()> {
        let room = self.capacity.min(usize::try_from(left).unwrap_or(usize::MAX));
        if self.buffer.len() < room {
            // never more than is left: clearing a MiB for a short segment costs more than checking it
            self.buffer.resize(room, 0);
        }
        self.start = position;
        self.filled = 0;
        while self.filled < wanted {
            let at = position + self.filled as u64;
            match self
                .source
                .read_at(self.buffer.get_mut(self.filled..room).unwrap_or_default(), at)
            {
                Ok(0) => break,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The batch header at a position that is trusted to be the start of a batch: checked only as far as walking on
    /// needs. `None` at the end.
    pub(crate) fn header(&mut self, position: u64) -> Result<Option<BatchAt>, ScanError> {
        let remaining = self.end.saturating_sub(position);
        if remaining == 0 {
            return Ok(None);
        }
        let bytes = self.bytes(position, HEADER_BYTES)?;
        let Some(header) = BatchHeader::peek(bytes).copied() else {
            return Err(DamageAt {
                position,
                damage: Damage::Torn {
                    expected: HEADER_BYTES as u64,
                    found: remaining,
                },
            }
            .into());
        };
        let size_bytes = walkable_size(&header, remaining).map_err(|damage| DamageAt { position, damage })?;
        Ok(Some(BatchAt {
            position,
            size_bytes,
            header,
        }))
    }

    /// The first batch from `position` on that is `wanted`, walking from header to header.
    pub(crate) fn find(
        &mut self,
        position: u64,
        mut wanted: impl FnMut(&BatchAt) -> bool,
    ) -> Result<Option<BatchAt>, ScanError> {
        let mut position = position;
        while let Some(batch) = self.header(position)? {
            if wanted(&batch) {
                return Ok(Some(batch));
            }
            position = batch.end();
        }
        Ok(None)
    }
}

/// Size of the batch a header announces, if it is a header and the batch ends within `remaining` bytes.
pub(crate) fn walkable_size(header: &BatchHeader, remaining: u64) -> Result<u64, Damage> {
    if header.magic() != MAGIC {
        return Err(Damage::Magic {
            found: header.magic(),
        });
    }
    match u64::try_from(header.size_bytes()) {
        Ok(size) if size < HEADER_BYTES as u64 => Err(Damage::Size {
            found: header.size_bytes(),
        }),
        Ok(size) if size > remaining => Err(Damage::Torn {
            expected: size,
            found: remaining,
        }),
        Ok(size) => Ok(size),
        Err(_) => Err(Damage::Size {
            found: header.size_bytes(),
        }),
    }
}

/// A batch and where it lies in its segment.
#[derive(Copy, Clone, Debug)]
pub struct BatchAt {
    pub position: u64,
    pub size_bytes: u64,
    pub header: BatchHeader,
}

impl BatchAt {
    pub fn end(&self) -> u64 {
        self.position + self.size_bytes
    }
}

/// A walk that could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Damaged(#[from] DamageAt),
}

impl ScanError {
    /// For callers that report any failure as one of the disk.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            ScanError::Io(error) => error,
            ScanError::Damaged(damage) => io::Error::new(io::ErrorKind::InvalidData, damage),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;
    use crate::types::{Offset, Timestamp};

    #[test]
    fn the_walk_finds_batches_larger_and_smaller_than_the_window() {
        let mut log = Vec::new();
        for (offset, size) in [(0, 10), (1, 9000), (2, 50), (3, 4090)] {
            let mut batch = BatchBuilder::new(Offset(offset));
            batch.append(Timestamp(1), None, Some(&vec![b'x'; size]));
            log.extend_from_slice(&batch.build().unwrap());
        }
        let mut window = Window::new(log.as_slice(), log.len() as u64, SCAN_BYTES);
        let mut seen = Vec::new();
        let none = window.find(0, |batch| {
            seen.push(batch.header.base_offset().0);
            false
        });
        assert!(none.unwrap().is_none());
        assert_eq!(seen, [0, 1, 2, 3]);
        let found = window
            .find(0, |batch| batch.header.last_offset() >= Offset(2))
            .unwrap()
            .unwrap();
        assert_eq!(found.header.base_offset(), Offset(2));
        let mut cut = Window::new(log.as_slice(), log.len() as u64 - 1, SCAN_BYTES);
        assert!(matches!(cut.find(0, |_| false), Err(ScanError::Damaged(_))));
    }
}
