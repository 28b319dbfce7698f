//! What the scrubber found bad in a segment, and the file that remembers it.
//!
//! `<base offset>.quarantine` lies beside its segment while there is anything to remember. Little endian:
//! ```text
//!  0  magic        "RNGLOGQ1"
//!  8  CRC-32C      u32   of everything from byte 12 on
//! 12  version      u32   1
//! 16  range count  u32   1 to 1,024
//! 20  zeros        u32
//! 24  ranges, 32 bytes each, in order, none touching the next:
//!      0  position      u64   first bad byte of the segment
//!      8  end           u64   where the next batch that verified begins
//!     16  first offset  i64   behind the last batch before that verified
//!     24  next offset   i64   of the next batch that verified
//! ```
//! It is written whole and atomically. One that cannot be read is no reason to stop: the scrubber finds the same again.

use thiserror::Error;

use crate::batch::crc::crc32c;
use crate::types::Offset;

const MAGIC: &[u8; 8] = b"RNGLOGQ1";
const VERSION: u32 = 1;
const CRC_START: usize = 12;
/// Ranges kept apart; a disk that damages more than that of one segment loses the rest of it as one range.
pub const RANGES_MAX: usize = 1024;

/// Bytes of a segment that are not what was written, and the offsets that went with them.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BadRange {
    pub position: u64,
    pub end: u64,
    pub first_offset: Offset,
    pub next_offset: Offset,
}

/// All bad ranges of a segment.
///
/// Invariant: in order of position and of offset, and with something good between each two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantine {
    ranges: Vec<BadRange>,
}

/// Why bytes are not a quarantine file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuarantineError {
    #[error("{found} bytes, expected {expected}")]
    Length { expected: usize, found: usize },
    #[error("no quarantine file: it begins otherwise")]
    Magic,
    #[error("stored CRC {stored:#010x}, computed {computed:#010x}")]
    Crc { stored: u32, computed: u32 },
    #[error("version {0}, expected 1")]
    Version(u32),
    #[error("range {index} is not behind the one before it")]
    Order { index: usize },
}

/// Good bytes between two bad ranges, or up to the segment's end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The stretch ends with the segment.
    pub(crate) is_last: bool,
}

impl Quarantine {
    pub const HEADER_BYTES: usize = 24;
    pub const RANGE_BYTES: usize = 32;

    pub fn ranges(&self) -> &[BadRange] {
        &self.ranges
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Adds a range behind the others.
    pub(crate) fn push(&mut self, range: BadRange) {
        let is_full = self.ranges.len() >= RANGES_MAX;
        match self.ranges.last_mut() {
            Some(last) if is_full || range.position <= last.end => {
                last.end = range.end;
                last.next_offset = range.next_offset;
            }
            _ => self.ranges.push(range),
        }
    }

    /// A good batch of this base offset begins at `position`: a range that ends there ends with it.
    pub(crate) fn good_from(&mut self, position: u64, base_offset: Offset) {
        if let Some(last) = self.ranges.last_mut()
            && last.end == position
        {
            last.next_offset = base_offset;
        }
    }

    /// The good stretch of a segment of `size_bytes` in which the batch that holds `offset` is to be looked for, or the bad
    /// range it was in.
    pub(crate) fn stretch(&self, offset: Offset, size_bytes: u64) -> Result<Stretch, BadRange> {
        let mut start = 0;
        for range in &self.ranges {
            if offset < range.first_offset {
                return Ok(Stretch {
                    start,
                    end: range.position,
                    is_last: false,
                });
            }
            if offset < range.next_offset {
                return Err(*range);
            }
            start = range.end;
        }
        Ok(Stretch {
            start,
            end: size_bytes,
            is_last: true,
        })
    }

    /// All good stretches of a segment of `size_bytes`, as positions.
    pub(crate) fn stretches(&self, size_bytes: u64) -> Vec<std::ops::Range<u64>> {
        let starts = std::iter::once(0).chain(self.ranges.iter().map(|range| range.end));
        let ends = self.ranges.iter().map(|range| range.position).chain([size_bytes]);
        starts
            .zip(ends)
            .map(|(start, end)| start..end)
            .filter(|stretch| !stretch.is_empty())
            .collect()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::HEADER_BYTES + self.ranges.len() * Self::RANGE_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.ranges.len() as u32).to_le_bytes()); // at most RANGES_MAX
        bytes.extend_from_slice(&[0; 4]);
        for range in &self.ranges {
            bytes.extend_from_slice(&range.position.to_le_bytes());
            bytes.extend_from_slice(&range.end.to_le_bytes());
            bytes.extend_from_slice(&range.first_offset.0.to_le_bytes());
            bytes.extend_from_slice(&range.next_offset.0.to_le_bytes());
        }
        let crc = crc32c(bytes.get(CRC_START..).unwrap_or_default());
        if let Some(field) = bytes.get_mut(MAGIC.len()..CRC_START) {
            field.copy_from_slice(&crc.to_le_bytes());
        }
        bytes
    }

    pub fn parse(bytes: &[u8]) -> Result<Quarantine, QuarantineError> {
        let found = bytes.len();
        let Some((header, ranges)) = bytes.split_at_checked(Self::HEADER_BYTES) else {
            return Err(QuarantineError::Length {
                expected: Self::HEADER_BYTES,
                found,
            });
        };
        if !header.starts_with(MAGIC) {
            return Err(QuarantineError::Magic);
        }
        let stored = u32_at(header, MAGIC.len());
        let computed = crc32c(bytes.get(CRC_START..).unwrap_or_default());
        if stored != computed {
            return Err(QuarantineError::Crc { stored, computed });
        }
        let version = u32_at(header, CRC_START);
        if version != VERSION {
            return Err(QuarantineError::Version(version));
        }
        let count = u32_at(header, 16) as usize;
        let expected = Self::HEADER_BYTES.saturating_add(count.saturating_mul(Self::RANGE_BYTES));
        if count == 0 || count > RANGES_MAX || expected != found {
            return Err(QuarantineError::Length { expected, found });
        }
        let mut quarantine = Quarantine::default();
        for (index, bytes) in ranges.chunks_exact(Self::RANGE_BYTES).enumerate() {
            let range = BadRange {
                position: u64_at(bytes, 0),
                end: u64_at(bytes, 8),
                first_offset: Offset(u64_at(bytes, 16) as i64),
                next_offset: Offset(u64_at(bytes, 24) as i64),
            };
            let is_whole = range.position < range.end
                && range.first_offset.0 >= 0
                && range.first_offset <= range.next_offset;
            let is_behind = quarantine
                .ranges
                .last()
                .is_none_or(|last| last.end < range.position && last.next_offset <= range.first_offset);
            if !is_whole || !is_behind {
                return Err(QuarantineError::Order { index });
            }
            quarantine.ranges.push(range);
        }
        Ok(quarantine)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(position: u64, end: u64, first: i64, next: i64) -> BadRange {
        BadRange {
            position,
            end,
            first_offset: Offset(first),
            next_offset: Offset(next),
        }
    }

    fn two() -> Quarantine {
        let mut quarantine = Quarantine::default();
        quarantine.push(range(100, 200, 10, 12));
        quarantine.push(range(300, 400, 20, 21));
        quarantine
    }

    #[test]
    fn files_round_trip_and_every_flipped_bit_is_seen() {
        // A wrong range would answer good offsets with an error, or bad ones with bytes.
        let bytes = two().encode();
        assert_eq!(Quarantine::parse(&bytes), Ok(two()));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Quarantine::parse(&bytes).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(Quarantine::parse(&bytes[..cut]).is_err(), "{cut} bytes");
        }
    }

    #[test]
    fn the_layout_is_the_drawn_one() {
        let bytes = two().encode();
        assert_eq!(bytes.len(), 24 + 2 * 32);
        assert_eq!(&bytes[..8], b"RNGLOGQ1");
        assert_eq!(&bytes[12..24], [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[24..32], 100u64.to_le_bytes());
        assert_eq!(bytes[48..56], 12i64.to_le_bytes());
    }

    #[test]
    fn offsets_fall_into_stretches_or_ranges() {
        let quarantine = two();
        let start = |offset| {
            quarantine
                .stretch(Offset(offset), 500)
                .map(|stretch| stretch.start)
        };
        assert_eq!(start(9), Ok(0));
        assert_eq!(start(10).unwrap_err().end, 200);
        assert_eq!(start(11).unwrap_err().end, 200);
        assert_eq!(start(12), Ok(200));
        assert_eq!(start(20).unwrap_err().end, 400);
        assert_eq!(start(21), Ok(400));
    }

    #[test]
    fn neighbours_join_and_the_number_is_bounded() {
        let mut quarantine = two();
        quarantine.push(range(400, 450, 21, 30));
        assert_eq!(quarantine.ranges().last(), Some(&range(300, 450, 20, 30)));
        for at in 0..2000 {
            quarantine.push(range(
                1000 + at * 10,
                1001 + at * 10,
                40 + at as i64,
                41 + at as i64,
            ));
        }
        assert_eq!(quarantine.ranges().len(), RANGES_MAX);
        assert_eq!(quarantine.ranges().last().map(|range| range.end), Some(20_991));
        assert!(Quarantine::parse(&quarantine.encode()).is_ok());
    }
}
