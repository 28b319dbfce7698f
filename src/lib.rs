//! The broker as a library: what `main.rs` runs, and what the whole-cluster simulation runs on machines that do not exist.

mod address;
mod admin;
mod api;
pub mod cli;
mod client;
mod control_channel;
mod coordinator;
mod dispatch;
mod fetch_read;
mod fetch_session;
mod log_dirs;
mod metrics;
mod partition;
mod produce_error;
mod producer_ids;
mod publish;
mod purgatory;
mod quorum_wire;
mod registration;
mod replica;
pub mod serve;
mod shard;
mod store;
mod topic_config;
mod watchdog;
