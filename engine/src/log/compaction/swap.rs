//! Putting a compacted segment in the place of those it was made of.

use std::io;
use std::path::PathBuf;

use reactor::disk;

use super::cleaner::{CleanGroup, Cleaned};
use crate::log::file_name::{FileKind, FileName, Suffix};
use crate::log::segment::Segment;
use crate::log::state::State;
use crate::log::trash;
use crate::types::Offset;

/// In the order in which they get their names: the log last, until it has its own this is done again.
const FILES: [FileKind; 4] = [
    FileKind::OffsetIndex,
    FileKind::TimeIndex,
    FileKind::TransactionIndex,
    FileKind::Log,
];

/// What an exchange leaves to do.
pub(super) struct Swapped {
    pub(super) segment_id: u64,
    pub(super) discarded: Vec<PathBuf>,
}

impl State {
    /// Exchanges segments in memory and renames the old files. The new ones keep `.swap` until that is on the disk.
    /// `None`, with nothing changed, when retention took one of the sources meanwhile, or the scrubber found it damaged.
    pub(super) fn swap_in(&mut self, group: &CleanGroup, cleaned: Cleaned) -> io::Result<Option<Swapped>> {
        let all_there = group.sources.iter().all(|source| {
            self.closed
                .get(&source.base_offset)
                .is_some_and(|segment| segment.id == source.id)
                && !self.quarantines.contains_key(&source.base_offset)
        });
        if !all_there {
            // The log first: what has no `.log.swap` is no result of a compaction.
            for kind in FILES.into_iter().rev() {
                let path = FileName::new(cleaned.base_offset, kind, Suffix::Swap).in_dir(&self.dir);
                if_there(kind, disk::remove_file(&path))?;
            }
            return Ok(None);
        }
        let mut discarded = Vec::new();
        for source in &group.sources {
            if let Some(segment) = self.closed.remove(&source.base_offset) {
                self.transactions.base_offsets.remove(&source.base_offset);
                discarded.extend(trash::discard(&self.dir, &segment)?);
            }
            if source.base_offset != cleaned.base_offset {
                discarded.extend(self.discard_snapshot(source.base_offset));
            }
        }
        let segment_id = self.new_segment_id();
        let mut segment =
            Segment::new(segment_id, cleaned.base_offset, cleaned.size_bytes).with_file(cleaned.file);
        if cleaned.largest.timestamp.is_some() {
            segment = segment.with_largest(cleaned.largest);
        }
        segment.suffix = Suffix::Swap;
        if cleaned.has_transactions {
            self.transactions.base_offsets.insert(cleaned.base_offset);
        }
        self.closed.insert(cleaned.base_offset, segment);
        Ok(Some(Swapped {
            segment_id,
            discarded,
        }))
    }

    /// Gives the new files their names, unless retention was faster.
    pub(super) fn finish_swap(&mut self, base_offset: Offset, segment_id: u64) -> io::Result<()> {
        let Some(segment) = self
            .closed
            .get_mut(&base_offset)
            .filter(|segment| segment.id == segment_id)
        else {
            return Ok(());
        };
        for kind in FILES {
            let live = FileName::new(base_offset, kind, Suffix::Live).in_dir(&self.dir);
            if_there(kind, disk::rename(&segment.path(&self.dir, kind), &live))?;
        }
        segment.suffix = Suffix::Live;
        Ok(())
    }
}

/// A segment may have no transaction index.
fn if_there(kind: FileKind, done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if kind == FileKind::TransactionIndex && error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
