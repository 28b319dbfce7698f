//! What must hold after every step.

use std::collections::BTreeMap;

use engine::types::Offset;

use super::node::{Node, Snapshot};
use crate::quorum::{Body, ControlRecord, Core, Entry};
use crate::record::{BrokerId, ControllerEpoch};
use crate::store::SnapshotId;

/// What the whole cluster has ever shown.
#[derive(Default)]
pub(super) struct Checker {
    leaders: BTreeMap<ControllerEpoch, BrokerId>,
    /// Every record batch ever written, by where it is and who wrote it; with the epoch of the one before.
    written: BTreeMap<(Offset, ControllerEpoch), (Entry, ControllerEpoch)>,
    committed: BTreeMap<Offset, Entry>,
    /// What the committed records amount to at each end.
    states: BTreeMap<Offset, u64>,
    snapshots: BTreeMap<SnapshotId, Snapshot>,
    pub(super) committed_end: Offset,
    pub(super) elections: usize,
}

pub(super) fn hash(state: u64, entry: &Entry) -> u64 {
    let mut hash = state ^ 0xcbf2_9ce4_8422_2325;
    let mut put = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    put(&entry.base_offset.0.to_le_bytes());
    put(&entry.epoch.0.to_le_bytes());
    match &entry.body {
        Body::Batch(bytes) => put(bytes),
        Body::Control(records) => {
            for record in records {
                match record {
                    ControlRecord::LeaderChange { leader, .. } => put(&leader.0.to_le_bytes()),
                    ControlRecord::KraftVersion(version) => put(&version.to_le_bytes()),
                    ControlRecord::Voters(voters) => put(voters.to_string().as_bytes()),
                }
            }
        }
    }
    hash
}

impl Checker {
    /// Election safety.
    pub(super) fn leads(&mut self, core: &Core) -> Result<(), String> {
        let (epoch, id) = (core.epoch(), core.node().id);
        match self.leaders.insert(epoch, id) {
            None => {
                self.elections += 1;
                Ok(())
            }
            Some(other) if other == id => Ok(()),
            Some(other) => Err(format!("two leaders in epoch {epoch}: {other} and {id}")),
        }
    }

    /// Leader completeness.
    pub(super) fn is_complete(&self, node: &Node) -> Result<(), String> {
        for (offset, entry) in self.committed.range(node.disk.start.end_offset..) {
            if node.disk.entry_at(*offset) != Some(entry) {
                return Err(format!(
                    "leader {} lacks the committed batch at {offset} of epoch {}",
                    node.id, entry.epoch
                ));
            }
        }
        Ok(())
    }

    /// Log matching.
    pub(super) fn appended(&mut self, entry: &Entry, before: ControllerEpoch) -> Result<(), String> {
        let key = (entry.base_offset, entry.epoch);
        let (known, known_before) = self.written.entry(key).or_insert_with(|| (entry.clone(), before));
        if known == entry && *known_before == before {
            return Ok(());
        }
        Err(format!(
            "two logs hold different batches at {} of epoch {}: {known:?} after epoch {known_before}, {entry:?} after {before}",
            key.0, key.1
        ))
    }

    /// The same records are committed everywhere, and they amount to the same.
    pub(super) fn committed(&mut self, node: BrokerId, entry: &Entry, state: u64) -> Result<(), String> {
        let known = self
            .committed
            .entry(entry.base_offset)
            .or_insert_with(|| entry.clone());
        if known != entry {
            return Err(format!(
                "node {node} takes {entry:?} for committed, others {known:?}"
            ));
        }
        self.committed_end = self.committed_end.max(entry.last_offset.next());
        let known = *self.states.entry(entry.last_offset.next()).or_insert(state);
        if known != state {
            return Err(format!("node {node} has another state at {}", entry.last_offset));
        }
        Ok(())
    }

    pub(super) fn snapshot(&mut self, node: BrokerId, snapshot: &Snapshot) -> Result<(), String> {
        let known = self
            .snapshots
            .entry(snapshot.id)
            .or_insert_with(|| snapshot.clone());
        if known == snapshot {
            return Ok(());
        }
        Err(format!("node {node} made {snapshot:?}, another {known:?}"))
    }

    pub(super) fn known_snapshot(&self, id: SnapshotId) -> Result<Snapshot, String> {
        let known = self.snapshots.get(&id).cloned();
        known.ok_or_else(|| format!("nobody ever made {id:?}"))
    }
}
