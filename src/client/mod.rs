//! The tools' client of a whole cluster: a thin layer over `net::client`, which knows one connection.
//!
//! [`Cluster`] finds brokers, leaders and coordinators and keeps a connection to each; [`retry`] says which failures
//! are worth another try. The rest is one file per conversation: [`offsets`], [`producer`], [`fetch`], [`membership`].

mod assignment;
mod batches;
mod cluster;
mod error;
mod fetch;
mod membership;
mod offsets;
mod partitioner;
mod producer;
mod retry;
mod topic;

pub use assignment::decode_assignment;
pub use batches::for_each_record;
pub use cluster::{ClientConfig, Cluster};
pub use error::{AskError, refused, text};
pub use fetch::{FetchConfig, Position, fetch};
pub use membership::{Membership, MembershipConfig, commit_topics};
pub use offsets::{OffsetSpec, list_offsets};
pub use partitioner::partition_of_key;
pub use producer::{Acks, Producer};
pub use retry::retry;
pub use topic::{Partition, Topic};
