//! The control thread: follows the metadata log, hands its images to the shards, and leads the cluster when it is this
//! member's turn.
//!
//! ```text
//!  shard 0  ControllerHandle --mailbox--\            leading:  queue -> decide -> append -> publish -> answer
//!  shard n  ControllerHandle --mailbox---> front ---<
//!  other members --control listener-----/            following: forward to the controller, answer when its
//!                                                               offset has been published here
//!  metadata log --(read, apply)--> image --publish--> every shard
//! ```
//! An answer after the publish means: whoever created a topic finds it on whichever shard of that broker his next request lands.
//!
//! In the order of first reading: [`Runner`](runner) (following, campaigns), [`leader`], [`front`], [`membership`] (this
//! broker's registration and heartbeats), [`watch`] (everybody's, at the controller).
//!
//! Bounds: each shard's mailbox, the queue and the group taken from it, the calls on their way to another broker. A full
//! mailbox refuses at once ([`CallError::Busy`]); nothing waits without having a place.

mod admission;
mod board;
mod figures;
mod follower;
mod front;
mod leader;
mod membership;
mod peers;
mod port;
mod probe;
mod queue;
mod remote;
mod replay;
mod runner;
mod session;
mod snapshots;
mod start;
mod watch;
mod wire;

pub use admission::AdmissionError;
pub use figures::Figures;
pub use membership::Registration;
pub use peers::{ControlNetwork, OpenNetwork, Peer, PeerError, Peers};
pub use port::{CallError, ControllerHandle, ControllerPort, ServiceFault};
pub use probe::CONTROL_LISTENER;
pub use remote::{RemoteCalls, RemoteConnection};
pub use runner::Publish;
pub use session::Session;
pub use start::{ControllerService, ServiceConfig, StartError, Started, start};

#[cfg(test)]
mod tests;
