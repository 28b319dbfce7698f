//! A spawned future: its waker, the place its result waits in, and the handle its spawner holds.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::core;
use crate::remote::Remote;
use crate::slab::Key;

/// The shared part of a task's wakers. May travel to any thread.
pub(crate) struct Header {
    pub(crate) key: Key,
    remote: Arc<Remote>,
    /// True from the wake until the poll that answers it begins: a task is queued at most once.
    queued: AtomicBool,
}

impl Header {
    pub(crate) fn new(key: Key, remote: Arc<Remote>) -> Arc<Header> {
        Arc::new(Header {
            key,
            remote,
            queued: AtomicBool::new(false),
        })
    }

    /// Called right before a poll: wakes from here on queue the task again.
    pub(crate) fn begin_poll(&self) {
        // why a swap: it reads the waker's Release, so what was written before the wake is seen by the poll
        self.queued.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Header {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        if core::queue_if_here(&self.remote, self.key) {
            return;
        }
        if self.remote.push(self.key) {
            core::count_wake_sent();
        }
    }
}

/// Why a task has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Aborted, or dropped with its reactor.
    Aborted,
    /// It panicked: logged with `tracing::error`, counted in `Metrics::tasks_panicked`.
    Panicked,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lost::Aborted => "the task was aborted",
            Lost::Panicked => "the task panicked",
        })
    }
}

impl std::error::Error for Lost {}

enum Progress<T> {
    Running(Option<Waker>),
    Finished(Result<T, Lost>),
    Taken,
}

struct Join<T>(RefCell<Progress<T>>);

impl<T> Join<T> {
    /// The first outcome counts; later ones (the drop after a finished poll) find it set.
    fn finish(&self, outcome: Result<T, Lost>) {
        let waker = {
            let mut progress = self.0.borrow_mut();
            match &mut *progress {
                Progress::Running(waker) => {
                    let waker = waker.take();
                    *progress = Progress::Finished(outcome);
                    waker
                }
                Progress::Finished(_) | Progress::Taken => return,
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, Lost>> {
        let mut progress = self.0.borrow_mut();
        match &mut *progress {
            Progress::Running(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Progress::Finished(_) => match std::mem::replace(&mut *progress, Progress::Taken) {
                Progress::Finished(outcome) => Poll::Ready(outcome),
                Progress::Running(_) | Progress::Taken => Poll::Pending,
            },
            Progress::Taken => panic!("a task was awaited again after it had given its result"),
        }
    }
}

/// What the executor polls: the future, wrapped so that its end (of whichever kind) reaches the handle.
pub(crate) struct Spawned<F: Future> {
    future: F,
    join: Rc<Join<F::Output>>,
}

impl<F: Future> Future for Spawned<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `future` is structurally pinned: nothing moves it out of `Spawned` (its Drop touches only `join`),
        // which is Unpin only if F is; `join` is not pinned and only borrowed.
        let (future, join) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.future), &this.join)
        };
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => {
                join.finish(Ok(value));
                Poll::Ready(())
            }
            Err(panic) => {
                core::report_panic(&*panic);
                join.finish(Err(Lost::Panicked));
                Poll::Ready(())
            }
        }
    }
}

/// A future dropped unfinished (abort, shutdown) also ends the wait for it.
impl<F: Future> Drop for Spawned<F> {
    fn drop(&mut self) {
        self.join.finish(Err(Lost::Aborted));
    }
}

/// A handle to a spawned future. Dropping it detaches: the future runs on.
///
/// Awaiting it gives the future's output. A panic inside the future does not unwind through the reactor: it is
/// caught, logged and counted, the other tasks run on, and awaiting the handle panics in the awaiting task (so a
/// chain of tasks that need each other ends together). Who wants to live on uses [`Task::outcome`].
pub struct Task<T> {
    key: Key,
    join: Rc<Join<T>>,
}

impl<T> Task<T> {
    /// Drops the future now (or at the end of the poll it is in). Its result is then `Lost::Aborted`.
    pub fn abort(&self) {
        core::abort(self.key);
    }

    /// Lets the future run without anybody waiting for it.
    pub fn detach(self) {}

    pub fn is_finished(&self) -> bool {
        !matches!(&*self.join.0.borrow(), Progress::Running(_))
    }

    /// The result, or why there is none; never panics.
    pub async fn outcome(self) -> Result<T, Lost> {
        std::future::poll_fn(|cx| self.join.poll(cx)).await
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.join.poll(cx).map(|outcome| match outcome {
            Ok(value) => value,
            Err(lost) => panic!("awaited a task without a result: {lost}"),
        })
    }
}

/// Runs a future on this reactor, from the next poll round on.
///
/// # Panics
/// Outside of [`crate::run`]: a future without a reactor would never run.
pub fn spawn<F: Future + 'static>(future: F) -> Task<F::Output> {
    let join = Rc::new(Join(RefCell::new(Progress::Running(None))));
    let key = core::insert(Box::pin(Spawned {
        future,
        join: join.clone(),
    }));
    Task { key, join }
}
