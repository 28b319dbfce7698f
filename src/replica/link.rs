//! A follower's connection to a leader: requests out, frames in, in order.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use control::config::Endpoint;
use net::frame::{FrameError, missing_bytes, next_frame};
use reactor::{Piece, Socket};

use crate::address;

/// A rest of an answer longer than this is received at once.
const EXACT_RECEIVE_BYTES_MIN: usize = 16 * 1024;
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// Why a connection is given up.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect {
        host: String,
        port: u16,
        source: io::Error,
    },
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    #[error("what came is no answer: {0}")]
    Frame(#[from] FrameError),
}

pub struct Link {
    socket: Socket,
    received: BytesMut,
    answer_bytes_max: usize,
}

impl Link {
    pub async fn connect(host: &str, port: u16, answer_bytes_max: usize) -> Result<Link, LinkError> {
        let failed = |source| LinkError::Connect {
            host: host.to_owned(),
            port,
            source,
        };
        let connecting = async {
            let endpoint = Endpoint {
                host: host.to_owned(),
                port,
            };
            let address = address::resolve(&endpoint).await?;
            Socket::connect(address).await
        };
        let socket = reactor::timeout(CONNECT_PATIENCE, connecting)
            .await
            .unwrap_or(Err(io::ErrorKind::TimedOut.into()))
            .map_err(failed)?;
        Ok(Link {
            socket,
            received: BytesMut::new(),
            answer_bytes_max,
        })
    }

    pub async fn send(&self, frame: Bytes) -> Result<(), LinkError> {
        Ok(self.socket.send(vec![Piece::Bytes(frame)]).await?)
    }

    /// The next frame, its length taken off. Dropped while it waits, it loses nothing.
    pub async fn receive(&mut self) -> Result<BytesMut, LinkError> {
        loop {
            if let Some(frame) = next_frame(&mut self.received, self.answer_bytes_max)? {
                return Ok(frame);
            }
            match missing_bytes(&self.received, self.answer_bytes_max)? {
                Some(missing) if missing >= EXACT_RECEIVE_BYTES_MIN => {
                    self.socket.recv_exact(&mut self.received, missing).await?;
                }
                _ => {
                    if self.socket.recv(&mut self.received).await? == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                }
            }
        }
    }
}
