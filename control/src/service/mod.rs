//! The controller at work: a thread with its own reactor that takes requests from all shards, decides them in groups,
//! makes the records durable, hands the new image to the shards, and only then answers.
//!
//! ```text
//!  shard 0  ControllerHandle --mailbox--\                                   /--> shard 0 applies image + delta
//!  shard 1  ControllerHandle --mailbox---> inbox -> decide -> append+sync -> publish      |
//!  shard n  ControllerHandle --mailbox--/     (a group at a time)           \--> shard n  |
//!                 ^------------------------------------ answers <---- all applied <-------/
//! ```
//! An answer after the publish means: whoever created a topic finds it on whichever shard his next request lands.
//!
//! Bounds: each shard's mailbox, the inbox, and the group taken from it. A full mailbox refuses at once
//! ([`CallError::Busy`]); nothing waits without having a place.

mod admission;
mod inbox;
mod port;
mod replay;
mod runner;
mod start;

pub use admission::AdmissionError;
pub use port::{CallError, ControllerHandle, ControllerPort, ServiceFault};
pub use runner::Publish;
pub use start::{ControllerService, ServiceConfig, StartError, Started, start};

#[cfg(test)]
mod tests;
