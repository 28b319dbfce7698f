//! Where calls wait for this broker's controller, in the order they came.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use reactor::sync::Notify;

use super::port::Call;

/// Calls that wait here; when it is full the mailboxes fill, and then callers are refused.
const QUEUE_CALLS: usize = 1024;
/// Calls decided, made durable and published together. A guess: enough that the sync is shared, few enough that the
/// first does not wait for the last one's decision.
const GROUP_CALLS: usize = 256;

#[derive(Default)]
pub(super) struct Queue {
    calls: RefCell<VecDeque<Call>>,
    closed: Cell<bool>,
    changed: Notify,
}

impl Queue {
    pub(super) fn push(&self, call: Call) {
        self.calls.borrow_mut().push_back(call);
        self.changed.notify_waiters();
    }

    /// Waits until there is room for another call.
    pub(super) async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            if self.calls.borrow().len() < QUEUE_CALLS {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.calls.borrow().len() >= QUEUE_CALLS
    }

    /// No group after what waits now.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.changed.notify_waiters();
    }

    /// The calls to decide next: all that wait, up to a bound. `None` when the queue is closed and empty.
    pub(super) async fn group(&self) -> Option<Vec<Call>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut calls = self.calls.borrow_mut();
                if !calls.is_empty() {
                    let count = calls.len().min(GROUP_CALLS);
                    let group = calls.drain(..count).collect();
                    drop(calls);
                    self.changed.notify_waiters();
                    return Some(group);
                }
            }
            if self.closed.get() {
                return None;
            }
            changed.await;
        }
    }

    /// Everything that waits: this broker is not the controller any more.
    pub(super) fn take_all(&self) -> Vec<Call> {
        let calls = self.calls.borrow_mut().drain(..).collect();
        self.changed.notify_waiters();
        calls
    }
}
