//! How the control threads of a cluster reach each other. The root package, which has the network, fills it in.

use std::io;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use thiserror::Error;

use super::remote::RemoteCalls;
use crate::config::Endpoint;

/// Why a member was not reached, or did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeerError {
    /// Nobody listens there: the process is gone.
    #[error("the connection was refused")]
    Refused,
    /// Nothing was sent.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// The request may have arrived, and may even have been answered.
    #[error("the connection was lost: {0}")]
    Lost(String),
}

/// The way to other members.
pub trait Peers: 'static {
    fn connect(&self, to: &Endpoint) -> LocalBoxFuture<'static, Result<Rc<dyn Peer>, PeerError>>;
}

/// A connection to another member's control thread; closed when the last handle is dropped. Questions are pipelined.
pub trait Peer: 'static {
    fn ask(&self, question: Vec<u8>) -> LocalBoxFuture<'static, Result<Vec<u8>, PeerError>>;

    /// Answers when the connection is gone.
    fn lost(&self) -> LocalBoxFuture<'static, ()>;
}

/// An open control listener.
pub struct ControlNetwork {
    /// Where others reach it.
    pub endpoint: Endpoint,
    pub peers: Rc<dyn Peers>,
    /// Begins to accept.
    pub serve: Box<dyn FnOnce(Rc<RemoteCalls>)>,
}

/// Opens the control listener. Called on the control thread.
pub type OpenNetwork =
    Box<dyn FnOnce() -> LocalBoxFuture<'static, io::Result<ControlNetwork>> + Send + 'static>;
