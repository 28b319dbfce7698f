//! Memory fit for O_DIRECT: aligned to blocks, and kept when it is given back.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use bytes::Bytes;

/// What addresses, offsets and lengths of direct input and output are multiples of. Devices ask for 512 or 4096.
pub const BLOCK_BYTES: usize = 4096;

/// A buffer in whole blocks, `len <= capacity`; the capacity never changes. All of it is initialised at all times.
///
/// Its memory comes from a pool of the thread and returns to the pool of the thread that drops it: the first touch of
/// a page costs more than the disk (0.4-0.8 s per GB were measured), so touched pages are kept.
pub struct AlignedBuf {
    memory: Memory,
    capacity: usize,
    len: usize,
}

impl AlignedBuf {
    /// Empty, with room for `bytes`, rounded up to whole blocks (at least one).
    pub fn with_capacity(bytes: usize) -> AlignedBuf {
        let capacity = bytes.max(1).next_multiple_of(BLOCK_BYTES);
        let pooled = POOL
            .try_with(|pool| pool.borrow_mut().take(capacity))
            .ok()
            .flatten();
        AlignedBuf {
            memory: pooled.unwrap_or_else(|| Memory::new(capacity)),
            capacity,
            len: 0,
        }
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.capacity - self.len
    }

    /// # Panics
    /// If they do not fit.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        assert!(
            bytes.len() <= self.room(),
            "{} bytes into room for {}",
            bytes.len(),
            self.room()
        );
        let start = self.len;
        self.len += bytes.len();
        self[start..].copy_from_slice(bytes);
    }

    /// Appends zeros.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn extend_with_zeros(&mut self, count: usize) {
        assert!(
            count <= self.room(),
            "{count} bytes into room for {}",
            self.room()
        );
        let start = self.len;
        self.len += count;
        self[start..].fill(0);
    }

    /// Appends zeros up to the end of a block.
    pub fn pad_to_block(&mut self) {
        self.extend_with_zeros(self.len.next_multiple_of(BLOCK_BYTES) - self.len);
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// The same memory, not copied; it returns to the pool with the last clone.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// The whole capacity. What lies past the length is whatever was there before.
    pub(crate) fn all_mut(&mut self) -> &mut [u8] {
        // SAFETY: `capacity` bytes are ours, initialised, and borrowed mutably with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.memory.start.as_ptr(), self.capacity) }
    }

    /// # Panics
    /// If `len` is beyond the capacity.
    pub(crate) fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity);
        self.len = len;
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len <= capacity` bytes are ours, initialised, and borrowed with `self`.
        unsafe { std::slice::from_raw_parts(self.memory.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut self.all_mut()[..len]
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} of {} bytes)", self.len, self.capacity)
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        let memory = std::mem::replace(&mut self.memory, Memory::NOTHING);
        // while the thread ends there is no pool: then it is freed
        let _ = POOL.try_with(|pool| {
            if let Ok(mut pool) = pool.try_borrow_mut() {
                pool.put(memory);
            }
        });
    }
}

/// `bytes` initialised bytes of the heap, at the start of a block; nothing when `bytes` is 0.
struct Memory {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns its bytes, which are plain, and is used through `&mut` or `&` only.
unsafe impl Send for Memory {}
// SAFETY: as above; nothing changes through `&`.
unsafe impl Sync for Memory {}

impl Memory {
    const NOTHING: Memory = Memory {
        start: NonNull::dangling(),
        bytes: 0,
    };

    /// `bytes` is a positive multiple of a block.
    fn new(bytes: usize) -> Memory {
        let layout = Memory::layout(bytes);
        // SAFETY: the layout's size is positive.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        Memory { start, bytes }
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, BLOCK_BYTES).expect("a buffer is smaller than the address space")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: `new` allocated it with this layout, and it is freed once.
            unsafe { dealloc(self.start.as_ptr(), Memory::layout(self.bytes)) };
        }
    }
}

/// Kept per thread: the cold reads' budget, and as much for the journal's writes. A guess.
const POOL_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bounds the search for a fitting one.
const POOL_COUNT_MAX: usize = 128;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { free: VecDeque::new(), bytes: 0 }) };
}

/// `bytes` is the sum of `free`; the one given back last is at the back.
struct Pool {
    free: VecDeque<Memory>,
    bytes: usize,
}

impl Pool {
    /// One that fits and wastes less than half of itself; of several the one used last, which caches may still hold.
    fn take(&mut self, capacity: usize) -> Option<Memory> {
        let fits = |memory: &Memory| (capacity..2 * capacity).contains(&memory.bytes);
        let at = self.free.iter().rposition(fits)?;
        let memory = self.free.remove(at)?;
        self.bytes -= memory.bytes;
        Some(memory)
    }

    /// Those that nobody has taken for longest make room.
    fn put(&mut self, memory: Memory) {
        if memory.bytes == 0 || memory.bytes > POOL_BYTES_MAX {
            return;
        }
        self.bytes += memory.bytes;
        self.free.push_back(memory);
        while self.bytes > POOL_BYTES_MAX || self.free.len() > POOL_COUNT_MAX {
            let Some(oldest) = self.free.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled() -> (usize, usize) {
        POOL.with(|pool| {
            let pool = pool.borrow();
            assert_eq!(
                pool.bytes,
                pool.free.iter().map(|memory| memory.bytes).sum::<usize>()
            );
            (pool.free.len(), pool.bytes)
        })
    }

    /// The kernel refuses what does not lie on blocks, and a part of an old buffer must not be taken for data.
    #[test]
    fn buffers_lie_on_blocks_and_begin_empty() {
        let mut buf = AlignedBuf::with_capacity(5000);
        assert_eq!(
            (buf.len(), buf.capacity(), buf.as_ptr().addr() % BLOCK_BYTES),
            (0, 8192, 0)
        );
        buf.extend_from_slice(&[7; 5000]);
        buf.pad_to_block();
        assert_eq!((buf.len(), buf.room()), (8192, 0));
        assert!(buf[..5000].iter().all(|byte| *byte == 7) && buf[5000..].iter().all(|byte| *byte == 0));
        buf.pad_to_block();
        assert_eq!(buf.len(), 8192);
        drop(buf);
        let mut again = AlignedBuf::with_capacity(8192);
        assert!(again.is_empty());
        again.extend_with_zeros(8192);
        assert!(again.iter().all(|byte| *byte == 0));
        assert_eq!(AlignedBuf::with_capacity(0).capacity(), BLOCK_BYTES);
    }

    #[test]
    #[should_panic(expected = "4097 bytes into room for 4096")]
    fn a_buffer_does_not_grow() {
        AlignedBuf::with_capacity(4096).extend_from_slice(&[0; 4097]);
    }

    /// Fresh pages cost more than the disk; but a burst must not keep its memory for ever.
    #[test]
    fn the_pool_gives_back_what_fits_and_is_bounded() {
        let first = AlignedBuf::with_capacity(1 << 20);
        let address = first.as_ptr();
        let bytes = first.into_bytes();
        drop(bytes.clone());
        assert_eq!(pooled(), (0, 0));
        drop(bytes);
        assert_eq!(pooled(), (1, 1 << 20));
        assert_ne!(
            AlignedBuf::with_capacity(4096).as_ptr(),
            address,
            "256 times too big"
        );
        let again = AlignedBuf::with_capacity((1 << 20) - 5000);
        assert_eq!((again.as_ptr(), again.capacity()), (address, (1 << 20) - 4096));
        drop(again);
        let many: Vec<_> = (0..100).map(|_| AlignedBuf::with_capacity(1 << 20)).collect();
        drop(many);
        assert_eq!(pooled().1, POOL_BYTES_MAX);
        drop(AlignedBuf::with_capacity(POOL_BYTES_MAX + 1));
        let small: Vec<_> = (0..1000).map(|_| AlignedBuf::with_capacity(1)).collect();
        drop(small);
        assert!(pooled().0 <= POOL_COUNT_MAX);
    }

    /// A shard frees what another has read for it.
    #[test]
    fn memory_goes_to_the_pool_of_the_thread_that_drops_it() {
        let bytes = AlignedBuf::with_capacity(4096).into_bytes();
        let there = std::thread::spawn(move || {
            drop(bytes);
            pooled()
        });
        assert_eq!(there.join().expect("the thread ends"), (1, 4096));
        assert_eq!(pooled(), (0, 0));
    }
}
