//! Truncation: a follower cuts off what its leader has not.
//!
//! Rare, so it is done the slow and plain way: the files are cut and synced, and the log is loaded from them as at a start. Only
//! then the journal is told to forget what it holds of the log ([`EntryKind::Reset`]). Timeline of what the order prevents:
//! the journal forgets, power fails, the cut is not on the disk, and what the cut left was only in the journal: it is lost. The
//! other way round a start brings back what was cut, and the follower cuts it again.

use std::io;
use std::path::Path;
use std::sync::Arc;

use reactor::{File, OpenMode, disk};
use thiserror::Error;

use super::fault::DiskFault;
use super::file_name::{FileKind, FileName, LEADER_EPOCH_CHECKPOINT, Suffix};
use super::handle::Log;
use super::open::Identity;
use super::recovery::{self, OpenError, OpenState, RecoveryRules};
use super::state::State;
use super::tail::floor_position;
use super::window::{SCAN_BYTES, ScanError, Window};
use crate::journal::format::{EntryHeader, EntryKind};
use crate::types::Offset;

/// Why a log was not cut.
#[derive(Clone, Debug, Error)]
pub enum TruncateError {
    #[error(transparent)]
    Offline(#[from] DiskFault),
    /// The log could not be loaded again; it is offline.
    #[error(transparent)]
    Reload(#[from] OpenError),
    #[error("{partition}: cannot be cut at {found}, the log starts at {start}")]
    BelowStart {
        partition: Arc<str>,
        start: Offset,
        found: Offset,
    },
}

impl Log {
    /// Cuts off the batch that holds `to` and all behind it; returns the new end, at or before `to`. On stable storage when it
    /// resolves. The caller appends nothing meanwhile; commits that wait for what is cut off fail. Before it appends again it writes
    /// the lower recovery point to the checkpoint file: a start believes what lies below the one that is there.
    ///
    /// A log start that divides the batch goes back to the new end, as Kafka's does: the log shall take the leader's batch there, and a
    /// start that found the log start behind the end would put all of it aside.
    ///
    /// All of the log is synced first. Timeline of the loss otherwise: the segments before the cut are only in the page cache, with
    /// the journal to vouch for them; the cut makes the journal forget; power fails.
    pub async fn truncate(&self, to: Offset) -> Result<Offset, TruncateError> {
        self.sync().await?;
        self.wait_idle().await;
        if to >= self.end_offset() {
            self.forget_empty_epoch().await?;
            return Ok(self.end_offset());
        }
        {
            let state = self.inner.state.borrow();
            state.check_online()?;
            if to < state.log_start {
                return Err(TruncateError::BelowStart {
                    partition: state.partition.clone(),
                    start: state.log_start,
                    found: to,
                });
            }
        }
        self.cut(Cut::To(to)).await
    }

    /// Forgets an epoch that was led in without a record: it would contradict the next leader's for ever. On stable storage when it resolves.
    ///
    /// Timeline of the loss if the file had it still: the next leader has more of an earlier epoch, which is appended and acknowledged;
    /// power takes some of it from the segment; the start finds that the log ends in the later epoch, and no place for what the
    /// journal has of the earlier one.
    async fn forget_empty_epoch(&self) -> Result<(), TruncateError> {
        {
            let mut state = self.inner.state.borrow_mut();
            state.check_online()?;
            let end_offset = state.end_offset;
            if !state.epochs.truncate_from_end(end_offset) {
                return Ok(());
            }
            state.flush.epochs_changed();
        }
        Ok(self.sync().await?)
    }

    /// Drops all records and begins anew at `start`, where the leader's log begins: nothing of what this one has is there any more.
    /// What [`Log::truncate`] says of commits, appends and the checkpoint file holds here too.
    pub async fn start_over(&self, start: Offset) -> Result<Offset, TruncateError> {
        self.sync().await?;
        self.wait_idle().await;
        self.cut(Cut::All { start }).await
    }

    async fn cut(&self, cut: Cut) -> Result<Offset, TruncateError> {
        let (dir, partition, rules, start, segments) = {
            let mut state = self.inner.state.borrow_mut();
            state.check_online()?;
            if let Err(error) = state.settle() {
                return Err(state.fail("write segment", error).into());
            }
            state.flush.set_running(true);
            let rules = RecoveryRules::of(&state.config, State::now());
            let start = OpenState {
                clean: false,
                recovery_point: None,
                log_start: Some(state.log_start),
                cleaned: None,
            };
            let segments: Vec<(Offset, u64)> = state
                .closed
                .values()
                .chain([&state.active.segment])
                .map(|segment| (segment.base_offset, segment.size_bytes))
                .collect();
            (state.dir.clone(), state.partition.clone(), rules, start, segments)
        };
        let reloaded = reactor::background(move || {
            let failed = |source| OpenError::Io {
                partition: partition.clone(),
                operation: "truncate",
                source: Arc::new(source),
            };
            let start = match cut {
                Cut::To(to) => {
                    let end = cut_files(&dir, &segments, to).map_err(failed)?;
                    OpenState {
                        recovery_point: Some(end),
                        log_start: start.log_start.map(|log_start| log_start.min(end)),
                        ..start
                    }
                }
                Cut::All { start: at } => {
                    remove_files(&dir, &segments).map_err(failed)?;
                    OpenState {
                        recovery_point: Some(at),
                        log_start: Some(at),
                        ..start
                    }
                }
            };
            recovery::load(&dir, &partition, start, rules)
        })
        .await;
        let (header, journal, end_offset) = {
            let mut state = self.inner.state.borrow_mut();
            // What failed meanwhile, the journal it may be, is not mended by reading the files again.
            if let Err(fault) = state.check_online() {
                state.flush.set_running(false);
                self.inner.synced.notify_waiters();
                return Err(fault.into());
            }
            let loaded = match reloaded {
                Ok(loaded) => loaded,
                Err(error) => {
                    let fault = io::Error::other(error.to_string());
                    state.fail("truncate", fault);
                    state.flush.set_running(false);
                    return Err(error.into());
                }
            };
            let header = state.reload(loaded);
            (header, state.journal.clone(), state.end_offset)
        };
        let mut forgotten = Ok(());
        if let (Some(header), Some(port)) = (header, journal) {
            forgotten = port.journal.reset(header).await;
        }
        let mut state = self.inner.state.borrow_mut();
        state.flush.set_running(false);
        self.inner.synced.notify_waiters();
        match forgotten {
            Ok(()) => Ok(end_offset),
            Err(fault) => Err(state.fail(fault.operation, fault.to_io()).into()),
        }
    }
}

impl State {
    /// Becomes what the files say; the entry that makes the journal forget.
    fn reload(&mut self, loaded: recovery::Loaded) -> Option<EntryHeader> {
        let identity = Identity {
            dir: self.dir.clone(),
            partition: self.partition.clone(),
            config: self.config.clone(),
            journal: self.journal.clone(),
            cleaned_to: self.cleaned_to,
            segment_ids_used: self.next_segment_id,
        };
        let mut after = identity.state_of(loaded, State::now());
        after.high_watermark = self.high_watermark.clamp(after.log_start, after.end_offset);
        after.flush.note_cut_from(&self.flush);
        after.flush.set_running(true);
        after.active.tail.is_queued = self.active.tail.is_queued;
        *self = after;
        self.assert_invariants();
        let port = self.journal.as_ref()?;
        Some(EntryHeader {
            kind: EntryKind::Reset,
            partition: port.partition,
            topic_id: port.topic_id,
            offset: self.end_offset.0,
            body_bytes: 0,
            gap: 0,
        })
    }
}

/// How much of a log goes.
#[derive(Copy, Clone, Debug)]
enum Cut {
    /// The batch that holds this offset and all behind it.
    To(Offset),
    /// Everything; the log begins at `start` then.
    All { start: Offset },
}

/// Removes all segments, last one first, and the epochs, which would tell of records that are gone. The last file to go is the first
/// segment's: interrupted before, a start finds a shorter log; after, none, and begins where the checkpoint of log starts says.
fn remove_files(dir: &Path, segments: &[(Offset, u64)]) -> io::Result<()> {
    match disk::remove_file(&dir.join(LEADER_EPOCH_CHECKPOINT)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for (base, _) in segments.iter().rev() {
        for kind in FileKind::OF_SEGMENT
            .into_iter()
            .chain([FileKind::ProducerSnapshot])
        {
            match disk::remove_file(&FileName::new(*base, kind, Suffix::Live).in_dir(dir)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    disk::sync_dir(dir)
}

/// Removes segments behind `to`, last one first, then cuts the one that holds it. Synced; the new end of the log.
fn cut_files(dir: &Path, segments: &[(Offset, u64)], to: Offset) -> io::Result<Offset> {
    let kept = segments.partition_point(|(base, _)| *base <= to).max(1);
    for (base, _) in segments.iter().skip(kept).rev() {
        for kind in FileKind::OF_SEGMENT
            .into_iter()
            .chain([FileKind::ProducerSnapshot])
        {
            match disk::remove_file(&FileName::new(*base, kind, Suffix::Live).in_dir(dir)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    disk::sync_dir(dir)?;
    let Some((base, size)) = segments.get(kept - 1).copied() else {
        return Ok(to);
    };
    let file = File::open(
        &FileName::new(base, FileKind::Log, Suffix::Live).in_dir(dir),
        OpenMode::ReadWrite,
    )?;
    let (position, end) = place_of(dir, &file, base, size, to).map_err(ScanError::into_io)?;
    file.set_len(position)?;
    file.sync_data_blocking()?;
    Ok(end)
}

/// Where the batch that holds `to`, or the first behind it, begins; and the end of what lies before.
fn place_of(
    dir: &Path,
    file: &File,
    base: Offset,
    size: u64,
    to: Offset,
) -> Result<(u64, Offset), ScanError> {
    let mut position = floor_position(dir, base, file, size, to);
    let mut end = base;
    let mut window = Window::new(file, size, SCAN_BYTES);
    let mut is_first = true;
    while let Some(batch) = window.header(position)? {
        if batch.header.next_offset() > to {
            if is_first && position > 0 {
                // the index led right to it; what lies before ends where this begins, or earlier by a hole
                end = batch.header.base_offset();
            }
            return Ok((position, end));
        }
        is_first = false;
        end = batch.header.next_offset();
        position = batch.end();
    }
    Ok((position, end))
}
