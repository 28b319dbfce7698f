//! What a send is made of, and the loop that sends it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::RawFd;

use bytes::{Buf, Bytes};

use crate::core;
use crate::file::File;
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

/// One system call moves at most this much, so that a big answer leaves room for others in the turn, and a page
/// that must be read from disk after all (sendfile) delays them little.
const SLICE_BYTES: usize = 256 * 1024;

/// Pieces on their way; empty pieces are dropped as they come to the front.
pub(crate) struct Outgoing(VecDeque<Piece>);

impl Outgoing {
    pub(crate) fn new(pieces: Vec<Piece>) -> Outgoing {
        let mut pieces = VecDeque::from(pieces);
        pieces.retain(|piece| !piece.is_empty());
        Outgoing(pieces)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hands the socket what it takes in one call, at most `SLICE_BYTES`. Never waits.
    fn send_some(&mut self, socket: RawFd) -> io::Result<usize> {
        match self.0.front_mut() {
            None => Ok(0),
            Some(Piece::Bytes(_)) => {
                let n = self.send_bytes(socket)?;
                self.advance(n);
                Ok(n)
            }
            Some(Piece::File { file, offset, len }) => {
                let n = sys::file::send_file(socket, file.os()?, *offset, (*len as usize).min(SLICE_BYTES))?;
                if n == 0 {
                    let text = format!(
                        "the file ends at or before {offset}, {len} bytes short of what was to be sent"
                    );
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
                *offset += n as u64;
                *len -= n as u32; // n <= len, which is a u32
                if *len == 0 {
                    self.0.pop_front();
                }
                Ok(n)
            }
        }
    }

    fn send_bytes(&self, socket: RawFd) -> io::Result<usize> {
        let mut slices = [io::IoSlice::new(&[]); sys::socket::SEND_SLICES_MAX];
        let mut count = 0;
        let mut room = SLICE_BYTES;
        let mut file_follows = false;
        for piece in &self.0 {
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

    fn advance(&mut self, n: usize) {
        let mut left = n;
        while left > 0 {
            let Some(Piece::Bytes(bytes)) = self.0.front_mut() else {
                unreachable!("no more is sent than the bytes pieces in front hold")
            };
            let part = bytes.len().min(left);
            bytes.advance(part);
            left -= part;
            if bytes.is_empty() {
                self.0.pop_front();
            }
        }
    }
}

/// Sends everything; `writable` waits until the socket takes more.
pub(crate) async fn send_all(
    socket: RawFd,
    outgoing: &mut Outgoing,
    writable: impl AsyncFn() -> io::Result<()>,
) -> io::Result<()> {
    while !outgoing.is_empty() {
        poll_fn(core::poll_proceed).await;
        match outgoing.send_some(socket) {
            Ok(n) => turn::charge(n),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => writable().await?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
