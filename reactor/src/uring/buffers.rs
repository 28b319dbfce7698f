//! Buffers the kernel picks for received bytes, and the ring in which they are given to it.

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// Measured: most requests fit, and the pool of 512 stays at 8 MiB a core.
pub(super) const BUFFER_BYTES: usize = 16 * 1024;
/// The kernel's limit.
const COUNT_MAX: u16 = 1 << 15;
pub(super) const GROUP: u16 = 0;

/// Anonymous memory of its own pages.
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    fn new(bytes: usize) -> io::Result<Mapping> {
        // SAFETY: a fresh private mapping; no existing memory is touched.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap gave a null address"))?;
        Ok(Mapping { start, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; whoever borrowed from it borrowed from `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Every buffer is either free (in the ring, the kernel may fill it) or lent (one [`Buffer`] has it):
/// `free + lent == count`. `lent` marks make a double return a panic instead of two streams sharing bytes.
pub(super) struct Buffers {
    ring: Mapping,
    memory: Mapping,
    count: u16,
    tail: Cell<u16>,
    free: Cell<u16>,
    lent: RefCell<Vec<bool>>,
}

impl Buffers {
    /// Registers `count` buffers (rounded up to a power of two) with the ring.
    pub(super) fn new(uring: &IoUring, count: u16) -> io::Result<Rc<Buffers>> {
        let count = count.clamp(1, COUNT_MAX).next_power_of_two();
        let ring = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(usize::from(count) * BUFFER_BYTES)?;
        // SAFETY: the mapping is page-aligned and holds `count` entries. It outlives its use by the kernel: the
        // driver drops its io_uring before its buffers, and calls all receives back before (`Driver::finish`).
        unsafe {
            uring
                .submitter()
                .register_buf_ring_with_flags(ring.start.as_ptr() as u64, count, GROUP, 0)?
        };
        let buffers = Rc::new(Buffers {
            ring,
            memory,
            count,
            tail: Cell::new(0),
            free: Cell::new(0),
            lent: RefCell::new(vec![true; usize::from(count)]),
        });
        for id in 0..count {
            buffers.give_back(id);
        }
        Ok(buffers)
    }

    pub(super) fn count(&self) -> u16 {
        self.count
    }

    pub(super) fn free(&self) -> u16 {
        self.free.get()
    }

    /// True when streams should copy out what they hold without anybody reading it.
    pub(super) fn is_scarce(&self) -> bool {
        self.free.get() < self.count / 4
    }

    /// The buffer a completion names, holding `len` received bytes.
    pub(super) fn take(self: &Rc<Self>, id: u16, len: usize) -> Buffer {
        let mut lent = self.lent.borrow_mut();
        let mark = &mut lent[usize::from(id)];
        assert!(!*mark, "the kernel filled buffer {id} while it was lent");
        *mark = true;
        self.free.set(self.free.get() - 1);
        assert!(
            len <= BUFFER_BYTES,
            "the kernel filled {len} bytes into a buffer of {BUFFER_BYTES}"
        );
        Buffer {
            pool: self.clone(),
            id,
            start: 0,
            end: len,
        }
    }

    fn give_back(&self, id: u16) {
        let mark = std::mem::replace(&mut self.lent.borrow_mut()[usize::from(id)], false);
        assert!(mark, "buffer {id} was given back twice");
        let tail = self.tail.get();
        let index = usize::from(tail & (self.count - 1));
        let entries = self.ring.start.as_ptr().cast::<BufRingEntry>();
        // SAFETY: `index < count`, so the entry lies in the mapping, which is zeroed (valid) memory; the kernel reads
        // it only once the tail below has passed it, and has consumed what was there: no more than `count` are free.
        // Only address, length and id are written, not the word that in entry 0 is the ring's tail.
        let entry = unsafe { &mut *entries.add(index) };
        entry.set_addr(self.memory.start.as_ptr() as u64 + u64::from(id) * BUFFER_BYTES as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail.set(tail.wrapping_add(1));
        self.free.set(self.free.get() + 1);
        // SAFETY: the tail is an aligned u16 inside the mapping, shared with the kernel and so accessed atomically.
        let shared = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut()) };
        shared.store(self.tail.get(), Ordering::Release);
    }
}

/// A filled buffer; dropped, it goes back to the kernel - exactly once, as there is one of it.
pub(super) struct Buffer {
    pool: Rc<Buffers>,
    id: u16,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: start <= end <= BUFFER_BYTES and id < count, so the range lies in the mapping; while lent nobody
        // else, the kernel included, touches it; a mapping starts as zeroes, so all of it is initialised.
        unsafe {
            let start = self
                .pool
                .memory
                .start
                .as_ptr()
                .add(usize::from(self.id) * BUFFER_BYTES + self.start);
            std::slice::from_raw_parts(start, self.end - self.start)
        }
    }

    /// Forgets the first `n` bytes.
    pub(super) fn advance(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give_back(self.id);
    }
}
