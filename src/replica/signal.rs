//! From the shards that have something for a follower to the shard that has its connection.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use reactor::oneshot;

/// Of one follower's connection. Set by the shards that own partitions, looked at by the one that answers.
#[derive(Default)]
pub struct Signal {
    /// A bit per shard that has something; shards beyond the 64th share them.
    ready: AtomicU64,
    wake: Mutex<Option<oneshot::Sender<()>>>,
}

impl Signal {
    fn bit(shard: usize) -> u64 {
        1 << (shard % 64)
    }

    /// Shard `shard` has something to answer.
    pub fn raise(&self, shard: usize) {
        let before = self.ready.fetch_or(Signal::bit(shard), Ordering::AcqRel);
        if before & Signal::bit(shard) == 0 {
            self.fire();
        }
    }

    /// The fetch that waits is to be answered now.
    pub fn fire(&self) {
        let wake = self.wake.lock().ok().and_then(|mut wake| wake.take());
        if let Some(wake) = wake {
            let _fetch_may_be_over = wake.send(());
        }
    }

    /// Whether the shard has something; from now on it counts as having nothing until it says so again.
    pub fn take(&self, shard: usize) -> bool {
        self.ready.fetch_and(!Signal::bit(shard), Ordering::AcqRel) & Signal::bit(shard) != 0
    }

    pub fn is_raised_by(&self, shard: usize) -> bool {
        self.ready.load(Ordering::Acquire) & Signal::bit(shard) != 0
    }

    pub fn is_raised(&self) -> bool {
        self.ready.load(Ordering::Acquire) != 0
    }

    /// Resolves at the next [`Signal::raise`] or [`Signal::fire`]. Look at [`Signal::is_raised`] after this call, before waiting.
    pub fn arm(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = reactor::oneshot();
        if let Ok(mut wake) = self.wake.lock() {
            *wake = Some(sender);
        }
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks in production: a follower waits half a second for records that are there.
    #[test]
    fn what_is_raised_before_or_after_arming_is_seen() {
        reactor::run(reactor::Config::default(), async {
            let signal = Signal::default();
            signal.raise(3);
            let armed = signal.arm();
            assert!(signal.is_raised());
            assert!(signal.take(3) && !signal.take(3));
            assert!(!signal.is_raised());
            signal.raise(1);
            assert_eq!(armed.await, Ok(()));
        })
        .unwrap();
    }
}
