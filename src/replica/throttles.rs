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
use crate::shard::Shard;

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
        let is_in_sync = partition.leading(|leader| {
            let mut followers = leader.followers();
            followers.any(|view| view.id == follower && view.is_in_sync)
        });
        if is_in_sync == Some(true) {
            return None;
        }
        let rate = self.part_of(self.dynamic().leader_throttled_bytes_per_second);
        let throttles = &self.replication.throttles;
        throttles.leader.closed_until(reactor::now(), rate)
    }

    pub(super) fn sent(&self, partition: &Partition, bytes: u32) {
        if bytes > 0 && self.is_leader_throttled(partition) {
            let (now, rate) = (
                reactor::now(),
                self.part_of(self.dynamic().leader_throttled_bytes_per_second),
            );
            let throttles = &self.replication.throttles;
            throttles
                .leader
                .with(now, rate, |throttle| throttle.charge(now, bytes.into()));
        }
    }

    /// Counts records that a follower of this shard has copied. Until when it must not ask for more; `None`: not at all.
    pub(super) fn copies_not_before(
        &self,
        partition: &Partition,
        bytes: usize,
        high_watermark: Offset,
    ) -> Option<Instant> {
        let index = PartitionId(partition.id.index);
        if bytes == 0
            || !partition
                .config()
                .follower_throttled
                .contains(index, self.node.id)
        {
            return None;
        }
        let (now, rate) = (
            reactor::now(),
            self.part_of(self.dynamic().follower_throttled_bytes_per_second),
        );
        let lane = &self.replication.throttles.follower;
        lane.with(now, rate, |throttle| throttle.charge(now, bytes as u64));
        let is_behind = partition.log.end_offset() < high_watermark;
        if is_behind {
            lane.closed_until(now, rate)
        } else {
            None
        }
    }

    fn is_leader_throttled(&self, partition: &Partition) -> bool {
        let index = PartitionId(partition.id.index);
        partition.config().leader_throttled.contains(index, self.node.id)
    }

    /// This shard's part of the broker's rate. A little is never nothing.
    fn part_of(&self, bytes_per_second: u64) -> u64 {
        bytes_per_second.div_ceil(self.router.shard_count().max(1) as u64)
    }
}
