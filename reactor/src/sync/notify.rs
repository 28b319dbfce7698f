//! "Look again": a wake without a value.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Tasks of one reactor wait here for a change. To miss none: create the [`Notified`], check the condition, then
/// await it. `notify_waiters` reaches every `Notified` created before it, polled or not.
#[derive(Default)]
pub struct Notify {
    /// Rises with every `notify_waiters`.
    epoch: Cell<u64>,
    /// A `notify_one` that found nobody waiting; at most one is kept.
    permit: Cell<bool>,
    next: Cell<u64>,
    /// In the order they came.
    waiting: RefCell<BTreeMap<u64, Waker>>,
    granted: RefCell<BTreeSet<u64>>,
}

impl Notify {
    pub fn new() -> Notify {
        Notify::default()
    }

    pub fn notified(&self) -> Notified<'_> {
        Notified {
            notify: self,
            epoch: self.epoch.get(),
            ticket: None,
        }
    }

    /// Wakes everybody who waits; leaves nothing behind for those who come later.
    pub fn notify_waiters(&self) {
        self.epoch.set(self.epoch.get() + 1);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    /// Wakes whoever waits longest, or lets the next one pass.
    pub fn notify_one(&self) {
        let first = self.waiting.borrow_mut().pop_first();
        match first {
            Some((ticket, waker)) => {
                self.granted.borrow_mut().insert(ticket);
                waker.wake();
            }
            None => self.permit.set(true),
        }
    }
}

#[must_use = "a Notified does nothing until awaited"]
pub struct Notified<'a> {
    notify: &'a Notify,
    epoch: u64,
    /// Its place in the queue, from the first poll to the end.
    ticket: Option<u64>,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let notify = self.notify;
        if notify.epoch.get() != self.epoch {
            return Poll::Ready(()); // a grant, if there is one too, is passed on by drop
        }
        let ticket = match self.ticket {
            Some(ticket) if notify.granted.borrow_mut().remove(&ticket) => {
                self.ticket = None;
                return Poll::Ready(());
            }
            Some(ticket) => ticket,
            None if notify.permit.replace(false) => return Poll::Ready(()),
            None => {
                let ticket = notify.next.get();
                notify.next.set(ticket + 1);
                *self.ticket.insert(ticket)
            }
        };
        notify.waiting.borrow_mut().insert(ticket, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let waker = self.notify.waiting.borrow_mut().remove(&ticket);
        drop(waker);
        if self.notify.granted.borrow_mut().remove(&ticket) {
            self.notify.notify_one(); // it was woken alone and goes: the next one must hear of it
        }
    }
}
