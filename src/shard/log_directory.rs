//! What a shard has in one of the directories: a journal of its own.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;

use engine::journal::{Figures, Journal, JournalConfig, JournalError};
use engine::log::is_disk_full;
use reactor::sync::Notify;

use crate::log_dirs::{DirIndex, LogDirs};

/// See the module's documentation.
pub struct LogDirectory {
    index: DirIndex,
    dirs: Arc<LogDirs>,
    shard: u32,
    config: JournalConfig,
    journal: RefCell<Option<Journal>>,
    is_opening: Cell<bool>,
    opened: Notify,
}

impl LogDirectory {
    pub fn new(index: DirIndex, dirs: Arc<LogDirs>, shard: usize, mut config: JournalConfig) -> LogDirectory {
        config.checkpoints_done = dirs.checkpoint_counter();
        LogDirectory {
            index,
            dirs,
            shard: u32::try_from(shard).unwrap_or(u32::MAX),
            config,
            journal: RefCell::new(None),
            is_opening: Cell::new(false),
            opened: Notify::new(),
        }
    }

    /// The journal, opened for the first log. `None` on a disk too full to make one: logs that are opened then sync their segments
    /// themselves, so that readers are served; and when the directory has just failed, which who asks finds out anyway.
    pub async fn journal(&self) -> Option<Journal> {
        loop {
            let opened = self.opened.notified();
            if let Some(journal) = &*self.journal.borrow() {
                return Some(journal.clone());
            }
            if !self.is_opening.replace(true) {
                break;
            }
            opened.await;
        }
        let path: PathBuf = self.dirs.get(self.index).path().to_owned();
        let journal = match Journal::open(&path, self.shard, self.config.clone()).await {
            Ok(journal) => Some(journal),
            Err(error) if is_full(&error) => {
                tracing::warn!(dir = %path.display(), %error, "no room for a journal: logs are synced one by one");
                None
            }
            Err(error) => {
                self.dirs.get(self.index).fail(&error);
                None
            }
        };
        self.journal.borrow_mut().clone_from(&journal);
        self.is_opening.set(false);
        self.opened.notify_waiters();
        journal
    }

    /// Gives the directory up when the journal has failed, and the journal when the directory has.
    pub fn look(&self) {
        let Some(journal) = self.journal.borrow().clone() else {
            return;
        };
        let dir = self.dirs.get(self.index);
        if let Some(fault) = journal.fault() {
            dir.fail(&fault);
        } else if let Some(why) = dir.failure() {
            journal.fail(why);
        }
    }

    /// After the logs were closed: the next start has nothing to replay. Whether that is so.
    pub async fn close(&self) -> bool {
        let journal = self.journal.borrow().clone();
        let Some(journal) = journal else { return true };
        let closed = journal.close().await;
        if let Err(error) = &closed {
            tracing::error!(%error, "closing the journal");
        }
        closed.is_ok()
    }

    /// `None` before the journal is used.
    pub fn figures(&self) -> Option<Figures> {
        self.journal.borrow().as_ref().map(Journal::figures)
    }

    pub fn index(&self) -> DirIndex {
        self.index
    }
}

fn is_full(error: &JournalError) -> bool {
    matches!(error, JournalError::Io { source, .. } if is_disk_full(source))
}
