//! The group coordinators of a shard: one machine of `control::group` per partition of `__consumer_offsets` that the shard owns.
//!
//! Here is what the machine must not have: the log, the clock, and the clients that wait.

mod ask;
mod host;
mod load;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub use ask::{ask, ask_all, confused};
pub use host::Host;

use net::error::ErrorCode;

use crate::shard::{PartitionKey, Shard};

/// The topic that keeps groups and committed offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The coordinators that live on a shard, by partition of the offsets topic.
#[derive(Default)]
pub struct Coordinators {
    hosts: RefCell<BTreeMap<i32, Rc<Host>>>,
}

impl Coordinators {
    pub fn get(&self, partition: i32) -> Option<Rc<Host>> {
        self.hosts.borrow().get(&partition).cloned()
    }

    pub fn all(&self) -> Vec<Rc<Host>> {
        self.hosts.borrow().values().cloned().collect()
    }

    /// The coordinator of a partition of the offsets topic. On its first use, and at start if the partition has anything, it takes the
    /// partition over: reads it from its start, then serves its groups. Others who ask meanwhile are told that it loads.
    ///
    /// # Errors
    /// When the partition is not here, or its log cannot be read; the next who asks tries again, and all others are served.
    pub async fn host(&self, shard: &Rc<Shard>, index: i32) -> Result<Rc<Host>, ErrorCode> {
        if let Some(host) = self.get(index) {
            return Ok(host);
        }
        let topic_id = shard
            .image()
            .topic_id(OFFSETS_TOPIC)
            .ok_or(ErrorCode::NotCoordinator)?;
        let partition = match shard.led_partition(&PartitionKey { topic_id, index }).await {
            Err(ErrorCode::NotLeaderOrFollower) => return Err(ErrorCode::NotCoordinator),
            found => found?,
        };
        if let Some(host) = self.get(index) {
            return Ok(host); // somebody else was quicker
        }
        let host = Host::new(partition.clone(), shard.group_config());
        self.hosts.borrow_mut().insert(index, host.clone());
        if let Err(error) = load::replay(&host, &partition).await {
            tracing::error!(partition = index, %error, "the groups of this partition cannot be served");
            self.unload_this(index, &host);
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        if self.get(index).is_none_or(|current| !Rc::ptr_eq(&current, &host)) {
            return Err(ErrorCode::NotCoordinator); // the partition is gone again
        }
        host.start();
        Ok(host)
    }

    fn unload_this(&self, index: i32, host: &Rc<Host>) {
        if self.get(index).is_some_and(|current| Rc::ptr_eq(&current, host)) {
            self.unload(index);
        }
    }

    /// The partition is gone; everybody who waits is sent away.
    pub fn unload(&self, partition: i32) {
        let host = self.hosts.borrow_mut().remove(&partition);
        if let Some(host) = host {
            host.stop();
        }
    }

    /// Tells every coordinator that topics were deleted, so that their offsets go too.
    pub fn topics_deleted(&self, topics: &[String]) {
        for host in self.all() {
            host.topics_deleted(topics.to_vec());
        }
    }
}
