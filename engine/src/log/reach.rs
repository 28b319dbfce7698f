//! How far a read goes for its bytes: a shard's thread must not wait for the disk because a consumer of old data needs a header.

use std::io;

use reactor::File;

use super::window::ByteSource;

/// How far to go for bytes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the disk; the thread waits.
    Disk,
    /// As far as the page cache has it. What lies beyond is [`Absent`].
    Memory,
}

/// Bytes that a read needs are not in the page cache.
#[derive(Clone, Debug, thiserror::Error)]
#[error("byte {position} is not in the page cache")]
pub struct Absent {
    file: File,
    position: u64,
}

/// Of a whole page around what was missing.
const PAGE_BYTES: u64 = 4096;

impl Absent {
    /// Has them read, while the thread does other things. An error shows again when they are read in earnest.
    pub async fn fetch(self) {
        let page = self.position - self.position % PAGE_BYTES;
        let _shows_again = self.file.read(page, PAGE_BYTES as usize).await;
    }

    /// What a read failed for, if it was this.
    pub(crate) fn of(error: &io::Error) -> Option<&Absent> {
        error.get_ref()?.downcast_ref()
    }
}

/// A file within reach.
pub(crate) struct Within<'f> {
    pub(crate) file: &'f File,
    pub(crate) reach: Reach,
}

impl ByteSource for Within<'_> {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        match self.reach {
            Reach::Disk => self.file.read_at(buf, position),
            Reach::Memory => match self.file.read_resident_at(buf, position) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    Absent {
                        file: self.file.clone(),
                        position,
                    },
                )),
                other => other,
            },
        }
    }
}

impl Within<'_> {
    /// # Errors
    /// `UnexpectedEof` if the file ends before `buf` is full.
    pub(crate) fn read_exact_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, position + filled as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
