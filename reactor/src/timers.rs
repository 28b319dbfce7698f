//! Timers in user space: an ordered map, whose first entry bounds how long the reactor sleeps.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::{Instant, now};
use crate::core;

/// Deadline, then order of setting, so that equal deadlines fire in the order they were set.
type TimerKey = (Instant, u64);

pub(crate) struct Timers {
    set: BTreeMap<TimerKey, Waker>,
    next: u64,
}

impl Timers {
    pub(crate) fn new() -> Timers {
        Timers {
            set: BTreeMap::new(),
            next: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        self.set.first_key_value().map(|(key, _)| key.0)
    }

    /// Takes one timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Waker> {
        if self.first()? > now {
            return None;
        }
        self.set.pop_first().map(|(_, waker)| waker)
    }

    fn insert(&mut self, deadline: Instant, waker: Waker) -> TimerKey {
        let key = (deadline, self.next);
        self.next += 1;
        self.set.insert(key, waker);
        key
    }
}

/// Resolves at its deadline, never before. Dropping it unsets the timer.
#[must_use = "a Sleep does nothing until awaited"]
pub struct Sleep {
    deadline: Instant,
    timer: Option<TimerKey>,
}

impl Sleep {
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline <= now() {
            self.unset();
            return Poll::Ready(());
        }
        let core = core::current();
        let mut timers = core.timers.borrow_mut();
        match self.timer.and_then(|timer| timers.set.get_mut(&timer)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.timer = Some(timers.insert(self.deadline, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Sleep {
    fn unset(&mut self) {
        if let Some(timer) = self.timer.take() {
            // why two steps: a waker's drop may drop a task, which may own timers
            let waker = core::with(|core| core.timers.borrow_mut().set.remove(&timer));
            drop(waker);
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.unset();
    }
}

pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(now() + duration)
}

pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        deadline,
        timer: None,
    }
}

/// The time was up before the future was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up")
    }
}

impl std::error::Error for Elapsed {}

/// Runs a future for at most `duration`, then drops it. A future that is ready at the deadline wins.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut sleep = pin!(sleep(duration));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
    })
    .await
}

/// Lets every other ready task run once.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Lets every other ready task run, and the kernel be looked at, before this one goes on: for long work in steps of some
/// 100 us. After [`yield_now`] up to 255 more such steps may come before the next completion is taken.
pub async fn yield_turn() {
    core::with(|core| core.turn.end());
    yield_now().await
}
