//! The ring: handing requests over, taking completions, sleeping.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::Buffers;
use super::operation::Operation;
use super::probe;
use super::receiving::Receiving;
use crate::clock::os_now;
use crate::metrics::Metrics;
use crate::remote::Remote;
use crate::slab::{Key, Slab};

/// Kernel threads for what cannot wait without blocking: bounded (files: syncs, cold reads) and unbounded work. Eight
/// let the syncs of several logs run side by side; without a cap a burst would start hundreds.
const KERNEL_WORKERS: [u32; 2] = [8, 2];
/// How long the end of a reactor waits for requests that cannot be called back (a sync on a dying disk).
const FINISH_MAX: Duration = Duration::from_secs(10);
/// Below this many, sweeping `holders` is not worth it.
const SWEEP_MIN: usize = 64;
/// `user_data` of requests whose completion says nothing, as `Key::NONE` is in no slab.
const NOBODY: Key = Key::NONE;

#[derive(Clone, Copy)]
struct Completion {
    key: Key,
    result: i32,
    flags: u32,
}

pub(crate) struct Driver {
    // why in this order: fields drop from the top, and the ring must be closed before its buffers are unmapped
    ring: RefCell<IoUring>,
    pub(super) buffers: Rc<Buffers>,
    operations: RefCell<Slab<Operation>>,
    /// Requests for which the submission queue had no room. As many as there are operations, and their cancels.
    backlog: RefCell<VecDeque<squeue::Entry>>,
    completed: RefCell<Vec<Completion>>,
    /// Receives that wait for a buffer, in the order they came; each stream is in at most once.
    starved: RefCell<VecDeque<Weak<Receiving>>>,
    /// Streams that hold buffers while nobody receives; each is in at most once, closed ones until the next sweep.
    holders: RefCell<Vec<Weak<Receiving>>>,
    /// Length of `holders` at which closed streams are swept out: twice what the last sweep left.
    sweep_at: Cell<usize>,
    remote: Arc<Remote>,
    submissions: Cell<u64>,
    completions: Cell<u64>,
    exhausted: Cell<u64>,
    is_finished: Cell<bool>,
}

impl Driver {
    pub(crate) fn new(remote: Arc<Remote>, recv_buffer_count: u16) -> io::Result<Rc<Driver>> {
        let ring = probe::setup()?;
        ring.submitter()
            .register_iowq_max_workers(&mut KERNEL_WORKERS.clone())?;
        let buffers = Buffers::new(&ring, recv_buffer_count)?;
        let driver = Rc::new(Driver {
            ring: RefCell::new(ring),
            buffers,
            operations: RefCell::new(Slab::new()),
            backlog: RefCell::new(VecDeque::new()),
            completed: RefCell::new(Vec::new()),
            starved: RefCell::new(VecDeque::new()),
            holders: RefCell::new(Vec::new()),
            sweep_at: Cell::new(SWEEP_MIN),
            remote,
            submissions: Cell::new(0),
            completions: Cell::new(0),
            exhausted: Cell::new(0),
            is_finished: Cell::new(false),
        });
        driver.arm_bell();
        Ok(driver)
    }

    /// True when the reactor has ended; nothing can be started any more.
    pub(super) fn is_finished(&self) -> bool {
        self.is_finished.get()
    }

    /// Starts a request.
    ///
    /// # Safety
    /// Every descriptor and all memory that `entry` names is owned by `operation` (or outlives the driver) and does
    /// not move when `operation` does.
    pub(super) unsafe fn start(&self, entry: squeue::Entry, operation: Operation) -> Key {
        let key = self.operations.borrow_mut().insert(operation);
        self.push(entry.user_data(key.to_word()));
        key
    }

    /// Asks the kernel to end an operation early. Its own completion still comes.
    pub(super) fn cancel(&self, key: Key) {
        self.push(
            opcode::AsyncCancel::new(key.to_word())
                .build()
                .user_data(NOBODY.to_word()),
        );
    }

    pub(super) fn operations(&self) -> std::cell::RefMut<'_, Slab<Operation>> {
        self.operations.borrow_mut()
    }

    /// Queues a receive until there are buffers.
    pub(super) fn starve(&self, receiving: &Rc<Receiving>) {
        self.exhausted.set(self.exhausted.get() + 1);
        self.starved.borrow_mut().push_back(Rc::downgrade(receiving));
    }

    /// Remembers a stream whose buffers may be asked back.
    pub(super) fn hold(&self, receiving: &Rc<Receiving>) {
        let mut holders = self.holders.borrow_mut();
        if holders.len() >= self.sweep_at.get() {
            holders.retain(|holder| holder.strong_count() > 0);
            self.sweep_at.set((2 * holders.len()).max(SWEEP_MIN));
        }
        holders.push(Rc::downgrade(receiving));
    }

    pub(crate) fn turn(&self) -> io::Result<()> {
        self.feed_starved();
        self.flush()?;
        let needs_kernel = {
            let mut ring = self.ring.borrow_mut();
            let submission = ring.submission();
            !submission.is_empty() || submission.taskrun() || submission.cq_overflow()
        };
        if needs_kernel {
            tolerate(self.ring.borrow().submit())?;
        }
        self.take_completions();
        Ok(())
    }

    pub(crate) fn sleep(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.feed_starved();
        self.flush()?;
        if !self.backlog.borrow().is_empty() {
            return self.turn();
        }
        let slept = {
            let ring = self.ring.borrow();
            match timeout {
                None => ring.submitter().submit_and_wait(1),
                Some(timeout) => {
                    let time = Timespec::from(timeout.min(Duration::from_secs(u32::MAX.into())));
                    ring.submitter()
                        .submit_with_args(1, &SubmitArgs::new().timespec(&time))
                }
            }
        };
        tolerate(slept)?;
        self.take_completions();
        Ok(())
    }

    /// Calls everything back and waits for it, so that no memory is freed under the kernel's hands.
    pub(crate) fn finish(&self) {
        self.is_finished.set(true);
        let deadline = os_now() + FINISH_MAX;
        while self.operations.borrow().len() > 0 {
            self.push(
                opcode::AsyncCancel2::new(CancelBuilder::any().all())
                    .build()
                    .user_data(NOBODY.to_word()),
            );
            if let Err(error) = self.sleep(Some(Duration::from_millis(100))) {
                tracing::error!(%error, "the ring refuses to go on while it is being closed");
                break;
            }
            if os_now() > deadline {
                break;
            }
        }
        let left = std::mem::replace(&mut *self.operations.borrow_mut(), Slab::new());
        if left.len() > 0 {
            tracing::error!(
                operations = left.len(),
                "the kernel does not give requests back; their memory is leaked"
            );
            // why leaked: freed, it would be written to when the kernel gets to it
            Box::leak(Box::new((left, self.buffers.clone())));
        }
    }

    pub(crate) fn measure(&self, metrics: &mut Metrics) {
        metrics.submissions = self.submissions.get();
        metrics.completions = self.completions.get();
        metrics.operations = self.operations.borrow().len() as u64;
        metrics.buffers_free = self.buffers.free().into();
        metrics.buffers_total = self.buffers.count().into();
        metrics.buffers_exhausted = self.exhausted.get();
    }

    fn push(&self, entry: squeue::Entry) {
        self.submissions.set(self.submissions.get() + 1);
        let mut backlog = self.backlog.borrow_mut();
        if backlog.is_empty() {
            // SAFETY: `start` puts the entry's memory into the slab before, where it stays until the last completion;
            // cancels name no memory.
            let pushed = unsafe { self.ring.borrow_mut().submission().push(&entry) };
            if pushed.is_ok() {
                return;
            }
        }
        backlog.push_back(entry);
    }

    /// Moves the backlog into the submission queue, handing over as often as that takes.
    fn flush(&self) -> io::Result<()> {
        let mut backlog = self.backlog.borrow_mut();
        while !backlog.is_empty() {
            let before = backlog.len();
            {
                let mut ring = self.ring.borrow_mut();
                let mut submission = ring.submission();
                while let Some(entry) = backlog.front() {
                    // SAFETY: as in `push`: the memory is in the slab.
                    if unsafe { submission.push(entry) }.is_err() {
                        break;
                    }
                    backlog.pop_front();
                }
            }
            if backlog.is_empty() {
                return Ok(());
            }
            tolerate(self.ring.borrow().submit())?;
            if backlog.len() == before {
                return Ok(()); // the kernel takes none now: completions must be taken first
            }
        }
        Ok(())
    }

    fn take_completions(&self) {
        let mut completed = self.completed.take();
        {
            let mut ring = self.ring.borrow_mut();
            completed.extend(ring.completion().map(|entry| Completion {
                key: Key::from_word(entry.user_data()),
                result: entry.result(),
                flags: entry.flags(),
            }));
        }
        self.completions
            .set(self.completions.get() + completed.len() as u64);
        for completion in completed.drain(..) {
            self.complete(completion);
        }
        self.completed.replace(completed);
        if self.buffers.is_scarce() {
            let holders = self.holders.take();
            for receiving in holders.iter().filter_map(Weak::upgrade) {
                receiving.copy_out();
            }
        }
    }

    fn complete(&self, completion: Completion) {
        let Completion { key, result, flags } = completion;
        let received = usize::try_from(result).unwrap_or(0);
        // why first: whoever the completion is for, a buffer it names is ours again
        let buffer = cqueue::buffer_select(flags).map(|id| self.buffers.take(id, received));
        if key == NOBODY {
            return;
        }
        let is_last = !cqueue::more(flags);
        let mut operations = self.operations.borrow_mut();
        match operations.get_mut(key) {
            None => tracing::error!(?key, result, "a completion of an unknown request"),
            Some(operation @ Operation::Waiting { .. }) => {
                let waker = operation.done(result);
                drop(operations);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Some(Operation::Done { .. }) => {
                tracing::error!(?key, result, "a second completion of a single request")
            }
            Some(Operation::Orphan { .. }) => {
                let orphan = operations.remove(key);
                drop(operations);
                drop(orphan);
            }
            Some(Operation::RecvMany(receiving)) => {
                let receiving = receiving.clone();
                let ended = if is_last { operations.remove(key) } else { None };
                drop(operations);
                receiving.many_completed(result, buffer, is_last);
                drop(ended);
            }
            Some(Operation::RecvOnce { .. }) => {
                let ended = operations.remove(key);
                drop(operations);
                if let Some(Operation::RecvOnce { receiving, room }) = ended {
                    receiving.once_completed(result, room);
                }
            }
            Some(Operation::Accept(accepting)) => {
                let accepting = accepting.clone();
                let ended = if is_last { operations.remove(key) } else { None };
                drop(operations);
                accepting.completed(result, is_last);
                drop(ended);
            }
            Some(Operation::Bell) => {
                if is_last {
                    operations.remove(key);
                    drop(operations);
                    if !self.is_finished.get() {
                        self.arm_bell();
                    }
                }
            }
        }
    }

    fn arm_bell(&self) {
        let bell = Fd(self.remote.bell().as_raw_fd());
        let entry = opcode::PollAdd::new(bell, libc::POLLIN as u32)
            .multi(true)
            .build();
        // SAFETY: names no memory; the bell is closed with `remote`, which the driver holds.
        unsafe { self.start(entry, Operation::Bell) };
    }

    /// Arms receives that waited for buffers, as many as there are buffers now.
    fn feed_starved(&self) {
        let mut rounds = usize::from(self.buffers.free()).min(self.starved.borrow().len());
        while rounds > 0 {
            rounds -= 1;
            let next = self.starved.borrow_mut().pop_front();
            if let Some(receiving) = next.and_then(|weak| weak.upgrade()) {
                receiving.fed();
            }
        }
    }
}

/// What only says "not now": a signal, the time is up, or completions must be taken first.
fn tolerate(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(e) => match e.raw_os_error() {
            Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN) => Ok(()),
            _ => Err(e),
        },
    }
}
