//! What checkpoints leave for the next start, so that it reads little below the recovery point: producer state as of it, and
//! the active segment's indexes so far. Every few MiB of a log only: files cost more than headers.

use super::file_name::{FileKind, FileName, Suffix};
use super::flush::RecoveryAids;
use super::producer_snapshot;
use super::state::State;
use super::{offset_index, time_index};
use crate::types::Offset;

/// Snapshots of checkpoints that stay: the newest may not be on the disk yet.
const KEPT_MAX: usize = 2;

impl State {
    /// As of the end of the log; `None` when less than `every_bytes` were appended since the last ones.
    pub(crate) fn recovery_aids(&self, every_bytes: u64) -> Option<RecoveryAids> {
        let offset = self.end_offset;
        let unaided = self
            .active
            .segment
            .size_bytes
            .saturating_sub(self.active.aided_bytes);
        if unaided < every_bytes || self.snapshots.contains(&offset) {
            return None;
        }
        let index = &self.active.index;
        let (offsets, times) = self.active.saved_index;
        let path = |kind| self.active.segment.path(&self.dir, kind);
        if (offsets, times) == (0, 0) {
            // Whatever a former life left there is not what these parts continue.
            for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
                let _may_be_none = reactor::disk::remove_file(&path(kind));
            }
        }
        let index_parts = vec![
            (
                path(FileKind::OffsetIndex),
                (offsets * offset_index::ENTRY_BYTES) as u64,
                index.offsets.encode_from(offsets),
            ),
            (
                path(FileKind::TimeIndex),
                (times * time_index::ENTRY_BYTES) as u64,
                index.times.encode_from(times),
            ),
        ];
        let obsolete = (self.aid_snapshots.len() >= KEPT_MAX)
            .then(|| self.aid_snapshots.first().copied())
            .flatten()
            .map(|offset| (offset, self.snapshot_path(offset)));
        Some(RecoveryAids {
            offset,
            snapshot: self.snapshot_path(offset),
            snapshot_bytes: producer_snapshot::encode(&self.producers),
            index_parts,
            index_entries: (index.offsets.len(), index.times.len()),
            segment_bytes: self.active.segment.size_bytes,
            obsolete,
        })
    }

    /// They are on stable storage.
    pub(crate) fn note_recovery_aids(&mut self, aids: &RecoveryAids) {
        if let Some((obsolete, _)) = &aids.obsolete {
            self.snapshots.remove(obsolete);
            self.aid_snapshots.retain(|offset| offset != obsolete);
        }
        if self.snapshots.insert(aids.offset) {
            self.aid_snapshots.push(aids.offset);
        }
        // A roll since then has written the index of the segment that was active whole.
        let is_same = aids
            .index_parts
            .first()
            .is_some_and(|(path, _, _)| *path == self.active.segment.path(&self.dir, FileKind::OffsetIndex));
        if is_same {
            self.active.saved_index = aids.index_entries;
            self.active.aided_bytes = aids.segment_bytes;
        }
    }

    fn snapshot_path(&self, offset: Offset) -> std::path::PathBuf {
        FileName::new(offset, FileKind::ProducerSnapshot, Suffix::Live).in_dir(&self.dir)
    }
}
