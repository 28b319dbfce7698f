//! A shard: one core's share of the broker. It owns partitions and connections, and shares nothing but immutable
//! cluster images and bounded mailboxes with the others.

mod departed;
mod flag;
mod follow;
mod gate;
mod idle;
mod log_directory;
mod maintenance;
mod mesh;
mod moving;
mod new_disk;
mod opening;
mod partitions;
mod place;
pub mod router;
mod run;
mod scatter;
#[allow(clippy::module_inception)]
mod shard;
mod sizes;

pub use mesh::{Mesh, ShardPorts};
pub use moving::alter_directory;
pub use partitions::{LastRun, Partitions, first_visit_ms};
pub use place::{Kept, Place};
pub use router::{Router, ShardGone, ShardId};
pub use run::{Setup, adopt, apply, checkpoints, close, directories_failed, drain, end, run};
pub use scatter::{PartitionKey, scatter};
pub use shard::{AdvertisedListener, Endpoint, Node, Shard};
