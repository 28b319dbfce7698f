//! The handle to a shard's journal in one log directory.

use std::future::{Future, poll_fn};
use std::path::Path;
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering;
use std::task::Poll;

use reactor::disk::FileSystem;

use super::config::JournalConfig;
use super::error::{JournalError, JournalFault};
use super::files::{self, Files, Layout};
use super::format::{EntryHeader, EntryKind};
use super::shared::{Figures, Shared};
use super::{checkpoint, settle, writer};
use crate::log::handle::Inner as LogInner;

/// Written bytes that the tail of one log keeps at most: more is read from its file just as well.
const KEPT_BYTES_MAX: u64 = 256 << 10;

/// One shard's journal in one log directory. Cheap to clone; all clones are the same journal. Not `Send`.
///
/// Contract with the shard:
/// - before the first journal of a directory is opened, [`replay`](super::replay()) has run over the directory;
/// - hand it to [`Log::open`](crate::log::Log::open) of every log in that directory that this shard owns;
/// - close the logs before the journal: a closed journal is void, so that the next start replays nothing.
#[derive(Clone)]
pub struct Journal {
    pub(crate) shared: Rc<Shared>,
}

impl Journal {
    /// Opens the journal of a shard, and makes it if there is none. Runs its tasks on this reactor.
    pub async fn open(log_dir: &Path, shard: u32, config: JournalConfig) -> Result<Journal, JournalError> {
        let layout = Layout {
            dir: files::shard_dir(log_dir, shard),
            journal_id: files::new_id(),
            shard,
            file_bytes: config.file_bytes,
        };
        let files_max = config.files_max;
        let files = reactor::background(move || Files::open(layout, files_max)).await?;
        let file_system = FileSystem::open(log_dir)
            .map_err(|source| JournalError::io(log_dir, "open directory", source))?;
        let shared = Rc::new(Shared::new(config, files, file_system));
        reactor::spawn(writer::run(shared.clone())).detach();
        reactor::spawn(checkpoint::run(shared.clone())).detach();
        reactor::spawn(settle::run(shared.clone())).detach();
        Ok(Journal { shared })
    }

    /// Adds an entry to the next write and returns that write's sequence, to wait for with [`Journal::durable`].
    pub(crate) fn push(&self, header: &EntryHeader, body: &[u8]) -> u64 {
        self.shared.push(header, body)
    }

    /// Whether a batch of this size goes through the journal. Larger ones go to their segment at once; the limit is lower
    /// when the journal `is_behind`.
    pub(crate) fn takes(&self, body_bytes: usize, is_behind: bool) -> bool {
        self.shared.takes(body_bytes, is_behind)
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.shared.is_behind()
    }

    /// Resolves when the write of this sequence and all before it are on stable storage.
    pub(crate) fn durable(&self, sequence: u64) -> impl Future<Output = Result<(), JournalFault>> + use<> {
        let shared = self.shared.clone();
        poll_fn(move |cx| match shared.poll_durable(sequence, cx.waker()) {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        })
    }

    /// From now on the log has entries that its synced segments may lack: a checkpoint sees to it.
    pub(crate) fn note_dirty(&self, log: Weak<LogInner>) {
        self.shared.state.borrow_mut().dirty.push(log);
    }

    /// The log has bytes that its file lacks.
    pub(crate) fn note_unsettled(&self, log: Weak<LogInner>) {
        let mut state = self.shared.state.borrow_mut();
        if state.unsettled.is_empty() {
            self.shared.unwritten.notify_one();
        }
        state.unsettled.push_back(log);
    }

    /// Bytes that tails hold and files lack: `added` by an append, `written` to a file.
    pub(crate) fn account_unwritten(&self, added: u64, written: u64) {
        let mut state = self.shared.state.borrow_mut();
        let before = state.unwritten_bytes;
        state.unwritten_bytes = (before + added).saturating_sub(written);
        let half = self.shared.config.unwritten_bytes_max / 2;
        if before <= half && state.unwritten_bytes > half {
            self.shared.pressure.notify_one();
        }
    }

    /// The tails hold as much as they may: who appends writes to its file at once.
    pub(crate) fn is_over_budget(&self) -> bool {
        self.shared.state.borrow().unwritten_bytes > self.shared.config.unwritten_bytes_max
    }

    /// Bytes that went to their segment past the journal: recovery points move without a checkpoint then.
    pub(crate) fn account_direct(&self, bytes: u64) {
        let mut state = self.shared.state.borrow_mut();
        state.direct_bytes += bytes;
        if state.direct_bytes >= self.shared.config.checkpoint_bytes {
            state.direct_bytes = 0;
            self.shared
                .config
                .checkpoints_done
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What one log may keep for readers of what its file has: a share of what all may, a few answers' worth at most.
    pub(crate) fn kept_bytes(&self) -> u64 {
        let logs = self.shared.state.borrow().unsettled.len().max(1) as u64;
        (self.shared.config.kept_bytes_max / logs).min(KEPT_BYTES_MAX)
    }

    /// Voids what the journal holds of a log that was cut, whose segments are synced: see [`EntryKind::Reset`].
    pub(crate) async fn reset(&self, header: EntryHeader) -> Result<(), JournalFault> {
        debug_assert_eq!(header.kind, EntryKind::Reset);
        let sequence = self.push(&header, &[]);
        self.durable(sequence).await
    }

    pub(crate) fn journal_fault(&self) -> Option<JournalFault> {
        self.shared.fault()
    }

    /// Why the journal was given up, if it was; every log of its directory and shard is offline then.
    pub fn fault(&self) -> Option<String> {
        self.shared
            .fault()
            .map(|fault| format!("{}: {}", fault.operation, fault.source))
    }

    /// Gives the journal up because its directory has failed elsewhere.
    pub fn fail(&self, reason: &str) {
        self.shared
            .fail("use the directory", std::io::Error::other(reason.to_owned()));
    }

    /// Syncs the segments of all logs that were appended to, so that the files of the journal can be used again.
    pub async fn checkpoint(&self) {
        checkpoint::wait(&self.shared).await;
    }

    /// Counts for `/metrics`.
    pub fn figures(&self) -> Figures {
        let state = self.shared.state.borrow();
        Figures {
            unwritten_bytes: state.unwritten_bytes,
            checkpoints: state.checkpoints,
            ..state.figures
        }
    }

    /// Ends it: waits for what is on its way, syncs segments, voids the files. After its logs were closed.
    pub async fn close(&self) -> Result<(), JournalError> {
        checkpoint::wait(&self.shared).await;
        while !self.shared.is_idle() && self.shared.fault().is_none() {
            reactor::sleep(std::time::Duration::from_millis(1)).await;
        }
        let (layout, is_whole) = {
            let mut state = self.shared.state.borrow_mut();
            state.is_closing = true;
            (state.files.layout.clone(), checkpoint::is_clean(&state))
        };
        self.shared.work.notify_one();
        self.shared.checkpoint.notify_one();
        self.shared.unwritten.notify_one();
        self.shared.pressure.notify_one();
        if let Some(fault) = self.shared.fault() {
            return Err(JournalError::io(&layout.dir, fault.operation, fault.to_io()));
        }
        if !is_whole {
            return Ok(()); // some log could not be synced: what it lacks stays here for the next start
        }
        reactor::background(move || super::replay::retire_all(&layout.dir)).await
    }
}
