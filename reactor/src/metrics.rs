//! What a reactor counts about itself.

use std::cell::Cell;

use crate::core;

/// A snapshot; counters since start unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Polls of tasks.
    pub polls: u64,
    /// Rounds of the loop: polls, then a look at the kernel.
    pub turns: u64,
    /// Requests handed to the kernel (ring entries; with epoll, registrations).
    pub submissions: u64,
    /// Completions (with epoll, events) taken from the kernel.
    pub completions: u64,
    /// Times the thread went to sleep for lack of work.
    pub sleeps: u64,
    /// Sleeping reactors this one woke.
    pub wakes_sent: u64,
    /// Tasks that panicked.
    pub tasks_panicked: u64,
    /// Tasks alive now, the main future not counted.
    pub tasks_live: u64,
    /// Timers set now.
    pub timers: u64,
    /// Operations the kernel holds now (with epoll, registered descriptors).
    pub operations: u64,
    /// Receive buffers the kernel may fill now, of `buffers_total` (both 0 with epoll).
    pub buffers_free: u64,
    pub buffers_total: u64,
    /// Times a receive found no free buffer and had to wait for one.
    pub buffers_exhausted: u64,
    /// Reads around the page cache of what it lacked, and the bytes they brought.
    pub cold_reads: u64,
    pub cold_bytes: u64,
    /// Times read bytes were thrown away because their peer did not take them while other readers waited.
    pub cold_given_up: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) polls: Cell<u64>,
    pub(crate) turns: Cell<u64>,
    pub(crate) sleeps: Cell<u64>,
    pub(crate) wakes_sent: Cell<u64>,
    pub(crate) tasks_panicked: Cell<u64>,
    pub(crate) cold_reads: Cell<u64>,
    pub(crate) cold_bytes: Cell<u64>,
    pub(crate) cold_given_up: Cell<u64>,
}

impl Counters {
    pub(crate) fn add(counter: &Cell<u64>, n: u64) {
        counter.set(counter.get().wrapping_add(n));
    }
}

/// Of this thread's reactor; all zero on a thread without one.
pub fn metrics() -> Metrics {
    core::with(|core| {
        let mut metrics = Metrics {
            polls: core.counters.polls.get(),
            turns: core.counters.turns.get(),
            sleeps: core.counters.sleeps.get(),
            wakes_sent: core.counters.wakes_sent.get(),
            tasks_panicked: core.counters.tasks_panicked.get(),
            cold_reads: core.counters.cold_reads.get(),
            cold_bytes: core.counters.cold_bytes.get(),
            cold_given_up: core.counters.cold_given_up.get(),
            tasks_live: core.tasks_live() as u64,
            timers: core.timers.borrow().len() as u64,
            ..Metrics::default()
        };
        core.filling.measure(&mut metrics);
        metrics
    })
    .unwrap_or_default()
}
