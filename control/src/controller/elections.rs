//! What the coming and going of a broker does to the partitions it has.

use uuid::Uuid;

use super::request::PreviousShutdown;
use crate::image::{ClusterImage, PartitionImage};
use crate::record::{BrokerId, LEADER_UNCHANGED, NO_LEADER, PartitionChangeRecord, PartitionId, Record};

/// A new process of `broker` has registered: its predecessor leads and follows no more.
///
/// Where others are in the ISR, one of them leads and the broker leaves it; it comes back by catching up. Where it is the
/// only one, it keeps its place, for nobody else has the records. After an unclean end such a partition goes without
/// leader until the broker is unfenced, and so gets a new leader epoch; after a clean one nothing was lost and nothing
/// is written, so that a restart does not cost a record per partition.
pub(super) fn leave(broker: BrokerId, shutdown: PreviousShutdown, image: &ClusterImage) -> Vec<Record> {
    changes(image, |topic_id, id, partition| {
        if !partition.isr.contains(&broker) {
            return None;
        }
        let others: Vec<_> = partition
            .isr
            .iter()
            .copied()
            .filter(|member| *member != broker)
            .collect();
        let leads = partition.leader == Some(broker);
        let mut change = change_of(topic_id, id);
        if others.is_empty() {
            if shutdown == PreviousShutdown::Clean || !leads {
                return None;
            }
            change.leader = NO_LEADER;
            return Some(change);
        }
        if leads {
            let is_eligible = |replica: &&BrokerId| {
                others.contains(replica) && image.broker(**replica).is_some_and(|other| other.is_active())
            };
            change.leader = partition
                .replicas
                .iter()
                .find(is_eligible)
                .copied()
                .unwrap_or(NO_LEADER);
        }
        change.isr = Some(others);
        Some(change)
    })
}

/// `broker` may lead again: it takes the partitions nobody leads and whose records it has.
///
/// With eligible leader replicas (KIP-966) Kafka empties the ISR of a partition whose last replica leaves, even for a
/// clean stop, and remembers the replica among the eligible ones; after an unclean one only as the last known. A
/// directory that Kafka stopped cleanly has every partition in that state.
pub(super) fn arrive(broker: BrokerId, image: &ClusterImage) -> Vec<Record> {
    changes(image, |topic_id, id, partition| {
        if partition.leader.is_some() {
            return None;
        }
        let change = PartitionChangeRecord {
            leader: broker,
            ..change_of(topic_id, id)
        };
        if partition.isr.contains(&broker) {
            return Some(change);
        }
        let is_eligible = partition.eligible_leader_replicas.contains(&broker);
        let is_last_known =
            partition.eligible_leader_replicas.is_empty() && partition.last_known_elr == [broker];
        let may_lead = partition.isr.is_empty() && (is_eligible || is_last_known);
        may_lead.then(|| PartitionChangeRecord {
            isr: Some(vec![broker]),
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            ..change
        })
    })
}

fn changes(
    image: &ClusterImage,
    mut decide: impl FnMut(Uuid, PartitionId, &PartitionImage) -> Option<PartitionChangeRecord>,
) -> Vec<Record> {
    let mut records = Vec::new();
    for topic in image.topics() {
        for (id, partition) in &topic.partitions {
            records.extend(decide(topic.id, *id, partition).map(Record::from));
        }
    }
    records
}

fn change_of(topic_id: Uuid, partition_id: PartitionId) -> PartitionChangeRecord {
    PartitionChangeRecord {
        partition_id,
        topic_id,
        leader: LEADER_UNCHANGED,
        ..PartitionChangeRecord::default()
    }
}
