//! System calls, each wrapped once, with its proof.

pub(crate) mod cache;
pub(crate) mod fd;
pub(crate) mod file;
pub(crate) mod socket;
pub(crate) mod thread;

use std::io;

/// The C convention "-1 and errno" as a result.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The same for calls that return a count.
pub(crate) fn check_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
