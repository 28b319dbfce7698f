//! Which bytes of a file can be had without the disk.

use crate::BLOCK_BYTES;
use crate::opened::OsFile;
use crate::sys;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Residency {
    /// All of it, but for a few pages at most.
    Cached,
    /// So much is missing that the disk must be waited for. Whatever is dirty is in the cache, so nothing missing is.
    Missing,
    /// The kernel (before 6.5) or its policy does not say.
    Unknown,
}

/// A fault for one page costs about what the decision spares: up to one in so many pages may be missing. A guess.
const PAGES_PER_MISSING: u64 = 64;

/// What the page cache holds of a range; a part beyond the file's end counts as missing. About 1 us for 64 KiB.
pub(crate) fn of(file: &OsFile, offset: u64, len: u64) -> Residency {
    match missing(file, offset, len) {
        None => Residency::Unknown,
        Some(missing) if missing <= pages(offset, len) / PAGES_PER_MISSING => Residency::Cached,
        Some(_) => Residency::Missing,
    }
}

/// Pages of a range that the page cache lacks. None if the kernel does not say.
pub(crate) fn missing(file: &OsFile, offset: u64, len: u64) -> Option<u64> {
    if len == 0 {
        return Some(0);
    }
    let cached = sys::cache::pages_cached(file, offset, len).ok()?;
    Some(pages(offset, len).saturating_sub(cached))
}

fn pages(offset: u64, len: u64) -> u64 {
    let page = BLOCK_BYTES as u64;
    let Some(last) = len.checked_sub(1) else { return 0 };
    offset.saturating_add(last) / page - offset / page + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_those_touched() {
        for (offset, len, want) in [
            (0, 0, 0),
            (0, 1, 1),
            (4095, 1, 1),
            (4095, 2, 2),
            (0, 4096, 1),
            (1, 8192, 3),
        ] {
            assert_eq!(pages(offset, len), want, "{len} bytes at {offset}");
        }
        assert!(pages(u64::MAX, u64::MAX) >= 1);
    }
}
