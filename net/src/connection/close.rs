//! Why a connection ended.

use std::io;

use crate::frame::FrameError;
use crate::header::HeaderError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    #[error("closed by the peer")]
    PeerClosed,
    #[error("closed by the peer in the middle of a request, {received} bytes of it received")]
    PeerClosedMidRequest { received: usize },
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Header(#[from] HeaderError),
    #[error("idle")]
    Idle,
    #[error("no memory for its requests within the limit")]
    NoMemory,
    #[error("closed by a request's handler")]
    Handler,
    #[error("a request's handler failed")]
    HandlerFailed,
    #[error("the broker shuts down")]
    Shutdown,
    #[error("{0}")]
    Io(io::ErrorKind),
}

impl CloseReason {
    /// A label for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            CloseReason::PeerClosed => "peer_closed",
            CloseReason::PeerClosedMidRequest { .. } => "peer_closed_mid_request",
            CloseReason::Frame(FrameError::Negative { .. }) => "frame_negative",
            CloseReason::Frame(FrameError::TooLarge { .. }) => "frame_too_large",
            CloseReason::Frame(FrameError::Tls) => "tls",
            CloseReason::Frame(FrameError::Http) => "http",
            CloseReason::Header(HeaderError::UnknownApi { .. }) => "unknown_api",
            CloseReason::Header(HeaderError::Malformed(_)) => "header_malformed",
            CloseReason::Idle => "idle",
            CloseReason::NoMemory => "no_memory",
            CloseReason::Handler => "handler",
            CloseReason::HandlerFailed => "handler_failed",
            CloseReason::Shutdown => "shutdown",
            CloseReason::Io(_) => "io",
        }
    }
}
