//! One log file: whole batches, one behind the other.

use std::io;
use std::path::{Path, PathBuf};

use engine::batch::Batches;
use engine::types::Offset;
use reactor::{File, OpenMode};

use crate::store::batch::LogBatch;
use crate::store::error::{DecodeBatchError, ReadError};

/// A place to begin reading is remembered every so many bytes; the batches up to it are walked.
const MARK_BYTES: u64 = 64 << 10;

/// A log file. Holds: `marks` ascend, the first one is the file's begin; all bytes below `size_bytes` are whole batches
/// with offsets `base_offset..end_offset`.
pub(in crate::store) struct Segment {
    pub(in crate::store) base_offset: Offset,
    pub(in crate::store) end_offset: Offset,
    pub(in crate::store) size_bytes: u64,
    pub(in crate::store) path: PathBuf,
    pub(in crate::store) file: File,
    marks: Vec<(Offset, u64)>,
}

impl Segment {
    /// A new, empty file, its name not yet durable.
    pub(in crate::store) fn create(dir: &Path, base_offset: Offset) -> io::Result<Segment> {
        let path = dir.join(file_name(base_offset));
        let file = File::open(&path, OpenMode::Create)?;
        // A crash may have left one of this name, without any batch that was ever acknowledged.
        file.set_len(0)?;
        Ok(Segment::new(path, file, base_offset))
    }

    pub(in crate::store) fn new(path: PathBuf, file: File, base_offset: Offset) -> Segment {
        Segment {
            base_offset,
            end_offset: base_offset,
            size_bytes: 0,
            path,
            file,
            marks: vec![(base_offset, 0)],
        }
    }

    /// Takes note of a batch that was written at the end.
    pub(in crate::store) fn appended(&mut self, next_offset: Offset, size_bytes: u64) {
        debug_assert!(next_offset > self.end_offset, "offsets grow");
        let marked = self.marks.last().map_or(0, |(_, position)| *position);
        if self.size_bytes >= marked + MARK_BYTES {
            self.marks.push((self.end_offset, self.size_bytes));
        }
        self.end_offset = next_offset;
        self.size_bytes += size_bytes;
    }

    /// Batches from the one that holds `from` on, appended to `out` until `max_bytes` are used up; what is left of them.
    pub(in crate::store) fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        out: &mut Vec<LogBatch>,
    ) -> Result<usize, ReadError> {
        let mark = self.marks.partition_point(|(offset, _)| *offset <= from);
        let start = self
            .marks
            .get(mark.saturating_sub(1))
            .map_or(0, |(_, position)| *position);
        let damaged = |offset, what| ReadError::Damaged {
            path: self.path.clone(),
            offset,
            what,
        };
        let mut left = max_bytes;
        let mut position = start;
        while position < self.size_bytes && (left > 0 || out.is_empty()) {
            let bytes = self.read_piece(position).map_err(|source| ReadError::Io {
                operation: "read",
                path: self.path.clone(),
                source,
            })?;
            let before = position;
            for batch in Batches::new(&bytes) {
                // a piece ends within a batch
                let Ok(batch) = batch else { break };
                position += batch.size_bytes() as u64;
                if batch.last_offset() < from {
                    continue;
                }
                if left == 0 && !out.is_empty() {
                    return Ok(0);
                }
                left = left.saturating_sub(batch.size_bytes());
                let decoded = LogBatch::decode(&batch).map_err(|what| damaged(batch.base_offset(), what))?;
                out.push(decoded);
            }
            if position == before {
                let what = DecodeBatchError::Batch(engine::batch::BatchError::Truncated {
                    expected: engine::batch::HEADER_BYTES,
                    found: bytes.len(),
                });
                return Err(damaged(from, what));
            }
        }
        Ok(left)
    }

    /// The bytes of whole batches from the one that holds `from` on, none at or past `end`: about `max_bytes`, at least one batch if there
    /// is one.
    pub(in crate::store) fn read_bytes(
        &self,
        from: Offset,
        end: Offset,
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let mut position = self.mark_before(from);
        while position < self.size_bytes && out.len() < max_bytes {
            let bytes = self.read_piece(position)?;
            let before = position;
            for batch in Batches::new(&bytes) {
                // a piece ends within a batch
                let Ok(batch) = batch else { break };
                position += batch.size_bytes() as u64;
                if batch.last_offset() < from {
                    continue;
                }
                let is_too_much = !out.is_empty() && out.len() + batch.size_bytes() > max_bytes;
                if batch.last_offset() >= end || is_too_much {
                    return Ok(());
                }
                out.extend_from_slice(batch.bytes());
            }
            if position == before {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(())
    }

    /// Cuts off the batches from `end` on, which is where one begins. Durable with the next sync.
    pub(in crate::store) fn truncate(&mut self, end: Offset) -> io::Result<()> {
        if end >= self.end_offset {
            return Ok(());
        }
        let mut position = self.mark_before(end);
        'pieces: while position < self.size_bytes {
            let bytes = self.read_piece(position)?;
            let before = position;
            for batch in Batches::new(&bytes) {
                let Ok(batch) = batch else { break };
                if batch.base_offset() >= end {
                    break 'pieces;
                }
                if batch.last_offset() >= end {
                    return Err(io::Error::other("the cut goes through a batch"));
                }
                position += batch.size_bytes() as u64;
            }
            if position == before {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        self.file.set_len(position)?;
        self.size_bytes = position;
        self.end_offset = end.max(self.base_offset);
        self.marks.retain(|(offset, at)| *offset < end || *at == 0);
        Ok(())
    }

    fn mark_before(&self, offset: Offset) -> u64 {
        let count = self.marks.partition_point(|(marked, _)| *marked <= offset);
        self.marks
            .get(count.saturating_sub(1))
            .map_or(0, |(_, position)| *position)
    }

    /// At least one whole batch from `position` on, if the file is whole.
    fn read_piece(&self, position: u64) -> io::Result<Vec<u8>> {
        let left = self.size_bytes.saturating_sub(position);
        let mut header = [0; 12];
        let header_bytes = left.min(12) as usize;
        self.file.read_exact_at(&mut header[..header_bytes], position)?;
        let [.., a, b, c, d] = header;
        let batch_bytes = u64::from(u32::from_be_bytes([a, b, c, d])).saturating_add(12);
        let piece_bytes = batch_bytes.max(MARK_BYTES).min(left);
        let mut bytes = vec![0; piece_bytes as usize];
        self.file.read_exact_at(&mut bytes, position)?;
        Ok(bytes)
    }
}

/// `%020d.log`
pub(in crate::store) fn file_name(base_offset: Offset) -> String {
    format!("{:020}.log", base_offset.0)
}

/// The base offset in a log file's name; `None` for other files.
pub(in crate::store) fn parse_file_name(name: &str) -> Option<Offset> {
    parse_digits(name.strip_suffix(".log")?, 20).map(Offset)
}

/// Exactly `width` decimal digits.
pub(in crate::store) fn parse_digits(text: &str, width: usize) -> Option<i64> {
    let all_digits = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| text.parse().ok()).flatten()
}
