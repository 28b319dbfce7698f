//! Whether this broker speaks for the cluster: its registration, and for how long the controller has promised to wait for it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use reactor::Instant;

use crate::record::BrokerEpoch;

/// Shared by all threads of the broker; written by the control thread. A read costs a load.
#[derive(Debug)]
pub struct Session {
    /// -1: not registered.
    epoch: AtomicI64,
    /// On the clock of [`reactor::now`], in nanoseconds.
    live_until: AtomicU64,
    /// As the controller said last.
    fenced: AtomicBool,
}

impl Default for Session {
    fn default() -> Session {
        Session {
            epoch: AtomicI64::new(-1),
            live_until: AtomicU64::new(0),
            fenced: AtomicBool::new(true),
        }
    }
}

impl Session {
    /// Of the current registration; `None` before the first.
    pub fn broker_epoch(&self) -> Option<BrokerEpoch> {
        let epoch = self.epoch.load(Ordering::Acquire);
        (epoch >= 0).then_some(BrokerEpoch(epoch))
    }

    /// Whether it may answer acks=0, acks=1 and reads; asked after the I/O is done. acks=all does not depend on it.
    pub fn is_live(&self, now: Instant) -> bool {
        now.as_nanos() < self.live_until.load(Ordering::Acquire)
    }

    /// Not trusted with partitions, as far as this broker knows.
    pub fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }

    pub(super) fn registered(&self, epoch: BrokerEpoch) {
        self.epoch.store(epoch.0, Ordering::Release);
    }

    /// No other broker leads this one's partitions before `until`.
    pub(super) fn extend(&self, until: Instant) {
        self.live_until.fetch_max(until.as_nanos(), Ordering::AcqRel);
    }

    pub(super) fn set_fenced(&self, fenced: bool) {
        self.fenced.store(fenced, Ordering::Release);
    }

    /// The broker is the cluster's only one: nobody else can lead anything.
    pub(super) fn lives_for_ever(&self) {
        self.live_until.store(u64::MAX, Ordering::Release);
        self.set_fenced(false);
    }
}
