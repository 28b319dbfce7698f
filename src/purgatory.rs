//! Fetches that wait for data: woken exactly when enough bytes have become readable, or at their deadline.
//!
//! A [`FetchWaiter`] belongs to one fetch and is registered with every partition of it, on any shard. Each partition
//! adds the bytes that became readable after the fetch looked; the fetch is woken once, when the sum reaches its
//! `min_bytes`. A waiter whose fetch is over is dropped by the partition at its next look.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use reactor::oneshot;

/// The part of a waiting fetch that partitions on all shards see.
pub struct FetchWaiter {
    missing_bytes: AtomicI64,
    wake: Mutex<Option<oneshot::Sender<()>>>,
}

impl FetchWaiter {
    /// A waiter that is satisfied by `min_bytes` and the future that resolves then.
    pub fn new(min_bytes: i64) -> (Arc<FetchWaiter>, oneshot::Receiver<()>) {
        let (sender, receiver) = reactor::oneshot();
        let waiter = FetchWaiter {
            missing_bytes: AtomicI64::new(min_bytes),
            wake: Mutex::new(Some(sender)),
        };
        (Arc::new(waiter), receiver)
    }

    /// `bytes` more are readable for this fetch.
    pub fn add(&self, bytes: i64) {
        if self.missing_bytes.fetch_sub(bytes, Ordering::AcqRel) <= bytes {
            self.fire();
        }
    }

    /// Something other than data must be told at once: an error, a deleted topic, a moved log start.
    pub fn fire(&self) {
        let sender = self.wake.lock().ok().and_then(|mut wake| wake.take());
        if let Some(sender) = sender {
            let _fetch_may_be_over = sender.send(());
        }
    }

    pub fn is_satisfied(&self) -> bool {
        self.missing_bytes.load(Ordering::Acquire) <= 0
    }

    /// Woken, or nobody waits any more: the fetch was answered, or dropped because its client went.
    fn is_over(&self) -> bool {
        self.wake
            .lock()
            .map_or(true, |wake| wake.as_ref().is_none_or(oneshot::Sender::is_closed))
    }
}

/// The waiters of one partition.
#[derive(Default)]
pub struct Watchers {
    waiters: Vec<Arc<FetchWaiter>>,
    swept_at: usize,
}

/// Below this many waiters nobody looks for ended ones except when data comes.
const SWEEP_FROM: usize = 64;

impl Watchers {
    pub fn watch(&mut self, waiter: Arc<FetchWaiter>) {
        if self.waiters.len() >= SWEEP_FROM.max(self.swept_at * 2) {
            self.waiters.retain(|waiter| !waiter.is_over());
            self.swept_at = self.waiters.len();
        }
        self.waiters.push(waiter);
    }

    /// `bytes` have become readable.
    pub fn readable(&mut self, bytes: i64) {
        self.waiters.retain(|waiter| {
            if waiter.is_over() {
                return false;
            }
            waiter.add(bytes);
            !waiter.is_satisfied()
        });
    }

    /// The partition is going away or has failed: every waiter looks again and finds the error.
    pub fn fire_all(&mut self) {
        for waiter in self.waiters.drain(..) {
            waiter.fire();
        }
    }

    /// Nobody waits, or only some whose fetch is over.
    pub fn is_empty(&mut self) -> bool {
        self.waiters.retain(|waiter| !waiter.is_over());
        self.waiters.is_empty()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.waiters.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks in production: consumers with a large fetch.min.bytes poll in a busy loop, or wait for ever.
    #[test]
    fn a_fetch_is_woken_once_its_bytes_are_there_over_all_partitions() {
        let (waiter, _receiver) = FetchWaiter::new(100);
        let (mut one, mut other) = (Watchers::default(), Watchers::default());
        one.watch(waiter.clone());
        other.watch(waiter.clone());
        one.readable(60);
        assert!(!waiter.is_satisfied());
        assert_eq!(one.len(), 1);
        other.readable(40);
        assert!(waiter.is_satisfied());
        assert_eq!(other.len(), 0);
        one.readable(1);
        assert_eq!(one.len(), 0, "an ended waiter is forgotten");
    }

    /// Breaks in production: a partition that gets no data keeps every fetch that ever waited on it.
    #[test]
    fn ended_waiters_do_not_pile_up_on_an_idle_partition() {
        let mut idle = Watchers::default();
        for _ in 0..10_000 {
            let (waiter, receiver) = FetchWaiter::new(1);
            idle.watch(waiter);
            drop(receiver); // answered at its deadline, or its client went
        }
        assert!(idle.len() <= 2 * SWEEP_FROM);
    }
}
