//! Commit: when what was appended may be acknowledged.
//!
//! With a journal a record waits for its group's write (see [`crate::journal`]), and its segment is synced later by a
//! checkpoint. Without one, for large batches, and where `flush.messages` or `flush.ms` ask for it, the segment itself is synced: one
//! sync at a time, which covers everything appended before it started. The timeline each step of a sync prevents the loss in:
//! - A segment is rolled, the new one synced, the old one not; power fails: a hole before acknowledged records. So all
//!   segments closed since the last sync are synced with the active one.
//! - The new segment's data is on the disk, its directory entry is not; power fails: the file is gone with every
//!   acknowledged record in it. So the directory is synced before anything in a new segment counts.
//! - The recovery point moves behind a batch that began an epoch, the epoch checkpoint was never written; restart:
//!   recovery does not see that batch any more, and a follower is told a wrong end of the epoch before. So changed
//!   epochs are written first.
//! - A sync fails, the second try succeeds because the kernel dropped the dirty pages with the error: acknowledged
//!   records are lost although every call returned success. So the first failure takes the log offline.
//! - A batch goes to its segment past the journal, the next one to the journal; the second is durable first and is
//!   acknowledged; power fails: the journal's batch has no place to go, because the one before it is missing. So behind a
//!   batch that no journal holds, every commit waits for the segment, until a sync has closed the gap.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::config::Durability;
use super::fault::{DiskFault, is_shortage};
use super::file_name::LEADER_EPOCH_CHECKPOINT;
use super::flush::{Flush, FlushError};
use super::handle::{Inner, Log};
use super::state::State;
use crate::journal::Journal;
use crate::planted::{self, Bug};
use crate::types::{Offset, Timestamp};

/// Why a sync does not begin.
enum NotBegun {
    Offline,
    /// The tail finds no room in its file; what it holds is in the journal, or was never accepted.
    NoRoom,
}

impl State {
    /// Takes everything that waits for the disk.
    fn begin_flush(&mut self) -> Result<Flush, NotBegun> {
        self.check_online().map_err(|_| NotBegun::Offline)?;
        self.settle().map_err(|error| self.settle_failed(error))?;
        let active = match self.active.segment.file(&self.dir) {
            Ok(file) => file,
            Err(error) => return Err(self.settle_failed(error)),
        };
        let taken = self.flush.begin();
        let epochs = || (self.dir.join(LEADER_EPOCH_CHECKPOINT), self.epochs.encode());
        Ok(Flush {
            target: self.end_offset,
            active,
            closed: taken.closed,
            derived: taken.derived,
            directory: taken.is_directory_dirty.then(|| self.dir.clone()),
            epochs: taken.are_epochs_dirty.then(epochs),
            aids: None,
        })
    }

    fn settle_failed(&mut self, error: io::Error) -> NotBegun {
        if is_shortage(&error) {
            return NotBegun::NoRoom;
        }
        self.fail("write segment", error);
        NotBegun::Offline
    }

    fn finish_flush(&mut self, target: Offset, result: Result<(), FlushError>) {
        match result {
            // The sync of the whole file system that failed meanwhile may have taken these pages, and told only its own caller.
            Ok(()) if self.check_online().is_err() => {}
            Ok(()) => {
                assert!(target <= self.end_offset);
                self.flush.finish(target);
            }
            // what a second try would say: the kernel tells a failure once
            Err(_) if planted::is(Bug::SyncErrorRetried) => self.flush.finish(target),
            Err(FlushError { operation, source }) => {
                self.fail(operation, source);
            }
        }
    }
}

/// What a commit waits for.
enum WaitsFor {
    Nothing(Result<(), DiskFault>),
    Journal {
        journal: Journal,
        sequence: u64,
        truncations: u64,
    },
    Segments {
        truncations: u64,
    },
}

impl Log {
    /// Resolves when every record below `up_to` is as durable as the topic asks for. The write is under way when this returns,
    /// whether the future is polled or not; an offset beyond the end of the log counts as the end.
    pub fn commit(&self, up_to: Offset) -> impl Future<Output = Result<(), DiskFault>> + use<> {
        let inner = self.inner.clone();
        let (up_to, waits) = inner.state.borrow().waits(up_to);
        if let WaitsFor::Segments { .. } = waits {
            request(&inner, up_to);
        }
        async move {
            match waits {
                WaitsFor::Nothing(result) => result,
                WaitsFor::Journal {
                    journal,
                    sequence,
                    truncations,
                } => {
                    let written = journal.durable(sequence).await;
                    let mut state = inner.state.borrow_mut();
                    match written {
                        Ok(()) => {
                            state.check_not_cut(truncations)?;
                            state.flush.note_committed(up_to);
                            Ok(())
                        }
                        Err(fault) => Err(state.fail(fault.operation, fault.to_io())),
                    }
                }
                WaitsFor::Segments { truncations } => loop {
                    let synced = inner.synced.notified();
                    inner.state.borrow().check_not_cut(truncations)?;
                    if let Some(result) = standing(&inner.state, up_to) {
                        return result;
                    }
                    synced.await;
                },
            }
        }
    }

    /// Syncs what has been waiting for `flush.ms`, without anybody waiting for it.
    pub fn flush_if_due(&self, now: Timestamp) {
        let due = {
            let state = self.inner.state.borrow();
            state
                .flush
                .is_due(now, state.config.flush_ms)
                .then_some(state.end_offset)
        };
        if let Some(end_offset) = due {
            request(&self.inner, end_offset);
        }
    }

    /// Starts a sync of everything appended, for nobody in particular.
    pub(crate) fn request_flush(&self) {
        let end_offset = self.inner.state.borrow().end_offset;
        request(&self.inner, end_offset);
    }

    /// Syncs segments and directory, whatever the journal holds.
    pub async fn sync(&self) -> Result<(), DiskFault> {
        let end_offset = self.inner.state.borrow().end_offset;
        request(&self.inner, end_offset);
        loop {
            let synced = self.inner.synced.notified();
            {
                let state = self.inner.state.borrow();
                state.check_online()?;
                if state.flush.recovery_point() >= end_offset && !state.flush.is_running() {
                    return Ok(());
                }
            }
            synced.await;
        }
    }
}

impl State {
    fn waits(&self, up_to: Offset) -> (Offset, WaitsFor) {
        let up_to = up_to.min(self.end_offset);
        let truncations = self.flush.truncations();
        let waits = match self.journal.as_ref().zip(self.flush.journaled_by()) {
            _ if self.fault.is_some() => WaitsFor::Nothing(self.check_online()),
            _ if self.flush.committed() >= up_to => WaitsFor::Nothing(Ok(())),
            _ if planted::is(Bug::AcknowledgeBeforeSync) => WaitsFor::Nothing(Ok(())),
            Some((port, sequence)) => WaitsFor::Journal {
                journal: port.journal.clone(),
                sequence,
                truncations,
            },
            None => WaitsFor::Segments { truncations },
        };
        (up_to, waits)
    }

    /// Whether the topic is content with the page cache, and nothing makes a sync due.
    pub(crate) fn is_content_with_page_cache(&self) -> bool {
        let unsynced = self.end_offset.0 - self.flush.recovery_point().0;
        self.config.durability == Durability::PageCache && unsynced < self.config.flush_messages
    }

    /// A log that was cut meanwhile has not what was waited for.
    fn check_not_cut(&self, truncations: u64) -> Result<(), DiskFault> {
        if self.flush.truncations() == truncations {
            return Ok(());
        }
        Err(DiskFault {
            partition: self.partition.clone(),
            operation: "commit of records that were truncated",
            offset: self.end_offset,
            source: Arc::new(io::ErrorKind::InvalidInput.into()),
        })
    }
}

/// Sees to it that a sync covers `up_to`.
fn request(inner: &Rc<Inner>, up_to: Offset) {
    let mut state = inner.state.borrow_mut();
    let end_offset = state.end_offset;
    if state.fault.is_none() && state.flush.want(up_to, end_offset) {
        drop(state);
        reactor::spawn(flush_loop(inner.clone())).detach();
    }
}

fn standing(state: &RefCell<State>, up_to: Offset) -> Option<Result<(), DiskFault>> {
    let state = state.borrow();
    match state.check_online() {
        Err(fault) => Some(Err(fault)),
        Ok(()) if state.flush.committed() >= up_to => Some(Ok(())),
        Ok(()) => None,
    }
}

/// How long a sync waits for room on a full disk before it tries again.
const ROOM_RETRY: std::time::Duration = std::time::Duration::from_millis(100);

/// Bytes of a log for which a sync of its own, which somebody waits for, leaves the aids; a log that takes its appends past the journal
/// sees no checkpoint.
const AIDED_BY_SYNC_BYTES: u64 = 16 << 20;
/// The same for checkpoints. What a start may have to walk over, header by header, below the recovery point of one log: some ms. At every
/// checkpoint of 1,000 logs it was 40 % of the processor, in the search of the file system for an inode that was not freed lately.
const AIDED_BY_CHECKPOINT_BYTES: u64 = 4 << 20;

/// Runs while somebody wants more than is synced. A task of its own, so that no waiter that goes away takes the sync
/// of the others with it.
async fn flush_loop(inner: Rc<Inner>) {
    loop {
        let flush = {
            let mut state = inner.state.borrow_mut();
            let log_bytes = state.size_bytes();
            let State { flush, epochs, .. } = &mut *state;
            flush.call_epochs_due(epochs, log_bytes);
            let flush = state.begin_flush();
            flush.map(|flush| Flush {
                aids: state.recovery_aids(AIDED_BY_SYNC_BYTES),
                ..flush
            })
        };
        match flush {
            Ok(flush) => {
                let target = flush.target;
                let result = flush.run().await;
                let mut state = inner.state.borrow_mut();
                if let Ok(Flush { aids: Some(aids), .. }) = &result {
                    state.note_recovery_aids(aids);
                }
                state.finish_flush(target, result.map(drop));
            }
            Err(NotBegun::Offline) => {}
            Err(NotBegun::NoRoom) => {
                reactor::sleep(ROOM_RETRY).await;
                continue;
            }
        }
        if inner.state.borrow_mut().end_flush() {
            inner.synced.notify_waiters();
            return;
        }
        inner.synced.notify_waiters();
    }
}

impl State {
    /// A sync has ended; whether nobody wants another.
    fn end_flush(&mut self) -> bool {
        let is_online = self.check_online().is_ok();
        self.flush.end(is_online)
    }
}

/// The journal's checkpoint syncs many logs at once.
impl Inner {
    /// What is to be synced; `None` while a sync of its own is running, when there is no room, or when the log is offline.
    pub(crate) fn begin_checkpoint(&self) -> Option<Flush> {
        let mut state = self.state.borrow_mut();
        if state.flush.is_running() {
            return None;
        }
        let log_bytes = state.size_bytes();
        let State { flush, epochs, .. } = &mut *state;
        flush.let_epochs_wait(epochs, log_bytes);
        let mut flush = state.begin_flush().ok()?;
        flush.aids = state.recovery_aids(AIDED_BY_CHECKPOINT_BYTES);
        Some(flush)
    }

    pub(crate) fn finish_checkpoint(self: &Rc<Self>, flush: &Flush, result: &Result<(), Arc<FlushError>>) {
        let is_done = {
            let mut state = self.state.borrow_mut();
            match result {
                Ok(()) => {
                    if let Some(aids) = &flush.aids {
                        state.note_recovery_aids(aids);
                    }
                    state.finish_flush(flush.target, Ok(()));
                }
                Err(error) => {
                    state.fail(error.operation, error.to_io());
                }
            }
            state.end_flush()
        };
        self.synced.notify_waiters();
        if !is_done {
            reactor::spawn(flush_loop(self.clone())).detach();
        }
    }

    pub(crate) fn oldest_sequence(&self) -> Option<u64> {
        self.state.borrow().flush.oldest_sequence()
    }

    pub(crate) fn note_clean(&self) {
        self.state.borrow_mut().flush.note_clean();
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::flush::failed;
    use super::*;
    use crate::batch::{BatchBuilder, Limits, Origin, validate};
    use crate::log::{AppendContext, AppendError, LogConfig, OpenState, ReadError};
    use crate::types::LeaderEpoch;

    #[test]
    fn after_a_failed_sync_nothing_is_believed_any_more() {
        // The kernel reports a failed write-back once; a retry would acknowledge records that are lost.
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("topic-0");
        reactor::run(reactor::Config::default(), async {
            let config = Rc::new(LogConfig::default());
            let (log, _) = Log::open(&dir, config, OpenState::default(), None).await.unwrap();
            let mut builder = BatchBuilder::new(Offset(0));
            builder.append(Timestamp(1), None, Some(b"value"));
            let batch = builder.build().unwrap();
            let info = validate(&batch, &Limits::default()).unwrap();
            let context = AppendContext {
                leader_epoch: LeaderEpoch(0),
                origin: Origin::Client,
                now: Timestamp(1),
            };
            log.append(batch.clone(), &info, &context).unwrap();
            log.inner.state.borrow_mut().flush.set_running(true); // the sync below
            let waiting = [log.commit(Offset(1)), log.commit(Offset(1))];
            let error = io::Error::other("the disk is gone");
            log.inner
                .state
                .borrow_mut()
                .finish_flush(Offset(1), Err(failed("sync")(error)));
            log.inner.synced.notify_waiters();
            for commit in waiting {
                let fault = commit.await.unwrap_err();
                assert_eq!((fault.operation, fault.offset), ("sync", Offset(1)));
            }
            assert_eq!(log.committed_offset(), Offset(0));
            assert!(log.commit(Offset(0)).await.is_err());
            assert!(matches!(
                log.append(batch.clone(), &info, &context),
                Err(AppendError::Offline(_))
            ));
            assert!(matches!(
                log.read(Offset(0), 9, Offset(1), true),
                Err(ReadError::Offline(_))
            ));
            assert!(log.compact(Timestamp(1)).await.is_err());
            assert!(log.close().await.is_err());

            // A sync of its own that was under way while the whole file system's failed: the next start is not to believe it.
            log.inner.state.borrow_mut().finish_flush(Offset(1), Ok(()));
            assert_eq!(log.recovery_point(), Offset(0));
        })
        .unwrap();
    }

    #[test]
    fn what_is_asked_for_while_a_sync_runs_gets_a_sync_of_its_own() {
        // A close that meets a running sync would leave indexes and the producer snapshot behind unsynced, and the stop
        // would be marked as a clean one.
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("topic-0");
        reactor::run(reactor::Config::default(), async {
            let config = Rc::new(LogConfig::default());
            let (log, _) = Log::open(&dir, config, OpenState::default(), None).await.unwrap();
            let mut builder = BatchBuilder::new(Offset(0));
            builder.append(Timestamp(1), None, Some(b"value"));
            let batch = builder.build().unwrap();
            let info = validate(&batch, &Limits::default()).unwrap();
            let context = AppendContext {
                leader_epoch: LeaderEpoch(0),
                origin: Origin::Client,
                now: Timestamp(1),
            };
            log.append(batch.clone(), &info, &context).unwrap();
            let records = log.commit(Offset(1));
            reactor::yield_now().await; // the sync is under way now
            log.inner.state.borrow_mut().flush.directory_changed();
            log.request_flush();
            records.await.unwrap();
            log.wait_idle().await;
            assert!(!log.inner.state.borrow().flush.is_directory_dirty());
        })
        .unwrap();
    }
}
