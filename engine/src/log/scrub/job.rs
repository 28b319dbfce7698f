//! The heavy part of scrubbing a segment, on the idle thread: every batch's CRC, and where the log goes on behind damage.
//!
//! Behind a bad batch there are two ways to find the next good one, and both are checked against something else, since the bad
//! batch's length may be what is wrong, and a record may well hold the copy of another batch:
//! - by the length it announces, if the headers from there on lead exactly to the next entry of the offset index, or to the end
//!   of the segment;
//! - by the next entry of the offset index that points at a whole batch with the last offset the entry names.
//!
//! Otherwise the rest of the segment is bad.

use std::io;
use std::path::PathBuf;

use reactor::{File, disk};

use super::quarantine::{BadRange, Quarantine};
use crate::batch::crc::crc32c_append;
use crate::batch::{BatchHeader, CRC_START, HEADER_BYTES};
use crate::log::damage::{Damage, DamageAt};
use crate::log::offset_index::{OffsetIndex, relative};
use crate::log::window::{BULK_BYTES, ByteSource, SCAN_BYTES, ScanError, Window, walkable_size};
use crate::types::Offset;

/// A file that is read once and leaves the page cache as it was.
pub(crate) struct OnceRead(pub(crate) File);

impl ByteSource for OnceRead {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_once_at(buf, position)
    }
}

/// A segment being verified.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) log: PathBuf,
    pub(super) index: PathBuf,
    pub(super) base_offset: Offset,
    /// Where the next segment begins.
    pub(super) end: Offset,
    pub(super) size_bytes: u64,
    pub(super) position: u64,
    pub(super) next_offset: Offset,
    pub(super) batches: u64,
    pub(super) quarantine: Quarantine,
    pub(super) first_damage: Option<DamageAt>,
}

/// What a slice did.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Step {
    pub(crate) bytes: u64,
    pub(crate) is_done: bool,
}

impl Job {
    /// Verifies the next `slice_bytes` or so.
    pub(super) fn step(&mut self, slice_bytes: u64) -> io::Result<Step> {
        let file = File::open_once(&self.log)?;
        let from = self.position;
        let source = OnceRead(file);
        let mut window = Window::new(&source, self.size_bytes, BULK_BYTES);
        while self.position < self.size_bytes && self.position - from < slice_bytes {
            match self.verify(&mut window, self.position) {
                Ok(good) => self.pass(good),
                Err(damage) => {
                    self.damaged(&source, damage);
                    window = Window::new(&source, self.size_bytes, BULK_BYTES);
                }
            }
        }
        Ok(Step {
            bytes: self.position - from,
            is_done: self.position >= self.size_bytes,
        })
    }

    fn pass(&mut self, good: Good) {
        self.batches += 1;
        self.quarantine
            .good_from(self.position, good.header.base_offset());
        self.position = good.end;
        self.next_offset = good.header.next_offset();
    }

    fn damaged(&mut self, source: &OnceRead, damage: DamageAt) {
        // Memory may have flipped and not the disk: what is read afresh decides.
        source.0.drop_cached();
        let mut window = Window::new(source, self.size_bytes, SCAN_BYTES);
        if let Ok(good) = self.verify(&mut window, self.position) {
            tracing::warn!(log = %self.log.display(), %damage, "damaged in the page cache, not on the disk");
            return self.pass(good);
        }
        let end = self.resume(source);
        // Up to the end of the segment, as long as no good batch follows. What is expected next does not move: of two bad batches that
        // are neighbours the second one would else let every good one behind look as if its offset fell.
        self.quarantine.push(BadRange {
            position: self.position,
            end,
            first_offset: self.next_offset,
            next_offset: self.end,
        });
        self.first_damage.get_or_insert(damage);
        self.position = end;
    }

    /// Checks the batch at a position: header, place among its neighbours, CRC.
    fn verify(&self, window: &mut Window<'_, OnceRead>, position: u64) -> Result<Good, DamageAt> {
        let at = |damage| DamageAt { position, damage };
        let unreadable = |error: io::Error| at(Damage::Unreadable { kind: error.kind() });
        let remaining = self.size_bytes.saturating_sub(position);
        let bytes = window.bytes(position, HEADER_BYTES).map_err(unreadable)?;
        let Some(header) = BatchHeader::peek(bytes).copied() else {
            return Err(at(Damage::Torn {
                expected: HEADER_BYTES as u64,
                found: remaining,
            }));
        };
        let size_bytes = walkable_size(&header, remaining).map_err(at)?;
        self.check_place(&header).map_err(at)?;
        let end = position + size_bytes;
        let mut from = position + CRC_START as u64;
        let mut crc = 0;
        while from < end {
            let wanted = usize::try_from(end - from).unwrap_or(usize::MAX);
            let bytes = window.bytes(from, wanted).map_err(unreadable)?;
            if bytes.is_empty() {
                return Err(at(Damage::Torn {
                    expected: size_bytes,
                    found: from - position,
                }));
            }
            crc = crc32c_append(crc, bytes);
            from += bytes.len() as u64;
        }
        if crc != header.crc() {
            return Err(at(Damage::Crc {
                stored: header.crc(),
                computed: crc,
            }));
        }
        // Base offsets lie outside the CRC. Of two batches that overlap the one with a gap before it is where it should not be.
        if header.base_offset() > self.next_offset
            && let Ok(Some(next)) = window.header(end)
            && next.header.base_offset() < header.next_offset()
        {
            return Err(at(Damage::OffsetFalls {
                expected: header.next_offset(),
                found: next.header.base_offset(),
            }));
        }
        Ok(Good { header, end })
    }

    /// What the CRC does not cover: base offset and length must fit between the neighbours.
    fn check_place(&self, header: &BatchHeader) -> Result<(), Damage> {
        if header.last_offset_delta() < 0 {
            return Err(Damage::OffsetDelta {
                found: header.last_offset_delta(),
            });
        }
        if header.base_offset() < self.next_offset {
            return Err(Damage::OffsetFalls {
                expected: self.next_offset,
                found: header.base_offset(),
            });
        }
        if header.next_offset() > self.end || relative(self.base_offset, header.last_offset()).is_none() {
            return Err(Damage::OffsetRange {
                base: self.base_offset,
                found: header.last_offset(),
            });
        }
        Ok(())
    }

    /// Where the log goes on behind the bad batch at the present position.
    fn resume(&self, source: &OnceRead) -> u64 {
        let index = disk::read(&self.index)
            .ok()
            .and_then(|bytes| OffsetIndex::parse(&bytes, self.size_bytes).ok())
            .unwrap_or_default();
        let mut window = Window::new(source, self.size_bytes, SCAN_BYTES);
        if let Some(next) = self.by_length(&mut window, &index) {
            return next;
        }
        let behind = index
            .entries()
            .iter()
            .filter(|entry| u64::from(entry.position) > self.position);
        for entry in behind {
            let position = entry.position.into();
            let named = self.base_offset.saturating_add(entry.relative_offset.into());
            if let Ok(good) = self.verify(&mut window, position)
                && good.header.last_offset() == named
            {
                return position;
            }
        }
        self.size_bytes
    }

    /// The end of the bad batch by the length it announces, if that leads to where the index or the segment says.
    fn by_length(&self, window: &mut Window<'_, OnceRead>, index: &OffsetIndex) -> Option<u64> {
        let bad = window.header(self.position).ok()??;
        let next = bad.end();
        let goal = index
            .entries()
            .iter()
            .map(|entry| u64::from(entry.position))
            .find(|position| *position >= next)
            .unwrap_or(self.size_bytes);
        let mut position = next;
        while position < goal {
            position = match window.header(position) {
                Ok(Some(batch)) => batch.end(),
                Ok(None) | Err(ScanError::Io(_) | ScanError::Damaged(_)) => return None,
            };
        }
        (position == goal).then_some(next)
    }
}

/// A batch that is what was written.
struct Good {
    header: BatchHeader,
    end: u64,
}
