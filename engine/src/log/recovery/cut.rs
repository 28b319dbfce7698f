//! What a start takes off a log: torn ends, and segments that do not follow.

use std::io;
use std::path::{Path, PathBuf};

use reactor::{File, OpenMode, disk};

use super::{Found, OpenError, Purpose, Recovery, Truncation};
use crate::log::damage::{Damage, DamageAt};
use crate::log::file_name::FileKind;
use crate::log::window::{BULK_BYTES, Window};
use crate::types::Offset;

impl Recovery {
    /// When a segment begins at the recovery point, the one before ends there, whatever its file has: a write that failed may have left
    /// part of a batch, which was truncated but not synced, and then the log went on in the next segment.
    pub(super) fn trim_before(&mut self, recovery_point: Offset) -> Result<(), OpenError> {
        let next = self
            .segments
            .binary_search_by_key(&recovery_point, |segment| segment.base_offset);
        let Some(before) = next.ok().and_then(|next| next.checked_sub(1)) else {
            return Ok(());
        };
        let Some(segment) = self.segments.get(before).cloned() else {
            return Ok(());
        };
        if self.quarantines.contains_key(&segment.base_offset) {
            return Ok(());
        }
        let file = File::open(
            &self.path(segment.base_offset, FileKind::Log),
            OpenMode::ReadWrite,
        )
        .map_err(|source| self.io("open segment", source))?;
        let size_bytes = segment.size_bytes;
        let end = self.position_of(&segment, &file, recovery_point)?;
        // A compacted segment may end before: it was written anew, and synced as a whole.
        let Some((_, end)) = end.filter(|(_, end)| *end < size_bytes) else {
            return Ok(());
        };
        tracing::warn!(partition = %self.partition, segment = %segment.base_offset, end, size_bytes,
            "bytes behind the end of a segment truncated");
        file.set_len(end).map_err(|source| self.io("truncate", source))?;
        if let Some(segment) = self.segments.get_mut(before) {
            segment.size_bytes = end;
        }
        if self.purpose == Purpose::Replay {
            return Ok(()); // everything is synced at once when all is in place
        }
        file.sync_data_blocking()
            .map_err(|source| self.io("sync segment", source))
    }

    /// Removes the segments from number `keep` on, and tells of the cut. `position` is where the last one kept is cut.
    pub(super) fn cut(
        &mut self,
        keep: usize,
        damage: DamageAt,
        offset: Offset,
        position: u64,
    ) -> Result<(), OpenError> {
        let below_recovery_point = self.start.recovery_point.is_some_and(|point| offset < point);
        let segment = keep
            .checked_sub(1)
            .and_then(|last| self.segments.get(last))
            .cloned();
        let mut bytes_removed = 0;
        let later: Vec<Found> = self.segments.drain(keep.min(self.segments.len())..).collect();
        for found in later.iter().rev() {
            bytes_removed += found.size_bytes;
            self.report.segments_removed += 1;
            self.remove_segment(found.base_offset, below_recovery_point)?;
        }
        if let Some(segment) = &segment {
            let is_cut = position > 0 || !matches!(damage.damage, Damage::Gap { .. });
            if is_cut {
                bytes_removed += segment.size_bytes.saturating_sub(position);
                if below_recovery_point {
                    self.keep_damaged(segment, offset, position)?;
                }
            }
        }
        let truncation = Truncation {
            offset,
            segment: segment.map_or(offset, |segment| segment.base_offset),
            bytes_removed,
            damage,
            below_recovery_point,
        };
        if below_recovery_point {
            tracing::error!(partition = %self.partition, ?truncation, recovery_point = ?self.start.recovery_point,
                "the disk lost synced records; what was cut off is kept as *.damaged");
        } else {
            tracing::warn!(partition = %self.partition, ?truncation, "unsynced tail truncated");
        }
        self.report.truncation = Some(truncation);
        Ok(())
    }

    fn remove_segment(&self, base_offset: Offset, keep: bool) -> Result<(), OpenError> {
        for kind in FileKind::OF_SEGMENT
            .into_iter()
            .chain([FileKind::ProducerSnapshot])
        {
            let path = self.path(base_offset, kind);
            let done = if keep && kind == FileKind::Log {
                disk::rename(&path, &damaged_path(&path))
            } else {
                disk::remove_file(&path)
            };
            match done {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(self.io("remove segment", source)),
            }
        }
        Ok(())
    }

    /// Copies what is about to be cut off. Only ever done when the disk lost synced data, so its cost does not matter.
    fn keep_damaged(&self, segment: &Found, offset: Offset, position: u64) -> Result<(), OpenError> {
        let copy = || -> io::Result<()> {
            let from = File::open(&self.path(segment.base_offset, FileKind::Log), OpenMode::Read)?;
            let to = File::open(&damaged_path(&self.path(offset, FileKind::Log)), OpenMode::Create)?;
            let mut window = Window::new(&from, segment.size_bytes, BULK_BYTES);
            let mut at = position;
            loop {
                let bytes = window.bytes(at, BULK_BYTES)?;
                if bytes.is_empty() {
                    return to.sync_data_blocking();
                }
                to.write_all_at(bytes, at - position)?;
                at += bytes.len() as u64;
            }
        };
        copy().map_err(|source| self.io("keep damaged tail", source))
    }

    /// Makes the log empty, beginning at `log_start`.
    pub(super) fn begin_at(&mut self, log_start: Offset) -> Result<(), OpenError> {
        let all = std::mem::take(&mut self.segments);
        for segment in all.iter().rev() {
            self.report.segments_removed += 1;
            self.remove_segment(segment.base_offset, segment.size_bytes > 0)?;
        }
        if all.iter().any(|segment| segment.size_bytes > 0) {
            tracing::error!(partition = %self.partition, %log_start,
                "the log start lies behind the end of the log; its segments are kept as *.damaged");
        }
        let path = self.path(log_start, FileKind::Log);
        File::open(&path, OpenMode::Create)
            .and_then(|file| file.set_len(0))
            .map_err(|source| self.io("create segment", source))?;
        self.segments.push(Found {
            base_offset: log_start,
            size_bytes: 0,
        });
        Ok(())
    }
}

fn damaged_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".damaged");
    PathBuf::from(name)
}
