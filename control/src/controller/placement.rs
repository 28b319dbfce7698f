//! Which brokers get the replicas of new partitions.
//!
//! Striped, as Kafka's placer: brokers in a row that alternates between racks, the first replica moving on by one with
//! each partition, the others following it. So leaders spread evenly, and so do replicas, over brokers and racks.
//! Fenced brokers come last and never first: the first replica leads.

use std::collections::BTreeMap;

use super::directories::DirectoryChoice;
use super::error::{ApiError, ErrorCode};
use crate::image::{BrokerImage, ClusterImage, PartitionImage};
use crate::record::{BrokerId, PartitionEpoch};
use engine::types::LeaderEpoch;

/// Brokers in the order they take replicas.
pub(super) struct Placement {
    active: Vec<BrokerId>,
    /// Registered, but fenced or shutting down: they take replicas only when the others are too few.
    inactive: Vec<BrokerId>,
    start: usize,
}

impl Placement {
    /// `start` says which broker leads the first partition; any number will do.
    pub(super) fn new(image: &ClusterImage, start: u64) -> Self {
        let (active, inactive): (Vec<_>, Vec<_>) =
            image.brokers().values().partition(|broker| broker.is_active());
        Placement {
            start: (start % (active.len().max(1) as u64)) as usize,
            active: alternate_racks(active.into_iter().map(|broker| &**broker)),
            inactive: alternate_racks(inactive.into_iter().map(|broker| &**broker)),
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
        let registered = self.active.len() + self.inactive.len();
        if self.active.is_empty() {
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
    pub(super) fn replicas(&self, number: usize, replication_factor: usize) -> Vec<BrokerId> {
        let turn = |brokers: &[BrokerId], first: usize| {
            let (before, from) = brokers.split_at(first % brokers.len().max(1));
            from.iter().chain(before).copied().collect::<Vec<_>>()
        };
        let mut replicas = turn(&self.active, self.start.wrapping_add(number));
        replicas.extend(turn(&self.inactive, number));
        // After each round every leader meets other followers, so that no two brokers share all partitions.
        if let Some(followers) = replicas.get_mut(1..self.active.len().max(1))
            && !followers.is_empty()
        {
            let shift = number / self.active.len() % followers.len();
            followers.rotate_left(shift);
        }
        replicas.truncate(replication_factor);
        replicas
    }
}

/// One broker of each rack in turn. Brokers without a rack are a rack together.
fn alternate_racks<'a>(brokers: impl Iterator<Item = &'a BrokerImage>) -> Vec<BrokerId> {
    let mut racks: BTreeMap<&Option<String>, Vec<BrokerId>> = BTreeMap::new();
    for broker in brokers {
        racks.entry(&broker.rack).or_default().push(broker.id);
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
