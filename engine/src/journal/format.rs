//! The bytes of a journal file, format version 1. Pure: no file is opened here.
//!
//! All numbers are little-endian. A file is a header block and then frames, each at a multiple of 4096:
//!
//! ```text
//! file        0  magic        "RNGLOGJ1"
//!             8  crc          u32   CRC-32C of bytes 12..64
//!            12  version      u32   1
//!            16  journal id   [16]  drawn when the journal is created; every frame repeats it
//!            32  shard        u32
//!            36  file number  u32   the name: 00000007.journal
//!            40  file bytes   u64   a multiple of 4096
//!            48  zeros        up to 4096
//! frame       0  magic        "RJF1"
//!             4  crc          u32   CRC-32C of bytes 8..48 + payload bytes
//!             8  journal id   [16]
//!            24  sequence     u64   grows by 1 with each frame, over all files of the journal
//!            32  replay from  u64   frames below this sequence are in their segments, synced
//!            40  payload      u32   bytes of the entries
//!            44  entries      u32   their count
//!            48  entries, then zeros up to a multiple of 4096
//! entry       0  kind         u8    1 batch, 2 reset
//!             1  zeros        [3]
//!             4  partition    i32
//!             8  topic id     [16]
//!            24  offset       i64   of the batch's first record; reset: where the log ends
//!            32  body         u32   bytes of the body
//!            36  gap          u32   from the log's end before the append to that offset; 0 but for replicated compacted logs
//!            40  body, for a batch as it lies in the segment, then zeros up to a multiple of 8
//! ```
//! The checksum of a file header lies at the same place over the same bytes in every later version, so that a newer file
//! is told from a damaged one.

use std::fmt;

use thiserror::Error;
use uuid::Uuid;
use zerocopy::byteorder::little_endian::{I32, I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::batch::crc::crc32c;

/// The version written, and the greatest one read.
pub const VERSION: u32 = 1;
/// Unit of every position and length in a journal: what O_DIRECT asks for on the disks in use.
pub const BLOCK_BYTES: usize = 4096;
pub const FRAME_HEADER_BYTES: usize = 48;
pub const ENTRY_HEADER_BYTES: usize = 40;

const FILE_SUFFIX: &str = ".journal";
const FILE_MAGIC: [u8; 8] = *b"RNGLOGJ1";
const FRAME_MAGIC: [u8; 4] = *b"RJF1";
/// What the checksum of the file header covers; the rest of the block is zeros.
const FILE_CRC: std::ops::Range<usize> = 12..64;
/// Where the checksum of a frame begins to cover it.
const FRAME_CRC_START: usize = 8;
const ENTRY_ALIGNMENT: usize = 8;

/// Why bytes are not what the format draws. Positions count from where the caller's bytes begin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    #[error("{what} of {expected} bytes ends after {found}")]
    Short { what: Part, expected: u64, found: u64 },
    #[error("magic of a {what} is {found:02x?}, expected {expected:02x?}")]
    Magic {
        what: Part,
        expected: Vec<u8>,
        found: Vec<u8>,
    },
    #[error("format version {found}, expected at most {VERSION}: written by a newer ringlog")]
    NewerVersion { found: u32 },
    #[error("format version {found}, expected {VERSION}")]
    UnknownVersion { found: u32 },
    #[error("{what} has CRC {stored:#010x}, computed {computed:#010x}")]
    Crc { what: Part, stored: u32, computed: u32 },
    #[error("file size {found} is no multiple of {BLOCK_BYTES} of at least two blocks")]
    FileBytes { found: u64 },
    #[error("entry at {position} of the payload has unknown kind {found}, expected 1 or 2")]
    EntryKind { position: u64, found: u8 },
    #[error("entry at {position} of the payload has other bytes than zeros where it is padded")]
    EntryPadding { position: u64 },
    #[error("entry at {position} of the payload needs {expected} bytes, {found} are left")]
    EntryCut {
        position: u64,
        expected: u64,
        found: u64,
    },
    #[error("frame holds {found} entries, its header announces {expected}")]
    EntryCount { expected: u32, found: u32 },
    #[error("frame has sequence {found}, expected {expected}: it was written over meanwhile")]
    FrameChanged { expected: u64, found: u64 },
}

/// Which piece of a journal an error is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Part {
    FileHeader,
    FrameHeader,
    Frame,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::FileHeader => "journal file header",
            Part::FrameHeader => "frame header",
            Part::Frame => "frame",
        })
    }
}

/// `00000007.journal`
pub fn file_name(file_number: u32) -> String {
    format!("{file_number:08}{FILE_SUFFIX}")
}

/// The number of a journal file; `None` for names of other files.
pub fn file_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(FILE_SUFFIX)?;
    let is_number = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// First block of a file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FileHeader {
    pub journal_id: Uuid,
    pub shard: u32,
    pub file_number: u32,
    pub file_bytes: u64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawFileHeader {
    magic: [u8; 8],
    crc: U32,
    version: U32,
    journal_id: [u8; 16],
    shard: U32,
    file_number: U32,
    file_bytes: U64,
    zeros: [u8; 16],
}

const _: () = assert!(size_of::<RawFileHeader>() == FILE_CRC.end);

impl FileHeader {
    pub fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut raw = RawFileHeader {
            magic: FILE_MAGIC,
            crc: U32::ZERO,
            version: U32::new(VERSION),
            journal_id: self.journal_id.into_bytes(),
            shard: U32::new(self.shard),
            file_number: U32::new(self.file_number),
            file_bytes: U64::new(self.file_bytes),
            zeros: [0; 16],
        };
        raw.crc = U32::new(crc32c(&raw.as_bytes()[FILE_CRC]));
        let mut block = [0; BLOCK_BYTES];
        block[..FILE_CRC.end].copy_from_slice(raw.as_bytes());
        block
    }

    /// Reads the header at the front of a file's bytes. Magic, then checksum, then version: a flipped bit in the version
    /// is damage, not a newer format.
    pub fn parse(bytes: &[u8]) -> Result<FileHeader, FormatError> {
        let Ok((raw, _)) = RawFileHeader::ref_from_prefix(bytes) else {
            return Err(short(Part::FileHeader, FILE_CRC.end, bytes.len()));
        };
        if raw.magic != FILE_MAGIC {
            return Err(FormatError::Magic {
                what: Part::FileHeader,
                expected: FILE_MAGIC.to_vec(),
                found: raw.magic.to_vec(),
            });
        }
        let computed = crc32c(raw.as_bytes().get(FILE_CRC).unwrap_or_default());
        if raw.crc.get() != computed {
            return Err(FormatError::Crc {
                what: Part::FileHeader,
                stored: raw.crc.get(),
                computed,
            });
        }
        match raw.version.get() {
            VERSION => {}
            found if found > VERSION => return Err(FormatError::NewerVersion { found }),
            found => return Err(FormatError::UnknownVersion { found }),
        }
        let file_bytes = raw.file_bytes.get();
        if file_bytes < 2 * BLOCK_BYTES as u64 || file_bytes % BLOCK_BYTES as u64 != 0 {
            return Err(FormatError::FileBytes { found: file_bytes });
        }
        Ok(FileHeader {
            journal_id: Uuid::from_bytes(raw.journal_id),
            shard: raw.shard.get(),
            file_number: raw.file_number.get(),
            file_bytes,
        })
    }
}

/// First 48 bytes of a frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    pub journal_id: Uuid,
    pub sequence: u64,
    pub replay_from: u64,
    pub payload_bytes: u32,
    pub entry_count: u32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawFrameHeader {
    magic: [u8; 4],
    crc: U32,
    journal_id: [u8; 16],
    sequence: U64,
    replay_from: U64,
    payload_bytes: U32,
    entry_count: U32,
}

const _: () = assert!(size_of::<RawFrameHeader>() == FRAME_HEADER_BYTES);

impl FrameHeader {
    /// Writes the header without its checksum, which [`seal`](FrameHeader::seal) adds when the entries are there.
    pub fn write(&self, to: &mut [u8; FRAME_HEADER_BYTES]) {
        let raw = RawFrameHeader {
            magic: FRAME_MAGIC,
            crc: U32::ZERO,
            journal_id: self.journal_id.into_bytes(),
            sequence: U64::new(self.sequence),
            replay_from: U64::new(self.replay_from),
            payload_bytes: U32::new(self.payload_bytes),
            entry_count: U32::new(self.entry_count),
        };
        to.copy_from_slice(raw.as_bytes());
    }

    /// The header at the front of `bytes`, not yet vouched for by the checksum: use it to learn how many bytes
    /// [`check`](FrameHeader::check) needs, after comparing that with what there is.
    pub fn parse(bytes: &[u8]) -> Result<FrameHeader, FormatError> {
        Ok(RawFrameHeader::peek(bytes)?.header())
    }

    /// Completes a frame whose header and entries are written: its checksum. Bytes behind the payload may follow.
    ///
    /// # Panics
    /// When `frame` does not begin with a written header and the payload it announces: a mistake of the writer.
    pub fn seal(frame: &mut [u8]) {
        let covered = FrameHeader::parse(frame)
            .ok()
            .map(|header| header.written_bytes())
            .and_then(|end| frame.get(FRAME_CRC_START..end))
            .expect("a frame is sealed after its header and entries were written");
        let crc = crc32c(covered);
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// The header of a frame whose checksum agrees: magic, size, checksum. Which journal it belongs to and whether it
    /// is its turn are the caller's questions.
    pub fn check(frame: &[u8]) -> Result<FrameHeader, FormatError> {
        let raw = RawFrameHeader::peek(frame)?;
        let header = raw.header();
        let Some(covered) = frame.get(FRAME_CRC_START..header.written_bytes()) else {
            return Err(short(Part::Frame, header.written_bytes(), frame.len()));
        };
        let computed = crc32c(covered);
        if raw.crc.get() != computed {
            return Err(FormatError::Crc {
                what: Part::Frame,
                stored: raw.crc.get(),
                computed,
            });
        }
        Ok(header)
    }

    /// Header and payload.
    pub fn written_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.payload_bytes as usize
    }

    /// What the frame takes of its file: whole blocks.
    pub fn frame_bytes(&self) -> u64 {
        frame_bytes(u64::from(self.payload_bytes))
    }

    /// The entries of a checked frame: its bytes between header and padding.
    pub fn payload<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        frame
            .get(FRAME_HEADER_BYTES..self.written_bytes())
            .unwrap_or_default()
    }

    /// Whether a payload is as many whole entries as announced. The checksum vouches for what was written, so that an
    /// error here is a writer's mistake or a newer writer, never a torn write.
    pub fn check_entries(&self, payload: &[u8]) -> Result<(), FormatError> {
        let mut found: u32 = 0;
        for entry in entries(payload) {
            entry?;
            found = found.saturating_add(1);
        }
        if found != self.entry_count {
            return Err(FormatError::EntryCount {
                expected: self.entry_count,
                found,
            });
        }
        Ok(())
    }
}

impl RawFrameHeader {
    fn peek(bytes: &[u8]) -> Result<&RawFrameHeader, FormatError> {
        let Ok((raw, _)) = RawFrameHeader::ref_from_prefix(bytes) else {
            return Err(short(Part::FrameHeader, FRAME_HEADER_BYTES, bytes.len()));
        };
        if raw.magic != FRAME_MAGIC {
            return Err(FormatError::Magic {
                what: Part::FrameHeader,
                expected: FRAME_MAGIC.to_vec(),
                found: raw.magic.to_vec(),
            });
        }
        Ok(raw)
    }

    fn header(&self) -> FrameHeader {
        FrameHeader {
            journal_id: Uuid::from_bytes(self.journal_id),
            sequence: self.sequence.get(),
            replay_from: self.replay_from.get(),
            payload_bytes: self.payload_bytes.get(),
            entry_count: self.entry_count.get(),
        }
    }
}

/// Whole blocks that a frame with a payload of this size takes.
pub fn frame_bytes(payload_bytes: u64) -> u64 {
    (FRAME_HEADER_BYTES as u64)
        .saturating_add(payload_bytes)
        .div_ceil(BLOCK_BYTES as u64)
        .saturating_mul(BLOCK_BYTES as u64)
}

/// What an entry does to its partition when it is replayed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Appends the body.
    Batch,
    /// What earlier frames hold of the partition no longer counts: its log was cut, and all that is left of it, up to the offset,
    /// is synced in its segments.
    Reset,
}

impl EntryKind {
    pub fn id(self) -> u8 {
        match self {
            EntryKind::Batch => 1,
            EntryKind::Reset => 2,
        }
    }

    pub fn from_id(id: u8) -> Option<EntryKind> {
        match id {
            1 => Some(EntryKind::Batch),
            2 => Some(EntryKind::Reset),
            _ => None,
        }
    }
}

/// First 40 bytes of an entry.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    pub kind: EntryKind,
    pub partition: i32,
    pub topic_id: Uuid,
    pub offset: i64,
    pub body_bytes: u32,
    /// Offsets between the end of the log before this batch and its base offset.
    pub gap: u32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawEntryHeader {
    kind: u8,
    zeros: [u8; 3],
    partition: I32,
    topic_id: [u8; 16],
    offset: I64,
    body_bytes: U32,
    gap: U32,
}

const _: () = assert!(size_of::<RawEntryHeader>() == ENTRY_HEADER_BYTES);

/// An entry and where it lies in the payload.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Entry<'p> {
    pub header: EntryHeader,
    pub position: usize,
    pub body: &'p [u8],
}

/// What an entry with a body of this size takes of the payload, header and padding included.
pub fn entry_bytes(body: usize) -> usize {
    (ENTRY_HEADER_BYTES + body).next_multiple_of(ENTRY_ALIGNMENT)
}

/// Writes an entry's header to the first 40 bytes of `to`.
///
/// # Panics
/// When `to` is shorter: a mistake of the writer.
pub fn write_entry_header(to: &mut [u8], header: &EntryHeader) {
    let raw = RawEntryHeader {
        kind: header.kind.id(),
        zeros: [0; 3],
        partition: I32::new(header.partition),
        topic_id: header.topic_id.into_bytes(),
        offset: I64::new(header.offset),
        body_bytes: U32::new(header.body_bytes),
        gap: U32::new(header.gap),
    };
    to[..ENTRY_HEADER_BYTES].copy_from_slice(raw.as_bytes());
}

/// The entries of a payload, in order. Ends after the first error.
pub fn entries(payload: &[u8]) -> Entries<'_> {
    Entries { payload, position: 0 }
}

/// Iterator of [`entries`]. Each step moves on by at least a header, so that no payload makes it loop.
#[derive(Clone, Debug)]
pub struct Entries<'p> {
    payload: &'p [u8],
    position: usize,
}

impl<'p> Iterator for Entries<'p> {
    type Item = Result<Entry<'p>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.position;
        let rest = self.payload.get(position..).unwrap_or_default();
        if rest.is_empty() {
            return None;
        }
        let entry = entry_at(rest, position);
        self.position = match &entry {
            Ok(entry) => position + entry_bytes(entry.body.len()),
            Err(_) => self.payload.len(),
        };
        Some(entry)
    }
}

fn entry_at(rest: &[u8], position: usize) -> Result<Entry<'_>, FormatError> {
    let cut = |expected: usize| FormatError::EntryCut {
        position: position as u64,
        expected: expected as u64,
        found: rest.len() as u64,
    };
    let Ok((raw, _)) = RawEntryHeader::ref_from_prefix(rest) else {
        return Err(cut(ENTRY_HEADER_BYTES));
    };
    let Some(kind) = EntryKind::from_id(raw.kind) else {
        return Err(FormatError::EntryKind {
            position: position as u64,
            found: raw.kind,
        });
    };
    let body_end = ENTRY_HEADER_BYTES + raw.body_bytes.get() as usize;
    let end = body_end.next_multiple_of(ENTRY_ALIGNMENT);
    let (Some(body), Some(padding)) = (rest.get(ENTRY_HEADER_BYTES..body_end), rest.get(body_end..end))
    else {
        return Err(cut(end));
    };
    // A later version that gives these bytes a meaning must not be read without it.
    let zeros = raw.zeros.iter().chain(padding);
    if zeros.into_iter().any(|byte| *byte != 0) {
        return Err(FormatError::EntryPadding {
            position: position as u64,
        });
    }
    let header = EntryHeader {
        kind,
        partition: raw.partition.get(),
        topic_id: Uuid::from_bytes(raw.topic_id),
        offset: raw.offset.get(),
        body_bytes: raw.body_bytes.get(),
        gap: raw.gap.get(),
    };
    Ok(Entry {
        header,
        position,
        body,
    })
}

fn short(what: Part, expected: usize, found: usize) -> FormatError {
    FormatError::Short {
        what,
        expected: expected as u64,
        found: found as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileHeader = FileHeader {
        journal_id: Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        shard: 3,
        file_number: 7,
        file_bytes: 64 << 20,
    };

    fn frame(bodies: &[(EntryKind, &[u8])]) -> Vec<u8> {
        let payload_bytes: usize = bodies.iter().map(|(_, body)| entry_bytes(body.len())).sum();
        let header = FrameHeader {
            journal_id: FILE.journal_id,
            sequence: 41,
            replay_from: 12,
            payload_bytes: payload_bytes as u32,
            entry_count: bodies.len() as u32,
        };
        let mut frame = vec![0; header.frame_bytes() as usize];
        header.write(frame.first_chunk_mut().unwrap());
        let mut at = FRAME_HEADER_BYTES;
        for (number, (kind, body)) in bodies.iter().enumerate() {
            let entry = EntryHeader {
                kind: *kind,
                partition: number as i32,
                topic_id: Uuid::from_u128(9),
                offset: 1000 + number as i64,
                body_bytes: body.len() as u32,
                gap: 5,
            };
            write_entry_header(&mut frame[at..], &entry);
            frame[at + ENTRY_HEADER_BYTES..][..body.len()].copy_from_slice(body);
            at += entry_bytes(body.len());
        }
        FrameHeader::seal(&mut frame);
        frame
    }

    #[test]
    fn a_file_header_lies_where_the_drawing_says() {
        // Every journal on disk was written so; a moved field would make a restart forget acknowledged records.
        let block = FILE.encode();
        assert_eq!(&block[..8], b"RNGLOGJ1");
        assert_eq!(block[8..12], crc32c(&block[12..64]).to_le_bytes());
        assert_eq!(block[12..16], [1, 0, 0, 0]);
        assert_eq!(
            block[16..32],
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
        );
        assert_eq!(block[32..40], [3, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(block[40..48], (64u64 << 20).to_le_bytes());
        assert!(block[48..].iter().all(|byte| *byte == 0));
        assert_eq!(FileHeader::parse(&block), Ok(FILE));
    }

    #[test]
    fn every_flipped_bit_of_a_file_header_is_seen() {
        let block = FILE.encode();
        for bit in 0..64 * 8 {
            let mut flipped = block;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = FileHeader::parse(&flipped).unwrap_err();
            match bit / 8 {
                0..8 => assert!(matches!(error, FormatError::Magic { .. }), "{error}"),
                _ => assert!(matches!(error, FormatError::Crc { .. }), "{error}"),
            }
        }
        assert!(matches!(
            FileHeader::parse(&block[..63]),
            Err(FormatError::Short {
                expected: 64,
                found: 63,
                ..
            })
        ));
    }

    #[test]
    fn a_newer_version_is_not_taken_for_damage() {
        let sealed = |version: u32, file_bytes: u64| {
            let mut block = FileHeader { file_bytes, ..FILE }.encode();
            block[12..16].copy_from_slice(&version.to_le_bytes());
            let crc = crc32c(&block[FILE_CRC]);
            block[8..12].copy_from_slice(&crc.to_le_bytes());
            FileHeader::parse(&block)
        };
        assert_eq!(
            sealed(2, FILE.file_bytes),
            Err(FormatError::NewerVersion { found: 2 })
        );
        assert_eq!(
            sealed(0, FILE.file_bytes),
            Err(FormatError::UnknownVersion { found: 0 })
        );
        assert_eq!(sealed(1, 4096), Err(FormatError::FileBytes { found: 4096 }));
        assert_eq!(sealed(1, 8193), Err(FormatError::FileBytes { found: 8193 }));
    }

    #[test]
    fn a_frame_is_read_back_entry_by_entry() {
        let frame = frame(&[
            (EntryKind::Batch, b"a batch"),
            (EntryKind::Reset, b""),
            (EntryKind::Batch, b"8 bytes!"),
        ]);
        assert_eq!(frame.len(), BLOCK_BYTES);
        assert_eq!(&frame[..4], b"RJF1");
        assert_eq!(frame[24..32], 41u64.to_le_bytes());
        assert_eq!(frame[40..48], [48 + 40 + 48, 0, 0, 0, 3, 0, 0, 0]);
        let header = FrameHeader::check(&frame).unwrap();
        assert_eq!(
            (header.sequence, header.replay_from, header.entry_count),
            (41, 12, 3)
        );
        let found: Vec<_> = entries(header.payload(&frame)).map(Result::unwrap).collect();
        let told: Vec<_> = found
            .iter()
            .map(|entry| (entry.header.kind, entry.header.offset, entry.position, entry.body))
            .collect();
        assert_eq!(
            told,
            [
                (EntryKind::Batch, 1000, 0, &b"a batch"[..]),
                (EntryKind::Reset, 1001, 48, b""),
                (EntryKind::Batch, 1002, 88, b"8 bytes!"),
            ]
        );
        assert_eq!(found[2].header.topic_id, Uuid::from_u128(9));
        assert_eq!((found[2].header.partition, found[2].header.gap), (2, 5));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_frame_is_seen() {
        // A torn frame that passed would replay records nobody acknowledged, or half of one.
        let frame = frame(&[(EntryKind::Batch, &[7; 100])]);
        let written = FrameHeader::check(&frame).unwrap().written_bytes();
        for bit in 0..written * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(FrameHeader::check(&flipped).is_err(), "bit {bit}");
        }
        for cut in 0..written {
            assert!(matches!(
                FrameHeader::check(&frame[..cut]),
                Err(FormatError::Short { .. })
            ));
        }
        assert!(FrameHeader::check(&frame[..written]).is_ok());
    }

    #[test]
    fn entries_stay_inside_the_payload_whatever_it_says() {
        let frame = frame(&[(EntryKind::Batch, b"12345"), (EntryKind::Batch, b"67890")]);
        let payload = FrameHeader::parse(&frame).unwrap().payload(&frame).to_vec();
        let last_error = |payload: &[u8]| entries(payload).last().unwrap().unwrap_err();
        let second = entry_bytes(5);
        let mut long = payload.clone();
        long[second + 32..second + 36].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(entries(&long).count(), 2);
        assert!(
            matches!(
                last_error(&long),
                FormatError::EntryCut {
                    position: 48,
                    found: 48,
                    ..
                }
            ),
            "{}",
            last_error(&long)
        );
        let mut kind = payload.clone();
        kind[second] = 3;
        assert_eq!(
            last_error(&kind),
            FormatError::EntryKind {
                position: 48,
                found: 3
            }
        );
        for at in [1, ENTRY_HEADER_BYTES + 5] {
            let mut padded = payload.clone();
            padded[second + at] = 1;
            assert_eq!(last_error(&padded), FormatError::EntryPadding { position: 48 });
        }
        for cut in 1..second {
            assert!(entries(&payload[..cut]).next().unwrap().is_err());
        }
        assert_eq!(entries(&[]).count(), 0);
    }

    #[test]
    fn files_are_named_by_number() {
        assert_eq!(file_name(7), "00000007.journal");
        assert_eq!(file_number("00000007.journal"), Some(7));
        for other in [
            "7.journal",
            "+0000007.journal",
            "00000007.log",
            "0000000x.journal",
        ] {
            assert_eq!(file_number(other), None, "{other}");
        }
    }

    #[test]
    fn sizes_are_whole_blocks_and_never_overflow() {
        assert_eq!((entry_bytes(0), entry_bytes(1), entry_bytes(8)), (40, 48, 48));
        assert_eq!(frame_bytes(0), 4096);
        assert_eq!(frame_bytes(4048), 4096);
        assert_eq!(frame_bytes(4049), 8192);
        assert_eq!(frame_bytes(u64::from(u32::MAX)), (1 << 32) + 4096);
    }
}
