//! What was lately read around the page cache. Who reads it again would have found it there, had it been let in; so the second time it
//! is. Else several consumers that start over together, or one whose data the kernel has put out as cold, would each have the disk
//! read the same bytes, for ever.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};

use crate::cold::READ_BYTES;

/// Ranges remembered at most: at 512 KiB each what a cache of 16 GiB holds.
const RANGES_MAX: usize = 32 << 10;
/// Where the machine does not say how much memory it has.
const RANGES_MIN: usize = 1 << 10;

/// A file by its inode, and the stretch of [`READ_BYTES`] in which a read begins. A number that another file has got since costs one
/// read by the other way.
type Range = (u64, u64);

/// Of one reactor.
pub(crate) struct Reread {
    ranges_max: usize,
    ranges: RefCell<Ranges>,
}

#[derive(Default)]
struct Ranges {
    known: HashSet<Range>,
    /// The same, the one read longest ago first.
    order: VecDeque<Range>,
}

impl Default for Reread {
    /// Remembers as much as half of the machine's memory could have kept: what comes again later than that, a cache would not have had
    /// either.
    fn default() -> Reread {
        let half = memory_bytes() / 2 / READ_BYTES as u64;
        let ranges = usize::try_from(half).unwrap_or(RANGES_MAX);
        Reread::remembering(ranges.clamp(RANGES_MIN, RANGES_MAX))
    }
}

impl Reread {
    fn remembering(ranges_max: usize) -> Reread {
        Reread {
            ranges_max,
            ranges: RefCell::default(),
        }
    }

    /// Notes a read; whether it is one again.
    pub(crate) fn note(&self, inode: u64, offset: u64) -> bool {
        let range = (inode, offset / READ_BYTES as u64);
        let mut ranges = self.ranges.borrow_mut();
        if !ranges.known.insert(range) {
            return true;
        }
        ranges.order.push_back(range);
        if ranges.order.len() > self.ranges_max
            && let Some(oldest) = ranges.order.pop_front()
        {
            ranges.known.remove(&oldest);
        }
        false
    }
}

fn memory_bytes() -> u64 {
    // SAFETY: no pointers; -1 where the system does not know.
    let (pages, page_bytes) = unsafe {
        (
            libc::sysconf(libc::_SC_PHYS_PAGES),
            libc::sysconf(libc::_SC_PAGESIZE),
        )
    };
    u64::try_from(pages).unwrap_or(0) * u64::try_from(page_bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks in production: four consumers that start over together read every byte from the disk four times; or what is read once is
    /// let into the cache and puts out what others read now.
    #[test]
    fn a_read_is_one_again_only_within_what_is_remembered() {
        let step = READ_BYTES as u64;
        let reread = Reread::remembering(2);
        assert!(!reread.note(7, 0));
        assert!(reread.note(7, step - 1));
        assert!(!reread.note(7, step));
        assert!(!reread.note(8, 0));
        assert!(!reread.note(7, 0), "the oldest is forgotten");
        assert!(reread.note(8, 0));
    }
}
