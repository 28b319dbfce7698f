//! Judging the bytes of a segment, batch by batch: how much of it is the log, and what that part tells.
//!
//! Pure. Recovery runs it over files, fuzzing over slices.

use super::damage::{Damage, DamageAt};
use super::epoch_cache::EpochEntry;
use super::offset_index::{OffsetIndex, relative};
use super::segment_index::SegmentIndex;
use super::time_index::TimeIndex;
use super::window::{BULK_BYTES, BatchAt, ByteSource, ScanError, Window, walkable_size};
use crate::batch::crc::crc32c_append;
use crate::batch::{BatchHeader, CRC_START, HEADER_BYTES};
use crate::planted::{self, Bug};
use crate::types::{LeaderEpoch, Offset};

/// What a segment may begin with.
#[derive(Copy, Clone, Debug)]
pub struct CheckStart {
    pub base_offset: Offset,
    /// End of the segment before; no batch may lie below it.
    pub next_offset: Offset,
    /// Epoch of the last batch before.
    pub leader_epoch: LeaderEpoch,
    pub index_interval_bytes: u32,
}

/// The valid part of a segment.
#[derive(Debug)]
pub struct CheckedSegment {
    pub valid_bytes: u64,
    pub batch_count: u64,
    /// Offset behind the last valid batch, or where the check began.
    pub next_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// Epochs that begin in this segment, in order.
    pub epochs: Vec<EpochEntry>,
    /// What ended the valid part; `None` when all of the segment is valid.
    pub damage: Option<DamageAt>,
    pub(crate) index: SegmentIndex,
}

impl CheckedSegment {
    /// The indexes of the valid part, as they would be written to their files.
    pub fn indexes(&self) -> (&OffsetIndex, &TimeIndex) {
        (&self.index.offsets, &self.index.times)
    }
}

/// Checks a whole segment held in memory.
pub fn check_segment(bytes: &[u8], start: CheckStart) -> CheckedSegment {
    match check_source(bytes, bytes.len() as u64, start) {
        Ok(checked) => checked,
        // a slice cannot fail to be read
        Err(_) => Check::new(start).finish(0, None),
    }
}

/// Checks the first `size_bytes` of a source. Errors are those of reading; damage is a result.
pub(crate) fn check_source<S: ByteSource + ?Sized>(
    source: &S,
    size_bytes: u64,
    start: CheckStart,
) -> std::io::Result<CheckedSegment> {
    let index = SegmentIndex::new(start.base_offset);
    check_source_from(source, 0, size_bytes, start, index)
}

/// The same from a position on at which a batch begins, with the indexes of what lies before.
pub(crate) fn check_source_from<S: ByteSource + ?Sized>(
    source: &S,
    position: u64,
    size_bytes: u64,
    start: CheckStart,
    index: SegmentIndex,
) -> std::io::Result<CheckedSegment> {
    let mut window = Window::new(source, size_bytes, BULK_BYTES);
    let mut check = Check::new(start);
    check.index = index;
    let mut position = position;
    loop {
        match check.next(&mut window, position, size_bytes) {
            Ok(Some(end)) => position = end,
            Ok(None) => return Ok(check.finish(position, None)),
            Err(ScanError::Damaged(damage)) => return Ok(check.finish(position, Some(damage))),
            Err(ScanError::Io(error)) => return Err(error),
        }
    }
}

struct Check {
    start: CheckStart,
    next_offset: Offset,
    leader_epoch: LeaderEpoch,
    batch_count: u64,
    epochs: Vec<EpochEntry>,
    index: SegmentIndex,
}

impl Check {
    fn new(start: CheckStart) -> Self {
        Check {
            start,
            next_offset: start.next_offset.max(start.base_offset),
            leader_epoch: start.leader_epoch,
            batch_count: 0,
            epochs: Vec::new(),
            index: SegmentIndex::new(start.base_offset),
        }
    }

    /// Checks the batch at `position` and returns where it ends; `None` at the end of the segment.
    fn next<S: ByteSource + ?Sized>(
        &mut self,
        window: &mut Window<'_, S>,
        position: u64,
        size_bytes: u64,
    ) -> Result<Option<u64>, ScanError> {
        let remaining = size_bytes.saturating_sub(position);
        if remaining == 0 {
            return Ok(None);
        }
        let at = |damage| DamageAt { position, damage };
        let Some(header) = BatchHeader::peek(window.bytes(position, HEADER_BYTES)?).copied() else {
            return Err(at(Damage::Torn {
                expected: HEADER_BYTES as u64,
                found: remaining,
            })
            .into());
        };
        let batch_bytes = self.check_header(&header, remaining).map_err(at)?;
        let computed = crc(window, position + CRC_START as u64, position + batch_bytes)?;
        if computed != header.crc() && !planted::is(Bug::CrcSkippedInRecovery) {
            return Err(at(Damage::Crc {
                stored: header.crc(),
                computed,
            })
            .into());
        }
        let batch = BatchAt {
            position,
            size_bytes: batch_bytes,
            header,
        };
        self.index.push_batch(self.start.index_interval_bytes, &batch);
        if header.leader_epoch().is_some() && header.leader_epoch() > self.leader_epoch {
            self.leader_epoch = header.leader_epoch();
            self.epochs.push(EpochEntry {
                epoch: self.leader_epoch,
                start_offset: header.base_offset(),
            });
        }
        self.next_offset = header.next_offset();
        self.batch_count += 1;
        Ok(Some(batch.end()))
    }

    fn check_header(&self, header: &BatchHeader, remaining: u64) -> Result<u64, Damage> {
        let size_bytes = walkable_size(header, remaining)?;
        let last_offset_delta = header.last_offset_delta();
        if last_offset_delta < 0 {
            return Err(Damage::OffsetDelta {
                found: last_offset_delta,
            });
        }
        if header.base_offset() < self.next_offset {
            return Err(Damage::OffsetFalls {
                expected: self.next_offset,
                found: header.base_offset(),
            });
        }
        let base = self.start.base_offset;
        if relative(base, header.last_offset()).is_none() {
            return Err(Damage::OffsetRange {
                base,
                found: header.last_offset(),
            });
        }
        let count = header.record_count();
        // Compaction takes records but leaves the offsets they had; more records than offsets there never are.
        if count < 0 || i64::from(count) > i64::from(last_offset_delta) + 1 {
            return Err(Damage::RecordCount {
                last_offset_delta,
                found: count,
            });
        }
        let leader_epoch = header.leader_epoch();
        if leader_epoch != LeaderEpoch::NONE && leader_epoch < self.leader_epoch {
            return Err(Damage::EpochFalls {
                expected: self.leader_epoch,
                found: leader_epoch,
            });
        }
        Ok(size_bytes)
    }

    fn finish(self, valid_bytes: u64, damage: Option<DamageAt>) -> CheckedSegment {
        CheckedSegment {
            valid_bytes,
            batch_count: self.batch_count,
            next_offset: self.next_offset,
            leader_epoch: self.leader_epoch,
            epochs: self.epochs,
            damage,
            index: self.index,
        }
    }
}

/// CRC of a range, however long: a batch that announces a GiB must not cost one.
fn crc<S: ByteSource + ?Sized>(window: &mut Window<'_, S>, from: u64, to: u64) -> std::io::Result<u32> {
    let mut position = from;
    let mut crc = 0;
    while position < to {
        let bytes = window.bytes(position, usize::try_from(to - position).unwrap_or(usize::MAX))?;
        if bytes.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        crc = crc32c_append(crc, bytes);
        position += bytes.len() as u64;
    }
    Ok(crc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, assign};
    use crate::types::Timestamp;

    fn batch(base: i64, records: i32, epoch: i32) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Offset(base)).leader_epoch(LeaderEpoch(epoch));
        for _ in 0..records {
            builder.append(Timestamp(base + 1000), Some(b"key"), Some(b"value"));
        }
        builder.build().unwrap().to_vec()
    }

    fn start(base: i64) -> CheckStart {
        CheckStart {
            base_offset: Offset(base),
            next_offset: Offset(base),
            leader_epoch: LeaderEpoch(0),
            index_interval_bytes: 250,
        }
    }

    #[test]
    fn a_whole_segment_is_valid_and_indexed() {
        let mut log = Vec::new();
        for i in 0..10 {
            log.extend_from_slice(&batch(100 + i * 3, 3, (i / 5) as i32));
        }
        let checked = check_segment(&log, start(100));
        assert_eq!(checked.damage, None);
        assert_eq!(checked.valid_bytes, log.len() as u64);
        assert_eq!((checked.next_offset, checked.batch_count), (Offset(130), 10));
        assert_eq!(
            checked.epochs,
            [EpochEntry {
                epoch: LeaderEpoch(1),
                start_offset: Offset(115)
            }]
        );
        let batches_per_entry = 250 / (log.len() / 10) + 1;
        assert_eq!(checked.indexes().0.len(), 9 / batches_per_entry);
        assert_eq!(
            checked.indexes().1.last().map(|entry| entry.timestamp),
            Some(Timestamp(1127))
        );
    }

    #[test]
    fn every_damaged_byte_of_the_last_batch_cuts_it() {
        // A record that was not acknowledged may go, but half of it must never stay. Offset and epoch lie outside the CRC:
        // there a flipped bit that moves them forward cannot be told from what compaction and elections do.
        let first = batch(0, 2, 0);
        let last = batch(2, 2, 0);
        for at in 0..last.len() {
            let mut log = first.clone();
            log.extend_from_slice(&last);
            log[first.len() + at] ^= 0xff;
            let checked = check_segment(&log, start(0));
            let moves_forward = checked.damage.is_none();
            assert_eq!(
                moves_forward,
                matches!(at, 5..8 | 13..16),
                "byte {at}: {:?}",
                checked.damage
            );
            if !moves_forward {
                assert_eq!(checked.valid_bytes, first.len() as u64, "byte {at}");
                assert_eq!(checked.next_offset, Offset(2));
            }
        }
        for cut in 0..last.len() {
            let log = [&first, &last[..cut]].concat();
            let checked = check_segment(&log, start(0));
            assert_eq!(
                (checked.valid_bytes, checked.damage.is_some()),
                (first.len() as u64, cut > 0)
            );
        }
    }

    #[test]
    fn batches_larger_than_the_window_are_checked_to_their_end() {
        let mut builder = BatchBuilder::new(Offset(0));
        builder.append(Timestamp(1), None, Some(&vec![7; 3 * BULK_BYTES]));
        let mut log = builder.build().unwrap().to_vec();
        assert_eq!(check_segment(&log, start(0)).damage, None);
        *log.last_mut().unwrap() ^= 1;
        assert!(matches!(
            check_segment(&log, start(0)).damage,
            Some(DamageAt {
                position: 0,
                damage: Damage::Crc { .. }
            })
        ));
    }

    #[test]
    fn offsets_and_epochs_only_grow() {
        let mut falls = [batch(0, 2, 3), batch(2, 2, 3)].concat();
        let second = falls.len() / 2;
        assign(&mut falls[second..], Offset(1), LeaderEpoch(3));
        assert!(matches!(
            check_segment(&falls, start(0)).damage.map(|at| at.damage),
            Some(Damage::OffsetFalls { .. })
        ));
        assign(&mut falls[second..], Offset(2), LeaderEpoch(2));
        assert!(matches!(
            check_segment(&falls, start(0)).damage.map(|at| at.damage),
            Some(Damage::EpochFalls { .. })
        ));
        assign(&mut falls[second..], Offset(i64::from(i32::MAX)), LeaderEpoch(3));
        assert!(matches!(
            check_segment(&falls, start(0)).damage.map(|at| at.damage),
            Some(Damage::OffsetRange { .. })
        ));
        assert_eq!(check_segment(&[0; 4096], start(0)).valid_bytes, 0);
    }
}
