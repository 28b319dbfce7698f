//! Something that happens once and that others wait for.

use std::cell::Cell;

use reactor::sync::Notify;

/// Not set, then set for good.
#[derive(Default)]
pub struct Flag {
    set: Cell<bool>,
    waiters: Notify,
}

impl Flag {
    pub fn set(&self) {
        self.set.set(true);
        self.waiters.notify_waiters();
    }

    pub async fn wait(&self) {
        while !self.set.get() {
            self.waiters.notified().await;
        }
    }
}
