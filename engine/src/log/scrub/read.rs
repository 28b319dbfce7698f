//! Reading a segment that has bad ranges: only from its good stretches, so that no walk from header to header ever crosses
//! damage. Slower than the way whole segments are read, and rarely gone.

use std::ops::Bound;

use reactor::{Piece, disk};

use super::quarantine::{BadRange, Stretch};
use crate::log::damage::{Damage, DamageAt};
use crate::log::file_name::FileKind;
use crate::log::offset_index::{OffsetIndex, relative};
use crate::log::reach::Reach;
use crate::log::read::{ReadError, ReadSlice, Span};
use crate::log::state::State;
use crate::log::window::{SCAN_BYTES, ScanError, Window};
use crate::types::Offset;

impl State {
    /// What a read answers if it leads into a segment with bad ranges; `None` if it does not. It begins within the log.
    pub(crate) fn read_beside_damage(
        &mut self,
        span: Span,
        reach: Reach,
    ) -> Option<Result<ReadSlice, ReadError>> {
        if self.quarantines.is_empty() {
            return None;
        }
        let mut from = span.from;
        let mut base_offset = self.floor_segment(from);
        if !self.quarantines.contains_key(&base_offset) {
            // A compacted segment may hold nothing behind `from`: then the read goes on in the next one.
            let behind = (Bound::Excluded(base_offset), Bound::Unbounded);
            let next = self.closed.range(behind).next().map(|(base, _)| *base)?;
            if !self.quarantines.contains_key(&next) {
                return None;
            }
            match self.locate_in(base_offset, from, reach) {
                Ok(None) => (base_offset, from) = (next, from.max(next)),
                Ok(Some(_)) => return None,
                Err(error) => return Some(Err(self.read_error(from, error))),
            }
            if from >= span.below {
                return None;
            }
        }
        let size_bytes = self.closed.get(&base_offset)?.size_bytes;
        let stretch = match self.quarantines.get(&base_offset)?.stretch(from, size_bytes) {
            Ok(stretch) => stretch,
            Err(range) => return Some(Err(self.quarantined(from, range))),
        };
        match self.read_stretch(base_offset, stretch, &Span { from, ..span }) {
            // nothing is left of the segment behind `from`
            Ok(None) => {
                let from = self.end_of_closed(base_offset);
                Some(self.read(Span { from, ..span }, reach))
            }
            Ok(Some(slice)) => Some(Ok(slice)),
            Err(error) => Some(Err(self.read_error(from, error))),
        }
    }

    fn quarantined(&self, offset: Offset, range: BadRange) -> ReadError {
        ReadError::Damaged {
            partition: self.partition.clone(),
            offset,
            damage: DamageAt {
                position: range.position,
                damage: Damage::Quarantined {
                    end: range.end,
                    next_offset: range.next_offset,
                },
            },
        }
    }

    fn read_stretch(
        &mut self,
        base_offset: Offset,
        stretch: Stretch,
        span: &Span,
    ) -> Result<Option<ReadSlice>, ScanError> {
        let Span { from, below, .. } = *span;
        let segment_end = self.end_of_closed(base_offset);
        let dir = self.dir.clone();
        let Some(segment) = self.closed.get_mut(&base_offset) else {
            return Ok(None);
        };
        // The index is not rebuilt here, since that would walk through the damage. Where it helps not, the walk begins with the
        // stretch.
        let entry = disk::read(&segment.path(&dir, FileKind::OffsetIndex))
            .ok()
            .and_then(|bytes| OffsetIndex::parse(&bytes, segment.size_bytes).ok())
            .and_then(|index| index.floor(relative(base_offset, from)?))
            .filter(|entry| (stretch.start..stretch.end).contains(&entry.position.into()));
        let file = segment.file(&dir)?;
        let mut window = Window::new(&file, stretch.end, SCAN_BYTES);
        let mut start = stretch.start;
        if let Some(entry) = entry
            && let Ok(Some(batch)) = window.header(entry.position.into())
            && relative(base_offset, batch.header.last_offset()) == Some(entry.relative_offset)
        {
            start = batch.position;
        }
        let Some(first) = window.find(start, |batch| batch.header.last_offset() >= from)? else {
            return Ok(None);
        };
        let mut slice = ReadSlice {
            pieces: Vec::new(),
            bytes: 0,
            next_offset: from,
        };
        let mut end = first.position;
        while let Some(batch) = window.header(end)? {
            let bytes = batch.end() - first.position;
            if batch.header.last_offset() >= below || !span.allows(bytes, slice.bytes == 0) {
                break;
            }
            slice.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            slice.next_offset = batch.header.next_offset();
            end = batch.end();
        }
        if slice.bytes > 0 {
            if stretch.is_last && end == stretch.end && below >= segment_end {
                slice.next_offset = segment_end;
            }
            slice.pieces.push(Piece::File {
                file,
                offset: first.position,
                len: slice.bytes,
            });
        }
        Ok(Some(slice))
    }
}
