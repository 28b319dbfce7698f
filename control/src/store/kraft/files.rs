//! The log's files: those of the embedded log, which may lose their end here, or all of it to a snapshot.

use std::io;
use std::path::PathBuf;

use engine::log::is_disk_full;
use engine::types::Offset;
use reactor::{File, disk};

use super::{encode, voters_record};
use crate::quorum::{StartingLog, VoterSet};
use crate::store::batch::LogBatch;
use crate::store::embedded::recover::{self, Before, Recovered};
use crate::store::embedded::segment::Segment;
use crate::store::embedded::snapshot;
use crate::store::error::{AppendError, DecodeBatchError, LogFault, OpenError, ReadError};
use crate::store::meta_log::SnapshotId;

/// Room kept behind the end while the disk has some, as in the embedded log.
const RESERVED_BYTES: u64 = 256 << 10;

/// Holds: `segments` is not empty, ascends and has no gaps.
pub(super) struct Files {
    pub(super) dir: PathBuf,
    segments: Vec<Segment>,
    pub(super) snapshot: Option<SnapshotId>,
}

impl Files {
    pub(super) fn open(dir: PathBuf) -> Result<(Files, StartingLog), OpenError> {
        let Recovered {
            segments,
            snapshot,
            snapshot_quorum,
            epochs,
            voters,
            ..
        } = recover::recover(&dir, Before::Superseded)?;
        let decode = |offset: Offset, value: &[u8]| {
            voters_record::decode(value).map_err(|what| OpenError::Unreadable {
                path: dir.clone(),
                position: 0,
                what: DecodeBatchError::Control { offset, what },
            })
        };
        let base = segments.first().map_or(Offset::ZERO, |first| first.base_offset);
        let end = segments.last().map_or(base, |last| last.end_offset);
        let snapshot_end = snapshot.map_or(Offset::ZERO, |id| id.end_offset);
        let snapshot_voters = snapshot_quorum
            .kraft_voters()
            .map(|value| decode(snapshot_end, value))
            .transpose()?;
        let later: Vec<(Offset, VoterSet)> = voters
            .iter()
            .filter(|(offset, _)| *offset >= snapshot_end)
            .map(|(offset, value)| decode(*offset, value).map(|voters| (*offset, voters)))
            .collect::<Result<_, _>>()?;
        // Which epoch the record before the files is of, only the snapshot tells.
        let start = match snapshot {
            Some(id) if base > Offset::ZERO => id,
            _ => SnapshotId::default(),
        };
        let mut kept: Vec<_> = epochs
            .iter()
            .copied()
            .filter(|(_, first)| *first > start.end_offset)
            .collect();
        let covering = epochs.iter().rev().find(|(_, first)| *first <= start.end_offset);
        let next = kept.first().map_or(end, |(_, first)| *first);
        if let Some((epoch, _)) = covering
            && next > start.end_offset
        {
            kept.insert(0, (*epoch, start.end_offset));
        }
        let log = StartingLog {
            start,
            snapshot,
            epochs: kept,
            end,
            snapshot_voters,
            voters: later,
        };
        let files = Files {
            dir,
            segments,
            snapshot,
        };
        Ok((files, log))
    }

    pub(super) fn end(&self) -> Offset {
        self.segments.last().map_or(Offset::ZERO, |last| last.end_offset)
    }

    pub(super) fn start(&self) -> Offset {
        self.segments
            .first()
            .map_or(Offset::ZERO, |first| first.base_offset)
    }

    pub(super) fn size_bytes(&self) -> u64 {
        let snapshot_end = self.snapshot.map_or(Offset::ZERO, |id| id.end_offset);
        let behind = self
            .segments
            .iter()
            .filter(|segment| segment.end_offset > snapshot_end);
        behind.map(|segment| segment.size_bytes).sum()
    }

    /// The file that is written, and where.
    pub(super) fn tail(&self) -> Option<(File, PathBuf, u64)> {
        let last = self.segments.last()?;
        Some((last.file.clone(), last.path.clone(), last.size_bytes))
    }

    /// Sees to it that writes of `bytes` to come find room.
    pub(super) fn reserve(&self, bytes: u64) -> Result<(), AppendError> {
        let Some((file, _, position)) = self.tail() else {
            return Err(AppendError::Empty);
        };
        let got = match file.allocate(position, bytes + RESERVED_BYTES) {
            Err(error) if is_disk_full(&error) => file.allocate(position, bytes),
            other => other,
        };
        match got {
            Err(error) if is_disk_full(&error) => Err(AppendError::NoSpace {
                bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            }),
            // what else is wrong, the write will say
            _ => Ok(()),
        }
    }

    pub(super) fn written(&mut self, end: Offset, bytes: u64) {
        if let Some(last) = self.segments.last_mut() {
            last.appended(end, bytes);
        }
    }

    /// Blocks; followers do it after a leader was lost.
    pub(super) fn truncate(&mut self, end: Offset) -> Result<(), LogFault> {
        loop {
            let is_first = self.segments.len() <= 1;
            let Some(last) = self.segments.last_mut() else {
                return Ok(());
            };
            let path = last.path.clone();
            let fault = |operation| {
                let path = path.clone();
                move |error: io::Error| LogFault::new(operation, &path, &error)
            };
            if last.base_offset > end && !is_first {
                self.segments.pop();
                disk::remove_file(&path).map_err(fault("removal"))?;
                continue;
            }
            last.truncate(end).map_err(fault("truncation"))?;
            return last.file.sync_data_blocking().map_err(fault("sync"));
        }
    }

    pub(super) fn read(
        &self,
        from: Offset,
        end: Offset,
        max_bytes: usize,
    ) -> Result<Vec<LogBatch>, ReadError> {
        let mut batches = Vec::new();
        let mut left = max_bytes;
        for segment in self.segments.iter().filter(|segment| segment.end_offset > from) {
            if segment.base_offset >= end || (left == 0 && !batches.is_empty()) {
                break;
            }
            left = segment.read(from, left, &mut batches)?;
        }
        batches.retain(|batch| batch.last_offset < end);
        Ok(batches)
    }

    pub(super) fn read_bytes(&self, from: Offset, end: Offset, max_bytes: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for segment in self.segments.iter().filter(|segment| segment.end_offset > from) {
            if segment.base_offset >= end || bytes.len() >= max_bytes {
                break;
            }
            segment.read_bytes(from, end, max_bytes, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// A new file for what comes next, so that those before can be removed as a whole.
    pub(super) fn begin_segment(&mut self) -> io::Result<()> {
        let end = self.end();
        if self.segments.last().is_some_and(|last| last.base_offset == end) {
            return Ok(());
        }
        let segment = Segment::create(&self.dir, end)?;
        disk::sync_dir(&self.dir)?;
        self.segments.push(segment);
        Ok(())
    }

    /// A snapshot of this replica is in place. What lies behind the one before it goes: followers that are a little behind still
    /// find their records. First offset that is kept.
    pub(super) fn snapshot_written(&mut self, id: SnapshotId) -> io::Result<Offset> {
        let older = self.snapshot.replace(id).filter(|older| *older != id);
        let keep_from = older.map_or(Offset::ZERO, |older| older.end_offset);
        let kept = self
            .segments
            .iter()
            .position(|segment| segment.end_offset > keep_from || segment.base_offset >= keep_from)
            .unwrap_or(self.segments.len().saturating_sub(1));
        let mut paths: Vec<PathBuf> = self.segments.drain(..kept).map(|segment| segment.path).collect();
        paths.extend(older.map(|older| self.dir.join(snapshot::file_name(older))));
        for path in paths {
            disk::remove_file(&path)?;
        }
        Ok(self.start())
    }

    /// Puts the log behind a snapshot that another replica made. The order makes every crash in between one that the next start
    /// knows: the snapshot has its name first, then the log goes from its end on.
    pub(super) fn install(&mut self, id: SnapshotId, bytes: &[u8]) -> Result<Option<VoterSet>, InstallError> {
        let path = self.dir.join(snapshot::file_name(id));
        let (_, quorum) = snapshot::decode(id, &path, bytes).map_err(InstallError::Unusable)?;
        let voters = quorum.kraft_voters().map(voters_record::decode).transpose();
        let voters = voters.map_err(|what| {
            InstallError::Unusable(OpenError::Unreadable {
                path: path.clone(),
                position: 0,
                what: DecodeBatchError::Control {
                    offset: id.end_offset,
                    what,
                },
            })
        })?;
        let fault = |error: io::Error| InstallError::Fault(LogFault::new("installation", &path, &error));
        disk::write_atomic(&path, bytes).map_err(|error| match is_disk_full(&error) {
            true => InstallError::NoSpace,
            false => fault(error),
        })?;
        let older = self.snapshot.replace(id).filter(|older| *older != id);
        while let Some(segment) = self.segments.pop() {
            disk::remove_file(&segment.path).map_err(fault)?;
        }
        let segment = Segment::create(&self.dir, id.end_offset).map_err(fault)?;
        self.segments.push(segment);
        disk::sync_dir(&self.dir).map_err(fault)?;
        if let Some(older) = older {
            disk::remove_file(&self.dir.join(snapshot::file_name(older))).map_err(fault)?;
        }
        Ok(voters)
    }

    pub(super) fn snapshot_path(&self, id: SnapshotId) -> PathBuf {
        self.dir.join(snapshot::file_name(id))
    }

    /// A part of a snapshot file, and the size of all of it.
    pub(super) fn read_snapshot(
        &self,
        id: SnapshotId,
        position: u64,
        max_bytes: usize,
    ) -> io::Result<(u64, Vec<u8>)> {
        let file = File::open(&self.snapshot_path(id), reactor::OpenMode::Read)?;
        let size = file.len()?;
        let left = size.checked_sub(position).ok_or(io::ErrorKind::InvalidInput)?;
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(max_bytes)];
        file.read_exact_at(&mut bytes, position)?;
        Ok((size, bytes))
    }

    pub(super) fn load_snapshot(&self) -> Result<Option<crate::store::Snapshot>, OpenError> {
        let loaded = self
            .snapshot
            .map(|id| recover::load_snapshot(&self.dir, id))
            .transpose()?;
        Ok(loaded.map(|(snapshot, _)| snapshot))
    }
}

/// Why a snapshot of another replica was not put in place.
pub(super) enum InstallError {
    Unusable(OpenError),
    NoSpace,
    Fault(LogFault),
}

pub(super) fn encode_snapshot(
    id: SnapshotId,
    voters: Option<&VoterSet>,
    records: &[crate::record::Record],
) -> Result<Vec<u8>, AppendError> {
    snapshot::encode(
        id,
        engine::types::Timestamp(reactor::wall_ms()),
        &encode::quorum(voters),
        records,
    )
}
