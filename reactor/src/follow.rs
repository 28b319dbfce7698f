//! What a reader of old data will probably ask for next, read while it takes in what it has asked for: else the disk
//! would rest from the end of each answer to the next request.
//!
//! Entries hold bytes that were final when they were read: a log is only appended to, and what a truncation takes away
//! makes the entries of that file void ([`Opened::truncations`]).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::clock::{Instant, now};
use crate::cold::{Chunk, Started};
use crate::opened::{Opened, OsFile};

/// At 512 KiB each half of the default budget. Beyond it nothing is read in advance: replacing what others will ask
/// for would only double the reads.
const ENTRIES_MAX: usize = 16;
/// Who has not come back by then reads elsewhere, or slowly enough not to need it. A guess.
const KEPT_MAX: Duration = Duration::from_secs(1);

/// Of one reactor.
#[derive(Default)]
pub(crate) struct Following(RefCell<VecDeque<Entry>>);

struct Entry {
    // why weak: the file must not stay open for this; its memory stays, so that no other file gets its address
    file: Weak<Opened>,
    truncations: u64,
    offset: u64,
    since: Instant,
    bytes: Followed,
}

/// Bytes to come, or what is left of those that came.
pub(crate) enum Followed {
    Started(Started),
    Read(Chunk),
}

impl Following {
    /// Whether there is room for what comes at an offset, and it is not there yet. Expired entries go.
    pub(crate) fn wants(&self, file: &OsFile, offset: u64) -> bool {
        let expired = {
            let mut entries = self.0.borrow_mut();
            let old = |entry: &&Entry| now().saturating_since(entry.since) > KEPT_MAX;
            let count = entries.iter().take_while(old).count();
            entries.drain(..count).collect::<Vec<_>>()
        };
        drop(expired);
        let entries = self.0.borrow();
        entries.len() < ENTRIES_MAX && !entries.iter().any(|entry| entry.is_for(file, offset))
    }

    /// `truncations` as it was before the read began.
    pub(crate) fn put(&self, file: &OsFile, truncations: u64, offset: u64, bytes: Followed) {
        let entry = Entry {
            file: Arc::downgrade(file),
            truncations,
            offset,
            since: now(),
            bytes,
        };
        self.0.borrow_mut().push_back(entry);
        if self.0.borrow().len() > ENTRIES_MAX {
            self.evict();
        }
    }

    pub(crate) fn take(&self, file: &OsFile, offset: u64) -> Option<(u64, Followed)> {
        let mut entries = self.0.borrow_mut();
        let at = entries.iter().position(|entry| entry.is_for(file, offset))?;
        let entry = entries.remove(at)?;
        drop(entries);
        let is_valid = entry.truncations == file.truncations();
        is_valid.then_some((entry.truncations, entry.bytes))
    }

    /// Gives up the oldest, whose part of the budget others need. False when there is none.
    pub(crate) fn evict(&self) -> bool {
        let oldest = self.0.borrow_mut().pop_front();
        oldest.is_some()
    }

    /// At the reactor's end: entries hold tasks and memory of it.
    pub(crate) fn clear(&self) {
        drop(self.0.take());
    }
}

impl Entry {
    fn is_for(&self, file: &OsFile, offset: u64) -> bool {
        self.offset == offset && std::ptr::eq(self.file.as_ptr(), Arc::as_ptr(file))
    }
}
