//! Writing the log, one batch at a time: recovery relies on it.

use std::cell::RefCell;
use std::io;
use std::rc::Weak;

use bytes::Bytes;
use engine::types::Offset;
use reactor::oneshot;

use super::files::InstallError;
use super::host::Host;
use crate::quorum::Event;
use crate::store::error::LogFault;
use crate::store::meta_log::SnapshotId;

pub(super) enum Op {
    Write {
        /// The number to tell when it is durable: of the last batch of an append.
        write: Option<u64>,
        base: Offset,
        end: Offset,
        bytes: Bytes,
    },
    Truncate {
        end: Offset,
        /// Of what was dropped from the queue.
        write: Option<u64>,
    },
    /// Begin a new file.
    Begin {
        done: RefCell<Option<oneshot::Sender<io::Result<()>>>>,
    },
    Install {
        id: SnapshotId,
        bytes: Vec<u8>,
    },
}

impl Op {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Op::Write { bytes, .. } => bytes.len(),
            Op::Truncate { .. } | Op::Begin { .. } | Op::Install { .. } => 0,
        }
    }
}

impl Host {
    /// Does what is queued, in order; ends with the log, or with the first failure.
    pub(super) async fn write_queue(own: Weak<Host>) {
        loop {
            let Some(host) = own.upgrade() else {
                return;
            };
            if host.fault.borrow().is_some() {
                return;
            }
            let queued = host.queued.notified();
            let Some(task) = host.front() else {
                // A moment before it looks again whether anybody still has the log: nothing else ends this task.
                let _queued_or_idle = reactor::timeout(IDLE, queued).await;
                continue;
            };
            match host.perform(task).await {
                Ok(event) => {
                    host.queue.borrow_mut().pop_front();
                    if let Some(event) = event {
                        host.step(event);
                    }
                    host.changed.notify_waiters();
                }
                Err(fault) => {
                    host.fail(fault);
                    return;
                }
            }
        }
    }

    fn front(&self) -> Option<Task> {
        self.queue.borrow().front().map(|op| match op {
            Op::Write {
                write, end, bytes, ..
            } => Task::Write(*write, *end, bytes.clone()),
            Op::Truncate { end, write } => Task::Truncate(*end, *write),
            Op::Begin { done } => Task::Begin(done.take()),
            Op::Install { id, bytes } => Task::Install(*id, bytes.clone()),
        })
    }

    async fn perform(&self, task: Task) -> Result<Option<Event>, LogFault> {
        let written = |write: Option<u64>| write.map(|write| Event::Written { write });
        match task {
            Task::Write(write, end, bytes) => {
                let Some((file, path, position)) = self.files.borrow().tail() else {
                    return Ok(None);
                };
                file.write_all_at(&bytes, position)
                    .map_err(|error| LogFault::new("write", &path, &error))?;
                file.sync_data()
                    .await
                    .map_err(|error| LogFault::new("sync", &path, &error))?;
                self.files.borrow_mut().written(end, bytes.len() as u64);
                Ok(written(write))
            }
            Task::Truncate(end, write) => {
                self.files.borrow_mut().truncate(end)?;
                Ok(written(write))
            }
            Task::Begin(done) => {
                let begun = self.files.borrow_mut().begin_segment();
                if let Some(done) = done {
                    let _asker_may_be_gone = done.send(begun);
                }
                Ok(None)
            }
            Task::Install(id, bytes) => {
                let installed = self.files.borrow_mut().install(id, &bytes);
                match installed {
                    Ok(voters) => {
                        tracing::info!(
                            end_offset = id.end_offset.0,
                            "a snapshot of the leader was installed"
                        );
                        Ok(Some(Event::SnapshotInstalled { id, voters }))
                    }
                    Err(InstallError::Fault(fault)) => Err(fault),
                    Err(InstallError::NoSpace) => Ok(Some(Event::SnapshotUnusable { id })),
                    Err(InstallError::Unusable(error)) => {
                        tracing::error!(%error, "the leader's snapshot cannot be used");
                        Ok(Some(Event::SnapshotUnusable { id }))
                    }
                }
            }
        }
    }
}

/// How long this task sleeps when nothing is to be done.
const IDLE: std::time::Duration = std::time::Duration::from_secs(1);

/// The operation at the front of the queue, which stays there until it is done.
enum Task {
    Write(Option<u64>, Offset, Bytes),
    Truncate(Offset, Option<u64>),
    Begin(Option<oneshot::Sender<io::Result<()>>>),
    Install(SnapshotId, Vec<u8>),
}
