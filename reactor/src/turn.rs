//! Fairness: how much may happen between two looks at the kernel, and within one poll of one task.

use std::cell::Cell;

/// From the measurements behind the design: more adds latency for the others, less adds system calls.
pub(crate) const TURN_POLLS_MAX: u32 = 256;
/// Socket bytes moved between two looks at the kernel. At memory speed this is about 50 us.
const TURN_SOCKET_BYTES: i64 = 256 * 1024;
/// Operations that are ready at once (messages, chunks) which one poll of one task may take. A guess, as tokio's.
const TASK_OPS: u32 = 128;

pub(crate) struct Turn {
    socket_bytes_left: Cell<i64>,
    task_ops_left: Cell<u32>,
}

impl Turn {
    pub(crate) fn new() -> Turn {
        Turn {
            socket_bytes_left: Cell::new(TURN_SOCKET_BYTES),
            task_ops_left: Cell::new(TASK_OPS),
        }
    }

    pub(crate) fn begin(&self) {
        self.socket_bytes_left.set(TURN_SOCKET_BYTES);
    }

    pub(crate) fn begin_task(&self) {
        self.task_ops_left.set(TASK_OPS);
    }

    /// Ends the turn with the poll that is going on.
    pub(crate) fn end(&self) {
        self.socket_bytes_left.set(0);
    }

    /// True when the turn should end although tasks are ready.
    pub(crate) fn is_spent(&self) -> bool {
        self.socket_bytes_left.get() <= 0
    }

    /// Asked before every operation that may be ready at once.
    pub(crate) fn may_proceed(&self) -> bool {
        let ops = self.task_ops_left.get();
        if ops == 0 || self.is_spent() {
            return false;
        }
        self.task_ops_left.set(ops - 1);
        true
    }

    pub(crate) fn charge(&self, bytes: usize) {
        self.socket_bytes_left
            .set(self.socket_bytes_left.get().saturating_sub(bytes as i64));
    }
}

/// Counts socket bytes against this thread's turn.
pub(crate) fn charge(bytes: usize) {
    crate::core::with(|core| core.turn.charge(bytes));
}
