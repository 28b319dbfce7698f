//! Descriptors that are neither files nor sockets.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// Takes ownership of a descriptor a system call has just returned.
///
/// # Safety
/// `fd` is open and owned by nobody else.
pub(crate) unsafe fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller's promise.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

pub(crate) fn event() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the result is a fresh descriptor.
    unsafe {
        Ok(own(check(libc::eventfd(
            0,
            libc::EFD_CLOEXEC | libc::EFD_NONBLOCK,
        ))?))
    }
}

/// Makes an eventfd readable. Async-signal-safe. Fails only when its counter is full: then it is readable already.
pub(crate) fn ring_bell(bell: &impl AsRawFd) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: `one` is 8 readable bytes; the descriptor is borrowed and so open.
    unsafe { libc::write(bell.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// Makes an eventfd unreadable again.
pub(crate) fn silence_bell(bell: &impl AsRawFd) {
    let mut count = [0u8; 8];
    // SAFETY: `count` is 8 writable bytes; the descriptor is borrowed and so open.
    unsafe { libc::read(bell.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
}
