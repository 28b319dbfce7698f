//! AlterPartition: a leader asks for another ISR (KIP-497, KIP-841, KIP-903).

use std::collections::BTreeSet;

use engine::planted::{self, Bug};

use super::decider::{Controller, Decision};
use super::elections::{self, Candidates, ElectionConfigs, Found};
use super::error::{ApiError, ErrorCode};
use super::producer_ids::check_broker_epoch;
use super::request::{AlterPartition, AlterPartitionItem};
use super::response::{AlteredPartition, PartitionState, Response};
use crate::image::{ClusterImage, LeaderRecovery, PartitionImage};
use crate::record::{BrokerId, LEADER_UNCHANGED, Record};

impl Controller {
    pub(super) fn alter_partition(
        &self,
        request: AlterPartition,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        let leader = check_broker_epoch(request.broker_id, request.broker_epoch, image)?.id;
        self.with_election_configs(image, |mut configs| {
            let mut records = Vec::new();
            let mut results = Vec::with_capacity(request.partitions.len());
            let mut seen = BTreeSet::new();
            for item in request.partitions {
                let (topic_id, partition) = (item.topic_id, item.partition);
                // The second one would be judged by a state that the first one changes.
                let result = if seen.insert((topic_id, partition)) {
                    alter(leader, &item, image, &mut configs, &mut records)
                } else {
                    Err(ApiError::of(ErrorCode::INVALID_REQUEST))
                };
                results.push(AlteredPartition {
                    topic_id,
                    partition,
                    result,
                });
            }
            Ok(Decision {
                response: Response::AlterPartition(results),
                records,
            })
        })
    }
}

fn alter(
    leader: BrokerId,
    item: &AlterPartitionItem,
    image: &ClusterImage,
    configs: &mut ElectionConfigs<'_>,
    records: &mut Vec<Record>,
) -> Result<PartitionState, ApiError> {
    let found = check(leader, item, image)?;
    let mut change = configs.change(found);
    change.isr = item.new_isr.iter().map(|(member, _)| *member).collect();
    change.recovery = item.leader_recovery;
    let before = found.2;
    let Some(record) = elections::build(change, image, found, Candidates::default()) else {
        return Ok(state(before));
    };
    let after = before.changed(&record);
    // The change may finish a reassignment that takes the leader itself away. It has to learn that from the image, so
    // this is an error and a change at once, as in Kafka.
    let deposes = record.leader != LEADER_UNCHANGED && record.leader != leader;
    records.push(Record::from(record));
    if deposes {
        Err(ApiError::of(ErrorCode::NEW_LEADER_ELECTED))
    } else {
        Ok(state(&after))
    }
}

/// Kafka's checks in Kafka's order.
fn check<'a>(
    leader: BrokerId,
    item: &AlterPartitionItem,
    image: &'a ClusterImage,
) -> Result<Found<'a>, ApiError> {
    let refuse = |code| Err(ApiError::of(code));
    let Some(topic) = image.topic(item.topic_id) else {
        return refuse(ErrorCode::UNKNOWN_TOPIC_ID);
    };
    let Some(partition) = topic.partitions.get(&item.partition) else {
        return refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    };
    // Whoever knows more than we do has heard of a later controller.
    if item.leader_epoch > partition.leader_epoch || item.partition_epoch > partition.partition_epoch {
        return refuse(ErrorCode::NOT_CONTROLLER);
    }
    if item.leader_epoch < partition.leader_epoch {
        return refuse(ErrorCode::FENCED_LEADER_EPOCH);
    }
    if partition.leader != Some(leader) {
        return refuse(ErrorCode::INVALID_REQUEST);
    }
    if item.partition_epoch < partition.partition_epoch && !planted::is(Bug::PartitionEpochNotChecked) {
        return refuse(ErrorCode::INVALID_UPDATE_VERSION);
    }
    let members: BTreeSet<BrokerId> = item.new_isr.iter().map(|(member, _)| *member).collect();
    let is_isr = members.len() == item.new_isr.len()
        && members.iter().all(|member| partition.replicas.contains(member))
        && members.contains(&leader);
    if !is_isr {
        return refuse(ErrorCode::INVALID_REQUEST);
    }
    let is_recovering = item.leader_recovery == LeaderRecovery::Recovering;
    let was_recovered = partition.leader_recovery == LeaderRecovery::Recovered;
    if is_recovering && (members.len() > 1 || was_recovered) {
        return refuse(ErrorCode::INVALID_REQUEST);
    }
    for (member, epoch) in &item.new_isr {
        let is_eligible = image.broker(*member).is_some_and(|broker| {
            broker.is_active()
                && (epoch.0 == -1 || broker.epoch == *epoch || planted::is(Bug::IsrEpochsNotChecked))
        });
        if !is_eligible {
            return refuse(ErrorCode::INELIGIBLE_REPLICA);
        }
    }
    Ok((topic, item.partition, partition))
}

fn state(partition: &PartitionImage) -> PartitionState {
    PartitionState {
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        isr: partition.isr.clone(),
        leader_recovery: partition.leader_recovery,
        partition_epoch: partition.partition_epoch,
    }
}
