//! AlterPartitionReassignments: replicas move to other brokers (KIP-455, KIP-860).
//!
//! New replicas are added, and only when all of them are in sync are the old ones taken away: the partition never has fewer copies
//! than before. Until then it can be cancelled, which takes the added ones away again.

use std::collections::BTreeSet;

use super::decider::{Controller, Decision};
use super::directories::DirectoryChoice;
use super::elections::{Candidates, ElectionConfigs, Found};
use super::error::{ApiError, ErrorCode};
use super::partition_change::PartitionChange;
use super::placement;
use super::request::AlterPartitionReassignments;
use super::response::{ReassignedPartition, Response};
use crate::image::{ClusterImage, LeaderRecovery, PartitionImage};
use crate::record::{BrokerId, PartitionChangeRecord, PartitionId, Record};

impl Controller {
    pub(super) fn alter_partition_reassignments(
        &self,
        request: AlterPartitionReassignments,
        image: &ClusterImage,
    ) -> Decision {
        let factor = if request.allow_replication_factor_change {
            ReplicationFactor::MayChange
        } else {
            ReplicationFactor::Stays
        };
        self.with_election_configs(image, |mut configs| {
            let mut choice = DirectoryChoice::default();
            let mut records = Vec::new();
            let mut results = Vec::new();
            let mut seen = BTreeSet::new();
            for topic in request.topics {
                for (partition, target) in topic.partitions {
                    let is_first = seen.insert((topic.name.clone(), partition));
                    let result = find(&topic.name, partition, image).and_then(|found| {
                        if !is_first {
                            let message = format!("Partition {}:{partition} comes twice.", topic.name);
                            return Err(ApiError::new(ErrorCode::INVALID_REQUEST, message));
                        }
                        match &target {
                            Some(target) => reassign(found, target, factor, image, &mut configs, &mut choice),
                            None => cancel(found, image, &mut configs, &mut choice),
                        }
                    });
                    results.push(ReassignedPartition {
                        topic: topic.name.clone(),
                        partition,
                        result: result.map(|record| records.extend(record.map(Record::from))),
                    });
                }
            }
            Decision {
                response: Response::AlterPartitionReassignments(results),
                records,
            }
        })
    }
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum ReplicationFactor {
    MayChange,
    Stays,
}

fn find<'a>(topic: &str, partition: PartitionId, image: &'a ClusterImage) -> Result<Found<'a>, ApiError> {
    let unknown = |message| ApiError::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message);
    let found = image
        .topic_by_name(topic)
        .ok_or_else(|| unknown(format!("Unable to find a topic named {topic}.")))?;
    match found.partitions.get(&partition) {
        Some(state) => Ok((found, partition, state)),
        None => Err(unknown(format!("Unable to find partition {topic}:{partition}."))),
    }
}

fn reassign(
    found: Found<'_>,
    target: &[BrokerId],
    factor: ReplicationFactor,
    image: &ClusterImage,
    configs: &mut ElectionConfigs<'_>,
    choice: &mut DirectoryChoice,
) -> Result<Option<PartitionChangeRecord>, ApiError> {
    let partition = found.2;
    placement::check_manual(image, target, None)?;
    let present = partition
        .replicas
        .iter()
        .filter(|replica| !partition.removing_replicas.contains(replica))
        .count();
    if factor == ReplicationFactor::Stays && present != target.len() {
        return Err(ApiError::new(
            ErrorCode::INVALID_REPLICATION_FACTOR,
            format!(
                "The replication factor is changed from {present} to {}",
                target.len()
            ),
        ));
    }
    let mut change = configs.change(found);
    // An election is not what was asked for, so not an unclean one either.
    change.election = super::partition_change::Election::Online;
    change.removing = sorted_difference(&partition.replicas, target);
    change.adding = sorted_difference(target, &partition.replicas);
    change.replicas = target.to_vec();
    change.replicas.extend(&change.removing);
    Ok(build(change, image, partition, choice))
}

fn cancel(
    found: Found<'_>,
    image: &ClusterImage,
    configs: &mut ElectionConfigs<'_>,
    choice: &mut DirectoryChoice,
) -> Result<Option<PartitionChangeRecord>, ApiError> {
    let (topic, id, partition) = found;
    if partition.removing_replicas.is_empty() && partition.adding_replicas.is_empty() {
        return Err(ApiError::new(
            ErrorCode::NO_REASSIGNMENT_IN_PROGRESS,
            "No partition reassignment is in progress.",
        ));
    }
    let is_original = |replica: &BrokerId| !partition.adding_replicas.contains(replica);
    let mut change = configs.change(found);
    change.removing.clear();
    change.adding.clear();
    change.replicas.retain(is_original);
    change.isr.retain(is_original);
    let Some(first) = change.replicas.first().copied() else {
        return Err(ApiError::new(
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "Invalid replica assignment: addingReplicas contains all replicas.",
        ));
    };
    let mut complete = partition.isr.iter().chain(&partition.eligible_leader_replicas);
    let has_complete = complete.clone().next().is_some();
    if has_complete && !complete.any(is_original) {
        // Only added ones have everything: the others lack records that were acknowledged.
        if !configs.of(topic).unclean_election {
            return Err(ApiError::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                format!(
                    "Unable to revert partition assignment for {}:{id} because it would require an unclean \
                     leader election.",
                    topic.name
                ),
            ));
        }
        change.isr = vec![first];
        change.recovery = LeaderRecovery::Recovering;
    }
    Ok(build(change, image, partition, choice))
}

fn build(
    change: PartitionChange<'_>,
    image: &ClusterImage,
    partition: &PartitionImage,
    choice: &mut DirectoryChoice,
) -> Option<PartitionChangeRecord> {
    let may_lead = |broker| Candidates::default().may_lead(image, partition, broker);
    change.build(image, choice, may_lead)
}

/// Those of `these` that are not among `others`, ascending, as Kafka lists them.
fn sorted_difference(these: &[BrokerId], others: &[BrokerId]) -> Vec<BrokerId> {
    let mut difference: Vec<_> = these
        .iter()
        .copied()
        .filter(|broker| !others.contains(broker))
        .collect();
    difference.sort_unstable();
    difference
}
