//! What other threads see of a reactor: a queue of tasks to run, and a bell to ring when it sleeps.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::slab::Key;
use crate::sys;

/// The queue holds each task at most once (`Header::queued`), so its bound is the number of tasks.
///
/// No wake is lost between "queue looked empty" and "sleeps":
/// ```text
/// waker                              reactor
/// push, pending := true              sleeping := true
/// sleeping? -> ring the bell         pending? -> do not sleep
/// ```
/// All four are sequentially consistent, so at least one side sees the other's store.
pub(crate) struct Remote {
    queue: Mutex<Vec<Key>>,
    pending: AtomicBool,
    sleeping: AtomicBool,
    bell: OwnedFd,
}

impl Remote {
    pub(crate) fn new() -> io::Result<Remote> {
        Ok(Remote {
            queue: Mutex::new(Vec::new()),
            pending: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            bell: sys::fd::event()?,
        })
    }

    /// The eventfd that becomes readable on a wake; fillings watch it and never need to drain it.
    pub(crate) fn bell(&self) -> &OwnedFd {
        &self.bell
    }

    /// Queues a task from another thread. True if the reactor slept and its bell was rung.
    pub(crate) fn push(&self, key: Key) -> bool {
        self.lock().push(key);
        self.pending.store(true, SeqCst);
        let asleep = self.sleeping.load(SeqCst) && self.sleeping.swap(false, SeqCst);
        if asleep {
            sys::fd::ring_bell(&self.bell);
        }
        asleep
    }

    /// Moves what others queued to the back of `ready`.
    pub(crate) fn drain(&self, ready: &mut std::collections::VecDeque<Key>) {
        if self.pending.load(SeqCst) && self.pending.swap(false, SeqCst) {
            ready.extend(self.lock().drain(..));
        }
    }

    /// Whether somebody queued something that was not taken yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(SeqCst)
    }

    /// Announces sleep. False when something came in meanwhile: then do not sleep.
    pub(crate) fn try_sleep(&self) -> bool {
        self.sleeping.store(true, SeqCst);
        if self.pending.load(SeqCst) {
            self.sleeping.store(false, SeqCst);
            return false;
        }
        true
    }

    pub(crate) fn awake(&self) {
        self.sleeping.store(false, SeqCst);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Key>> {
        // why: a push cannot panic half-way, so a poisoned queue is still a whole queue
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
