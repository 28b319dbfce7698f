//! A process's hold on one side of a connection.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};

use super::connection::{Connection, Flow, Hold, Segment, Side, other};
use super::link::nanos;
use super::{ConnectionId, Event, HostId, Net, ProcessId, State};
use crate::clock::now;
use crate::piece::Piece;
use crate::sim;

/// What one receive takes at most, as of the other fillings.
const RECV_BYTES_MAX: usize = 128 * 1024;
/// Pieces of one send that make less than this travel as one segment.
const SEGMENT_BYTES: usize = 64 * 1024;
/// Of segments that arrive in two parts: whoever reads must not rely on how bytes were sent.
const SPLIT_PPM: u32 = 50_000;

/// An accepted connection on its way to the reactor that will serve it.
#[derive(Debug)]
pub(crate) struct SimEnd {
    connection: ConnectionId,
    is_attached: bool,
}

impl SimEnd {
    pub(crate) fn new(connection: ConnectionId) -> SimEnd {
        SimEnd {
            connection,
            is_attached: false,
        }
    }

    /// The socket, and its peer.
    pub(crate) fn attach(mut self, net: &Rc<Net>) -> io::Result<(SimSocket, SocketAddr)> {
        self.is_attached = true;
        let socket = SimSocket {
            net: net.clone(),
            connection: self.connection,
            side: 1,
        };
        let peer = net.with(|state| state.side(self.connection, 0).map(|side| side.local));
        match peer {
            Some(peer) => Ok((socket, peer)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// A connection nobody took is closed.
impl Drop for SimEnd {
    fn drop(&mut self) {
        if self.is_attached {
            return;
        }
        if let Some(net) = sim::current_net() {
            net.with(|state| state.close_side(self.connection, 1, now().as_nanos()));
        }
    }
}

pub(crate) struct SimSocket {
    net: Rc<Net>,
    connection: ConnectionId,
    side: usize,
}

impl SimSocket {
    pub(crate) async fn connect(
        net: &Rc<Net>,
        host: HostId,
        process: ProcessId,
        address: SocketAddr,
    ) -> io::Result<SimSocket> {
        let connection = net.with(|state| state.begin_connect(host, process, address))?;
        let socket = SimSocket {
            net: net.clone(),
            connection,
            side: 0,
        };
        poll_fn(|cx| socket.net.with(|state| state.poll_connected(cx, connection))).await?;
        Ok(socket)
    }

    pub(crate) async fn recv(&self, buf: &mut BytesMut) -> io::Result<usize> {
        poll_fn(|cx| self.poll_recv(cx, buf, RECV_BYTES_MAX)).await
    }

    pub(crate) async fn recv_exact(&self, buf: &mut BytesMut, n: usize) -> io::Result<()> {
        let mut left = n;
        while left > 0 {
            let got = poll_fn(|cx| self.poll_recv(cx, buf, left)).await?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= got;
        }
        Ok(())
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        self.net
            .with(|state| state.poll_recv(cx, self.connection, self.side, buf, max))
    }

    pub(crate) async fn send(&self, pieces: Vec<Piece>) -> io::Result<()> {
        let mut gathered = BytesMut::new();
        for piece in pieces {
            let bytes = match piece {
                Piece::Bytes(bytes) => bytes,
                Piece::File { file, offset, len } => {
                    let bytes = file.read(offset, len as usize).await?;
                    if bytes.len() < len as usize {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    bytes
                }
            };
            if gathered.len() + bytes.len() > SEGMENT_BYTES && !gathered.is_empty() {
                self.send_bytes(gathered.split().freeze()).await?;
            }
            if bytes.len() > SEGMENT_BYTES {
                self.send_bytes(bytes).await?;
            } else {
                gathered.extend_from_slice(&bytes);
            }
        }
        self.send_bytes(gathered.freeze()).await
    }

    async fn send_bytes(&self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            poll_fn(|cx| {
                self.net
                    .with(|state| state.poll_send(cx, self.connection, self.side, &mut bytes))
            })
            .await?;
        }
        Ok(())
    }

    pub(crate) fn shutdown(&self) {
        self.net
            .with(|state| state.shut_side(self.connection, self.side, now().as_nanos()));
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.net
            .with(|state| state.close_side(self.connection, self.side, now().as_nanos()));
    }
}

impl State {
    fn begin_connect(
        &mut self,
        host: HostId,
        process: ProcessId,
        address: SocketAddr,
    ) -> io::Result<ConnectionId> {
        let now_ns = now().as_nanos();
        let Some(there) = self.host_of(host, address.ip()) else {
            return Err(io::ErrorKind::HostUnreachable.into());
        };
        let ip = if there == host {
            Ipv4Addr::LOCALHOST.into()
        } else {
            host.ip()
        };
        let local = SocketAddr::new(ip, self.free_port(host));
        let remote = SocketAddr::new(
            if there == host {
                Ipv4Addr::LOCALHOST.into()
            } else {
                address.ip()
            },
            address.port(),
        );
        let connection = self.next_connection;
        self.next_connection += 1;
        // whose process the other side will be shows when it is accepted
        let sides = [
            Side::new(host, process, local, Hold::Connecting),
            Side::new(there, NOBODY, remote, Hold::Closed),
        ];
        let give_up_ns = now_ns + nanos(self.config.connect_max);
        self.connections
            .insert(connection, Connection { sides, give_up_ns });
        self.note("connect", connection, 0);
        let arrival = now_ns + self.latency_ns(host, there);
        let attempt = 0;
        self.at(arrival, Event::Syn { connection, attempt });
        Ok(connection)
    }

    fn poll_connected(&mut self, cx: &mut Context<'_>, connection: ConnectionId) -> Poll<io::Result<()>> {
        let Some(side) = self.side(connection, 0) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        match (side.failed, side.hold) {
            (Some(why), _) => Poll::Ready(Err(why.into())),
            (None, Hold::Connecting) => {
                side.sender = Some(cx.waker().clone());
                Poll::Pending
            }
            (None, Hold::Open) => Poll::Ready(Ok(())),
            (None, Hold::Closed | Hold::Forgotten) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        connection: ConnectionId,
        at: usize,
        buf: &mut BytesMut,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        let Some(side) = self.side(connection, at) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let mut got = 0;
        while got < max
            && let Some(first) = side.arrived.front_mut()
        {
            let part = first.len().min(max - got);
            buf.extend_from_slice(&first[..part]);
            first.advance(part);
            got += part;
            if first.is_empty() {
                side.arrived.pop_front();
            }
        }
        if got > 0 {
            self.acknowledge(connection, other(at), got);
            return Poll::Ready(Ok(got));
        }
        if let Some(why) = side.failed {
            return Poll::Ready(Err(why.into()));
        }
        if side.peer_is_done || side.is_shut {
            return Poll::Ready(Ok(0));
        }
        if side.hold != Hold::Open {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        side.receiver = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes some of the bytes, at least one.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        connection: ConnectionId,
        at: usize,
        bytes: &mut Bytes,
    ) -> Poll<io::Result<()>> {
        let buffer_bytes = self.config.buffer_bytes;
        let is_split = self.chance.happens(SPLIT_PPM);
        let split = self.chance.index(bytes.len()) + 1;
        let Some(side) = self.side(connection, at) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if let Some(why) = side.failed {
            return Poll::Ready(Err(why.into()));
        }
        let Flow {
            has_ended,
            taken_bytes,
            ..
        } = side.flow;
        if side.is_shut || has_ended || side.hold != Hold::Open {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = buffer_bytes.saturating_sub(taken_bytes);
        if room == 0 {
            side.sender = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut part = bytes.len().min(room);
        if is_split {
            part = part.min(split);
        }
        side.flow.taken_bytes += part;
        let segment = Segment::Data(bytes.split_to(part));
        self.send(connection, at, segment, now().as_nanos());
        Poll::Ready(Ok(()))
    }
}

const NOBODY: ProcessId = ProcessId(u64::MAX);
