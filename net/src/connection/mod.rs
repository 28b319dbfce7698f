//! The server's side of a connection.
//!
//! Two things, kept apart: [`Peer`] is the rules (framing, order, limits, when to close) without any IO;
//! the driver moves bytes between it, the socket and the [`Service`]. In the order of first reading: [`Request`] and
//! [`Reply`], [`Limits`], [`Peer`], [`Connections`].
//!
//! Order, the promise to clients: answers leave in request order. Produce requests that follow each other run at the same
//! time (each begins, and takes its place in the log, in request order); any other request begins when all earlier
//! ones are answered, and nothing begins before it is answered. Kafka processes one request of a connection at a time, so no
//! client can tell the difference, except by how fast its pipelined produce requests are.

mod close;
mod counters;
mod driver;
mod limits;
mod peer;
mod request;
mod set;
#[cfg(test)]
mod transcript;

pub use close::CloseReason;
pub use counters::ConnectionCounters;
pub use driver::Service;
pub use limits::Limits;
pub use peer::{Action, Frame, Peer, Reading, RequestNumber};
pub use request::{ConnectionContext, ConnectionId, Reply, Request};
pub use set::{Connections, Drained};
