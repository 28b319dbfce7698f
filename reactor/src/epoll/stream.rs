//! Receiving by `recv` on a readable socket, straight into the caller's buffer.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use bytes::BytesMut;

use super::{Direction, Registered};
use crate::core;
use crate::{sys, turn};

/// Room made for one receive of unknown size; the size of a ring buffer, so that both fillings behave alike.
const RECV_BYTES: usize = 16 * 1024;
/// `recv_exact` makes room for as much as has come so far, between these: a buffer grows with bytes received.
const EXACT_BYTES_MIN: usize = 64 * 1024;
const EXACT_BYTES_MAX: usize = 1024 * 1024;

pub(crate) struct Stream {
    registered: Registered,
}

impl Stream {
    pub(crate) fn new(registered: Registered) -> Stream {
        Stream { registered }
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        self.registered.fd()
    }

    pub(crate) async fn recv(&self, buf: &mut BytesMut) -> io::Result<usize> {
        self.recv_up_to(buf, RECV_BYTES, RECV_BYTES).await
    }

    pub(crate) async fn recv_exact(&self, buf: &mut BytesMut, n: usize) -> io::Result<()> {
        let mut received = 0;
        while received < n {
            let left = n - received;
            let room = received.clamp(EXACT_BYTES_MIN, EXACT_BYTES_MAX).min(left);
            match self.recv_up_to(buf, room, left).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => received += more,
            }
        }
        Ok(())
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.registered.ready(Direction::Write).await
    }

    /// One receive of at most `max` bytes, with at least `room` (or `max`) bytes to go to.
    async fn recv_up_to(&self, buf: &mut BytesMut, room: usize, max: usize) -> io::Result<usize> {
        loop {
            poll_fn(core::poll_proceed).await;
            // why checked: reserve would double a buffer that has room for some of it
            if buf.capacity() - buf.len() < room.min(max) {
                buf.reserve(room.min(max));
            }
            match sys::socket::recv(self.fd().as_raw_fd(), buf, max.min(EXACT_BYTES_MAX)) {
                Ok(n) => {
                    turn::charge(n);
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.registered.ready(Direction::Read).await?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}
