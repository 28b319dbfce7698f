//! The metadata log on a quorum of its own members: [`crate::quorum`]'s rules, with a disk and a network.
//!
//! ```text
//!               ask, answer                 step                     write, sync
//!  network  <----------------->  Host  <------------>  Core      <-----------------  disk task
//!  (root package)                  |                                                (one batch at a time)
//!                                  `---- appends wait here until they are committed, or certainly never will be
//! ```
//! On disk it is what the embedded log is (`__cluster_metadata-0`: segments and snapshots in Kafka's format), and `quorum-state`
//! beside them. Only what is committed is shown to the readers of the log.

mod disk_task;
mod election_state;
mod encode;
mod files;
mod host;
mod local_network;
mod log;
mod network;
mod pending;
mod voters_record;

pub use election_state::{encode as encode_election_state, parse as parse_election_state};
pub use encode::decode as decode_entries;
pub use local_network::{Cut, LocalNetwork};
pub use log::{QuorumConfig, QuorumMetaLog};
pub use network::{ChangeOutcome, QuorumNetwork, QuorumPeers, QuorumServer};

#[cfg(test)]
mod tests;
