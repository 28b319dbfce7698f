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
pub use load::LoadError;

use crate::partition::Partition;
use crate::shard::Shard;

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

    /// Takes over a partition of the offsets topic: reads it from its start, then serves its groups.
    ///
    /// # Errors
    /// When the log cannot be read; the groups of this partition then stay unavailable, all others are served.
    pub async fn load(&self, shard: &Rc<Shard>, partition: Rc<Partition>) -> Result<(), LoadError> {
        let index = partition.id.index;
        let host = Host::new(partition.clone(), shard.group_config());
        self.hosts.borrow_mut().insert(index, host.clone());
        load::replay(&host, &partition).await?;
        host.start();
        Ok(())
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
