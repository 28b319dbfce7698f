//! The rules by which the replicas of a partition agree: pure, no clock, no network, no disk.
//!
//! [`Leader`] is the leader's side: it knows how far each follower is, moves the high watermark, and asks for changes of the ISR.
//! [`Follower`] is the other side: from where to fetch, and what to do when its log and the leader's part. [`Throttle`] bounds what
//! moves of partitions take of the network.
//!
//! Contract with the shard:
//! - tell the peer what happened (`handle_*`), then do what [`Leader::poll_action`] or [`Follower::poll_action`] says until it says
//!   nothing more;
//! - call [`Leader::handle_timer`] every half of `replica.lag.time.max.ms`, as Kafka does;
//! - a follower's fetch offset is the end of what is on *its* stable storage, and the leader may send what is not yet on its own: the
//!   high watermark counts durable ends only, the leader's included.
//!
//! Timeline of the loss that the last rule prevents: the leader counts what a follower has in memory, acknowledges, and all machines
//! lose power at once.

mod follower;
mod leader;
#[cfg(test)]
mod model;
mod throttle;

pub use follower::{
    Diverging, FetchPosition, FetchedPartition, Follower, FollowerAction, FollowerLog, FollowerState, Refusal,
};
pub use leader::{
    ASK_AGAIN_AFTER, AlterIsr, AlterRefusal, FollowerFetch, FollowerView, Leader, LeaderAction, LogEnds,
    PartitionState, Replica,
};
pub use throttle::Throttle;
