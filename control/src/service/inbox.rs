//! Where calls of all shards wait for the controller, in the order they came.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use reactor::mailbox;
use reactor::sync::Notify;

use super::port::Call;

/// Calls that wait here; when it is full the mailboxes fill, and then callers are refused.
const INBOX_CALLS: usize = 1024;
/// Calls decided, made durable and published together. A guess: enough that the sync is shared, few enough that the
/// first does not wait for the last one's decision.
const GROUP_CALLS: usize = 256;

#[derive(Default)]
pub(super) struct Inbox {
    calls: RefCell<VecDeque<Call>>,
    closed: Cell<bool>,
    changed: Notify,
}

impl Inbox {
    /// Moves calls from a shard's mailbox into the inbox, as long as there is room.
    pub(super) async fn fill(self: Rc<Self>, mut mailbox: mailbox::Receiver<Call>) {
        while let Some(call) = mailbox.recv().await {
            loop {
                let changed = self.changed.notified();
                if self.calls.borrow().len() < INBOX_CALLS {
                    break;
                }
                changed.await;
            }
            self.calls.borrow_mut().push_back(call);
            self.changed.notify_waiters();
        }
    }

    /// No group after what waits now.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.changed.notify_waiters();
    }

    /// The calls to decide next: all that wait, up to a bound. `None` when the inbox is closed and empty.
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
}
