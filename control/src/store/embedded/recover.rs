//! What a start finds on disk, and what it makes of it.
//!
//! | found | made of it | why no acknowledged record is lost |
//! |---|---|---|
//! | `*.checkpoint.tmp` | removed | a snapshot counts once it has its name; the log behind it is there |
//! | older snapshots beside a newer one | removed | the newer one says everything they said |
//! | log files wholly below the snapshot | removed | the snapshot says what they said |
//! | damage at the end of the last log file | cut off | one batch is written at a time and answered after its sync: nothing after the damage, so it was the one batch that was never answered |
//! | damage followed by a whole batch of a later offset | refused | what follows was written after the damaged batch was answered |
//! | damage in an earlier log file or in the snapshot | refused | all of it had been answered |
//! | a batch with the right CRC that does not decode | refused | no damage: a newer version wrote it, and may have answered |
//! | a gap between snapshot and log, or between log files | refused | somebody removed a file |

use std::io;
use std::path::{Path, PathBuf};

use engine::batch::Batch;
use engine::types::Offset;
use reactor::{File, OpenMode, disk};

use super::segment::{self, Segment};
use super::snapshot;
use crate::record::{ControllerEpoch, Record};
use crate::store::batch::{Control, LogBatch};
use crate::store::error::{DecodeBatchError, OpenError};
use crate::store::meta_log::{Snapshot, SnapshotId};
use crate::store::quorum::Quorum;

const BOOTSTRAP: &str = "bootstrap.checkpoint";

/// A log directory, read and put in order. Holds: `segments` is not empty, ascends and has no gaps.
pub(in crate::store) struct Recovered {
    pub(in crate::store) segments: Vec<Segment>,
    pub(in crate::store) snapshot: Option<SnapshotId>,
    pub(in crate::store) epoch: ControllerEpoch,
    pub(in crate::store) quorum: Quorum,
    /// What the snapshot says of it.
    pub(in crate::store) snapshot_quorum: Quorum,
    /// First offset of each epoch in the log files.
    pub(in crate::store) epochs: Vec<(ControllerEpoch, Offset)>,
    /// The control records that name voters, as they were written, by the offset of their batch.
    pub(in crate::store) voters: Vec<(Offset, Box<[u8]>)>,
}

/// What a log that does not lead up to its snapshot means.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Before {
    /// Somebody removed a file.
    Missing,
    /// The snapshot came from another replica, and a crash kept the log from being replaced by it: one of a quorum does that.
    Superseded,
}

/// What the batches say, one after the other.
struct Walked {
    epoch: ControllerEpoch,
    quorum: Quorum,
    epochs: Vec<(ControllerEpoch, Offset)>,
    voters: Vec<(Offset, Box<[u8]>)>,
}

pub(in crate::store) fn recover(dir: &Path, before: Before) -> Result<Recovered, OpenError> {
    let io = |operation, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| OpenError::Io {
            operation,
            path,
            source,
        }
    };
    disk::create_dir_all(dir).map_err(io("creation", dir))?;
    if let Some(parent) = dir.parent() {
        disk::sync_dir(parent).map_err(io("sync", parent))?;
    }
    let files = disk::read_dir(dir).map_err(io("listing", dir))?;
    let files: Vec<_> = files.iter().filter(|entry| !entry.is_dir).collect();
    let snapshot = files
        .iter()
        .filter_map(|entry| snapshot::parse_file_name(&entry.name))
        .max();
    let mut superfluous: Vec<PathBuf> = files
        .iter()
        .filter(|entry| {
            snapshot::is_unfinished(&entry.name)
                || snapshot::parse_file_name(&entry.name).is_some_and(|id| Some(id) < snapshot)
        })
        .map(|entry| dir.join(&entry.name))
        .collect();
    // Read once here, so that a damaged one stops the start before anything is removed or written.
    let snapshot_quorum = match snapshot {
        Some(id) => load_snapshot(dir, id)?.1,
        None => Quorum::default(),
    };
    let snapshot_end = snapshot.map_or(Offset::ZERO, |id| id.end_offset);
    let mut bases: Vec<Offset> = files
        .iter()
        .filter_map(|entry| segment::parse_file_name(&entry.name))
        .collect();
    bases.sort();
    // The last log file that begins at or below the snapshot's end is the first one needed.
    let needed = bases
        .partition_point(|base| *base <= snapshot_end)
        .saturating_sub(1);
    superfluous.extend(
        bases
            .drain(..needed)
            .map(|base| dir.join(segment::file_name(base))),
    );
    let mut walked = Walked {
        epoch: ControllerEpoch(0),
        quorum: snapshot_quorum.clone(),
        epochs: Vec::new(),
        voters: Vec::new(),
    };
    let mut segments: Vec<Segment> = Vec::with_capacity(bases.len());
    for (index, base) in bases.iter().enumerate() {
        let expected = segments.last().map_or(snapshot_end, |last| last.end_offset);
        let path = dir.join(segment::file_name(*base));
        let fits = if index == 0 {
            *base <= expected
        } else {
            *base == expected
        };
        if !fits {
            return Err(OpenError::Gap {
                log_start: *base,
                snapshot_end: expected,
            });
        }
        let is_last = index + 1 == bases.len();
        segments.push(recover_segment(path, *base, is_last, &mut walked)?);
    }
    if before == Before::Superseded
        && let Some(id) = snapshot
        && !leads_up_to(&segments, &walked, id)
    {
        // from the end on: what a crash leaves is a log without gaps again
        while let Some(segment) = segments.pop() {
            disk::remove_file(&segment.path).map_err(io("removal", &segment.path))?;
        }
        walked.epochs.clear();
        walked.voters.clear();
        walked.quorum = snapshot_quorum.clone();
        walked.epoch = id.epoch;
    }
    match segments.last() {
        Some(last) if last.end_offset < snapshot_end => {
            return Err(OpenError::Gap {
                log_start: last.end_offset,
                snapshot_end,
            });
        }
        Some(_) => {}
        None => {
            let segment = Segment::create(dir, snapshot_end).map_err(io("creation", dir))?;
            segments.push(segment);
            disk::sync_dir(dir).map_err(io("sync", dir))?;
        }
    }
    for path in superfluous {
        disk::remove_file(&path).map_err(io("removal", &path))?;
    }
    Ok(Recovered {
        segments,
        snapshot,
        epoch: snapshot.map_or(walked.epoch, |id| walked.epoch.max(id.epoch)),
        quorum: walked.quorum,
        snapshot_quorum,
        epochs: walked.epochs,
        voters: walked.voters,
    })
}

/// Whether the log holds the record that the snapshot ends with, or begins behind it.
fn leads_up_to(segments: &[Segment], walked: &Walked, id: SnapshotId) -> bool {
    let Some((first, last)) = segments.first().zip(segments.last()) else {
        return true;
    };
    if first.base_offset == id.end_offset {
        return true;
    }
    let count = walked.epochs.partition_point(|(_, start)| *start < id.end_offset);
    let epoch = count.checked_sub(1).and_then(|index| walked.epochs.get(index));
    last.end_offset >= id.end_offset && epoch.is_some_and(|(epoch, _)| *epoch == id.epoch)
}

pub(in crate::store) fn load_snapshot(dir: &Path, id: SnapshotId) -> Result<(Snapshot, Quorum), OpenError> {
    let path = dir.join(snapshot::file_name(id));
    let bytes = disk::read(&path).map_err(|source| OpenError::Io {
        operation: "read",
        path: path.clone(),
        source,
    })?;
    snapshot::decode(id, &path, &bytes)
}

/// `bootstrap.checkpoint` in the data directory: a snapshot in form, written by `kafka-storage format` with the features and
/// credentials it was told.
pub(in crate::store) fn load_bootstrap(dir: &Path) -> Result<Option<Vec<Record>>, OpenError> {
    let path = dir.with_file_name(BOOTSTRAP);
    let bytes = match disk::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(OpenError::Io {
                operation: "read",
                path,
                source,
            });
        }
    };
    let id = SnapshotId {
        end_offset: Offset::ZERO,
        epoch: ControllerEpoch(0),
    };
    Ok(Some(snapshot::decode(id, &path, &bytes)?.0.records))
}

/// Walks a log file, checking every batch; cuts off the torn tail of the last one.
fn recover_segment(
    path: PathBuf,
    base_offset: Offset,
    is_last: bool,
    walked: &mut Walked,
) -> Result<Segment, OpenError> {
    let io = |operation| {
        let path = path.clone();
        move |source: io::Error| OpenError::Io {
            operation,
            path,
            source,
        }
    };
    let file = File::open(&path, OpenMode::ReadWrite).map_err(io("open"))?;
    let bytes = disk::read(&path).map_err(io("read"))?;
    let mut segment = Segment::new(path.clone(), file, base_offset);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (batch, controls, behind) = match whole_batch(rest) {
            Ok(whole) => whole,
            Err(what) if is_as_written(rest) => {
                return Err(OpenError::Unreadable {
                    path,
                    position: segment.size_bytes,
                    what,
                });
            }
            Err(what) if is_last => {
                cut_tail(&segment, rest, what)?;
                break;
            }
            Err(what) => {
                return Err(OpenError::Damaged {
                    path,
                    position: segment.size_bytes,
                    what,
                });
            }
        };
        if batch.base_offset != segment.end_offset {
            return Err(OpenError::Offset {
                path,
                expected: segment.end_offset,
                found: batch.base_offset,
            });
        }
        if batch.epoch < walked.epoch {
            return Err(OpenError::Epoch {
                path,
                last: walked.epoch,
                found: batch.epoch,
            });
        }
        walked.note(&batch, &controls);
        segment.appended(batch.last_offset.next(), (rest.len() - behind.len()) as u64);
        rest = behind;
    }
    Ok(segment)
}

impl Walked {
    fn note(&mut self, batch: &LogBatch, controls: &[Control]) {
        if self.epochs.last().is_none_or(|(epoch, _)| *epoch != batch.epoch) {
            self.epochs.push((batch.epoch, batch.base_offset));
        }
        self.epoch = batch.epoch;
        for control in controls {
            self.quorum.replay(control);
            if let Control::KraftVoters(value) = control {
                self.voters.push((batch.base_offset, value.clone()));
            }
        }
    }
}

/// Whether a batch lies here just as somebody wrote it.
fn is_as_written(bytes: &[u8]) -> bool {
    Batch::split_first(bytes).is_ok_and(|(batch, _)| batch.verify_crc().is_ok())
}

fn whole_batch(bytes: &[u8]) -> Result<(LogBatch, Vec<Control>, &[u8]), DecodeBatchError> {
    let (batch, behind) = Batch::split_first(bytes)?;
    let (batch, controls) = LogBatch::decode_with_controls(&batch)?;
    Ok((batch, controls, behind))
}

fn cut_tail(segment: &Segment, tail: &[u8], what: DecodeBatchError) -> Result<(), OpenError> {
    let position = segment.size_bytes;
    if let Some(next) = find_whole_batch(tail, segment.end_offset) {
        return Err(OpenError::DamagedWithin {
            path: segment.path.clone(),
            position,
            what,
            next: position + next as u64,
        });
    }
    tracing::warn!(
        path = %segment.path.display(),
        position,
        bytes = tail.len(),
        offset = segment.end_offset.0,
        %what,
        "cutting off the batch that a crash left unfinished; it was never acknowledged"
    );
    let cut = segment
        .file
        .set_len(position)
        .and_then(|()| segment.file.sync_data_blocking());
    cut.map_err(|source| OpenError::Io {
        operation: "truncation",
        path: segment.path.clone(),
        source,
    })
}

/// Where in `bytes`, past their begin, a whole batch of an offset behind `after` lies. Cheap tests first: the file may
/// be damaged at its very begin, and every byte is tried.
fn find_whole_batch(bytes: &[u8], after: Offset) -> Option<usize> {
    (1..bytes.len()).find(|start| {
        let Some(candidate) = bytes.get(*start..) else {
            return false;
        };
        Batch::split_first(candidate)
            .is_ok_and(|(batch, _)| batch.base_offset() > after && batch.verify_crc().is_ok())
    })
}
