//! The log, as far as the rules need it: where it begins and ends, which epoch wrote what, what is durable.

use std::collections::VecDeque;

use engine::types::Offset;

use super::entry::Entry;
use super::planted::{self, Bug};
use super::voters::{VoterHistory, VoterSet};
use crate::record::ControllerEpoch;
use crate::store::SnapshotId;

/// Holds: `start.end_offset <= durable <= end`; `epochs` ascends in both, its offsets are in `start.end_offset..end`;
/// `writes` ascends, the last one ends at `end` if there is one.
#[derive(Clone, Debug)]
pub struct LogView {
    /// First offset that can be read, and the epoch of the record before it.
    pub(super) start: SnapshotId,
    pub(super) snapshot: Option<SnapshotId>,
    epochs: Vec<(ControllerEpoch, Offset)>,
    end: Offset,
    durable: Offset,
    /// Writes on their way to the disk: number, and the log's end after it.
    writes: VecDeque<(u64, Offset)>,
    next_write: u64,
    pub(super) voters: VoterHistory,
}

impl LogView {
    pub(super) fn new(
        start: SnapshotId,
        snapshot: Option<SnapshotId>,
        epochs: Vec<(ControllerEpoch, Offset)>,
        end: Offset,
        voters: VoterHistory,
    ) -> LogView {
        LogView {
            start,
            snapshot,
            epochs,
            end,
            durable: end,
            writes: VecDeque::new(),
            next_write: 1,
            voters,
        }
    }

    /// Offset the next record gets.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Everything below survives the loss of power.
    pub fn durable(&self) -> Offset {
        self.durable
    }

    /// First offset that can be read.
    pub fn start_offset(&self) -> Offset {
        self.start.end_offset
    }

    /// The latest snapshot.
    pub fn snapshot(&self) -> Option<SnapshotId> {
        self.snapshot
    }

    /// Of the last record, or of the last one that the snapshot covers.
    pub fn last_epoch(&self) -> ControllerEpoch {
        self.epochs.last().map_or(self.start.epoch, |(epoch, _)| *epoch)
    }

    /// Which epoch wrote the record at `offset`; `None` where there is none.
    pub fn epoch_at(&self, offset: Offset) -> Option<ControllerEpoch> {
        if offset < self.start.end_offset || offset >= self.end {
            return None;
        }
        let count = self.epochs.partition_point(|(_, start)| *start <= offset);
        count
            .checked_sub(1)
            .and_then(|last| self.epochs.get(last))
            .map(|(epoch, _)| *epoch)
    }

    /// Of the record before `offset`, which is not before the log's start.
    pub fn epoch_before(&self, offset: Offset) -> ControllerEpoch {
        if offset <= self.start.end_offset {
            return self.start.epoch;
        }
        self.epoch_at(offset.saturating_add(-1))
            .unwrap_or_else(|| self.last_epoch())
    }

    /// The last epoch here that is not after `epoch`, and where it ends.
    pub(super) fn end_of_epoch(&self, epoch: ControllerEpoch) -> (ControllerEpoch, Offset) {
        let count = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let found = count
            .checked_sub(1)
            .and_then(|last| self.epochs.get(last))
            .map_or(self.start.epoch, |(epoch, _)| *epoch);
        let end = self.epochs.get(count).map_or(self.end, |(_, start)| *start);
        (found, end)
    }

    /// Takes note of entries that go to the disk now; the number of the write.
    pub(super) fn append(&mut self, entries: &[Entry]) -> u64 {
        for entry in entries {
            debug_assert_eq!(entry.base_offset, self.end, "no gaps");
            debug_assert!(entry.epoch >= self.last_epoch(), "epochs do not go back");
            if self.last_epoch() != entry.epoch || self.epochs.is_empty() {
                self.epochs.push((entry.epoch, entry.base_offset));
            }
            if let Some(voters) = &entry.voters {
                self.voters.push(entry.base_offset, voters.clone());
            }
            self.end = entry.last_offset.next();
        }
        let write = self.next_write;
        self.next_write += 1;
        self.writes.push_back((write, self.end));
        write
    }

    /// The number of the last write that is not durable yet.
    pub(super) fn pending_write(&self) -> Option<u64> {
        self.writes.back().map(|(write, _)| *write)
    }

    /// A write, and all before it, has become durable. One that was cut off since says nothing any more.
    pub(super) fn written(&mut self, write: u64) {
        while let Some((number, end)) = self.writes.front().copied() {
            if number > write {
                break;
            }
            self.durable = end;
            self.writes.pop_front();
        }
    }

    pub(super) fn truncate(&mut self, end: Offset) {
        debug_assert!(end >= self.start.end_offset && end <= self.end);
        self.epochs.retain(|(_, start)| *start < end);
        self.end = end;
        self.durable = self.durable.min(end);
        // What is on its way is written, then cut off; a part of it may stay, and is durable when all before the next write is.
        let pending = self.writes.back().map(|(write, _)| *write);
        self.writes.clear();
        if let Some(write) = pending
            && self.durable < end
        {
            self.writes.push_back((write, end));
        }
        if !planted::is(Bug::VotersSurviveTruncation) {
            self.voters.truncate(end);
        }
    }

    /// The log before `start` is gone.
    pub(super) fn forget_behind(&mut self, start: Offset) {
        let start = start.min(self.durable);
        if start <= self.start.end_offset {
            return;
        }
        self.start = SnapshotId {
            end_offset: start,
            epoch: self.epoch_before(start),
        };
        let first = self.epochs.partition_point(|(_, begin)| *begin <= start);
        let mut kept = self.epochs.split_off(first);
        if let Some((epoch, _)) = self.epochs.last()
            && kept.first().map_or(self.end, |(_, begin)| *begin) > start
        {
            kept.insert(0, (*epoch, start));
        }
        self.epochs = kept;
        self.voters.forget_behind(start);
    }

    /// Nothing but this snapshot is left.
    pub(super) fn replace(&mut self, id: SnapshotId, voters: Option<VoterSet>) {
        self.start = id;
        self.snapshot = Some(id);
        self.epochs.clear();
        self.writes.clear();
        self.end = id.end_offset;
        self.durable = id.end_offset;
        if planted::is(Bug::VotersSurviveSnapshot) {
            return;
        }
        self.voters = self.voters.replaced(voters);
    }

    /// The voters that all records below `end` amount to, if any of them names some.
    pub fn voters_at(&self, end: Offset) -> Option<&VoterSet> {
        self.voters.at(end)
    }
}
