//! The cluster as one immutable value, and how metadata records change it.
//!
//! Every broker replays the same records into the same image; shards are handed the image and what changed.

mod broker;
mod cluster;
mod config;
mod delta;
mod kept;
mod replay;
mod replica_index;
mod snapshot;
mod topic;
mod transaction;

pub use broker::BrokerImage;
pub use cluster::{ClusterImage, MetadataPosition};
pub use config::{ConfigMap, ConfigResource, ResourceKind};
pub use delta::{Delta, TopicDelta};
pub use replay::ApplyError;
pub use topic::{LeaderRecovery, PartitionImage, TopicImage};
pub use transaction::{TransactionAssembler, TransactionError};
