//! Files around the page cache, written in whole blocks.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::aligned::{AlignedBuf, BLOCK_BYTES};
use crate::file::{OpenMode, open_os};
use crate::filling::{Filling, REAL_FILE, sim_only};
use crate::opened::{Opened, OsFile};
use crate::sim::{self, SimFile};
use crate::{background, core, sys};

/// An open file for direct input and output (`O_DIRECT`). Clones share the descriptor, which closes with the last of
/// them and of the requests on it.
///
/// Where the file system refuses O_DIRECT (at the open, or at the first transfer) the page cache is used after all,
/// and a synced write is a write followed by a sync: slower, and just as durable.
#[derive(Clone, Debug)]
pub struct DirectFile {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Os(Arc<Direct>),
    Sim(SimFile),
}

impl DirectFile {
    pub fn open(path: &Path, mode: OpenMode) -> io::Result<DirectFile> {
        if let Some(disk) = sim::current_disk() {
            let kind = Kind::Sim(disk.open(path, mode)?);
            return Ok(DirectFile { kind });
        }
        let file = open_os(path, mode)?;
        // why not with the open: one that makes the file and is refused then leaves it behind
        let is_direct = sys::file::set_direct(&file, true).is_ok();
        Ok(DirectFile {
            kind: Kind::Os(Arc::new(Direct {
                file: Opened::new(file),
                is_direct: AtomicBool::new(is_direct),
            })),
        })
    }

    /// The same file, though it be renamed or removed by now, opened again for reading.
    pub(crate) fn reopen(file: &std::fs::File) -> io::Result<DirectFile> {
        Ok(DirectFile {
            kind: Kind::Os(Arc::new(Direct {
                file: Opened::new(sys::file::reopen_direct(file)?),
                is_direct: AtomicBool::new(true),
            })),
        })
    }

    /// Writes all of `buf`, which is whole blocks, to a block of the file; when it resolves, the bytes (and the length,
    /// if it grew) are on stable storage. Gives the buffer back. Dropped before, the write may happen or not, and the
    /// buffer returns to the pool when the kernel is done with it.
    ///
    /// # Errors
    /// `InvalidInput` for anything but whole blocks. After another error the blocks hold anybody's guess.
    pub async fn write_synced(&self, buf: AlignedBuf, offset: u64) -> (AlignedBuf, io::Result<()>) {
        if let Err(e) = check_blocks(buf.len(), offset) {
            return (buf, Err(e));
        }
        match &self.kind {
            Kind::Os(direct) => direct.write_synced(buf, offset).await,
            Kind::Sim(file) => {
                let result = file.write_synced(offset, &buf).await;
                (buf, result)
            }
        }
    }

    /// Up to `len` bytes from anywhere, fewer only where the file ends. Reads the blocks around them at once.
    pub async fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        match &self.kind {
            Kind::Os(direct) => direct.read(offset, len).await,
            Kind::Sim(file) => file.read(offset, len).await,
        }
    }

    /// Fills `buf` to its capacity from a block of the file on, less where the file ends, and says how much. Blocks
    /// the thread.
    pub fn read_blocking(&self, buf: &mut AlignedBuf, offset: u64) -> io::Result<usize> {
        buf.clear();
        check_blocks(buf.capacity(), offset)?;
        match &self.kind {
            Kind::Os(direct) => direct.read_blocking(buf, offset),
            Kind::Sim(file) => {
                let n = file.read_at(buf.all_mut(), offset)?;
                buf.set_len(n);
                Ok(n)
            }
        }
    }

    /// Writes whole blocks, which may lie in the device's cache until a sync. Blocks the thread.
    pub fn write_blocking(&self, buf: &AlignedBuf, offset: u64) -> io::Result<()> {
        check_blocks(buf.len(), offset)?;
        match &self.kind {
            Kind::Os(direct) => direct.write_blocking(buf, offset),
            Kind::Sim(file) => file.write_all_at(buf, offset),
        }
    }

    pub fn sync_data_blocking(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Os(direct) => sys::file::sync_data(&direct.file),
            Kind::Sim(file) => file.sync_data_blocking(),
        }
    }

    /// In bytes.
    #[allow(clippy::len_without_is_empty)] // why: nobody asks whether a file is empty but by its length
    pub fn len(&self) -> io::Result<u64> {
        match &self.kind {
            Kind::Os(direct) => direct.file.len(),
            Kind::Sim(file) => file.len(),
        }
    }

    pub fn set_len(&self, len: u64) -> io::Result<()> {
        match &self.kind {
            Kind::Os(direct) => direct.file.set_len(len),
            Kind::Sim(file) => file.set_len(len),
        }
    }

    /// False where the file system has refused O_DIRECT.
    pub fn is_direct(&self) -> bool {
        match &self.kind {
            Kind::Os(direct) => direct.is_direct(),
            Kind::Sim(_) => true,
        }
    }
}

#[derive(Debug)]
struct Direct {
    file: OsFile,
    /// Goes to false once, with the descriptor's flag.
    is_direct: AtomicBool,
}

impl Direct {
    fn is_direct(&self) -> bool {
        self.is_direct.load(Ordering::Relaxed)
    }

    async fn write_synced(&self, buf: AlignedBuf, offset: u64) -> (AlignedBuf, io::Result<()>) {
        let write = core::current().device.begin_write();
        let written = self.write_all_synced(buf, offset).await;
        core::with(|core| core.device.end_write(write));
        written
    }

    async fn write_all_synced(&self, buf: AlignedBuf, offset: u64) -> (AlignedBuf, io::Result<()>) {
        let filling = core::current().filling.clone();
        let mut buf = buf;
        let mut done = 0;
        while done < buf.len() {
            let sync = if self.is_direct() { Sync::Data } else { Sync::No };
            let range = done..buf.len();
            let (back, result) = filling
                .write_from(&self.file, buf, range, offset + done as u64, sync)
                .await;
            buf = back;
            match self.advance_write(result, buf.len() - done) {
                Ok(n) => done += n,
                Err(e) => return (buf, Err(e)),
            }
        }
        if self.is_direct() {
            return (buf, Ok(()));
        }
        // also when it was refused half-way: the sync covers what was synced already
        let synced = filling.sync_data(self.file.clone()).await;
        (buf, synced)
    }

    async fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        if len == 0 {
            return Ok(Bytes::new());
        }
        let around = Around::of(offset, len)?;
        let filling = core::current().filling.clone();
        let mut buf = AlignedBuf::with_capacity(around.bytes);
        let mut reading = Reading::new(around.bytes);
        while let Some(range) = reading.next() {
            let at = around.start + range.start as u64;
            let (back, result) = filling.read_into(&self.file, buf, range, at).await;
            buf = back;
            self.advance_read(&mut reading, result, around.start)?;
        }
        buf.set_len(reading.filled);
        Ok(around.cut(buf))
    }

    fn read_blocking(&self, buf: &mut AlignedBuf, offset: u64) -> io::Result<usize> {
        let mut reading = Reading::new(buf.capacity());
        while let Some(range) = reading.next() {
            let at = offset + range.start as u64;
            let result = sys::file::read_at(&self.file, &mut buf.all_mut()[range], at);
            self.advance_read(&mut reading, result, offset)?;
        }
        buf.set_len(reading.filled);
        Ok(reading.filled)
    }

    fn write_blocking(&self, buf: &AlignedBuf, offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let result = sys::file::write_at(&self.file, &buf[done..], offset + done as u64, Sync::No);
            done += self.advance_write(result, buf.len() - done)?;
        }
        Ok(())
    }

    /// How far a write of `asked` bytes has brought us, in whole blocks but at the end.
    fn advance_write(&self, result: io::Result<usize>, asked: usize) -> io::Result<usize> {
        match result {
            Ok(n) if n >= asked => Ok(asked),
            // a part of a block is written again with the rest of it: direct writes begin at blocks
            Ok(n) if n >= BLOCK_BYTES => Ok(n - n % BLOCK_BYTES),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(e) => self.forgive(e).map(|()| 0),
        }
    }

    fn advance_read(&self, reading: &mut Reading, result: io::Result<usize>, start: u64) -> io::Result<()> {
        match result {
            Ok(n) => reading.advance(n, || Ok(self.file.len()?.saturating_sub(start))),
            Err(e) => self.forgive(e),
        }
    }

    /// Errors after which the same is to be tried again, because nothing has happened yet.
    fn forgive(&self, error: io::Error) -> io::Result<()> {
        match error.raw_os_error() {
            Some(libc::EINTR) => Ok(()),
            Some(libc::EINVAL | libc::EOPNOTSUPP) if self.is_direct() => {
                tracing::warn!(%error, "the file system refuses direct transfers: the page cache is used instead");
                sys::file::set_direct(&self.file, false)?;
                self.is_direct.store(false, Ordering::Relaxed);
                Ok(())
            }
            _ => Err(error),
        }
    }
}

/// What a write waits for beside the transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    No,
    /// The bytes, and what is needed to find them again, on stable storage.
    Data,
}

/// The whole blocks around a range.
pub(crate) struct Around {
    pub(crate) start: u64,
    pub(crate) bytes: usize,
    skip: usize,
    len: usize,
}

impl Around {
    pub(crate) fn of(offset: u64, len: usize) -> io::Result<Around> {
        let skip = (offset % BLOCK_BYTES as u64) as usize;
        let bytes = skip
            .checked_add(len)
            .and_then(|end| end.checked_next_multiple_of(BLOCK_BYTES));
        let fits = offset
            .checked_add(len as u64)
            .is_some_and(|end| i64::try_from(end).is_ok());
        match bytes {
            Some(bytes) if fits => Ok(Around {
                start: offset - skip as u64,
                bytes,
                skip,
                len,
            }),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// The range out of the blocks read, which may be fewer.
    pub(crate) fn cut(&self, blocks: AlignedBuf) -> Bytes {
        let end = blocks.len().min(self.skip + self.len);
        if end <= self.skip {
            return Bytes::new();
        }
        blocks.into_bytes().slice(self.skip..end)
    }
}

/// `filled <= wanted`; direct reads begin at blocks, so what ends inside a block is either the file's end or read again.
pub(crate) struct Reading {
    pub(crate) filled: usize,
    wanted: usize,
    is_done: bool,
}

impl Reading {
    pub(crate) fn new(wanted: usize) -> Reading {
        Reading {
            filled: 0,
            wanted,
            is_done: wanted == 0,
        }
    }

    /// What to read next, as a range of the buffer.
    pub(crate) fn next(&mut self) -> Option<Range<usize>> {
        if self.is_done {
            return None;
        }
        self.filled -= self.filled % BLOCK_BYTES;
        Some(self.filled..self.wanted)
    }

    /// `n` bytes came. `file_left` says how long the file is, counted from where the buffer begins.
    pub(crate) fn advance(
        &mut self,
        n: usize,
        file_left: impl FnOnce() -> io::Result<u64>,
    ) -> io::Result<()> {
        let before = self.filled;
        self.filled = (before + n).min(self.wanted);
        if n == 0 || self.filled == self.wanted {
            self.is_done = true;
        } else if !self.filled.is_multiple_of(BLOCK_BYTES) {
            if self.filled as u64 >= file_left()? {
                self.is_done = true;
            } else if self.filled - before < BLOCK_BYTES {
                // the file has grown since, or the kernel gives parts of blocks; the former is over soon, the latter
                // would go on for ever
                self.is_done = true;
            }
        }
        Ok(())
    }
}

fn check_blocks(len: usize, offset: u64) -> io::Result<()> {
    let is_whole = len.is_multiple_of(BLOCK_BYTES) && offset.is_multiple_of(BLOCK_BYTES as u64);
    let fits = offset
        .checked_add(len as u64)
        .is_some_and(|end| i64::try_from(end).is_ok());
    if is_whole && fits {
        return Ok(());
    }
    let text = format!("{len} bytes at {offset} are not whole blocks of {BLOCK_BYTES} bytes of a file");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

impl Filling {
    /// One read into a range of the buffer's capacity.
    pub(crate) async fn read_into(
        &self,
        file: &OsFile,
        buf: AlignedBuf,
        range: Range<usize>,
        offset: u64,
    ) -> (AlignedBuf, io::Result<usize>) {
        let (file, mut buf) = (file.clone(), buf);
        match self {
            Filling::Uring(driver) => driver.read_into(file, buf, range, offset).await,
            Filling::Sim(_) => (buf, Err(sim_only(REAL_FILE))),
            Filling::Epoll(_) => {
                background(move || {
                    let result = sys::file::read_at(&file, &mut buf.all_mut()[range], offset);
                    (buf, result)
                })
                .await
            }
        }
    }

    /// One write from a range of the buffer.
    pub(crate) async fn write_from(
        &self,
        file: &OsFile,
        buf: AlignedBuf,
        range: Range<usize>,
        offset: u64,
        sync: Sync,
    ) -> (AlignedBuf, io::Result<usize>) {
        let file = file.clone();
        match self {
            Filling::Uring(driver) => driver.write_from(file, buf, range, offset, sync).await,
            Filling::Sim(_) => (buf, Err(sim_only(REAL_FILE))),
            Filling::Epoll(_) => {
                background(move || {
                    let result = sys::file::write_at(&file, &buf[range], offset, sync);
                    (buf, result)
                })
                .await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a read must do next depends on where it stopped: an unaligned second read would be refused by the kernel.
    #[test]
    fn a_short_read_goes_on_at_a_block() {
        let mut reading = Reading::new(16384);
        assert_eq!(reading.next(), Some(0..16384));
        reading.advance(4096, || panic!("no need to ask")).expect("fine");
        assert_eq!(reading.next(), Some(4096..16384));
        reading.advance(5000, || Ok(20000)).expect("fine"); // stops inside a block, though the file is longer
        assert_eq!(reading.next(), Some(8192..16384));
        reading.advance(1808, || Ok(10000)).expect("fine"); // the end
        assert_eq!((reading.next(), reading.filled), (None, 10000));
    }

    /// A kernel that keeps giving parts of blocks must not keep us for ever.
    #[test]
    fn a_read_ends_where_nothing_moves() {
        let mut reading = Reading::new(8192);
        reading.next();
        reading.advance(100, || Ok(8192)).expect("fine");
        assert_eq!((reading.next(), reading.filled), (None, 100));
        let mut reading = Reading::new(8192);
        reading.next();
        reading.advance(4096, || panic!("no need to ask")).expect("fine");
        reading.advance(0, || panic!("no need to ask")).expect("fine");
        assert_eq!((reading.next(), reading.filled), (None, 4096));
    }

    #[test]
    fn ranges_beyond_what_files_can_be_are_refused() {
        assert!(Around::of(u64::MAX, 1).is_err());
        assert!(Around::of(i64::MAX as u64, 1).is_err());
        assert!(Around::of(1, usize::MAX).is_err());
        assert!(check_blocks(4096, u64::MAX - 4095).is_err());
        assert!(check_blocks(100, 0).is_err() && check_blocks(4096, 512).is_err());
        assert!(check_blocks(4096, 8192).is_ok());
    }
}
