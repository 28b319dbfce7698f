//! What was lately read around the page cache. Who reads it again would have found it there, had it been let in; so the second time it
//! is. Else several consumers that start over together, or one whose data the kernel has put out as cold, would each have the disk
//! read the same bytes, for ever.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use crate::cold::READ_BYTES;
use crate::sys;

/// Ranges remembered at most: at 512 KiB each what a cache of 16 GiB holds.
const RANGES_MAX: usize = 32 << 10;
/// Where the machine does not say how much memory it has.
const RANGES_MIN: usize = 1 << 10;

/// A file, and the stretch of [`READ_BYTES`] in which a read begins. A number that another file has got since costs one read by the
/// other way.
type Range = (FileId, u64);

/// A file by its device and its inode.
pub(crate) type FileId = (u64, u64);

/// Of one reactor.
pub(crate) struct Reread {
    ranges_max: usize,
    ranges: RefCell<Ranges>,
}

#[derive(Default)]
struct Ranges {
    /// How far each was read. Reads of one stretch that follow each other are one.
    known: HashMap<Range, u64>,
    /// The same, the one read longest ago first.
    order: VecDeque<Range>,
}

impl Default for Reread {
    /// All reactors together remember as much as half of the machine's memory could have kept: what comes again later than that, a cache
    /// would not have had either.
    fn default() -> Reread {
        let reactors = sys::thread::allowed().len().max(1) as u64;
        let half = memory_bytes() / 2 / reactors / READ_BYTES as u64;
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
    pub(crate) fn note(&self, file: FileId, offset: u64, len: usize) -> bool {
        let range = (file, offset / READ_BYTES as u64);
        let end = offset + len as u64;
        let mut ranges = self.ranges.borrow_mut();
        match ranges.known.entry(range) {
            Entry::Occupied(mut known) => {
                let is_again = offset < *known.get();
                let end = end.max(*known.get());
                known.insert(end);
                return is_again;
            }
            Entry::Vacant(new) => new.insert(end),
        };
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
        let (seven, eight) = ((1, 7), (1, 8));
        assert!(!reread.note(seven, 100, 1000));
        assert!(!reread.note(seven, 1100, 1000), "the next one, not the same one");
        assert!(reread.note(seven, 1100, 1000));
        assert!(reread.note(seven, 0, 500));
        assert!(!reread.note(seven, step, 1000));
        assert!(!reread.note((2, 7), 0, 1000));
        assert!(!reread.note(seven, 0, 1000), "the oldest is forgotten");
        assert!(!reread.note(eight, 0, 1000));
        assert!(reread.note(seven, 0, 1000));
    }
}
