//! What a journal file holds: its frames in order, and why they end where they end.
//!
//! The end of a file's frames is never marked. A recycled file goes on with what it held before, a power cut leaves part
//! of a write, so that any of these is the usual end of a journal:
//!
//! | at the end lies | because |
//! |---|---|
//! | zeros | the file has not been used so far ([`ScanEnd::Unused`]) |
//! | a whole frame with a lower sequence | a block written in an earlier round ([`ScanEnd::Stale`]) |
//! | anything else | the middle of an earlier frame, or a write that did not finish ([`ScanEnd::Torn`]) |
//!
//! Several writes are in flight at a time and land in any order: whether something acknowledged lies behind the end
//! is told by [`find_later_frame`].

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use uuid::Uuid;

use super::format::{BLOCK_BYTES, FRAME_HEADER_BYTES, FileHeader, FormatError, FrameHeader, Part};
use crate::log::window::{BULK_BYTES, ByteSource, SCAN_BYTES, Window};
use crate::planted::{self, Bug};

/// A file's header and its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    pub header: FileHeader,
    /// Whole frames of this journal, their sequences growing by one.
    pub frames: Vec<FrameAt>,
    pub end: ScanEnd,
}

/// A whole frame and where it lies in its file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FrameAt {
    pub position: u64,
    pub header: FrameHeader,
}

impl FrameAt {
    /// Where the next frame begins.
    pub fn end(&self) -> u64 {
        self.position + self.header.frame_bytes()
    }
}

/// What lies where the next frame would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanEnd {
    /// Nothing: the frames fill the file.
    EndOfFile { position: u64 },
    /// A block of zeros.
    Unused { position: u64 },
    /// A whole frame of this journal from an earlier round.
    Stale {
        position: u64,
        expected: u64,
        found: u64,
    },
    /// A whole frame of this journal that is not due yet. No writer leaves this: it writes in order of position.
    Ahead {
        position: u64,
        expected: u64,
        found: u64,
    },
    /// No whole frame.
    Torn { position: u64, error: FormatError },
    /// A whole frame of another journal.
    Foreign { position: u64, found: Uuid },
    /// The file ends before the size its header tells, and frames may have gone with the rest. No power cut does this:
    /// the file was synced at its full size before the first frame.
    Cut {
        position: u64,
        expected: u64,
        found: u64,
    },
}

impl ScanEnd {
    /// Behind the last frame.
    pub fn position(&self) -> u64 {
        match *self {
            ScanEnd::EndOfFile { position }
            | ScanEnd::Unused { position }
            | ScanEnd::Stale { position, .. }
            | ScanEnd::Ahead { position, .. }
            | ScanEnd::Torn { position, .. }
            | ScanEnd::Foreign { position, .. }
            | ScanEnd::Cut { position, .. } => position,
        }
    }
}

/// Why a file cannot be scanned at all.
#[derive(Debug, Error)]
pub enum ScanError {
    #[error("{}: cannot read at {position}: {source}", file.display())]
    Io {
        file: PathBuf,
        position: u64,
        source: io::Error,
    },
    /// The file's header, or a frame whose checksum agrees and whose entries make no sense: not torn, so not to be cut.
    #[error("{}: at {position}: {error}", file.display())]
    Damaged {
        file: PathBuf,
        position: u64,
        error: FormatError,
    },
}

/// Header, frames and end of a file of `len` bytes.
pub fn scan_file<S: ByteSource + ?Sized>(source: &S, len: u64, name: &Path) -> Result<Scan, ScanError> {
    let mut reader = FrameReader::open(source, len, name)?;
    let mut frames = Vec::new();
    while let Some((frame, _)) = reader.next_frame()? {
        frames.push(frame);
    }
    let end = reader.end.unwrap_or(ScanEnd::EndOfFile { position: len });
    Ok(Scan {
        header: reader.header,
        frames,
        end,
    })
}

/// The frames of a file, one after the other, with their entries.
pub struct FrameReader<'s, S: ByteSource + ?Sized> {
    blocks: Blocks<'s, S>,
    header: FileHeader,
    position: u64,
    /// Sequence of the next frame; any will do for the first.
    expected: Option<u64>,
    end: Option<ScanEnd>,
}

impl<'s, S: ByteSource + ?Sized> FrameReader<'s, S> {
    pub fn open(source: &'s S, len: u64, name: &Path) -> Result<Self, ScanError> {
        let mut blocks = Blocks::new(source, len, name, SCAN_BYTES);
        let header = FileHeader::parse(blocks.block(0)?).map_err(|error| blocks.damaged(0, error))?;
        Ok(FrameReader {
            blocks,
            header,
            position: BLOCK_BYTES as u64,
            expected: None,
            end: None,
        })
    }

    pub fn header(&self) -> &FileHeader {
        &self.header
    }

    /// Why there was no further frame; `None` before that.
    pub fn end(&self) -> Option<&ScanEnd> {
        self.end.as_ref()
    }

    /// The next frame and its entries' bytes, which were walked once: [`super::format::entries`] finds no error in them.
    pub fn next_frame(&mut self) -> Result<Option<(FrameAt, &[u8])>, ScanError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let position = self.position;
        let frame = match self.judge(position)? {
            Ok(frame) => frame,
            Err(end) => {
                self.end = Some(end);
                return Ok(None);
            }
        };
        self.expected = frame.header.sequence.checked_add(1);
        self.position = frame.end();
        Ok(Some((frame, frame.header.payload(&self.blocks.frame))))
    }

    /// Goes on at another position, whatever sequence the frame there has.
    pub fn resume_at(&mut self, position: u64) {
        self.position = position;
        self.expected = None;
        self.end = None;
    }

    fn judge(&mut self, position: u64) -> Result<Result<FrameAt, ScanEnd>, ScanError> {
        let announced = self.header.file_bytes;
        let len = self.blocks.len;
        if position >= len.min(announced) {
            return Ok(Err(if len < announced {
                ScanEnd::Cut {
                    position,
                    expected: announced,
                    found: len,
                }
            } else {
                ScanEnd::EndOfFile { position }
            }));
        }
        let block = self.blocks.block(position)?;
        if block.len() == BLOCK_BYTES && block.iter().all(|byte| *byte == 0) {
            return Ok(Err(ScanEnd::Unused { position }));
        }
        let header = match self.blocks.frame_at(position)? {
            Ok(header) => header,
            Err(FormatError::Short { .. }) if len < announced => {
                return Ok(Err(ScanEnd::Cut {
                    position,
                    expected: announced,
                    found: len,
                }));
            }
            Err(error) => return Ok(Err(ScanEnd::Torn { position, error })),
        };
        if header.journal_id != self.header.journal_id && !planted::is(Bug::JournalIdentityNotChecked) {
            return Ok(Err(ScanEnd::Foreign {
                position,
                found: header.journal_id,
            }));
        }
        let found = header.sequence;
        match self.expected {
            Some(expected) if found < expected => {
                return Ok(Err(ScanEnd::Stale {
                    position,
                    expected,
                    found,
                }));
            }
            Some(expected) if found > expected => {
                return Ok(Err(ScanEnd::Ahead {
                    position,
                    expected,
                    found,
                }));
            }
            _ => {}
        }
        header
            .check_entries(header.payload(&self.blocks.frame))
            .map_err(|error| self.blocks.damaged(position, error))?;
        Ok(Ok(FrameAt { position, header }))
    }
}

/// The whole frame of this journal with the greatest sequence above `above`, at or behind `position`; `None` if there is
/// none in this file. Asked about the end of a scan, whatever the reason of that end: a frame further ahead than
/// the writer lets be in flight means that what lies before it was acknowledged and is damaged now.
pub fn find_later_frame<S: ByteSource + ?Sized>(
    source: &S,
    len: u64,
    name: &Path,
    journal_id: Uuid,
    position: u64,
    above: u64,
) -> Result<Option<FrameAt>, ScanError> {
    let mut blocks = Blocks::new(source, len, name, BULK_BYTES);
    let mut greatest: Option<FrameAt> = None;
    let mut position = position;
    loop {
        let above = greatest.map_or(above, |frame| frame.header.sequence);
        let Some(frame) = blocks.next_frame(journal_id, position, above)? else {
            return Ok(greatest);
        };
        position = frame.end();
        greatest = Some(frame);
    }
}

/// Where the next whole frame of this journal above `above` begins, at or behind `position`: frames written at the same time
/// land in any order, so that one may be whole behind one that is torn.
pub fn next_frame_behind<S: ByteSource + ?Sized>(
    source: &S,
    len: u64,
    name: &Path,
    journal_id: Uuid,
    position: u64,
    above: u64,
) -> Result<Option<u64>, ScanError> {
    let found = Blocks::new(source, len, name, BULK_BYTES).next_frame(journal_id, position, above)?;
    Ok(found.map(|frame| frame.position))
}

/// A frame read again, for replay: its bytes, checked as the scan checked them.
pub fn read_frame<S: ByteSource + ?Sized>(
    source: &S,
    len: u64,
    name: &Path,
    frame: FrameAt,
) -> Result<Vec<u8>, ScanError> {
    let position = frame.position;
    let mut blocks = Blocks::new(source, len, name, SCAN_BYTES);
    let found = blocks
        .frame_at(position)?
        .map_err(|error| blocks.damaged(position, error))?;
    if found != frame.header {
        let error = FormatError::FrameChanged {
            expected: frame.header.sequence,
            found: found.sequence,
        };
        return Err(blocks.damaged(position, error));
    }
    Ok(blocks.frame)
}

/// A file, read by blocks and frames.
struct Blocks<'s, S: ByteSource + ?Sized> {
    window: Window<'s, S>,
    source: &'s S,
    len: u64,
    name: PathBuf,
    /// The frame read last.
    frame: Vec<u8>,
}

impl<'s, S: ByteSource + ?Sized> Blocks<'s, S> {
    fn new(source: &'s S, len: u64, name: &Path, window_bytes: usize) -> Self {
        Blocks {
            window: Window::new(source, len, window_bytes),
            source,
            len,
            name: name.to_owned(),
            frame: Vec::new(),
        }
    }

    /// The block at a position; shorter at the end of the file.
    fn block(&mut self, position: u64) -> Result<&[u8], ScanError> {
        let name = &self.name;
        self.window
            .bytes(position, BLOCK_BYTES)
            .map_err(|source| ScanError::Io {
                file: name.clone(),
                position,
                source,
            })
    }

    /// Reads a whole frame into `self.frame` and checks its checksum. The file's size bounds what is read.
    fn frame_at(&mut self, position: u64) -> Result<Result<FrameHeader, FormatError>, ScanError> {
        let left = self.len.saturating_sub(position);
        let header = match FrameHeader::parse(self.block(position)?) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        let written = (FRAME_HEADER_BYTES as u64) + u64::from(header.payload_bytes);
        if written > left {
            return Ok(Err(FormatError::Short {
                what: Part::Frame,
                expected: written,
                found: left,
            }));
        }
        self.read(position, header.written_bytes())?;
        Ok(FrameHeader::check(&self.frame))
    }

    /// The first whole frame of a journal at or behind `position` whose sequence is above `above`.
    fn next_frame(
        &mut self,
        journal_id: Uuid,
        position: u64,
        above: u64,
    ) -> Result<Option<FrameAt>, ScanError> {
        let mut position = position.next_multiple_of(BLOCK_BYTES as u64);
        while position < self.len {
            let peeked = FrameHeader::parse(self.block(position)?);
            // only what would count is read whole
            let counts =
                peeked.is_ok_and(|header| header.journal_id == journal_id && header.sequence > above);
            if counts && let Ok(header) = self.frame_at(position)? {
                return Ok(Some(FrameAt { position, header }));
            }
            position += BLOCK_BYTES as u64;
        }
        Ok(None)
    }

    fn read(&mut self, position: u64, count: usize) -> Result<(), ScanError> {
        self.frame.resize(count, 0);
        let mut filled = 0;
        while let Some(room) = self.frame.get_mut(filled..).filter(|room| !room.is_empty()) {
            let at = position + filled as u64;
            match self.source.read_at(room, at) {
                Ok(0) => break, // shortened meanwhile; the checksum will tell
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(ScanError::Io {
                        file: self.name.clone(),
                        position: at,
                        source,
                    });
                }
            }
        }
        self.frame.truncate(filled);
        Ok(())
    }

    fn damaged(&self, position: u64, error: FormatError) -> ScanError {
        ScanError::Damaged {
            file: self.name.clone(),
            position,
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::format::{
        ENTRY_HEADER_BYTES, EntryHeader, EntryKind, entries, entry_bytes, write_entry_header,
    };

    const ID: Uuid = Uuid::from_u128(77);

    /// A frame of one entry.
    fn frame(journal_id: Uuid, sequence: u64, body: usize) -> Vec<u8> {
        let header = FrameHeader {
            journal_id,
            sequence,
            replay_from: 1,
            payload_bytes: entry_bytes(body) as u32,
            entry_count: 1,
        };
        let mut frame = vec![0; header.frame_bytes() as usize];
        header.write(frame.first_chunk_mut().unwrap());
        let entry = EntryHeader {
            kind: EntryKind::Batch,
            partition: 0,
            topic_id: Uuid::from_u128(5),
            offset: sequence as i64,
            body_bytes: body as u32,
            gap: 0,
        };
        write_entry_header(&mut frame[FRAME_HEADER_BYTES..], &entry);
        frame[FRAME_HEADER_BYTES + ENTRY_HEADER_BYTES..][..body].fill(0xab);
        FrameHeader::seal(&mut frame);
        frame
    }

    fn file(blocks: usize, frames: &[Vec<u8>]) -> Vec<u8> {
        let header = FileHeader {
            journal_id: ID,
            shard: 0,
            file_number: 1,
            file_bytes: (blocks * BLOCK_BYTES) as u64,
        };
        let mut bytes = header.encode().to_vec();
        bytes.extend(frames.concat());
        bytes.resize(blocks * BLOCK_BYTES, 0);
        bytes
    }

    fn scan(bytes: &[u8]) -> Result<Scan, ScanError> {
        scan_file(bytes, bytes.len() as u64, Path::new("d/00000001.journal"))
    }

    fn told(bytes: &[u8]) -> (Vec<u64>, ScanEnd) {
        let scan = scan(bytes).unwrap();
        let sequences = scan.frames.iter().map(|frame| frame.header.sequence).collect();
        (sequences, scan.end)
    }

    fn later(bytes: &[u8], position: u64, above: u64) -> Option<u64> {
        let name = Path::new("x");
        find_later_frame(bytes, bytes.len() as u64, name, ID, position, above)
            .unwrap()
            .map(|frame| frame.header.sequence)
    }

    #[test]
    fn frames_are_found_up_to_the_unused_part() {
        let bytes = file(8, &[frame(ID, 10, 100), frame(ID, 11, 9000), frame(ID, 12, 0)]);
        let scan = scan(&bytes).unwrap();
        assert_eq!(scan.header.file_number, 1);
        let places: Vec<_> = scan
            .frames
            .iter()
            .map(|frame| (frame.position, frame.header.sequence))
            .collect();
        assert_eq!(places, [(4096, 10), (8192, 11), (20480, 12)]);
        assert_eq!(scan.end, ScanEnd::Unused { position: 24576 });
        let again = read_frame(&bytes[..], 8 * 4096, Path::new("x"), scan.frames[1]).unwrap();
        let entry = entries(scan.frames[1].header.payload(&again)).next().unwrap();
        assert_eq!(entry.unwrap().body, [0xab; 9000]);
    }

    #[test]
    fn a_full_file_ends_at_its_end() {
        let bytes = file(3, &[frame(ID, 1, 0), frame(ID, 2, 0)]);
        assert_eq!(told(&bytes), (vec![1, 2], ScanEnd::EndOfFile { position: 12288 }));
    }

    #[test]
    fn blocks_of_an_earlier_round_are_no_frames_of_this_one() {
        // A recycled block taken for news would bring back records that retention deleted, or old ones as new.
        let bytes = file(6, &[frame(ID, 50, 0), frame(ID, 7, 0), frame(ID, 51, 0)]);
        let stale = ScanEnd::Stale {
            position: 8192,
            expected: 51,
            found: 7,
        };
        assert_eq!(told(&bytes), (vec![50], stale));
        // the round before wrote one long frame: its middle is what follows
        let mut bytes = file(6, &[frame(ID, 7, 12_000)]);
        bytes[4096..8192].copy_from_slice(&frame(ID, 50, 0));
        let (sequences, end) = told(&bytes);
        assert_eq!(sequences, [50]);
        assert!(matches!(
            end,
            ScanEnd::Torn {
                position: 8192,
                error: FormatError::Magic { .. }
            }
        ));
    }

    #[test]
    fn a_torn_frame_ends_the_journal_unless_more_follows() {
        let mut bytes = file(
            8,
            &[
                frame(ID, 1, 0),
                frame(ID, 2, 5000),
                frame(ID, 3, 0),
                frame(ID, 4, 0),
            ],
        );
        bytes[8192 + 4096] ^= 1;
        let (sequences, end) = told(&bytes);
        assert_eq!(sequences, [1]);
        assert!(matches!(
            end,
            ScanEnd::Torn {
                position: 8192,
                error: FormatError::Crc { .. }
            }
        ));
        assert_eq!(later(&bytes, end.position(), 1), Some(4));
        assert_eq!(later(&bytes, end.position(), 4), None);
        let alone = file(8, &[frame(ID, 1, 0), frame(ID, 0, 0)]);
        assert_eq!(later(&alone, 8192, 1), None);
        let foreign = file(8, &[frame(ID, 1, 0), frame(Uuid::from_u128(1), 9, 0)]);
        assert_eq!(later(&foreign, 8192, 1), None);
    }

    #[test]
    fn a_frame_that_did_not_land_before_one_that_did_is_seen() {
        let bytes = file(8, &[frame(ID, 1, 0), vec![0; 4096], frame(ID, 3, 0)]);
        let (sequences, end) = told(&bytes);
        assert_eq!((sequences, &end), (vec![1], &ScanEnd::Unused { position: 8192 }));
        assert_eq!(later(&bytes, end.position(), 1), Some(3));
    }

    #[test]
    fn frames_of_another_journal_and_from_ahead_are_told() {
        let other = Uuid::from_u128(78);
        let bytes = file(4, &[frame(ID, 1, 0), frame(other, 2, 0)]);
        let foreign = ScanEnd::Foreign {
            position: 8192,
            found: other,
        };
        assert_eq!(told(&bytes), (vec![1], foreign));
        let bytes = file(4, &[frame(ID, 1, 0), frame(ID, 3, 0)]);
        let ahead = ScanEnd::Ahead {
            position: 8192,
            expected: 2,
            found: 3,
        };
        assert_eq!(told(&bytes), (vec![1], ahead));
    }

    #[test]
    fn a_file_cut_short_is_not_taken_for_a_torn_tail() {
        // What was cut off may have been acknowledged; a crash leaves the file at its full size.
        let bytes = file(4, &[frame(ID, 1, 0), frame(ID, 2, 6000)]);
        for cut in [4097, 8000, 8192, 8200, 8192 + 4096] {
            let (_, end) = told(&bytes[..cut]);
            assert!(
                matches!(end, ScanEnd::Cut { expected: 16384, found, .. } if found == cut as u64),
                "{cut}: {end:?}"
            );
        }
        let unused = file(8, &[frame(ID, 1, 0)]);
        assert_eq!(told(&unused[..16384]).1, ScanEnd::Unused { position: 8192 });
    }

    #[test]
    fn a_sound_frame_of_senseless_entries_is_an_error_and_named() {
        let mut odd = frame(ID, 2, 16);
        odd[FRAME_HEADER_BYTES] = 9;
        FrameHeader::seal(&mut odd);
        let error = scan(&file(4, &[frame(ID, 1, 0), odd])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "d/00000001.journal: at 8192: entry at 0 of the payload has unknown kind 9, expected 1 or 2"
        );
        let mut miscounted = frame(ID, 1, 16);
        miscounted[44] = 2;
        FrameHeader::seal(&mut miscounted);
        let error = scan(&file(4, &[miscounted])).unwrap_err();
        assert!(error.to_string().contains("holds 1 entries"), "{error}");
        let error = scan(&[0; 8192]).unwrap_err();
        assert!(
            error.to_string().starts_with("d/00000001.journal: at 0: magic"),
            "{error}"
        );
        assert!(matches!(
            scan(&[]).unwrap_err(),
            ScanError::Damaged {
                position: 0,
                error: FormatError::Short { .. },
                ..
            }
        ));
    }
}
