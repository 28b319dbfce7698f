//! One machine: a disk that may lose what was not synced, and a process that may die.

use std::collections::{BTreeMap, VecDeque};

use engine::types::Offset;
use reactor::Instant;

use crate::quorum::{Core, ElectionState, Entry, ReplicaKey, Request, RequestId, StartingLog, VoterSet};
use crate::record::{BrokerId, ControllerEpoch};
use crate::store::SnapshotId;
use reactor::Chance;

/// What stands for a snapshot's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) id: SnapshotId,
    pub(super) state: u64,
    pub(super) voters: Option<VoterSet>,
}

#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) election: ElectionState,
    pub(super) start: SnapshotId,
    pub(super) snapshot: Option<Snapshot>,
    /// As the process reads it.
    pub(super) log: Vec<Entry>,
    /// As the last sync left it.
    synced: Vec<Entry>,
}

impl Disk {
    pub(super) fn end(&self) -> Offset {
        self.log
            .last()
            .map_or(self.start.end_offset, |entry| entry.last_offset.next())
    }

    pub(super) fn last_epoch(&self) -> ControllerEpoch {
        self.log.last().map_or(self.start.epoch, |entry| entry.epoch)
    }

    pub(super) fn entry_at(&self, offset: Offset) -> Option<&Entry> {
        let index = self.log.partition_point(|entry| entry.last_offset < offset);
        self.log.get(index).filter(|entry| entry.base_offset <= offset)
    }

    pub(super) fn truncate(&mut self, end: Offset) {
        self.log.retain(|entry| entry.last_offset < end);
    }

    /// Everything below `end` that is still in the log is durable, and so is what was cut off before.
    pub(super) fn sync(&mut self, end: Offset) {
        let count = self.log.partition_point(|entry| entry.last_offset < end);
        let kept = self.log.get(..count).unwrap_or_default();
        // A part that was synced before stays so.
        let same = self
            .synced
            .iter()
            .zip(&self.log)
            .take_while(|(synced, entry)| synced == entry)
            .count();
        self.synced = self.log.get(..same.max(kept.len())).unwrap_or_default().to_vec();
    }

    pub(super) fn forget_behind(&mut self, start: Offset) {
        if let Some(entry) = self.log.iter().rfind(|entry| entry.last_offset < start) {
            self.start = SnapshotId {
                end_offset: entry.last_offset.next(),
                epoch: entry.epoch,
            };
        }
        let start = self.start.end_offset;
        self.log.retain(|entry| entry.base_offset >= start);
        self.synced.retain(|entry| entry.base_offset >= start);
    }

    pub(super) fn replace(&mut self, snapshot: Snapshot) {
        self.start = snapshot.id;
        self.snapshot = Some(snapshot);
        self.log.clear();
        self.synced.clear();
    }

    /// The power is gone: of what was not synced, a part may be there, and what was cut off may be back.
    fn crash(&mut self, chance: &mut Chance) {
        let same = self
            .synced
            .iter()
            .zip(&self.log)
            .take_while(|(synced, entry)| synced == entry)
            .count();
        let is_cut_off = same < self.synced.len();
        if is_cut_off && chance.below(2) == 0 {
            self.log = self.synced.clone();
        } else {
            let unsynced = self.log.len() - same;
            let torn_at = same + chance.below(unsynced as u64 + 1) as usize;
            self.log.truncate(torn_at);
        }
        self.synced = self.log.clone();
    }

    pub(super) fn starting_log(&self) -> StartingLog {
        let mut log = StartingLog {
            start: self.start,
            snapshot: self.snapshot.as_ref().map(|snapshot| snapshot.id),
            end: self.end(),
            snapshot_voters: self
                .snapshot
                .as_ref()
                .and_then(|snapshot| snapshot.voters.clone()),
            ..StartingLog::default()
        };
        let snapshot_end = log.snapshot.map_or(Offset::ZERO, |id| id.end_offset);
        for entry in &self.log {
            if log.epochs.last().is_none_or(|(epoch, _)| *epoch != entry.epoch) {
                log.epochs.push((entry.epoch, entry.base_offset));
            }
            if let Some(voters) = &entry.voters
                && entry.base_offset >= snapshot_end
            {
                log.voters.push((entry.base_offset, voters.clone()));
            }
        }
        log
    }
}

/// A request that came in and is not answered yet: who asks, and what.
pub(super) type Waiting = BTreeMap<RequestId, (BrokerId, Request)>;

pub(super) struct Node {
    pub(super) id: BrokerId,
    pub(super) key: ReplicaKey,
    pub(super) core: Option<Core>,
    /// Counts starts: what was on its way to an earlier process is lost.
    pub(super) incarnation: u64,
    pub(super) disk: Disk,
    /// Writes on their way: number and the log's end after it.
    pub(super) writes: VecDeque<(u64, Offset)>,
    pub(super) waiting: Waiting,
    /// What its clock shows beyond the world's.
    pub(super) clock_ahead_ns: u64,
    pub(super) paused_until: Instant,
    pub(super) disk_full_until: Instant,
    /// Up to where the committed records were applied, and to what they amount.
    pub(super) applied: (Offset, u64),
    /// Parts of a snapshot that were stored.
    pub(super) partial: Option<(SnapshotId, Vec<u8>)>,
    pub(super) was_leader: Option<ControllerEpoch>,
    pub(super) tick: u64,
}

impl Node {
    pub(super) fn crash(&mut self, chance: &mut Chance) {
        self.core = None;
        self.incarnation += 1;
        self.writes.clear();
        self.waiting.clear();
        self.partial = None;
        self.was_leader = None;
        self.disk.crash(chance);
    }

    pub(super) fn is_up(&self) -> bool {
        self.core.is_some()
    }
}
