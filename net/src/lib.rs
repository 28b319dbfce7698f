//! Bytes <-> requests: Kafka's wire protocol, connections and their order, a client.
//!
//! Nothing here knows a log, a topic or a cluster. In the order of first reading:
//! [`header`] and [`message`] turn frames into messages and back, [`shape`] refuses what a decoder must not see,
//! [`produce`] and [`fetch`] do it without copying records, [`versions_beyond_crate`] has the versions that
//! kafka-protocol lacks; [`connection`] is the server's side of a connection, [`listener`] hands them out,
//! [`client`] is the other side.

pub mod client;
pub mod connection;
pub mod error;
pub mod fetch;
pub mod frame;
pub mod header;
pub mod listener;
pub mod message;
pub mod produce;
mod request_types;
pub mod shape;
pub mod versions_beyond_crate;
pub mod wire;

pub use error::ErrorCode;
