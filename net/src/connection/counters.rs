//! What the connections of one shard have done, for metrics to read.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::CloseReason;

/// Counters of one shard. Cells, since only its own reactor writes and reads them.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    pub bytes_in: Cell<u64>,
    pub bytes_out: Cell<u64>,
    pub requests: Cell<u64>,
    /// Handlers at work now.
    pub requests_in_flight: Cell<u64>,
    pub connections_opened: Cell<u64>,
    pub connections_open: Cell<u64>,
    closed: RefCell<BTreeMap<&'static str, u64>>,
}

impl ConnectionCounters {
    /// Connections closed so far, by [`CloseReason::label`].
    pub fn closed(&self) -> Vec<(&'static str, u64)> {
        self.closed
            .borrow()
            .iter()
            .map(|(label, count)| (*label, *count))
            .collect()
    }

    pub(super) fn opened(&self) {
        add(&self.connections_opened, 1);
        add(&self.connections_open, 1);
    }

    pub(super) fn ended(&self, reason: &CloseReason) {
        self.connections_open
            .set(self.connections_open.get().saturating_sub(1));
        *self.closed.borrow_mut().entry(reason.label()).or_default() += 1;
    }

    pub(super) fn request_began(&self) {
        add(&self.requests, 1);
        add(&self.requests_in_flight, 1);
    }

    pub(super) fn request_ended(&self) {
        self.requests_in_flight
            .set(self.requests_in_flight.get().saturating_sub(1));
    }
}

pub(super) fn add(counter: &Cell<u64>, n: u64) {
    counter.set(counter.get() + n);
}
