//! What the page cache holds of a file.

use std::io;
use std::os::fd::AsRawFd;

use super::file::offset_of;
use super::{check, check_len};

/// The same number on every architecture we build for (it is younger than the common table).
const SYS_CACHESTAT: libc::c_long = 451;

#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

#[repr(C)]
#[derive(Default)]
struct Stat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// How many pages of a range (`len > 0`; the kernel takes 0 for "to the end") the page cache holds: `cachestat(2)`.
pub(crate) fn pages_cached(fd: &impl AsRawFd, offset: u64, len: u64) -> io::Result<u64> {
    debug_assert!(len > 0);
    let range = Range { offset, len };
    let mut stat = Stat::default();
    // SAFETY: `range` is readable and `stat` writable, both laid out as the kernel's structs.
    let result = unsafe { libc::syscall(SYS_CACHESTAT, fd.as_raw_fd(), &raw const range, &raw mut stat, 0) };
    check_len(result as libc::ssize_t)?;
    Ok(stat.cached)
}

/// Best effort: a file system that knows no such advice does without.
pub(crate) fn advise_random(fd: &impl AsRawFd) {
    // SAFETY: no pointers; a range of length 0 is the whole file.
    let _ignored = unsafe { libc::posix_fadvise(fd.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
}

/// Best effort, too.
pub(crate) fn drop_clean(fd: &impl AsRawFd, offset: u64) {
    let Ok(offset) = offset_of(offset) else { return };
    // SAFETY: no pointers; a length of 0 means to the end.
    let _ignored = unsafe { libc::posix_fadvise(fd.as_raw_fd(), offset, 0, libc::POSIX_FADV_DONTNEED) };
}

/// Starts writing the dirty pages of a range to the disk, which may block while the device's queue is full. No promise
/// of durability.
pub(crate) fn start_writeback(fd: &impl AsRawFd, offset: u64, len: u64) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe {
        libc::sync_file_range(
            fd.as_raw_fd(),
            offset_of(offset)?,
            offset_of(len)?,
            libc::SYNC_FILE_RANGE_WRITE,
        )
    })
    .map(drop)
}

/// Waits for what is on its way to the disk. Still no promise of durability, but a failure is told, and told once: here. Where there
/// is no such call (sandboxes) nothing was waited for and nothing told: the sync that follows does both.
pub(crate) fn wait_writeback(fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no pointers; a length of 0 means to the end.
    let waited =
        check(unsafe { libc::sync_file_range(fd.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WAIT_BEFORE) });
    match waited {
        Err(error) if is_no_such_call(&error) => Ok(()),
        waited => waited.map(drop),
    }
}

fn is_no_such_call(error: &io::Error) -> bool {
    let missing = [
        libc::ENOSYS,
        libc::EPERM,
        libc::EOPNOTSUPP,
        libc::EINVAL,
        libc::ESPIPE,
    ];
    error.raw_os_error().is_some_and(|code| missing.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_call_is_no_failure_of_the_disk() {
        let (reader, _writer) = io::pipe().expect("a pipe");
        assert!(
            wait_writeback(&reader).is_ok(),
            "a pipe has nothing to write back"
        );
        for code in [libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EBADF] {
            assert!(!is_no_such_call(&io::Error::from_raw_os_error(code)));
        }
    }
}
