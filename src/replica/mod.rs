//! Replication: what a shard does for the rules of `engine::replica`.
//!
//! ```text
//!               follower's shard                                     leader's shards
//! role (image) -> fetchers -> link --- Fetch (session) ---> serve -> sessions -> part -> partition (leader)
//!                    |                                        ^                    |         |
//!                    v                                        +---- signal <-------+         v
//!           append_as_follower, commit                                           acknowledgements, isr_changes
//! ```
//! A follower's fetch offset is the end of what is on its disk, so the next fetch is the acknowledgement of the last answer.
//! Partitions in which nothing happens cost an entry in a map on either side, and nothing per fetch.

mod acknowledgements;
mod fetcher;
mod fetchers;
mod isr_changes;
mod link;
mod part;
mod repair;
mod role;
mod serve;
mod session;
mod signal;
mod throttles;

pub use acknowledgements::{Acknowledgements, Unacknowledged};
pub use fetchers::Fetchers;
pub use isr_changes::IsrChanges;
pub use part::{Part, Parts};
pub use role::{Role, RoleChange, RoleFacts};
pub use serve::{FollowerCall, answer};
pub use session::FollowerSessions;
pub use throttles::Throttles;

use std::rc::Rc;
use std::time::Duration;

use crate::shard::Shard;

/// The replication of one shard.
#[derive(Default)]
pub struct Replication {
    pub isr_changes: Rc<IsrChanges>,
    /// Of followers whose connections this shard has.
    pub sessions: FollowerSessions,
    /// Of followers that follow partitions of this shard.
    pub parts: Parts,
    pub fetchers: Fetchers,
    pub throttles: Throttles,
}

/// Starts what runs as long as the shard does.
pub fn start(shard: &Rc<Shard>) {
    reactor::spawn(isr_changes::run(shard.clone())).detach();
    reactor::spawn(look_for_lag(shard.clone())).detach();
}

/// Twice per `replica.lag.time.max.ms`, as in Kafka: who has not kept up is asked out of the ISR.
async fn look_for_lag(shard: Rc<Shard>) {
    let every = Duration::from_millis((shard.node.config.replication.lag_max_ms / 2).max(1));
    loop {
        reactor::sleep(every).await;
        for key in shard.partitions.opened_keys() {
            if let Some(partition) = shard.partitions.opened(&key) {
                partition.look_for_lag();
            }
        }
    }
}
