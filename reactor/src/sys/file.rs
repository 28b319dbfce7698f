//! Positioned file calls that std lacks.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{check, check_len};
use crate::direct::Sync;

/// `pwritev` of at most IOV_MAX slices.
pub(crate) fn write_vectored_at(
    fd: &impl AsRawFd,
    slices: &[io::IoSlice<'_>],
    offset: u64,
) -> io::Result<usize> {
    let count = slices.len().min(libc::UIO_MAXIOV as usize);
    // SAFETY: IoSlice is ABI-compatible with iovec (std's promise); `count` of them are borrowed for the call.
    check_len(unsafe {
        libc::pwritev(
            fd.as_raw_fd(),
            slices.as_ptr().cast(),
            count as libc::c_int,
            offset_of(offset)?,
        )
    })
}

/// One `pread`.
pub(crate) fn read_at(fd: &impl AsRawFd, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    // SAFETY: writes at most `buf.len()` bytes into `buf`.
    check_len(unsafe {
        libc::pread(
            fd.as_raw_fd(),
            buf.as_mut_ptr().cast(),
            buf.len(),
            offset_of(offset)?,
        )
    })
}

/// One `pwritev2`, which waits for stable storage if asked to.
pub(crate) fn write_at(fd: &impl AsRawFd, bytes: &[u8], offset: u64, sync: Sync) -> io::Result<usize> {
    let slice = io::IoSlice::new(bytes);
    let flags = match sync {
        Sync::No => 0,
        Sync::Data => libc::RWF_DSYNC,
    };
    // SAFETY: IoSlice is ABI-compatible with iovec (std's promise); the one is borrowed for the call.
    check_len(unsafe {
        libc::pwritev2(
            fd.as_raw_fd(),
            (&raw const slice).cast(),
            1,
            offset_of(offset)?,
            flags,
        )
    })
}

/// Turns O_DIRECT of an open file on or off.
pub(crate) fn set_direct(fd: &impl AsRawFd, is_direct: bool) -> io::Result<()> {
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    let flags = if is_direct {
        flags | libc::O_DIRECT
    } else {
        flags & !libc::O_DIRECT
    };
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) }).map(drop)
}

/// The same file, though it be renamed or removed by now, opened again for reading with O_DIRECT.
pub(crate) fn reopen_direct(fd: &impl AsRawFd) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Syncs everything on the file system that holds an open file.
pub(crate) fn sync_file_system(fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syncfs(fd.as_raw_fd()) }).map(drop)
}

pub(crate) fn sync_data(fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::fdatasync(fd.as_raw_fd()) }).map(drop)
}

/// Reserves blocks; the length as others see it stays.
pub(crate) fn allocate(fd: &impl AsRawFd, offset: u64, len: u64) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe {
        libc::fallocate(
            fd.as_raw_fd(),
            libc::FALLOC_FL_KEEP_SIZE,
            offset_of(offset)?,
            offset_of(len)?,
        )
    })
    .map(drop)
}

/// A `pread` that only takes what is in the page cache: fewer bytes where that ends, `WouldBlock` where nothing is.
pub(crate) fn read_resident_at(fd: &impl AsRawFd, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut slice = io::IoSliceMut::new(buf);
    let slice: *mut libc::iovec = (&raw mut slice).cast();
    // SAFETY: IoSliceMut is ABI-compatible with iovec (std's promise); one of them, and its buffer, are borrowed for the call.
    check_len(unsafe { libc::preadv2(fd.as_raw_fd(), slice, 1, offset_of(offset)?, libc::RWF_NOWAIT) })
}

/// Has the kernel drop a range from the page cache, as far as it is written back. 0 bytes: up to the end.
pub(crate) fn drop_cached(fd: &impl AsRawFd, offset: u64, len: u64) -> io::Result<()> {
    advise(fd, offset, len, libc::POSIX_FADV_DONTNEED)
}

/// Has the kernel read what is asked for and nothing ahead of it, through this descriptor.
pub(crate) fn no_readahead(fd: &impl AsRawFd) -> io::Result<()> {
    advise(fd, 0, 0, libc::POSIX_FADV_RANDOM)
}

fn advise(fd: &impl AsRawFd, offset: u64, len: u64, advice: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    match unsafe { libc::posix_fadvise(fd.as_raw_fd(), offset_of(offset)?, offset_of(len)?, advice) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Takes the exclusive lock of an open file, or fails with `WouldBlock` when another holds it.
pub(crate) fn lock(fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }).map(drop)
}

/// Bytes of the file system: all of them, and those an ordinary user may still fill.
pub(crate) fn space(path: &Path) -> io::Result<(u64, u64)> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statvfs is plain numbers, for which zero is valid; `path` ends in NUL; `stat` is writable.
    let stat = unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        check(libc::statvfs(path.as_ptr(), &mut stat))?;
        stat
    };
    Ok((
        stat.f_frsize.saturating_mul(stat.f_blocks),
        stat.f_frsize.saturating_mul(stat.f_bavail),
    ))
}

/// Sends a slice of a file to a non-blocking socket: bytes taken; 0 when the file ends before `offset`.
pub(crate) fn send_file(socket: RawFd, file: &impl AsRawFd, offset: u64, len: usize) -> io::Result<usize> {
    let mut offset = offset_of(offset)?;
    // SAFETY: `offset` is writable; both descriptors are borrowed by the caller.
    check_len(unsafe { libc::sendfile(socket, file.as_raw_fd(), &mut offset, len) })
}

pub(super) fn offset_of(offset: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}
