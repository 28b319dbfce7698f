//! The chance of the real machine, taken out of the test: hash maps of the standard library must iterate alike in every run
//! of a seed.

use std::cell::Cell;

thread_local! {
    static NEXT: Cell<u8> = const { Cell::new(0) };
}

/// Stands in for the C library's: every thread gets the same bytes in the same order. Nothing here needs a secret.
///
/// # Safety
/// As of the original: `len` bytes at `buffer` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, len: usize, _flags: u32) -> isize {
    for at in 0..len {
        let byte = NEXT.with(|next| next.replace(next.get().wrapping_mul(5).wrapping_add(113)));
        // SAFETY: the caller lends `len` bytes.
        unsafe { buffer.add(at).write(byte) };
    }
    len as isize
}
