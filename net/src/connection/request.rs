//! What a service gets and gives back.

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use reactor::{Instant, Piece};

use crate::header::RequestHeader;

/// One request, header read, body as it came.
#[derive(Debug)]
pub struct Request {
    pub header: RequestHeader,
    /// The bytes after the header: exclusively owned, so that records can be patched in place. Small requests that came
    /// together share an allocation: copy what must live long.
    pub body: BytesMut,
    /// When its last byte was read.
    pub received: Instant,
    pub connection: Rc<ConnectionContext>,
}

/// What a service answers.
#[derive(Debug)]
pub enum Reply {
    /// A whole frame.
    Pieces(Vec<Piece>),
    /// Nothing: acks=0.
    None,
    /// No answer; the connection closes once the earlier ones are sent.
    Close,
}

impl Reply {
    pub fn len(&self) -> usize {
        match self {
            Reply::Pieces(pieces) => pieces.iter().map(Piece::len).sum(),
            Reply::None | Reply::Close => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Reply {
    fn from(frame: Bytes) -> Reply {
        Reply::Pieces(vec![Piece::Bytes(frame)])
    }
}

/// A number no other connection of the shard has or had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What all requests of a connection share.
#[derive(Debug)]
pub struct ConnectionContext {
    pub id: ConnectionId,
    /// The listener's name, e.g. `PLAINTEXT`.
    pub listener: Rc<str>,
    pub peer: SocketAddr,
    /// Name and version the client gave in ApiVersions, if it did.
    pub client_software: RefCell<Option<(StrBytes, StrBytes)>>,
}
