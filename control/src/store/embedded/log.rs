//! The log: appends, reads, snapshots.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine::log::is_disk_full;
use engine::types::{Offset, Timestamp};
use reactor::sync::Notify;
use reactor::{File, disk};

use super::recover::{self, Before, Recovered};
use super::segment::Segment;
use super::snapshot;
use crate::image::ClusterImage;
use crate::record::{BrokerId, ControllerEpoch, Record};
use crate::store::batch::{self, Control, LogBatch};
use crate::store::error::{AppendError, LogFault, OpenError, ReadError, SnapshotError};
use crate::store::meta_log::{Appended, Leadership, Member, Snapshot, SnapshotId};
use crate::store::quorum::Quorum;

/// Name of the log's directory within the data directory: topic `__cluster_metadata`, partition 0.
pub const LOG_DIR: &str = "__cluster_metadata-0";

/// Handle of the log; belongs to the reactor it was opened on.
#[derive(Clone)]
pub struct EmbeddedMetaLog(Rc<Shared>);

struct Shared {
    dir: PathBuf,
    member: Member,
    /// Since this process began its epoch.
    leads: Cell<Option<ControllerEpoch>>,
    led: Notify,
    state: RefCell<State>,
    /// Somebody writes to the files. One batch is on its way at a time: recovery relies on it.
    writing: Cell<bool>,
    written: Notify,
    #[cfg(test)]
    fail_sync: Cell<bool>,
    #[cfg(test)]
    full_disk: Cell<bool>,
}

/// Room that is reserved behind the end of the log while the disk has some: a full disk can then still be told to
/// delete topics. A guess: hundreds of deletions.
const RESERVED_BYTES: u64 = 256 << 10;

/// Holds: `segments` is not empty; `snapshot.end_offset <= end_offset`; everything below `end_offset` is durable.
struct State {
    segments: Vec<Segment>,
    snapshot: Option<SnapshotId>,
    epoch: ControllerEpoch,
    quorum: Quorum,
    end_offset: Offset,
    fault: Option<LogFault>,
}

impl EmbeddedMetaLog {
    /// Opens or creates the log in `data_dir`, which the caller has locked.
    pub fn open(data_dir: &Path, member: Member) -> Result<Self, OpenError> {
        let dir = data_dir.join(LOG_DIR);
        let Recovered {
            segments,
            snapshot,
            epoch,
            quorum,
            ..
        } = recover::recover(&dir, Before::Missing)?;
        let snapshot_end = snapshot.map_or(Offset::ZERO, |id| id.end_offset);
        let end_offset = segments.last().map_or(snapshot_end, |last| last.end_offset);
        Ok(EmbeddedMetaLog(Rc::new(Shared {
            dir,
            member,
            leads: Cell::new(None),
            led: Notify::new(),
            state: RefCell::new(State {
                segments,
                snapshot,
                epoch,
                quorum,
                end_offset,
                fault: None,
            }),
            writing: Cell::new(false),
            written: Notify::new(),
            #[cfg(test)]
            fail_sync: Cell::new(false),
            #[cfg(test)]
            full_disk: Cell::new(false),
        })))
    }

    /// Nobody else can: the directory is locked.
    pub fn controller(&self) -> Option<Leadership> {
        let epoch = self.0.leads.get()?;
        Some(Leadership {
            controller: self.0.member.id,
            epoch,
            endpoint: self.0.member.endpoint.clone(),
        })
    }

    pub async fn controller_changed(&self, seen: Option<&Leadership>) -> Option<Leadership> {
        loop {
            let led = self.0.led.notified();
            let controller = self.controller();
            if controller.as_ref() != seen {
                return controller;
            }
            led.await;
        }
    }

    pub async fn lead(&self) -> Result<ControllerEpoch, AppendError> {
        let controller = self.0.member.id;
        let log = self.clone();
        let task = reactor::spawn(async move {
            let _turn = log.turn().await;
            let current = log.0.state.borrow().epoch;
            let next = current.0.checked_add(1).ok_or(AppendError::EpochsExhausted)?;
            let epoch = ControllerEpoch(next);
            let control = Control::LeaderChange {
                leader: controller,
                voters: vec![controller],
            };
            let bytes =
                batch::encode_control(log.end_offset(), epoch, now(), std::slice::from_ref(&control))?;
            log.write(bytes, 1).await?;
            let mut state = log.0.state.borrow_mut();
            state.epoch = epoch;
            state.quorum.replay(&control);
            log.0.leads.set(Some(epoch));
            log.0.led.notify_waiters();
            Ok(epoch)
        });
        task.await
    }

    pub async fn append(&self, epoch: ControllerEpoch, records: &[Record]) -> Result<Appended, AppendError> {
        let log = self.clone();
        let records = records.to_vec();
        // A task of its own: a caller that stops waiting must not leave a batch written and never synced.
        let task = reactor::spawn(async move {
            let _turn = log.turn().await;
            let current = log.0.state.borrow().epoch;
            if epoch != current {
                return Err(AppendError::Fenced { own: epoch, current });
            }
            let bytes = batch::encode(log.end_offset(), epoch, now(), &records)?;
            log.write(bytes, records.len() as i64).await
        });
        task.await
    }

    /// Writes one batch at the end and makes it durable; the first failure is the last write.
    async fn write(&self, bytes: Vec<u8>, record_count: i64) -> Result<Appended, AppendError> {
        let (file, path, position) = {
            let state = self.0.state.borrow();
            if let Some(fault) = &state.fault {
                return Err(fault.clone().into());
            }
            let Some(segment) = state.segments.last() else {
                return Err(AppendError::Empty);
            };
            (segment.file.clone(), segment.path.clone(), segment.size_bytes)
        };
        self.reserve(&file, position, bytes.len())?;
        if let Err(error) = file.write_all_at(&bytes, position) {
            return Err(self.fail(LogFault::new("write", &path, &error)).into());
        }
        #[allow(unused_mut)]
        let mut synced = file.sync_data().await;
        #[cfg(test)]
        if self.0.fail_sync.get() {
            synced = Err(std::io::Error::other("planted"));
        }
        if let Err(error) = synced {
            return Err(self.fail(LogFault::new("sync", &path, &error)).into());
        }
        let mut state = self.0.state.borrow_mut();
        let base_offset = state.end_offset;
        let end_offset = base_offset.saturating_add(record_count);
        if let Some(segment) = state.segments.last_mut() {
            segment.appended(end_offset, bytes.len() as u64);
        }
        state.end_offset = end_offset;
        Ok(Appended {
            base_offset,
            last_offset: end_offset.saturating_add(-1),
        })
    }

    /// Sees to it that the write to come finds room. A write that fails half-way is the end of the log, and so of the
    /// broker: without this every consumer would lose it because somebody created a topic on a full disk.
    fn reserve(&self, file: &File, position: u64, bytes: usize) -> Result<(), AppendError> {
        #[cfg(test)]
        if self.0.full_disk.get() {
            return Err(AppendError::NoSpace { bytes });
        }
        let wanted = file.allocate(position, bytes as u64 + RESERVED_BYTES);
        let got = match wanted {
            Err(error) if is_disk_full(&error) => file.allocate(position, bytes as u64),
            other => other,
        };
        match got {
            Err(error) if is_disk_full(&error) => Err(AppendError::NoSpace { bytes }),
            // what else is wrong, the write will say
            _ => Ok(()),
        }
    }

    fn fail(&self, fault: LogFault) -> LogFault {
        tracing::error!(%fault, "the metadata log takes no further writes");
        self.0.state.borrow_mut().fault.get_or_insert(fault).clone()
    }

    pub fn read(&self, from: Offset, max_bytes: usize) -> Result<Vec<LogBatch>, ReadError> {
        let state = self.0.state.borrow();
        let log_start = state
            .segments
            .first()
            .map_or(Offset::ZERO, |first| first.base_offset);
        if from < log_start {
            return Err(ReadError::BehindLog { from, log_start });
        }
        if from > state.end_offset {
            return Err(ReadError::PastEnd {
                from,
                end: state.end_offset,
            });
        }
        let mut batches = Vec::new();
        let mut left = max_bytes;
        let needed = state.segments.iter().filter(|segment| segment.end_offset > from);
        for segment in needed {
            if left == 0 && !batches.is_empty() {
                break;
            }
            left = segment.read(from, left, &mut batches)?;
        }
        Ok(batches)
    }

    pub fn snapshot(&self) -> Result<Option<Snapshot>, OpenError> {
        let id = self.0.state.borrow().snapshot;
        let loaded = id.map(|id| recover::load_snapshot(&self.0.dir, id)).transpose()?;
        Ok(loaded.map(|(snapshot, _)| snapshot))
    }

    /// A new log file begins first, so that appends go on while the snapshot is written and the files before it can be
    /// removed as a whole once it is durable.
    pub async fn write_snapshot(&self, image: ClusterImage) -> Result<SnapshotId, SnapshotError> {
        let position = image.position();
        let id = SnapshotId {
            end_offset: position.offset.next(),
            epoch: position.epoch,
        };
        self.begin_segment(id.end_offset).await?;
        let path = self.0.dir.join(snapshot::file_name(id));
        let target = path.clone();
        let now = now();
        let quorum = self.0.state.borrow().quorum.clone();
        let written = reactor::background(move || {
            let bytes = snapshot::encode(id, now, &quorum, &image.to_records())?;
            disk::write_atomic(&target, &bytes).map_err(|source| SnapshotError::Io {
                operation: "write",
                path: target,
                source,
            })
        });
        written.await?;
        self.forget_behind(id)?;
        Ok(id)
    }

    async fn begin_segment(&self, snapshot_end: Offset) -> Result<(), SnapshotError> {
        let _turn = self.turn().await;
        let mut state = self.0.state.borrow_mut();
        let end = state.end_offset;
        if snapshot_end > end {
            return Err(SnapshotError::PastEnd {
                offset: snapshot_end,
                end,
            });
        }
        if state.segments.last().is_some_and(|last| last.base_offset == end) {
            return Ok(());
        }
        let created = Segment::create(&self.0.dir, end)
            .and_then(|segment| disk::sync_dir(&self.0.dir).map(|()| segment));
        state.segments.push(created.map_err(|source| SnapshotError::Io {
            operation: "creation",
            path: self.0.dir.clone(),
            source,
        })?);
        Ok(())
    }

    /// Removes what the snapshot has made superfluous. A crash in between leaves files that the next start removes.
    fn forget_behind(&self, id: SnapshotId) -> Result<(), SnapshotError> {
        let mut state = self.0.state.borrow_mut();
        let older = state.snapshot.replace(id).filter(|older| *older != id);
        let mut paths: Vec<_> = older
            .map(|older| self.0.dir.join(snapshot::file_name(older)))
            .into_iter()
            .collect();
        let kept = state
            .segments
            .iter()
            .position(|segment| segment.end_offset > id.end_offset || segment.base_offset == id.end_offset)
            .unwrap_or(state.segments.len().saturating_sub(1));
        paths.extend(state.segments.drain(..kept).map(|segment| segment.path));
        for path in paths {
            disk::remove_file(&path).map_err(|source| SnapshotError::Io {
                operation: "removal",
                path,
                source,
            })?;
        }
        Ok(())
    }

    pub fn voters(&self) -> Vec<BrokerId> {
        self.0.state.borrow().quorum.voters().to_vec()
    }

    /// Records that `kafka-storage format` left beside the log for the first controller to begin with.
    pub fn bootstrap_records(&self) -> Result<Option<Vec<Record>>, OpenError> {
        recover::load_bootstrap(&self.0.dir)
    }

    pub fn bytes_since_snapshot(&self) -> u64 {
        let state = self.0.state.borrow();
        state.segments.iter().map(|segment| segment.size_bytes).sum()
    }

    pub fn start_offset(&self) -> Offset {
        let state = self.0.state.borrow();
        state
            .segments
            .first()
            .map_or(Offset::ZERO, |first| first.base_offset)
    }

    pub fn end_offset(&self) -> Offset {
        self.0.state.borrow().end_offset
    }

    pub async fn wait_past(&self, offset: Offset) -> Result<Offset, LogFault> {
        loop {
            let written = self.0.written.notified();
            {
                let state = self.0.state.borrow();
                if state.end_offset > offset {
                    return Ok(state.end_offset);
                }
                if let Some(fault) = &state.fault {
                    return Err(fault.clone());
                }
            }
            written.await;
        }
    }

    /// Waits until nobody writes, and keeps others waiting until it is dropped.
    async fn turn(&self) -> Turn {
        loop {
            let written = self.0.written.notified();
            if !self.0.writing.replace(true) {
                return Turn(self.0.clone());
            }
            written.await;
        }
    }

    #[cfg(test)]
    pub(crate) fn plant_full_disk(&self, is_full: bool) {
        self.0.full_disk.set(is_full);
    }

    #[cfg(test)]
    pub(crate) fn plant_failing_sync(&self) {
        self.0.fail_sync.set(true);
    }
}

/// The right to write.
struct Turn(Rc<Shared>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.writing.set(false);
        self.0.written.notify_waiters();
    }
}

fn now() -> Timestamp {
    Timestamp(reactor::wall_ms())
}
