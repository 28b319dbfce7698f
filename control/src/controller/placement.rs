//! Which brokers get the replicas of new partitions.
//!
//! As Kafka's striped placer wants it: replicas of a partition on different racks first of all, on unfenced brokers
//! where a rack has one, and a fenced broker never first: the first replica leads. Where Kafka's takes racks in turn for leaders,
//! we take brokers: a rack of one broker would lead as much as a rack of ten.
//!
//! Brokers stand in a row that alternates between racks. In each round every active broker leads one partition, and the row is
//! turned by another number of places each round. Without that, brokers and shards, both counted through by the partition's number,
//! would meet in step: with two brokers of two shards each, every partition of a broker would lie on the same shard. The
//! numbers of places are the digit sums of the round (Thue and Morse's sequence for two brokers), which are in step with
//! no number of shards.

use std::collections::BTreeMap;

use super::directories::DirectoryChoice;
use super::error::{ApiError, ErrorCode};
use crate::image::{BrokerImage, ClusterImage, PartitionImage};
use crate::record::{BrokerId, PartitionEpoch};
use engine::types::LeaderEpoch;

/// A broker that takes replicas.
struct Seat {
    id: BrokerId,
    /// Number of its rack.
    rack: usize,
    is_active: bool,
    /// Replicas given to it that are not first.
    follower_count: usize,
}

/// Brokers in the order they take replicas: first the active ones.
pub(super) struct Placement {
    seats: Vec<Seat>,
    active_count: usize,
    start: usize,
}

impl Placement {
    /// `start` says which broker leads the first partition; any number will do.
    pub(super) fn new(image: &ClusterImage, start: u64) -> Self {
        // Who is about to stop takes nothing new.
        let usable = image
            .brokers()
            .values()
            .filter(|broker| !broker.in_controlled_shutdown);
        let mut racks: BTreeMap<&Option<String>, usize> = BTreeMap::new();
        for broker in usable.clone() {
            let next = racks.len();
            racks.entry(&broker.rack).or_insert(next);
        }
        let (active, fenced): (Vec<_>, Vec<_>) = usable.partition(|broker| !broker.fenced);
        let active_count = active.len();
        let seat = |broker: &BrokerImage| Seat {
            id: broker.id,
            rack: racks.get(&broker.rack).copied().unwrap_or(0),
            is_active: !broker.fenced,
            follower_count: 0,
        };
        let row = alternate_racks(active.into_iter().map(|broker| &**broker));
        let fenced = alternate_racks(fenced.into_iter().map(|broker| &**broker));
        Placement {
            seats: row.into_iter().chain(fenced).map(seat).collect(),
            active_count,
            start: (start % (active_count.max(1) as u64)) as usize,
        }
    }

    /// Whether `replication_factor` replicas can be placed; the reason in Kafka's words.
    pub(super) fn check(&self, replication_factor: usize) -> Result<(), ApiError> {
        let refuse = |reason: &str| {
            Err(ApiError::new(
                ErrorCode::INVALID_REPLICATION_FACTOR,
                format!("Unable to replicate the partition {replication_factor} time(s): {reason}"),
            ))
        };
        let registered = self.seats.len();
        if self.active_count == 0 {
            refuse("All brokers are currently fenced.")
        } else if replication_factor > registered {
            refuse(&format!(
                "The target replication factor of {replication_factor} cannot be reached because only \
                 {registered} broker(s) are registered."
            ))
        } else {
            Ok(())
        }
    }

    /// Replicas of the `number`th partition, the leader first. Only after [`Placement::check`].
    pub(super) fn replicas(&mut self, number: usize, replication_factor: usize) -> Vec<BrokerId> {
        let Some(round) = number.checked_div(self.active_count) else {
            return Vec::new();
        };
        let turn = digit_sum(round, self.active_count);
        let leader = (self.start + number + turn) % self.active_count;
        let mut chosen = vec![leader];
        while chosen.len() < replication_factor {
            let Some(next) = self.next_follower(&chosen, round) else {
                break;
            };
            if let Some(seat) = self.seats.get_mut(next) {
                seat.follower_count += 1;
            }
            chosen.push(next);
        }
        let seats = chosen.into_iter().filter_map(|index| self.seats.get(index));
        seats.map(|seat| seat.id).collect()
    }

    /// The seat that follows best: in the rack that has the fewest of these, active, with little to follow, and close behind the
    /// leader in the row - how close, differs by round, so that no two brokers share all their partitions.
    fn next_follower(&self, chosen: &[usize], round: usize) -> Option<usize> {
        let leader = chosen.first().copied()?;
        let in_rack = |rack: usize| {
            let seats = chosen.iter().filter_map(|index| self.seats.get(*index));
            seats.filter(|seat| seat.rack == rack).count()
        };
        let count = self.seats.len();
        let distance = |index: usize| {
            let behind = (index + count - leader - 1) % count;
            let others = count.saturating_sub(1).max(1);
            (behind + others - round % others) % others
        };
        let free = self
            .seats
            .iter()
            .enumerate()
            .filter(|(index, _)| !chosen.contains(index));
        let best = free.min_by_key(|(index, seat)| {
            (
                in_rack(seat.rack),
                !seat.is_active,
                seat.follower_count,
                distance(*index),
            )
        });
        best.map(|(index, _)| index)
    }
}

/// Sum of the digits of `number` in base `base`.
fn digit_sum(mut number: usize, base: usize) -> usize {
    if base < 2 {
        return 0;
    }
    let mut sum = 0;
    while number > 0 {
        sum += number % base;
        number /= base;
    }
    sum
}

/// One broker of each rack in turn. Brokers without a rack are a rack together.
fn alternate_racks<'a>(brokers: impl Iterator<Item = &'a BrokerImage>) -> Vec<&'a BrokerImage> {
    let mut racks: BTreeMap<&Option<String>, Vec<&BrokerImage>> = BTreeMap::new();
    for broker in brokers {
        racks.entry(&broker.rack).or_default().push(broker);
    }
    let longest = racks.values().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .flat_map(|index| racks.values().filter_map(move |rack| rack.get(index).copied()))
        .collect()
}

/// The first state of a partition with these replicas, led by the first of them that is active; `None` when none is.
pub(super) fn new_partition(
    image: &ClusterImage,
    replicas: Vec<BrokerId>,
    choice: &mut DirectoryChoice,
) -> Option<PartitionImage> {
    let is_active = |id: &BrokerId| image.broker(*id).is_some_and(|broker| broker.is_active());
    let isr: Vec<_> = replicas.iter().copied().filter(|id| is_active(id)).collect();
    let leader = *isr.first()?;
    let directories = replicas.iter().map(|id| choice.choose(image, *id)).collect();
    Some(PartitionImage {
        replicas,
        directories,
        isr,
        leader: Some(leader),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        ..PartitionImage::default()
    })
}

/// Kafka's rules for replicas named by hand. `replication_factor` is that of the topic's other partitions, if known.
pub(super) fn check_manual(
    image: &ClusterImage,
    replicas: &[BrokerId],
    replication_factor: Option<usize>,
) -> Result<(), ApiError> {
    let refuse = |message: String| Err(ApiError::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
    if replicas.is_empty() {
        return refuse("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let mut sorted = replicas.to_vec();
    sorted.sort();
    let mut previous = None;
    for id in sorted {
        if image.broker(id).is_none() {
            return refuse(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        }
        if previous == Some(id) {
            return refuse(format!(
                "The manual partition assignment includes the broker {id} more than once."
            ));
        }
        previous = Some(id);
    }
    match replication_factor {
        Some(expected) if expected != replicas.len() => refuse(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not \
             consistent with previous partitions, which have {expected} replica(s).",
            replicas.len()
        )),
        _ => Ok(()),
    }
}
