//! A shard: one core's share of the broker. It owns partitions and connections, and shares nothing but immutable
//! cluster images and bounded mailboxes with the others.

mod flag;
mod maintenance;
mod mesh;
mod partitions;
pub mod router;
mod run;
mod scatter;
#[allow(clippy::module_inception)]
mod shard;

pub use mesh::{Mesh, ShardPorts};
pub use partitions::LastRun;
pub use router::{Router, ShardGone, ShardId};
pub use run::{Setup, adopt, apply, checkpoints, close, drain, end, run};
pub use scatter::{PartitionKey, scatter};
pub use shard::{AdvertisedListener, Endpoint, Node, Shard};
