//! Files, read and written at explicit offsets.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::core;
use crate::filling::sim_only;
use crate::opened::{Opened, OsFile};
use crate::residency::{self, Residency};
use crate::sim::{self, SimFile};
use crate::{cold, sys, wall_ms};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    Read,
    /// For reading and writing; fails if it does not exist.
    ReadWrite,
    /// For reading and writing; fails if it exists.
    CreateNew,
    /// For reading and writing; made if it does not exist, kept as it is if it does.
    Create,
}

pub(crate) fn open_os(path: &Path, mode: OpenMode) -> io::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.read(true);
    match mode {
        OpenMode::Read => {}
        OpenMode::ReadWrite => {
            options.write(true);
        }
        OpenMode::CreateNew => {
            options.write(true).create_new(true);
        }
        OpenMode::Create => {
            options.write(true).create(true).truncate(false);
        }
    }
    options.open(path)
}

/// An open file. Clones share the descriptor, so a slice of a file may travel to another shard and be sent from there;
/// it closes with the last clone.
///
/// `read_at`, `write_all_at` and their kin block the thread: they are for what the page cache takes or holds, where
/// a ring round trip was measured to cost more. `read` and `sync_data` wait without blocking.
#[derive(Clone, Debug)]
pub struct File {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Os(OsFile),
    Sim(SimFile),
}

impl File {
    pub fn open(path: &Path, mode: OpenMode) -> io::Result<File> {
        let kind = match sim::current_disk() {
            Some(disk) => Kind::Sim(disk.open(path, mode)?),
            None => Kind::Os(Opened::new(open_os(path, mode)?)),
        };
        Ok(File { kind })
    }

    /// The descriptor; a file of the simulated machine has none.
    pub(crate) fn os(&self) -> io::Result<&OsFile> {
        match &self.kind {
            Kind::Os(os) => Ok(os),
            Kind::Sim(_) => Err(sim_only("a simulated file has no descriptor")),
        }
    }

    /// One `pread`: may read less than asked for, 0 at or past the end.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.kind {
            Kind::Os(os) => os.read_at(buf, offset),
            Kind::Sim(file) => file.read_at(buf, offset),
        }
    }

    /// [`File::read_at`], as far as the page cache has it: never waits for the disk, unless the file system cannot tell.
    ///
    /// # Errors
    /// `WouldBlock` if what lies at `offset` is not in the page cache.
    pub fn read_resident_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.kind {
            Kind::Os(os) => match sys::file::read_resident_at(os, buf, offset) {
                Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => os.read_at(buf, offset),
                other => other,
            },
            Kind::Sim(file) if file.is_resident() => file.read_at(buf, offset),
            Kind::Sim(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Opens a file to be read once, from one end to the other: nothing is read ahead of [`File::read_once_at`].
    pub fn open_once(path: &Path) -> io::Result<File> {
        let file = File::open(path, OpenMode::Read)?;
        if let Kind::Os(os) = &file.kind {
            // best effort: a file system that takes no advice reads as it likes
            let _ = sys::file::no_readahead(os);
        }
        Ok(file)
    }

    /// [`File::read_at`] for who reads large amounts once: what was not in the page cache is not there afterwards either, so
    /// that what others read again and again stays.
    pub fn read_once_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let os = match &self.kind {
            Kind::Os(os) => os,
            Kind::Sim(file) => return file.read_at(buf, offset),
        };
        if let Ok(count) = sys::file::read_resident_at(os, buf, offset)
            && count == buf.len()
        {
            return Ok(count);
        }
        let count = os.read_at(buf, offset)?;
        let _ = sys::file::drop_cached(os, offset, count as u64);
        Ok(count)
    }

    /// Drops the file from the page cache, as far as it is written back: for a file that was written for later.
    pub fn drop_cached(&self) {
        if let Kind::Os(os) = &self.kind {
            // best effort: the kernel may keep what it likes
            let _ = sys::file::drop_cached(os, 0, 0);
        }
    }

    /// When the content last changed, in milliseconds since 1970. The simulated disk keeps no times: there it is now.
    pub fn modified_ms(&self) -> io::Result<i64> {
        let modified = match &self.kind {
            Kind::Os(os) => os.metadata()?.modified()?,
            Kind::Sim(_) => return Ok(wall_ms()),
        };
        let since = modified.duration_since(SystemTime::UNIX_EPOCH);
        Ok(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Says when the content last changed.
    pub fn set_modified_ms(&self, ms: i64) -> io::Result<()> {
        let since = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        match (&self.kind, SystemTime::UNIX_EPOCH.checked_add(since)) {
            (Kind::Os(os), Some(time)) => os.set_modified(time),
            (Kind::Os(_), None) => Err(io::ErrorKind::InvalidInput.into()),
            (Kind::Sim(_), _) => Ok(()),
        }
    }

    /// # Errors
    /// `UnexpectedEof` if the file ends before `buf` is full.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.kind {
            Kind::Os(os) => os.read_exact_at(buf, offset),
            Kind::Sim(file) => match file.read_at(buf, offset)? {
                n if n == buf.len() => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        }
    }

    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match &self.kind {
            Kind::Os(os) => os.write_all_at(bytes, offset),
            Kind::Sim(file) => file.write_all_at(bytes, offset),
        }
    }

    /// Writes all slices one after the other; leaves `slices` advanced past what was written.
    pub fn write_all_vectored_at(&self, slices: &mut [io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut slices = slices;
        let mut offset = offset;
        let os = match &self.kind {
            Kind::Os(os) => os,
            Kind::Sim(file) => {
                let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                return file.write_all_at(&bytes, offset);
            }
        };
        io::IoSlice::advance_slices(&mut slices, 0); // drops empty slices, which would look like a full disk below
        while !slices.is_empty() {
            match sys::file::write_vectored_at(os, slices, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    offset += n as u64;
                    io::IoSlice::advance_slices(&mut slices, n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Up to `len` bytes from `offset`, fewer only where the file ends. Allocates `len` bytes at once. A big range that
    /// the page cache lacks is read around it, under the reactor's budget for that.
    pub async fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        if len == 0 {
            return Ok(Bytes::new());
        }
        match &self.kind {
            Kind::Os(os)
                if len >= COLD_BYTES_MIN && residency::of(os, offset, len as u64) == Residency::Missing =>
            {
                Ok(cold::read(os, offset, len).await?.bytes)
            }
            Kind::Os(os) => {
                let filling = core::current().filling.clone();
                filling.read(os.clone(), offset, len).await
            }
            Kind::Sim(file) => file.read(offset, len).await,
        }
    }

    /// Waits until all data written so far, and the length, are on stable storage. After an error the state of the
    /// file is unknown for good: a second try may succeed although data was lost.
    pub async fn sync_data(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Os(os) => {
                let filling = core::current().filling.clone();
                filling.sync_data(os.clone()).await
            }
            Kind::Sim(file) => file.sync_data().await,
        }
    }

    /// The same, blocking the thread.
    pub fn sync_data_blocking(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Os(os) => sys::file::sync_data(os),
            Kind::Sim(file) => file.sync_data_blocking(),
        }
    }

    /// Whether the page cache holds all of a range, so that reading it does not wait for the disk; also false where the
    /// kernel does not say. Only a hint: pages come and go.
    pub fn is_resident(&self, offset: u64, len: u64) -> bool {
        match &self.kind {
            Kind::Os(os) => residency::missing(os, offset, len) == Some(0),
            Kind::Sim(file) => file.is_resident(),
        }
    }

    /// Tells the kernel that this descriptor reads here and there: it then reads no more than it is asked for. With its usual
    /// read-ahead one header of an old segment brings megabytes into the page cache, and evicts what consumers at the end read.
    pub fn advise_random(&self) {
        if let Kind::Os(os) = &self.kind {
            sys::cache::advise_random(os);
        }
    }

    /// Drops what the page cache holds of the file from `offset` on and believes to be on the disk; what is dirty stays. After a
    /// failed write-back that belief is wrong, and only reading from the disk shows it.
    pub fn drop_clean_pages(&self, offset: u64) {
        match &self.kind {
            Kind::Os(os) => sys::cache::drop_clean(os, offset),
            Kind::Sim(file) => file.drop_clean_pages(),
        }
    }

    /// Starts writing back what is dirty in a range, so that a later sync has less to wait for. Blocks the thread while
    /// the device's queue is full; promises nothing about durability.
    pub fn start_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(()); // to the kernel it would mean "to the end"
        }
        match &self.kind {
            Kind::Os(os) => sys::cache::start_writeback(os, offset, len),
            Kind::Sim(_) => Ok(()), // what is dirty may be written back at any time anyway
        }
    }

    /// Waits until what was handed to the disk is written; no promise of durability. A failure is told here and not again: a sync
    /// that follows may succeed although bytes are lost.
    pub fn wait_writeback_blocking(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Os(os) => sys::cache::wait_writeback(os),
            Kind::Sim(file) => file.wait_writeback(),
        }
    }

    /// In bytes.
    #[allow(clippy::len_without_is_empty)] // why: nobody asks whether a file is empty but by its length
    pub fn len(&self) -> io::Result<u64> {
        match &self.kind {
            Kind::Os(os) => Ok(os.metadata()?.len()),
            Kind::Sim(file) => file.len(),
        }
    }

    pub fn set_len(&self, len: u64) -> io::Result<()> {
        match &self.kind {
            Kind::Os(os) => os.set_len(len),
            Kind::Sim(file) => file.set_len(len),
        }
    }

    /// Reserves disk blocks for a range; the length stays. Where the file system cannot, nothing happens.
    pub fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let allocated = match &self.kind {
            Kind::Os(os) => sys::file::allocate(os, offset, len),
            Kind::Sim(file) => file.allocate(offset, len),
        };
        match allocated {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => Ok(()),
            other => other,
        }
    }
}

/// Smaller reads are often followed by the next ones, for which the kernel reads ahead into the cache. A guess.
const COLD_BYTES_MIN: usize = 64 * 1024;

/// Blocking; for helper threads.
pub(crate) fn read_up_to(file: &std::fs::File, offset: u64, len: usize) -> io::Result<Bytes> {
    let mut buf = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    buf.truncate(filled);
    Ok(Bytes::from(buf))
}
