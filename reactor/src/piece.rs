//! What a send is made of, and the loop that sends it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::RawFd;

use bytes::{Buf, Bytes};

use crate::cold::{self, Chunk, Started};
use crate::core;
use crate::file::File;
use crate::metrics::Counters;
use crate::residency::{self, Residency};
use crate::timers::{Elapsed, timeout};
use crate::{sys, turn};

#[derive(Clone, Debug)]
pub enum Piece {
    Bytes(Bytes),
    /// `len` bytes of a file from `offset` on; they must be there when they are sent.
    File {
        file: File,
        offset: u64,
        len: u32,
    },
}

impl Piece {
    /// Bytes still to send.
    pub fn len(&self) -> usize {
        match self {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::File { len, .. } => *len as usize,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One system call moves at most this much, so that a big answer leaves room for others in the turn, and pages that
/// left the cache between the question and the sendfile delay them little.
const SLICE_BYTES: usize = 256 * 1024;

/// Pieces on their way; empty pieces are dropped as they come.
pub(crate) struct Outgoing {
    pieces: VecDeque<Piece>,
    /// How many have left the front: a piece keeps its number while it moves up.
    gone: u64,
    front: Front,
    ahead: Option<Ahead>,
}

/// How the bytes at the front's beginning are to be had, if the front is a slice of a file.
enum Front {
    Unknown,
    /// From the page cache, up to this offset of the file.
    Cached {
        until: u64,
    },
    /// They were not there: here they are. Never empty.
    Read(Chunk),
}

/// A read started while bytes before it are being sent.
struct Ahead {
    piece: u64,
    offset: u64,
    reading: Started,
}

impl Outgoing {
    pub(crate) fn new(pieces: Vec<Piece>) -> Outgoing {
        let mut pieces = VecDeque::from(pieces);
        pieces.retain(|piece| !piece.is_empty());
        Outgoing {
            pieces,
            gone: 0,
            front: Front::Unknown,
            ahead: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Makes sure that the next call of `send_some` does not block the thread on a disk.
    async fn prepare(&mut self) -> io::Result<()> {
        let Some(Piece::File { file, offset, len }) = self.pieces.front() else {
            return Ok(());
        };
        let os = file.os()?;
        match self.front {
            Front::Read(_) => return Ok(()),
            Front::Cached { until } if *offset < until => return Ok(()),
            Front::Cached { .. } | Front::Unknown => {}
        }
        let window = cold::window(*offset, *len as usize);
        // why taken whichever it is: one for another place would hold its bytes while this waits for others
        let ahead = self.ahead.take();
        let ahead = ahead.filter(|ahead| (ahead.piece, ahead.offset) == (self.gone, *offset));
        let started = match ahead {
            Some(ahead) => ahead.reading,
            None => {
                if let Some(chunk) = cold::followed(os, *offset, window).await {
                    let read = chunk.bytes.len();
                    self.front = Front::Read(chunk);
                    self.read_ahead(read);
                    return Ok(());
                }
                match residency::of(os, *offset, window as u64) {
                    Residency::Cached | Residency::Unknown => {
                        let until = *offset + window as u64;
                        self.front = Front::Cached { until };
                        return Ok(());
                    }
                    Residency::Missing => cold::begin(os, *offset, window).await?,
                }
            }
        };
        let (offset, len) = (*offset, *len as usize);
        // why before it is done: the device is quicker with two at a time
        self.read_ahead(window);
        let chunk = started.done().await?;
        // a short one is sent as far as it goes, as sendfile would; the next one is empty
        if chunk.bytes.is_empty() {
            return Err(ends_early(offset, len));
        }
        self.front = Front::Read(chunk);
        Ok(())
    }

    /// Starts reading what comes after the first `window` bytes of the front, if the cache lacks it: the next slice to send,
    /// or what will probably be asked for when this is sent.
    fn read_ahead(&mut self, window: usize) {
        let mut end = None;
        let mut next = None;
        for (at, piece) in self.pieces.iter().enumerate() {
            let Piece::File { file, offset, len } = piece else {
                continue;
            };
            let Ok(os) = file.os() else { return };
            let skip = if at == 0 { window } else { 0 };
            let left = *len as usize - skip;
            if left > 0 {
                next = Some((at as u64, os, *offset + skip as u64, left));
                break;
            }
            end = Some((os, *offset + u64::from(*len)));
        }
        match (next, end) {
            (Some((at, os, offset, left)), _) => {
                let window = cold::window(offset, left);
                if residency::of(os, offset, window as u64) == Residency::Missing {
                    self.ahead = cold::try_begin(os, offset, window).map(|reading| Ahead {
                        piece: self.gone + at,
                        offset,
                        reading,
                    });
                }
            }
            (None, Some((os, end))) => cold::follow(os, end),
            (None, None) => {}
        }
    }

    /// Whether it holds bytes of the budget for cold reads.
    fn holds_read_bytes(&self) -> bool {
        self.ahead.is_some() || matches!(self.front, Front::Read(_))
    }

    /// Gives the bytes read but not sent back; they are read again when it is their turn.
    fn give_up_read_bytes(&mut self) {
        self.ahead = None;
        if let Front::Read(_) = self.front {
            self.front = Front::Unknown;
        }
    }

    /// Hands the socket what it takes in one call, at most `SLICE_BYTES`. Never waits.
    fn send_some(&mut self, socket: RawFd) -> io::Result<usize> {
        let bytes_follow = matches!(self.pieces.get(1), Some(Piece::Bytes(_)));
        match self.pieces.front() {
            None => Ok(0),
            Some(Piece::Bytes(_)) => {
                let n = self.send_bytes(socket)?;
                self.advance_bytes(n);
                Ok(n)
            }
            Some(Piece::File { file, offset, len }) => {
                let len = *len as usize;
                let n = match &self.front {
                    Front::Read(Chunk { bytes, .. }) => {
                        let part = &bytes[..bytes.len().min(SLICE_BYTES)];
                        let more = part.len() < bytes.len() || (part.len() == len && bytes_follow);
                        sys::socket::send(socket, &[io::IoSlice::new(part)], more)?
                    }
                    Front::Cached { until } => {
                        let known = usize::try_from(until.saturating_sub(*offset)).unwrap_or(usize::MAX);
                        let part = len.min(known).min(SLICE_BYTES);
                        sys::file::send_file(socket, file.os()?, *offset, part)?
                    }
                    Front::Unknown => unreachable!("`prepare` has looked"),
                };
                if n == 0 {
                    return Err(ends_early(*offset, len));
                }
                self.advance_file(n);
                Ok(n)
            }
        }
    }

    fn send_bytes(&self, socket: RawFd) -> io::Result<usize> {
        let mut slices = [io::IoSlice::new(&[]); sys::socket::SEND_SLICES_MAX];
        let mut count = 0;
        let mut room = SLICE_BYTES;
        let mut file_follows = false;
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) if count < slices.len() && room > 0 => {
                    let part = &bytes[..bytes.len().min(room)];
                    slices[count] = io::IoSlice::new(part);
                    count += 1;
                    room -= part.len();
                }
                Piece::Bytes(_) => break,
                Piece::File { .. } => {
                    file_follows = true;
                    break;
                }
            }
        }
        sys::socket::send(socket, &slices[..count], file_follows)
    }

    fn advance_bytes(&mut self, n: usize) {
        let mut left = n;
        while left > 0 {
            let Some(Piece::Bytes(bytes)) = self.pieces.front_mut() else {
                unreachable!("no more is sent than the bytes pieces in front hold")
            };
            let part = bytes.len().min(left);
            bytes.advance(part);
            left -= part;
            if bytes.is_empty() {
                self.pop();
            }
        }
    }

    fn advance_file(&mut self, n: usize) {
        let Some(Piece::File { offset, len, .. }) = self.pieces.front_mut() else {
            unreachable!("what was sent came from a slice of a file")
        };
        *offset += n as u64;
        *len -= n as u32; // n <= len, which is a u32
        let is_sent = *len == 0;
        if let Front::Read(chunk) = &mut self.front {
            chunk.bytes.advance(n);
            if chunk.bytes.is_empty() {
                self.front = Front::Unknown;
            }
        }
        if is_sent {
            self.pop();
        }
    }

    fn pop(&mut self) {
        self.pieces.pop_front();
        self.gone += 1;
        self.front = Front::Unknown;
    }
}

fn ends_early(end: u64, short: usize) -> io::Error {
    let text = format!("the file ends at or before {end}, {short} bytes short of what was to be sent");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

/// Sends everything; `writable` waits until the socket takes more.
pub(crate) async fn send_all(
    socket: RawFd,
    outgoing: &mut Outgoing,
    writable: impl AsyncFn() -> io::Result<()>,
) -> io::Result<()> {
    while !outgoing.is_empty() {
        outgoing.prepare().await?;
        poll_fn(core::poll_proceed).await;
        match outgoing.send_some(socket) {
            Ok(n) => turn::charge(n),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => wait(outgoing, &writable).await?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// A peer that does not take what was read for it must not keep the budget from those who would.
async fn wait(outgoing: &mut Outgoing, writable: &impl AsyncFn() -> io::Result<()>) -> io::Result<()> {
    while outgoing.holds_read_bytes() {
        match timeout(cold::STALL_MAX, writable()).await {
            Ok(result) => return result,
            Err(Elapsed) if cold::is_contended() => {
                core::with(|core| Counters::add(&core.counters.cold_given_up, 1));
                outgoing.give_up_read_bytes();
            }
            Err(Elapsed) => {}
        }
    }
    writable().await
}
