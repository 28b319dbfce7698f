//! TCP connections.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use bytes::BytesMut;

use crate::core;
use crate::filling::{Filling, NO_NETWORK, sim_only};
use crate::piece::{Outgoing, Piece, send_all};
use crate::sim::{SimEnd, SimSocket};
use crate::{epoll, sys, uring};

enum Kind {
    Uring(uring::Stream),
    Epoll(epoll::Stream),
    Sim(SimSocket),
}

struct Shared {
    kind: Kind,
    peer: SocketAddr,
    receiving: Cell<bool>,
    sending: Cell<bool>,
}

/// A connection of this reactor. Clones are the same connection, so that one task may receive and another send; it
/// closes with the last clone. One receive and one send at a time: a second gets `ResourceBusy`.
#[derive(Clone)]
pub struct Socket(Rc<Shared>);

/// The one who receives (or sends) now.
struct Turn<'a>(&'a Cell<bool>);

impl<'a> Turn<'a> {
    fn take(taken: &'a Cell<bool>) -> io::Result<Turn<'a>> {
        if taken.replace(true) {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another task does this on the socket now",
            ));
        }
        Ok(Turn(taken))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Socket {
    pub async fn connect(address: SocketAddr) -> io::Result<Socket> {
        let filling = core::current().filling.clone();
        if let Filling::Sim(driver) = &filling {
            let place = driver.place().ok_or_else(|| sim_only(NO_NETWORK))?;
            let stream = SimSocket::connect(&place.net, place.host, place.process, address).await?;
            return Ok(Socket::of(Kind::Sim(stream), address));
        }
        let socket = Rc::new(sys::socket::connect(address)?);
        let kind = match &filling {
            Filling::Uring(driver) => {
                driver.ready(&socket, uring::Direction::Write).await?;
                Kind::Uring(uring::Stream::new(driver, socket.clone()))
            }
            Filling::Epoll(driver) => {
                let registered = driver.register(socket.clone())?;
                registered.ready(epoll::Direction::Write).await?;
                Kind::Epoll(epoll::Stream::new(registered))
            }
            Filling::Sim(_) => return Err(sim_only(NO_NETWORK)),
        };
        sys::socket::take_error(&socket)?;
        Ok(Socket::of(kind, address))
    }

    pub(crate) fn new(socket: OwnedFd) -> io::Result<Socket> {
        let peer = sys::socket::peer_address(&socket)?;
        let socket = Rc::new(socket);
        let kind = match &core::current().filling {
            Filling::Uring(driver) => Kind::Uring(uring::Stream::new(driver, socket)),
            Filling::Epoll(driver) => Kind::Epoll(epoll::Stream::new(driver.register(socket)?)),
            Filling::Sim(_) => return Err(sim_only(NO_NETWORK)),
        };
        Ok(Socket::of(kind, peer))
    }

    pub(crate) fn of_simulated(end: SimEnd) -> io::Result<Socket> {
        let core = core::current();
        let place = core.filling.sim().and_then(|driver| driver.place());
        let net = &place.ok_or_else(|| sim_only(NO_NETWORK))?.net;
        let (stream, peer) = end.attach(net)?;
        Ok(Socket::of(Kind::Sim(stream), peer))
    }

    fn of(kind: Kind, peer: SocketAddr) -> Socket {
        Socket(Rc::new(Shared {
            kind,
            peer,
            receiving: Cell::new(false),
            sending: Cell::new(false),
        }))
    }

    pub fn peer_addr(&self) -> SocketAddr {
        self.0.peer
    }

    /// Appends what has arrived (at least one byte, at most 128 KiB) and says how much; 0 when the peer is done
    /// sending. Dropped while it waits, it loses nothing: the bytes are there for the next receive.
    pub async fn recv(&self, buf: &mut BytesMut) -> io::Result<usize> {
        let _turn = Turn::take(&self.0.receiving)?;
        match &self.0.kind {
            Kind::Uring(stream) => stream.recv(buf).await,
            Kind::Epoll(stream) => stream.recv(buf).await,
            Kind::Sim(stream) => stream.recv(buf).await,
        }
    }

    /// Appends exactly `n` more bytes. `buf` grows with the bytes that came, not with those announced. Dropped
    /// while it waits, what it appended stays in `buf` and the rest is there for the next receive.
    ///
    /// # Errors
    /// `UnexpectedEof` if the peer is done before; what came until then is in `buf`.
    pub async fn recv_exact(&self, buf: &mut BytesMut, n: usize) -> io::Result<()> {
        let _turn = Turn::take(&self.0.receiving)?;
        match &self.0.kind {
            Kind::Uring(stream) => stream.recv_exact(buf, n).await,
            Kind::Epoll(stream) => stream.recv_exact(buf, n).await,
            Kind::Sim(stream) => stream.recv_exact(buf, n).await,
        }
    }

    /// Sends all of it, in order; waits while the peer does not read. After an error, or dropped while it waits, an
    /// unknown part has been sent: the connection is of no use but to be closed.
    pub async fn send(&self, pieces: Vec<Piece>) -> io::Result<()> {
        let _turn = Turn::take(&self.0.sending)?;
        match &self.0.kind {
            Kind::Uring(stream) => {
                let mut outgoing = Outgoing::new(pieces);
                send_all(stream.fd().as_raw_fd(), &mut outgoing, async || {
                    stream.writable().await
                })
                .await
            }
            Kind::Epoll(stream) => {
                let mut outgoing = Outgoing::new(pieces);
                send_all(stream.fd().as_raw_fd(), &mut outgoing, async || {
                    stream.writable().await
                })
                .await
            }
            Kind::Sim(stream) => stream.send(pieces).await,
        }
    }

    /// Ends both directions at once. A waiting receive gets what came before and then 0, a waiting send an error.
    pub fn shutdown(&self) {
        let fd = match &self.0.kind {
            Kind::Uring(stream) => stream.fd(),
            Kind::Epoll(stream) => stream.fd(),
            Kind::Sim(stream) => return stream.shutdown(),
        };
        sys::socket::shutdown(fd.as_raw_fd());
    }
}
