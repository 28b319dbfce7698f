//! What an interrupted deletion or compaction leaves in a partition directory, and how a start deals with it.
//!
//! | found                                  | means                                   | decision |
//! |----------------------------------------|-----------------------------------------|----------|
//! | `*.deleted`                            | replaced or expired, not yet unlinked   | remove |
//! | `*.cleaned`                            | compaction was writing; the originals are all there | remove |
//! | `N.log.swap`                           | compaction's result is complete and synced; some of what it replaces may be gone | finish: remove the segments it covers, rename it into place |
//! | `N.index.swap` without `N.log.swap`    | compaction was about to say that its result is complete | remove, the originals are all there |
//! | `N.log.swap`, and its `N.index`, `N.timeindex`, `N.txnindex` without suffix | the rename into place was under way, the log goes last | they are the new ones, keep them |
//! | `*.tmp`                                | a checkpoint file was being replaced    | remove, the old content stands |
//!
//! No acknowledged record is lost: only a `.log.swap` removes live segments, it exists only after its content and its
//! directory entry were synced, and it holds the last record of every key the segments it covers held.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use reactor::{File, OpenMode, disk};

use super::file_name::{FileKind, FileName, Suffix};
use super::window::{SCAN_BYTES, ScanError, Window};
use crate::planted::{self, Bug};
use crate::types::Offset;

/// What was dealt with, for the recovery report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    pub removed: usize,
    /// Compactions that were brought to their end.
    pub swaps_finished: usize,
}

/// Deals with all leftovers of a partition directory. Can be interrupted and run again.
pub(crate) fn finish(dir: &Path) -> Result<Leftovers, ScanError> {
    let mut leftovers = Leftovers::default();
    let mut swaps: BTreeMap<Offset, Vec<FileName>> = BTreeMap::new();
    let mut live: Vec<FileName> = Vec::new();
    for entry in disk::read_dir(dir)? {
        if entry.is_dir {
            continue;
        }
        match FileName::parse(&entry.name) {
            Some(name) => match name.suffix {
                Suffix::Live => live.push(name),
                Suffix::Swap => swaps.entry(name.base_offset).or_default().push(name),
                Suffix::Cleaned | Suffix::Deleted => {
                    remove(&dir.join(&entry.name))?;
                    leftovers.removed += 1;
                }
            },
            None if entry.name.ends_with(".tmp") => {
                remove(&dir.join(&entry.name))?;
                leftovers.removed += 1;
            }
            None => {}
        }
    }
    for (base_offset, names) in swaps {
        let is_complete = names.iter().any(|name| name.kind == FileKind::Log);
        if is_complete && !planted::is(Bug::CompactionDiscarded) {
            finish_swap(dir, base_offset, &names, &live)?;
            leftovers.swaps_finished += 1;
        } else {
            for name in names {
                remove(&name.in_dir(dir))?;
                leftovers.removed += 1;
            }
        }
    }
    if leftovers != Leftovers::default() {
        disk::sync_dir(dir)?;
    }
    Ok(leftovers)
}

/// What is gone already is as good as removed: an earlier log of this process may still be unlinking.
fn remove(path: &Path) -> io::Result<()> {
    match disk::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn finish_swap(
    dir: &Path,
    base_offset: Offset,
    swap: &[FileName],
    live: &[FileName],
) -> Result<(), ScanError> {
    let path = FileName::new(base_offset, FileKind::Log, Suffix::Swap).in_dir(dir);
    let end = end_of(&path, base_offset)?;
    for name in live {
        let is_covered = name.base_offset >= base_offset && name.base_offset < end;
        // What is derived from the log goes into place before it: at its base offset it may be the new one already.
        let may_be_new = name.base_offset == base_offset
            && matches!(
                name.kind,
                FileKind::OffsetIndex | FileKind::TimeIndex | FileKind::TransactionIndex
            );
        if is_covered && !may_be_new && name.kind != FileKind::ProducerSnapshot {
            remove(&name.in_dir(dir))?;
        }
    }
    // The log last: until it has its name, this is done again.
    let mut ordered: Vec<FileName> = swap.to_vec();
    ordered.sort_by_key(|name| name.kind == FileKind::Log);
    for name in ordered {
        let target = FileName {
            suffix: Suffix::Live,
            ..name
        };
        disk::rename(&name.in_dir(dir), &target.in_dir(dir))?;
    }
    Ok(())
}

/// Offset behind the last batch of a synced file.
fn end_of(path: &Path, base_offset: Offset) -> Result<Offset, ScanError> {
    let file = File::open(path, OpenMode::Read)?;
    let mut window = Window::new(&file, file.len()?, SCAN_BYTES);
    let mut end = base_offset.next();
    let mut position = 0;
    while let Some(batch) = window.header(position)? {
        end = end.max(batch.header.next_offset());
        position = batch.end();
    }
    Ok(end)
}

/// Removes index files without a log and snapshots that neither begin a segment nor are the newest.
pub(crate) fn remove_orphans(dir: &Path, base_offsets: &[Offset]) -> io::Result<usize> {
    let mut removed = 0;
    let mut stray_snapshots = Vec::new();
    for entry in disk::read_dir(dir)? {
        let Some(name) = FileName::parse(&entry.name).filter(|name| name.suffix == Suffix::Live) else {
            continue;
        };
        if base_offsets.binary_search(&name.base_offset).is_ok() {
            continue;
        }
        match name.kind {
            FileKind::Log => {}
            FileKind::ProducerSnapshot => stray_snapshots.push(name),
            FileKind::OffsetIndex
            | FileKind::TimeIndex
            | FileKind::TransactionIndex
            | FileKind::Quarantine => {
                remove(&name.in_dir(dir))?;
                removed += 1;
            }
        }
    }
    // The newest one is what a clean stop wrote at the end of the log.
    stray_snapshots.sort_unstable();
    stray_snapshots.pop_if(|name| base_offsets.last().is_none_or(|last| name.base_offset > *last));
    for name in stray_snapshots {
        remove(&name.in_dir(dir))?;
        removed += 1;
    }
    Ok(removed)
}
