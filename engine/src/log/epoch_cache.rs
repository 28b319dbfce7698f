//! Which leader epoch wrote which offsets: the list of (epoch, first offset) that truncation and fencing go by.
//!
//! Invariant: epochs and first offsets both grow from entry to entry.

use crate::log::checkpoint::{CheckpointError, encode_lines, parse_lines};
use crate::types::{LeaderEpoch, Offset};

/// An epoch and the offset of its first record.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    pub epoch: LeaderEpoch,
    pub start_offset: Offset,
}

/// The epochs of one log, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

/// Version of the checkpoint file.
const VERSION: i32 = 0;

impl EpochCache {
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// Notes that `epoch` begins at `start_offset`; whether that was news. Entries that contradict it go: they stand for
    /// an epoch without records, or for records that were truncated.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if !epoch.is_some() || !start_offset.is_some() {
            return false;
        }
        if let Some(last) = self.entries.last()
            && last.epoch == epoch
            && last.start_offset <= start_offset
        {
            return false;
        }
        while let Some(last) = self.entries.last() {
            if last.epoch < epoch && last.start_offset < start_offset {
                break;
            }
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// The epoch a record was written in.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        self.entries.get(after.checked_sub(1)?).map(|entry| entry.epoch)
    }

    /// The epoch of the last record before an offset.
    pub(crate) fn epoch_before(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start_offset < offset);
        self.entries.get(after.checked_sub(1)?).map(|entry| entry.epoch)
    }

    /// Kafka's OffsetForLeaderEpoch: the greatest epoch at or below the one asked for, and where it ends.
    ///
    /// `None` stands for Kafka's (-1, -1): an epoch never heard of, or none asked for.
    pub fn end_offset_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        if !epoch.is_some() {
            return None;
        }
        if self.latest().is_some_and(|latest| latest.epoch == epoch) {
            return Some((epoch, log_end));
        }
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let higher = self.entries.get(after)?;
        match after.checked_sub(1).and_then(|floor| self.entries.get(floor)) {
            Some(floor) => Some((floor.epoch, higher.start_offset)),
            // Older than all we remember: its records are gone, the reader may go on at our first.
            None => Some((epoch, higher.start_offset)),
        }
    }

    /// Forgets what begins at or behind the end of the log. Whether anything changed.
    pub fn truncate_from_end(&mut self, log_end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start_offset < log_end);
        before != self.entries.len()
    }

    /// Forgets epochs whose records are all gone; the one the log now starts in starts there. Whether anything changed.
    pub fn truncate_from_start(&mut self, log_start: Offset) -> bool {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= log_start);
        let Some(first) = after.checked_sub(1) else {
            return false;
        };
        let changed = first > 0
            || self
                .entries
                .first()
                .is_some_and(|entry| entry.start_offset != log_start);
        self.entries.drain(..first);
        if let Some(entry) = self.entries.first_mut() {
            entry.start_offset = log_start;
        }
        changed
    }

    /// Content of `leader-epoch-checkpoint`.
    pub fn encode(&self) -> Vec<u8> {
        encode_lines(
            VERSION,
            self.entries
                .iter()
                .map(|entry| format!("{} {}", entry.epoch, entry.start_offset)),
        )
    }

    pub fn parse(bytes: &[u8]) -> Result<EpochCache, CheckpointError> {
        let mut cache = EpochCache::default();
        for (number, line) in parse_lines(bytes, VERSION)? {
            let entry = line.split_once(' ').and_then(|(epoch, offset)| {
                Some(EpochEntry {
                    epoch: LeaderEpoch(epoch.parse().ok()?),
                    start_offset: Offset(offset.parse().ok()?),
                })
            });
            match entry {
                Some(entry) if entry.epoch.is_some() && entry.start_offset.is_some() => {
                    cache.assign(entry.epoch, entry.start_offset);
                }
                _ => {
                    return Err(CheckpointError::Line {
                        number,
                        line: line.to_owned(),
                    });
                }
            }
        }
        Ok(cache)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for &(epoch, offset) in entries {
            cache.assign(LeaderEpoch(epoch), Offset(offset));
        }
        cache
    }

    fn end(cache: &EpochCache, epoch: i32) -> Option<(i32, i64)> {
        cache
            .end_offset_of(LeaderEpoch(epoch), Offset(100))
            .map(|(epoch, offset)| (epoch.0, offset.0))
    }

    #[test]
    fn end_offsets_are_kafkas() {
        // A follower truncates to this answer: too high keeps records that never were, too low loses some.
        let epochs = cache(&[(2, 0), (5, 40), (7, 60)]);
        assert_eq!(end(&epochs, 7), Some((7, 100)));
        assert_eq!(end(&epochs, 6), Some((5, 60)));
        assert_eq!(end(&epochs, 5), Some((5, 60)));
        assert_eq!(end(&epochs, 2), Some((2, 40)));
        assert_eq!(end(&epochs, 1), Some((1, 0)));
        assert_eq!(end(&epochs, 8), None);
        assert_eq!(end(&epochs, -1), None);
        assert_eq!(end(&EpochCache::default(), 0), None);
    }

    #[test]
    fn an_epoch_without_records_gives_way() {
        let mut epochs = cache(&[(1, 0), (2, 10)]);
        assert!(epochs.assign(LeaderEpoch(3), Offset(10)));
        assert_eq!(epochs, cache(&[(1, 0), (3, 10)]));
        assert!(!epochs.assign(LeaderEpoch(3), Offset(12)));
        assert!(!epochs.assign(LeaderEpoch(-1), Offset(12)));
    }

    #[test]
    fn truncation_keeps_what_still_has_records() {
        let mut epochs = cache(&[(1, 0), (2, 10), (3, 20)]);
        assert!(epochs.truncate_from_end(Offset(20)));
        assert!(!epochs.truncate_from_end(Offset(20)));
        assert!(epochs.truncate_from_start(Offset(15)));
        assert_eq!(
            epochs.entries(),
            [EpochEntry {
                epoch: LeaderEpoch(2),
                start_offset: Offset(15)
            }]
        );
        assert!(!epochs.truncate_from_start(Offset(15)));
        assert_eq!(epochs.epoch_of(Offset(14)), None);
        assert_eq!(epochs.epoch_of(Offset(99)), Some(LeaderEpoch(2)));
    }

    #[test]
    fn the_file_is_kafkas() {
        let epochs = cache(&[(0, 0), (3, 17)]);
        assert_eq!(epochs.encode(), b"0\n2\n0 0\n3 17\n");
        assert_eq!(EpochCache::parse(&epochs.encode()), Ok(epochs));
        assert!(EpochCache::parse(b"0\n1\n3\n").is_err());
        assert!(EpochCache::parse(b"0\n1\n-3 4\n").is_err());
    }
}
