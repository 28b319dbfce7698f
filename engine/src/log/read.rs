//! Reading: from an offset to batches in memory, or to a slice of a segment file.
//!
//! A consumer at the end of the log is answered from the tail cache. Others read the file, as far as it goes: a sequential consumer costs no lookup: where its last read ended is remembered, and a read that takes all there is
//! needs no header. Otherwise one index search and a scan of at most `index.interval.bytes` and a batch, at the start
//! for a reader that jumped, at the end for one whose answer is cut.

use std::io;
use std::sync::Arc;

use reactor::Piece;
use thiserror::Error;

use super::fault::DiskFault;
use super::offset_index::relative;
use super::reach::{Absent, Reach, Within};
use super::state::State;
use super::window::{BatchAt, SCAN_BYTES, ScanError, Window};
use crate::types::Offset;

/// Whole batches, one after the other.
#[derive(Clone, Debug)]
pub struct ReadSlice {
    /// Batches of the tail, or at most one slice of one segment; none when there is nothing to read.
    pub pieces: Vec<Piece>,
    pub bytes: u32,
    /// Where the next read goes on.
    pub next_offset: Offset,
}

impl ReadSlice {
    fn empty(from: Offset) -> ReadSlice {
        ReadSlice {
            pieces: Vec::new(),
            bytes: 0,
            next_offset: from,
        }
    }
}

/// What a reader wants of a log.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Span {
    /// Lies in the first batch or before it; the batch may begin earlier.
    pub(crate) from: Offset,
    pub(crate) max_bytes: u32,
    /// No batch reaches that far.
    pub(crate) below: Offset,
    /// The first batch comes whole even if it alone is larger than `max_bytes`.
    pub(crate) at_least_one: bool,
}

impl Span {
    /// Whether an answer may grow to `bytes`.
    pub(crate) fn allows(&self, bytes: u64, is_first: bool) -> bool {
        bytes <= u64::from(self.max_bytes) || (is_first && self.at_least_one)
    }
}

#[derive(Clone, Debug, Error)]
pub enum ReadError {
    #[error(transparent)]
    Offline(#[from] DiskFault),
    #[error("{partition}: offset {found} is outside of the log, which has {start} to {end}")]
    OffsetOutOfRange {
        partition: Arc<str>,
        start: Offset,
        end: Offset,
        found: Offset,
    },
    /// A closed segment is not what it was; the rest of the log can be read.
    #[error("{partition} at offset {offset}: {damage}")]
    Damaged {
        partition: Arc<str>,
        offset: Offset,
        damage: super::damage::DamageAt,
    },
    /// Of [`Log::read_within`](super::Log::read_within) only.
    #[error(transparent)]
    Absent(Absent),
    #[error("{partition} at offset {offset}: {source}")]
    Io {
        partition: Arc<str>,
        offset: Offset,
        source: Arc<io::Error>,
    },
}

/// Where a batch starts.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Place {
    pub(crate) base_offset: Offset,
    pub(crate) segment_id: u64,
    pub(crate) position: u64,
}

/// A place and the offset that is read from there.
#[derive(Copy, Clone, Debug)]
struct Memo {
    offset: Offset,
    place: Place,
}

/// Readers remembered per log. Consumers beyond that pay for an index search per read.
const MEMOS_MAX: usize = 8;

/// Where the last reads ended, and where the last bound was found.
#[derive(Debug, Default)]
pub(crate) struct ReadMemos {
    ends: [Option<Memo>; MEMOS_MAX],
    next: usize,
    bound: Option<Bound>,
}

/// Where the batches below an offset end.
#[derive(Copy, Clone, Debug)]
struct Bound {
    below: Offset,
    place: Place,
    /// Where a reader that was stopped there goes on: before `below` if that lies within a batch.
    next_offset: Offset,
}

impl ReadMemos {
    fn take(&mut self, from: Offset) -> Option<Place> {
        self.ends
            .iter_mut()
            .find(|memo| memo.is_some_and(|memo| memo.offset == from))
            .and_then(Option::take)
            .map(|memo| memo.place)
    }

    fn put(&mut self, offset: Offset, place: Place) {
        let memo = Some(Memo { offset, place });
        let free = self.ends.iter().position(Option::is_none).unwrap_or(self.next);
        if let Some(slot) = self.ends.get_mut(free) {
            *slot = memo;
        }
        self.next = (free + 1) % MEMOS_MAX;
    }
}

impl State {
    /// Whole batches of one segment, or of the tail.
    pub(crate) fn read(&mut self, span: Span, reach: Reach) -> Result<ReadSlice, ReadError> {
        self.check_online()?;
        let from = span.from;
        if from < self.log_start || from > self.end_offset {
            return Err(ReadError::OffsetOutOfRange {
                partition: self.partition.clone(),
                start: self.log_start,
                end: self.end_offset,
                found: from,
            });
        }
        let below = span.below.min(self.end_offset);
        let span = Span { below, ..span };
        if from >= below || (span.max_bytes == 0 && !span.at_least_one) {
            return Ok(ReadSlice::empty(from));
        }
        if let Some(tail) = self.active.tail.slice(&span) {
            return Ok(ReadSlice {
                pieces: tail.pieces.into_iter().map(Piece::Bytes).collect(),
                bytes: tail.bytes,
                next_offset: tail.next_offset,
            });
        }
        // `from` lies before the tail, so something is left of this.
        let unwritten = self.active.tail.first_unwritten_offset();
        let below = unwritten.map_or(below, |unwritten| below.min(unwritten));
        let span = Span { below, ..span };
        if let Some(read) = self.read_beside_damage(span, reach) {
            return read;
        }
        let slice = self.slice(&span, reach);
        self.limit_open_files();
        slice.map_err(|error| self.read_error(from, error))
    }

    pub(crate) fn read_error(&mut self, offset: Offset, error: ScanError) -> ReadError {
        let partition = self.partition.clone();
        match error {
            ScanError::Damaged(damage) => ReadError::Damaged {
                partition,
                offset,
                damage,
            },
            ScanError::Io(source) => match Absent::of(&source) {
                Some(absent) => ReadError::Absent(absent.clone()),
                None => ReadError::Io {
                    partition,
                    offset,
                    source: Arc::new(source),
                },
            },
        }
    }

    fn slice(&mut self, span: &Span, reach: Reach) -> Result<ReadSlice, ScanError> {
        let Some(start) = self.locate(span.from, reach)? else {
            // what was behind `from` has been compacted away
            return Ok(ReadSlice::empty(span.from));
        };
        let slice = self.slice_from(start, span, reach);
        if slice.is_err() {
            self.memos.put(span.from, start);
        }
        slice
    }

    fn slice_from(&mut self, start: Place, span: &Span, reach: Reach) -> Result<ReadSlice, ScanError> {
        let from = span.from;
        let (limit, limit_offset) = self.limit(start.base_offset, span.below, reach)?;
        let available = limit.saturating_sub(start.position);
        if available == 0 {
            self.memos.put(from, start);
            return Ok(ReadSlice::empty(from));
        }
        let (end, next_offset) = if available <= u64::from(span.max_bytes) {
            (limit, limit_offset)
        } else {
            match self.cut(start, limit, span, reach)? {
                Some(cut) => cut,
                None => return Ok(ReadSlice::empty(from)),
            }
        };
        self.memos.put(
            next_offset,
            Place {
                position: end,
                ..start
            },
        );
        let bytes = u32::try_from(end - start.position)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a segment above 4 GiB"))?;
        let Some((segment, dir)) = self.segment_mut(start.base_offset) else {
            return Ok(ReadSlice::empty(from));
        };
        let file = segment.file(dir)?;
        let piece = Piece::File {
            file,
            offset: start.position,
            len: bytes,
        };
        Ok(ReadSlice {
            pieces: vec![piece],
            bytes,
            next_offset,
        })
    }

    /// What of a segment its file has.
    fn readable_bytes(&self, base_offset: Offset) -> u64 {
        if base_offset == self.active.segment.base_offset {
            return self.active.tail.written();
        }
        self.closed
            .get(&base_offset)
            .map_or(0, |segment| segment.size_bytes)
    }

    fn segment_id(&self, base_offset: Offset) -> Option<u64> {
        if base_offset == self.active.segment.base_offset {
            return Some(self.active.segment.id);
        }
        self.closed.get(&base_offset).map(|segment| segment.id)
    }

    /// Where the first batch starts that ends at or behind `from`; `None` if there is none.
    pub(crate) fn locate(&mut self, from: Offset, reach: Reach) -> Result<Option<Place>, ScanError> {
        if let Some(place) = self.memos.take(from)
            && self.segment_id(place.base_offset) == Some(place.segment_id)
            && place.position < self.readable_bytes(place.base_offset)
        {
            return Ok(Some(place));
        }
        let mut base_offset = self.floor_segment(from);
        loop {
            if let Some(place) = self.locate_in(base_offset, from, reach)? {
                return Ok(Some(place));
            }
            if base_offset == self.active.segment.base_offset {
                return Ok(None);
            }
            base_offset = self.end_of_closed(base_offset);
        }
    }

    /// Base offset of the segment an offset falls into: the last one that begins at or before it, or the first of all.
    pub(crate) fn floor_segment(&self, offset: Offset) -> Offset {
        if offset >= self.active.segment.base_offset {
            return self.active.segment.base_offset;
        }
        let floor = self
            .closed
            .range(..=offset)
            .next_back()
            .or_else(|| self.closed.iter().next());
        floor.map_or(self.active.segment.base_offset, |(base, _)| *base)
    }

    /// The same within one segment.
    pub(crate) fn locate_in(
        &mut self,
        base_offset: Offset,
        from: Offset,
        reach: Reach,
    ) -> Result<Option<Place>, ScanError> {
        let interval_bytes = self.config.index_interval_bytes;
        let (segment_id, batch) = if base_offset == self.active.segment.base_offset {
            let floor =
                relative(base_offset, from).and_then(|offset| self.active.index.offsets.floor(offset));
            let position = self.active_floor(floor, reach)?;
            let end = self.active.tail.written();
            let segment = &mut self.active.segment;
            let wanted = |batch: &BatchAt| batch.header.last_offset() >= from;
            let found = segment.find_from(&self.dir, position, end, reach, wanted)?;
            (segment.id, found)
        } else {
            let Some(segment) = self.closed.get_mut(&base_offset) else {
                return Ok(None);
            };
            (segment.id, segment.find(&self.dir, interval_bytes, from, reach)?)
        };
        Ok(batch.map(|batch| Place {
            base_offset,
            segment_id,
            position: batch.position,
        }))
    }

    /// Where reading stops in a segment: behind its last batch that lies wholly below `below`. With the offset the next
    /// read goes on from.
    fn limit(
        &mut self,
        base_offset: Offset,
        below: Offset,
        reach: Reach,
    ) -> Result<(u64, Offset), ScanError> {
        let size_bytes = self.readable_bytes(base_offset);
        let (segment_end, segment_id) = if base_offset == self.active.segment.base_offset {
            (self.end_offset, self.active.segment.id)
        } else {
            let end = self.end_of_closed(base_offset);
            match self.closed.get(&base_offset) {
                Some(segment) => (end, segment.id),
                None => return Ok((0, base_offset)),
            }
        };
        if below >= segment_end {
            return Ok((size_bytes, segment_end));
        }
        let known = self.memos.bound.filter(|bound| {
            bound.place.segment_id == segment_id && bound.below <= below && bound.place.position <= size_bytes
        });
        if let Some(bound) = known
            && bound.below == below
        {
            return Ok((bound.place.position, bound.next_offset));
        }
        // The bound moves on with every commit: from where it was it is a few headers away.
        let from = match known {
            Some(bound) => bound.place.position,
            None => self
                .locate_in(base_offset, below, reach)?
                .map_or(size_bytes, |place| place.position),
        };
        let Some((segment, dir)) = self.segment_mut(base_offset) else {
            return Ok((0, base_offset));
        };
        let wanted = |batch: &BatchAt| batch.header.last_offset() >= below;
        let found = segment.find_from(dir, from, size_bytes, reach, wanted)?;
        let position = found.map_or(size_bytes, |batch| batch.position);
        let next_offset = found.map_or(below, |batch| batch.header.base_offset().min(below));
        let place = Place {
            base_offset,
            segment_id,
            position,
        };
        self.memos.bound = Some(Bound {
            below,
            place,
            next_offset,
        });
        Ok((position, next_offset))
    }

    /// Where an answer of at most `max_bytes` ends: behind the last batch that fits. `None` when not even the first does
    /// and it is not wanted at any price.
    fn cut(
        &mut self,
        start: Place,
        limit: u64,
        span: &Span,
        reach: Reach,
    ) -> Result<Option<(u64, Offset)>, ScanError> {
        let interval_bytes = self.config.index_interval_bytes;
        let target = start.position + u64::from(span.max_bytes);
        let floor = if start.base_offset == self.active.segment.base_offset {
            let position = u32::try_from(target).unwrap_or(u32::MAX);
            let floor = self.active.index.offsets.floor_by_position(position);
            self.active_floor(floor, reach)?
        } else {
            match self.closed.get_mut(&start.base_offset) {
                Some(segment) => segment.floor_by_position(&self.dir, interval_bytes, target, reach)?,
                None => 0,
            }
        };
        let Some((segment, dir)) = self.segment_mut(start.base_offset) else {
            return Ok(None);
        };
        let file = &segment.file(dir)?;
        let within = Within { file, reach };
        let mut window = Window::new(&within, limit, SCAN_BYTES);
        let mut end = floor.max(start.position);
        let mut next_offset = None;
        while let Some(batch) = window.header(end)? {
            let is_first = batch.position == start.position;
            if !span.allows(batch.end() - start.position, is_first) {
                // the index may point right here; then this header tells where the next read goes on
                next_offset.get_or_insert(batch.header.base_offset());
                break;
            }
            end = batch.end();
            next_offset = Some(batch.header.next_offset());
        }
        Ok(next_offset
            .filter(|_| end > start.position)
            .map(|next_offset| (end, next_offset)))
    }
}
