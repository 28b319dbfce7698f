//! What this broker's control thread has done, for operators.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::record::ControllerEpoch;
use crate::store::Plan;

/// Shared by all threads of the broker; written by the control thread.
#[derive(Debug)]
pub struct Figures {
    /// -1: not the controller.
    leading: AtomicI64,
    appends: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Default for Figures {
    fn default() -> Figures {
        Figures {
            leading: AtomicI64::new(-1),
            appends: AtomicU64::default(),
            records: AtomicU64::default(),
            bytes: AtomicU64::default(),
        }
    }
}

impl Figures {
    /// The epoch in which this broker is the active controller.
    pub fn leading(&self) -> Option<ControllerEpoch> {
        let epoch = self.leading.load(Ordering::Relaxed);
        i32::try_from(epoch)
            .ok()
            .filter(|epoch| *epoch >= 0)
            .map(ControllerEpoch)
    }

    /// Batches that this broker, as the controller, has appended to the metadata log.
    pub fn appends(&self) -> u64 {
        self.appends.load(Ordering::Relaxed)
    }

    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Of the records in those batches.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn set_leading(&self, epoch: Option<ControllerEpoch>) {
        let epoch = epoch.map_or(-1, |epoch| i64::from(epoch.0));
        self.leading.store(epoch, Ordering::Relaxed);
    }

    pub(super) fn appended(&self, plan: &Plan) {
        let batches = u64::try_from(plan.batches().len()).unwrap_or(u64::MAX);
        self.appends.fetch_add(batches, Ordering::Relaxed);
        let records = u64::try_from(plan.record_count()).unwrap_or(u64::MAX);
        self.records.fetch_add(records, Ordering::Relaxed);
        let bytes = u64::try_from(plan.bytes()).unwrap_or(u64::MAX);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
