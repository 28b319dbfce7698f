//! What partitions on their way to other brokers may take of the network, so that the rest is left to clients: the rates
//! `leader.replication.throttled.rate` and `follower.replication.throttled.rate` of this broker, an equal part for each shard, for the
//! replicas that their topics name.
//!
//! As in Kafka only replicas that are behind wait; what those in sync take counts all the same, so that they come first.

use std::cell::RefCell;
use std::time::Duration;

use control::record::PartitionId;
use engine::replica::Throttle;
use engine::types::{Offset, ReplicaId};
use reactor::Instant;

use crate::partition::Partition;
use crate::shard::{PartitionKey, Shard};

/// The throttles of one shard.
#[derive(Default)]
pub struct Throttles {
    /// Of what it sends to followers.
    leader: Lane,
    /// Of what it copies from leaders.
    follower: Lane,
}

/// One direction. Made when first used: nearly always nothing is throttled.
#[derive(Default)]
struct Lane(RefCell<Option<Throttle>>);

/// A closed throttle is looked at again after this long at the latest: its rate may be another by then, or nobody's any more.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Lane {
    fn with<T>(&self, now: Instant, rate: u64, ask: impl FnOnce(&mut Throttle) -> T) -> T {
        let mut throttle = self.0.borrow_mut();
        let throttle = throttle.get_or_insert_with(|| Throttle::new(now, rate));
        if throttle.bytes_per_second() != rate {
            throttle.set_rate(now, rate);
        }
        ask(throttle)
    }

    /// `None`: open.
    fn closed_until(&self, now: Instant, rate: u64) -> Option<Instant> {
        self.with(now, rate, |throttle| {
            let latest = now + LOOK_AGAIN_AFTER;
            let opens = throttle.opens_at(now).map_or(latest, |opens| opens.min(latest));
            (opens > now).then_some(opens)
        })
    }
}

impl Shard {
    /// Until when a follower must wait for the records of a partition that this broker leads; `None`: not at all.
    pub(super) fn sends_not_before(&self, partition: &Partition, follower: ReplicaId) -> Option<Instant> {
        if !self.is_leader_throttled(partition) {
            return None;
        }
        if is_in_sync(partition, follower) {
            return None;
        }
        let throttles = &self.replication.throttles;
        throttles.leader.closed_until(reactor::now(), self.leader_rate())
    }

    /// Counts what a follower is given.
    pub(super) fn sent(&self, partition: &Partition, follower: ReplicaId, bytes: u32) {
        if bytes == 0 || !self.is_leader_throttled(partition) {
            return;
        }
        let now = reactor::now();
        let is_bound = !is_in_sync(partition, follower);
        self.replication
            .throttles
            .leader
            .with(now, self.leader_rate(), |throttle| {
                throttle.charge(now, bytes.into(), is_bound)
            });
    }

    /// Counts records that a follower of this shard has copied. Until when it must not ask for more; `None`: not at all.
    pub(super) fn copies_not_before(
        &self,
        partition: &Partition,
        bytes: usize,
        high_watermark: Offset,
    ) -> Option<Instant> {
        if bytes == 0 || !self.is_follower_throttled(partition) {
            return None;
        }
        let (now, rate) = (reactor::now(), self.follower_rate());
        let lane = &self.replication.throttles.follower;
        let is_behind = partition.log.end_offset() < high_watermark;
        lane.with(now, rate, |throttle| {
            throttle.charge(now, bytes as u64, is_behind)
        });
        if is_behind {
            lane.closed_until(now, rate)
        } else {
            None
        }
    }

    /// The same for a follower that has waited.
    pub(super) fn copying_closed_until(&self, key: &PartitionKey) -> Option<Instant> {
        let partition = self.partitions.opened(key)?;
        if !self.is_follower_throttled(&partition) {
            return None;
        }
        let lane = &self.replication.throttles.follower;
        lane.closed_until(reactor::now(), self.follower_rate())
    }

    fn is_follower_throttled(&self, partition: &Partition) -> bool {
        let index = PartitionId(partition.id.index);
        let config = partition.config();
        config.follower_throttled.contains(index, self.node.id)
    }

    fn is_leader_throttled(&self, partition: &Partition) -> bool {
        let index = PartitionId(partition.id.index);
        partition.config().leader_throttled.contains(index, self.node.id)
    }

    fn leader_rate(&self) -> u64 {
        self.part_of(self.dynamic().leader_throttled_bytes_per_second)
    }

    fn follower_rate(&self) -> u64 {
        self.part_of(self.dynamic().follower_throttled_bytes_per_second)
    }

    /// This shard's part of the broker's rate. A little is never nothing.
    fn part_of(&self, bytes_per_second: u64) -> u64 {
        bytes_per_second.div_ceil(self.router.shard_count().max(1) as u64)
    }
}

fn is_in_sync(partition: &Partition, follower: ReplicaId) -> bool {
    let found = partition.leading(|leader| {
        let mut followers = leader.followers();
        followers.any(|view| view.id == follower && view.is_in_sync)
    });
    found == Some(true)
}
